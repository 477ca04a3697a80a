"""What must hold for every clip of the grammar: it is read as it was drawn, or refused in one line.

The picture's clock is the product's: second 0 is the first picture. Clicks are measured to a fraction of a
millisecond and compared with the drawn moments; flashes can be seen only on the grid of the wanted frames, so frame
`i` first shows a flash if, and only if, it began in ((i - 1/2) / fps, (i + 1/2) / fps]: that interval, widened by the
tolerance, must hold the drawn moment, and the click's.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from folders import write_folder
from measuring import click_seconds, flash_onsets, voice_rms, voice_spans
from recipes import DARK, LOWER_LEFT, UPPER_LEFT, UPPER_RIGHT, Recipe, draw_sound, quadrants

from avsc_tf.conversion.reading import clip_source
from avsc_tf.core.errors import AvscError
from avsc_tf.core.timebase import Timebase
from avsc_tf.media.clips import ClipSource, find_clips, load_clip

TIMEBASE = Timebase(100, 48000, 240)  # frames of 10 ms: the grid hides no more than the tolerance
SYNC_SECONDS = 0.010
LEVEL_DB = 1.0
# 8 bit limited range and lossy coding of flat areas: 3 at most where the matrix is right, 20 and more where it is not.
COLOUR_STEPS = 8.0
PQ_COLOUR_STEPS = 14.0
BT2020_COLOUR_STEPS = 12.0  # gamut matrices of 4 digits and 10 bit chroma, through two curves
MEMORY_BYTES = 1 << 30
MAX_SECONDS = 30.0  # of CPU time


class BrokenLawError(AssertionError):
    """`kind` groups faults: one word and what was seen."""

    def __init__(self, kind: str, seen: str) -> None:
        super().__init__(f"{kind}: {seen}")
        self.kind = kind


def verdict(recipe: Recipe) -> str:
    """ "read", "refused", or "either" where a clear refusal is as good."""
    if len(recipe.beside.split()) > 1 and not recipe.manifest:
        return "refused"  # nobody knows which of the two sounds belongs to the clip
    if abs(recipe.sound_starts) > 1000:
        return "refused"  # the sound begins years after the picture
    if recipe.manifest.startswith(("cp1252", "utf-16")):
        return "either"  # a table that is not UTF-8
    if recipe.manifest and recipe.name != recipe.name.strip():
        return "either"  # spaces around a cell are left out
    if recipe.joins and recipe.beside:
        return "either"  # the camera's own sound, by which the other is laid, breaks off within two seconds
    if recipe.audio_codec == "aac" and recipe.sound_ends + Fraction(1024, recipe.rate_hz) > Fraction(1, 5):
        return "either"  # the last packet, padded, ends more than 0.2 s after the picture
    return "read"


def examine(recipe: Recipe, folder: Path) -> str:
    """Build the clip's folder, read it both ways, and check the laws.

    Returns:
        "read", or the message of the refusal.
    Raises:
        BrokenLawError: a law is broken.
        av.error.FFmpegError: FFmpeg cannot write this combination.
    """
    path = write_folder(recipe, folder)
    before = {file: file.stat().st_size for file in folder.rglob("*")}
    started = time.process_time()
    with bounded_memory(MEMORY_BYTES):
        outcome = _examine_source(recipe, folder, path)
    if time.process_time() - started > MAX_SECONDS:
        raise BrokenLawError("slow", f"{time.process_time() - started:.0f} s")
    if {file: file.stat().st_size for file in folder.rglob("*")} != before:
        raise BrokenLawError("folder changed", "reading a clip changes nothing beside it")
    return outcome


def _examine_source(recipe: Recipe, folder: Path, path: Path) -> str:
    outcome, source = _read(recipe, folder, lambda: _only(find_clips(folder), recipe))
    if not recipe.manifest:  # conversion knows no manifest
        other, converted = _read(recipe, folder, lambda: clip_source(path), known=source)
        if (other == "read") != (outcome == "read") or (source and source.audio) != (converted and converted.audio):
            raise BrokenLawError("two rules", f"find_clips: {outcome}, {source}; conversion: {other}, {converted}")
    return outcome


def _read(
    recipe: Recipe, folder: Path, find: Callable[[], ClipSource], *, known: ClipSource | None = None
) -> tuple[str, ClipSource | None]:
    """Outcome and what was found; the same files as `known` are not read again."""
    try:
        source = find()
        if known is not None and (source.video, source.audio) == (known.video, known.audio):
            return "read", source
        loaded = load_clip(source, TIMEBASE)
        pictures = list(loaded.frames)
    except AvscError as error:
        return _check_refusal(recipe, folder, error), None
    except BrokenLawError:
        raise
    except Exception as error:
        raise BrokenLawError("exception", f"{type(error).__name__}: {error}") from error
    if verdict(recipe) == "refused":
        raise BrokenLawError("accepted", "it should be refused")
    check_picture(recipe, pictures)
    check_sound(recipe, loaded.waveform)
    check_synchrony(recipe, pictures, loaded.waveform)
    return "read", source


def _only(clips: list[ClipSource], recipe: Recipe) -> ClipSource:
    names = [clip.utterance for clip in clips]
    if names != [unicodedata.normalize("NFC", recipe.name)] and not recipe.manifest:
        raise BrokenLawError("clips found", f"{names}")
    return clips[0]


def _check_refusal(recipe: Recipe, folder: Path, error: AvscError) -> str:
    message = str(error)
    if verdict(recipe) == "read":
        raise BrokenLawError("refused", message) from error
    if "\n" in message.replace(recipe.name, "") or str(folder) not in message or not message.endswith("."):
        raise BrokenLawError("message", f"one line with the file and a remedy, not {message!r}") from error
    return message


def check_picture(recipe: Recipe, pictures: list[np.ndarray]) -> None:
    """Upright, of the right size, and in the drawn colours."""
    width, height = recipe.shown_size
    if pictures[0].shape != (height, width, 3):
        raise BrokenLawError("size", f"{pictures[0].shape}, not {(height, width, 3)}")
    seen = quadrants(pictures[0])
    drawn = {"upper left": UPPER_LEFT, "upper right": UPPER_RIGHT, "lower left": LOWER_LEFT, "lower right": DARK}
    tolerance = {"pq": PQ_COLOUR_STEPS, "bt2020": BT2020_COLOUR_STEPS}.get(recipe.colour.split(" ")[0], COLOUR_STEPS)
    nearest = {
        place: min(drawn, key=lambda other: float(np.abs(colour - drawn[other]).sum()))
        for place, colour in seen.items()
    }
    if any(place != found for place, found in nearest.items()):
        raise BrokenLawError("orientation", f"{nearest}")
    worst = max(float(np.abs(seen[place] - drawn[place]).max()) for place in drawn)
    if worst > tolerance:
        colours = {place: colour.round().astype(int).tolist() for place, colour in seen.items()}
        raise BrokenLawError("colour", f"{worst:.1f} steps off: {colours}")


def check_sound(recipe: Recipe, waveform: np.ndarray) -> None:
    """As loud as drawn where the voice is, and nothing clipped."""
    rate_hz = TIMEBASE.sample_rate_hz
    times = recipe.frame_seconds()
    clicks = [float(times[number]) for number in recipe.flashes()]
    holes = [(float(min(at, at + jump)), float(max(at, at + jump))) for at, jump in recipe.joins if not recipe.beside]
    begin = 0.0 if recipe.beside else max(0.0, float(recipe.sound_starts))
    spans = voice_spans(clicks, begin, len(waveform) / rate_hz, holes)
    drawn = draw_sound(recipe, 0.0, len(waveform), rate_hz)
    measured = voice_rms(waveform, rate_hz, spans)
    if measured < 1e-4:
        raise BrokenLawError("silent", f"root mean square {measured:.1e}")
    off_db = 20 * math.log10(measured / voice_rms(drawn, rate_hz, spans))
    if recipe.beside_gain_db and recipe.beside:
        loudest = np.abs(waveform).max()
        scale_db = 20 * math.log10(loudest / np.abs(drawn).max())
        if abs(off_db - scale_db) > LEVEL_DB:
            raise BrokenLawError("clipped", f"clicks {scale_db:.1f} dB, voice {off_db:.1f} dB of what was drawn")
    elif abs(off_db) > LEVEL_DB:
        raise BrokenLawError("level", f"{off_db:+.1f} dB")


def check_synchrony(recipe: Recipe, pictures: list[np.ndarray], waveform: np.ndarray) -> None:
    """Flashes, clicks and the drawn moments are one."""
    times = recipe.frame_seconds()
    drawn = [float(times[number]) for number in recipe.flashes()]
    frames = flash_onsets(pictures)
    clicks = click_seconds(waveform, TIMEBASE.sample_rate_hz, crackles=recipe.crackles())
    if len(frames) != len(drawn):
        raise BrokenLawError("flashes", f"at frames {frames}, drawn at {np.round(drawn, 3).tolist()} s")
    if len(clicks) != len(drawn):
        raise BrokenLawError("clicks", f"at {clicks.round(3).tolist()} s, drawn at {np.round(drawn, 3).tolist()} s")
    half = 0.5 / TIMEBASE.video_fps
    off_sound = [click - second for click, second in zip(clicks, drawn, strict=True)]
    off_picture = [
        max(0.0, abs(frame / TIMEBASE.video_fps - second) - half) for frame, second in zip(frames, drawn, strict=True)
    ]
    if max(off_picture) > SYNC_SECONDS:
        raise BrokenLawError("picture's time", f"{[round(1000 * off) for off in off_picture]} ms off")
    if max(map(abs, off_sound)) > SYNC_SECONDS:
        raise BrokenLawError("sound's time", f"{[round(1000 * off) for off in off_sound]} ms off")
    apart = [
        max(0.0, abs(frame / TIMEBASE.video_fps - click) - half) for frame, click in zip(frames, clicks, strict=True)
    ]
    if max(apart) > SYNC_SECONDS:
        raise BrokenLawError("synchrony", f"{[round(1000 * off) for off in apart]} ms apart")


@contextlib.contextmanager
def bounded_memory(n_bytes: int) -> Iterator[None]:
    """No more than `n_bytes` of address space beyond what is there: a larger array is a MemoryError."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
