"""The strategy: any combination of oddities that a camera, a phone, an editor or a person leaves in a clip folder."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from containers import CONTAINERS, PIXELS, SURROUND, Container, rates_of
from hypothesis import strategies as st
from recipes import Recipe

_BESIDE_RATES = {
    ".mp3": (48000, 44100),
    ".aac": (48000, 44100),
    ".m4a": (48000, 44100),
    ".ac3": (48000, 44100),
    ".wma": (48000, 44100),
    ".ogg": (48000, 44100),
    ".opus": (48000,),
}
NAMES = (
    "clip",
    "take 1",
    "Žluťoučký kůň",
    "Z\u030clut\u030c",  # decomposed
    "名前 一",
    "a:b",
    "-dash",
    "100%d",
    'it\'s "so"; or, so',
    "[x]{y}*?",
    "😀",
    "x.y.z",
    "concat:clip",
    "two\nlines",
    " lead and trail ",
    "img%03d.",
    "$(x)`~",
    "n" * 200,
)
SOUND_SUFFIXES = (".wav", ".WAV", ".flac", ".m4a", ".mp3", ".ogg", ".aiff", ".opus", ".aif", ".aac", ".ac3")
SOUND_SUFFIXES += (".wma", ".mka", ".caf", ".wv", ".w64", ".au", ".rf64")
NEIGHBOURS = ("notes", "thumbs", "fork", "store", "subtitles", "part", "cover", "folder", "project")
MANIFESTS = ("utf-8 ,", "utf-8-sig ;", "utf-8 tab", "utf-16 tab", "cp1252 ;")


_WHERE = {
    "mono": ("all",),
    "stereo": ("all", "left", "hiss", "inverted"),
    "quad": ("all", "left"),
    "5.1": ("centre", "all", "left"),
}


def _odd(plain: object, others: st.SearchStrategy, *, one_in: int = 3) -> st.SearchStrategy:
    """The plain value mostly; shrinks to it."""
    return st.integers(0, one_in - 1).flatmap(lambda k: others if k == one_in - 1 else st.just(plain))


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any clip of the grammar."""
    suffix = draw(st.sampled_from(sorted(CONTAINERS)))
    container = CONTAINERS[suffix]
    recipe = Recipe(
        suffix=suffix,
        video_codec=draw(st.sampled_from(container.video)),
        audio_codec=draw(st.sampled_from(container.audio)),
        seconds=Fraction(draw(st.integers(15, 30)), 10),
        written=draw(st.sampled_from(container.written)),
        timecode=draw(_odd(False, st.just(suffix == ".mov"), one_in=4)),
        seed=draw(st.integers(0, 3)),
    )
    if recipe.video_codec == "libaom-av1":
        recipe = replace(recipe, written="")  # its header is written last
    recipe = _picture(draw, recipe, container)
    recipe = _sound(draw, recipe, container)
    if container.keeps_times:
        recipe = _timestamps(draw, recipe, container)
    return _folder(draw, recipe)


def _picture(draw: st.DrawFn, recipe: Recipe, container: Container) -> Recipe:
    codec = recipe.video_codec
    changes: dict[str, object] = {
        "pixels": draw(st.sampled_from(PIXELS.get(codec, ("yuv420p",)))),
        "size": draw(st.sampled_from([(96, 64), (64, 48), (160, 112), (128, 96), (98, 66), (100, 60)])),
        "frame_rate": draw(_odd(Fraction(25), st.sampled_from(container.rates), one_in=2)),
        "key_frames": draw(st.sampled_from([25, 5, 250])),
    }
    if codec == "libx264" and recipe.suffix == ".3gp":
        changes["pixels"] = "yuv420p"
    if codec in ("libx264", "libx265", "mpeg4", "mpeg2video") and recipe.suffix not in (".flv",):
        changes["b_frames"] = draw(st.sampled_from([0, 2]))
    if codec in ("libx264", "libx265") and recipe.suffix in (".mp4", ".mov", ".mkv"):
        changes["pixel_aspect"] = draw(_odd(Fraction(1), st.sampled_from([Fraction(4, 3), Fraction(3, 4)]), one_in=5))
    if container.turns or (codec == "libx264" and recipe.suffix in (".mkv", ".ts", ".mts")):
        changes["turn"] = draw(_odd(0, st.integers(1, 7), one_in=2))
    if codec in ("libx264", "mpeg2video", "mpeg4") and changes["size"] != (98, 66):  # lines in fours
        changes["interlaced"] = draw(_odd(False, st.just(True), one_in=5))
    if container.turns and recipe.written != "fragments" and codec not in ("prores_ks", "mjpeg"):
        changes["hidden_frames"] = draw(_odd(0, st.integers(1, 20), one_in=5))
    if codec in container.tags and changes["pixels"] != "bgr0":
        deep = "10" in str(changes["pixels"])
        tags = ["bt709 tv", "bt601 tv", *(["bt709 pc", "bt601 pc"] if codec != "prores_ks" else [])]
        changes["colour"] = draw(
            _odd("", st.sampled_from([*tags, *(["bt2020 tv", "pq tv"] if deep else [])]), one_in=2)
        )
    return replace(recipe, **changes)  # type: ignore[arg-type]


def _sound(draw: st.DrawFn, recipe: Recipe, container: Container) -> Recipe:
    codec = recipe.audio_codec
    layouts = ["stereo", "mono"]
    if codec in SURROUND and recipe.suffix != ".3gp":
        layouts += ["5.1", "quad"] if codec in ("flac", "pcm_s16le", "pcm_s24le") else ["5.1"]
    layout = draw(st.sampled_from(layouts))
    where = _WHERE[layout]
    return replace(
        recipe,
        rate_hz=draw(st.sampled_from(rates_of(recipe))),
        layout=layout,
        voice_in=draw(st.sampled_from(where)),
        sound_first=draw(_odd(False, st.just(recipe.suffix not in (".avi", ".flv")), one_in=5)),
        sound_ends=draw(_odd(Fraction(0), st.sampled_from([Fraction(ms, 100) for ms in (-15, -7, 5)]), one_in=4)),
        second_track=draw(_odd("", st.sampled_from(["default", "other"]), one_in=6)) if container.tracks else "",
    )


def _timestamps(draw: st.DrawFn, recipe: Recipe, container: Container) -> Recipe:
    changes: dict[str, object] = {
        "starts_at": draw(_odd(Fraction(0), st.sampled_from([Fraction(1, 2), Fraction(7), Fraction(1_700_000_000)]))),
        "sound_starts": draw(
            _odd(Fraction(0), st.sampled_from([Fraction(ms, 1000) for ms in (21, 300, -21, -300, 500)]))
            | _odd(Fraction(0), st.just(Fraction(1_700_000_000)), one_in=12)
        ),
    }
    if recipe.hidden_frames:
        changes["starts_at"] = Fraction(0)  # what lies before the file's clock is hidden
    if recipe.suffix in (".flv", ".wmv", ".ts", ".mts"):  # 32 or 33 bit of time
        latest = Fraction(95_443) if recipe.suffix in (".ts", ".mts") else Fraction(7)  # the 33 bit overflow at 95443.7
        changes["starts_at"] = min(latest, changes["starts_at"])  # type: ignore[type-var]
        changes["sound_starts"] = min(Fraction(1, 2), changes["sound_starts"])  # type: ignore[type-var]
    if recipe.video_codec in ("libx264", "libx265", "libvpx-vp9", "vp8", "libaom-av1", "ffv1", "mjpeg"):
        changes["ticks"] = draw(_odd(0, st.sampled_from([90000, 1000, 120000])))
        if changes["ticks"] and draw(st.booleans()):
            changes["frame_rate"] = None
    counts_samples = recipe.suffix == ".mov" and recipe.audio_codec.startswith("pcm")
    if not counts_samples and changes["sound_starts"] < 1000:  # type: ignore[operator]
        # Opus puts 6.5 ms before its first sample: a jump of 5 ms is no seam to see there, and its decoder crackles.
        jumps = _JUMPS_MS[: -1 if recipe.audio_codec == "libopus" else None]
        changes["joins"] = draw(_odd((), _joins(jumps)))
    if changes.get("joins"):
        changes["seconds"] = max(recipe.seconds, Fraction(5, 2))  # room for flashes away from them
    return replace(recipe, **changes)  # type: ignore[arg-type]


_JUMPS_MS = (21, -21, 60, -60, 200, -200, 5)


@st.composite
def _joins(draw: st.DrawFn, jumps_ms: tuple[int, ...]) -> tuple[tuple[Fraction, Fraction], ...]:
    """One or two places where pieces meet, at least half a second apart."""
    jumps = st.sampled_from([Fraction(ms, 1000) for ms in jumps_ms])
    first = Fraction(draw(st.integers(60, 90)), 100)
    joins = [(first, draw(jumps))]
    if draw(st.booleans()):
        joins.append((first + Fraction(1, 2), draw(jumps)))
    return tuple(joins)


def _folder(draw: st.DrawFn, recipe: Recipe) -> Recipe:
    changes: dict[str, object] = {"name": draw(_odd("clip", st.sampled_from(NAMES)))}
    if draw(_odd(False, st.just(True), one_in=5)):
        changes["suffix"] = recipe.suffix.upper()
    changes["neighbours"] = tuple(draw(_odd([], st.lists(st.sampled_from(NEIGHBOURS), unique=True, max_size=3))))
    if draw(_odd(False, st.just(True), one_in=4)) and recipe.sound_starts < 1000:
        changes |= _beside(draw, recipe)
    manifest = draw(_odd("", st.sampled_from(MANIFESTS), one_in=8))
    if manifest:
        changes |= {"manifest": manifest, "name": "Grüße" if "cp1252" in manifest else changes["name"]}
    return replace(recipe, **changes)  # type: ignore[arg-type]


def _beside(draw: st.DrawFn, recipe: Recipe) -> dict[str, object]:
    suffix = draw(st.sampled_from(SOUND_SUFFIXES))
    layout = "mono" if suffix == ".wma" else draw(st.sampled_from(["mono", "stereo"]))
    changes: dict[str, object] = {
        "beside": suffix,
        "beside_rate_hz": draw(st.sampled_from(_BESIDE_RATES.get(suffix.lower(), (48000, 44100, 96000, 16000)))),
        "beside_layout": layout,
        "beside_voice_in": draw(st.sampled_from(_WHERE[layout])),
    }
    if suffix.lower() == ".wav":
        changes["beside_gain_db"] = draw(st.sampled_from([0.0, 20.0]))
    is_exact = suffix not in (".wma", ".aac")  # they do not tell how much the encoder put before the first sample
    if draw(_odd(False, st.just(is_exact), one_in=4)):
        changes["audio_codec"] = ""  # a camera without a microphone; the sound begins with the picture
    elif recipe.voice_in != "hiss":
        changes["beside_starts"] = draw(st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1)]))
        changes["beside_ends"] = draw(st.sampled_from([Fraction(0), Fraction(3)]))
    if draw(_odd(False, st.just(True), one_in=6)) and suffix.lower() != ".flac":
        changes |= {"beside": f"{suffix} .flac", "beside_gain_db": 0.0}
    return changes
