"""From folders of finished videos to a folder that a web server shows, and a key that it does not."""

from __future__ import annotations

import csv
import io
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsc_tf.core.errors import ListeningError
from avsc_tf.features.health import QUIETEST_LUFS, loudness_lufs
from avsc_tf.listening import checks
from avsc_tf.listening.design import (
    KEY_NAME,
    MAX_PAGES,
    MEDIA_NAME,
    PAGE_NAME,
    SITE_NAME,
    SOURCE,
    TARGET,
    Check,
    Clip,
    Design,
    media_name,
    write_design,
)
from avsc_tf.listening.page import page_html
from avsc_tf.media.audio import read_audio
from avsc_tf.media.mux import write_video
from avsc_tf.media.remux import copy_picture, write_aac
from avsc_tf.media.tables import decode_table, find_separator
from avsc_tf.media.video import probe_video

RATE_HZ = 48000
LOUDNESS_LUFS = -23.0  # EBU R 128
HIGHEST_PEAK_DBFS = -1.0
_NUMBERED = re.compile(r"^(.+?)_?\d+$")  # happiness_strong_03


@dataclass(frozen=True)
class Label:
    """What is known of an utterance."""

    emotion: str
    sentence: str


@dataclass(frozen=True)
class Take:
    """A file that becomes a clip; `loudness_lufs` and `peak` (full scale 1) of its sound as it is."""

    system: str
    utterance: str
    path: Path
    loudness_lufs: float
    peak: float
    size: tuple[int, int]


def build_test(
    out: Path,
    *,
    systems: Mapping[str, Path],
    reference: Path,
    source: Path | None = None,
    labels: Path | None = None,
    title: str = "Listening and viewing test",
    n_pages: int = MAX_PAGES,
    seed: int = 0,
) -> str:
    """Write OUT/site (to be served) and OUT/key.json (private).

    Args:
        systems: folders of NAME.mp4 by the system's name; all hold the same names.
        reference: the target speaker's natural clips, at least of those names: hidden anchors and the X of A/B/X.
        source: the source speaker's natural clips, one more hidden anchor.
        labels: CSV with columns utterance, emotion and perhaps sentence, as the demo's manifest.csv; without it the
            emotion is the name without its number (`happiness_strong_03`).
        n_pages: most pages a rater gets, checks among them.
        seed: of the order in which raters get pages.
    Returns:
        What was built, in a few lines.
    Raises:
        ListeningError: OUT is in use, folders differ, a clip is silent. MediaError: a clip cannot be read.
    """
    _check_request(out, systems, n_pages)
    anchors = {TARGET: reference} | ({SOURCE: source} if source else {})
    utterances = _utterances(systems, anchors)
    table = _labels(labels, utterances)
    takes = [_measure(name, u, folder) for name, folder in {**systems, **anchors}.items() for u in utterances]
    level_lufs = _common_level(takes)
    beside = out / f"{SITE_NAME}.part"
    shutil.rmtree(beside, ignore_errors=True)
    media = beside / MEDIA_NAME
    media.mkdir(parents=True)
    clips, n_copied = {}, 0
    for take in takes:
        name = secrets.token_hex(8)
        label = table[take.utterance]
        seconds, copied = _write_clip(take, media, name, level_lufs)
        n_copied += copied
        clips[name] = Clip(take.system, take.utterance, label.emotion, label.sentence, seconds)
    shuffled = sorted(clips)  # by opaque name, so that the key's order and the folder's tell nothing either
    design = Design(
        test=secrets.token_hex(8),
        title=title,
        seed=seed,
        n_pages=n_pages,
        loudness_lufs=level_lufs,
        systems=tuple(systems),
        anchors=tuple(anchors),
        clips={name: clips[name] for name in shuffled},
        checks=_write_checks(media, level_lufs),
    )
    for file in media.iterdir():
        os.utime(file, (0, 0))  # the time of writing follows the order of systems
    (beside / PAGE_NAME).write_text(page_html(design), encoding="utf-8")
    os.replace(beside, out / SITE_NAME)
    write_design(out, design)
    return _summary(design, takes, n_copied)


def _check_request(out: Path, systems: Mapping[str, Path], n_pages: int) -> None:
    if (out / KEY_NAME).exists() or (out / SITE_NAME).exists():
        raise ListeningError(
            f"{out}: holds a test already, and raters may be at work on it. Name a new folder, or delete this one."
        )
    for name in systems:
        if name in (TARGET, SOURCE) or not name.strip():
            raise ListeningError(f"--system {name}: '{TARGET}' and '{SOURCE}' are the natural speakers; rename it.")
    if not systems:
        raise ListeningError("no system is named. Name at least one: --system NAME=DIR.")
    if not 2 <= n_pages <= 1000:
        raise ListeningError(f"--pages {n_pages}: must be from 2 to 1000; the paper's raters had at most {MAX_PAGES}.")


def _utterances(systems: Mapping[str, Path], anchors: Mapping[str, Path]) -> list[str]:
    """Names of the clips that all systems have. Raises ListeningError where they differ."""
    names = {name: _names(folder) for name, folder in systems.items()}
    first, wanted = next(iter(names.items()))
    if not wanted:
        raise ListeningError(f"{systems[first]}: holds no .mp4. Name the folder of the finished videos.")
    for name, found in names.items():
        for lacking, who in ((wanted - found, name), (found - wanted, first)):
            if lacking:
                raise ListeningError(
                    f"{systems[who]}: lacks {_some(lacking, '.mp4')}, which another system has. Give every system the "
                    "same sentences."
                )
    for name, folder in anchors.items():
        if lacking := wanted - _names(folder):
            raise ListeningError(f"{folder}: lacks {_some(lacking, '.mp4')}, said by the {name} speaker. Add them.")
    return sorted(wanted)


def _names(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise ListeningError(f"{folder}: no such folder. Name a folder of finished videos, one sentence a file.")
    return {path.stem for path in folder.glob("*.mp4")}


def _some(names: set[str], suffix: str) -> str:
    shown = ", ".join(f"{name}{suffix}" for name in sorted(names)[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _labels(path: Path | None, utterances: list[str]) -> dict[str, Label]:
    if path is None:
        emotions = {u: match.group(1) if (match := _NUMBERED.match(u)) else "all" for u in utterances}
        return {u: Label(emotion, u) for u, emotion in emotions.items()}
    if not path.is_file():
        raise ListeningError(f"{path}: no such file. Name a CSV with the columns utterance, emotion and sentence.")
    text, _ = decode_table(path.read_bytes(), place=str(path))
    separator = find_separator(text, ("utterance", "emotion", "sentence"))
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    if not rows or not {"utterance", "emotion"} <= rows[0].keys():
        raise ListeningError(f"{path}: lacks the column utterance or emotion. Name them in its first line.")
    found = {row["utterance"]: Label(row["emotion"], row.get("sentence") or row["utterance"]) for row in rows}
    if lacking := set(utterances) - found.keys():
        raise ListeningError(f"{path}: has no line for {_some(lacking, '')}. Add an emotion for each utterance.")
    return found


def _measure(system: str, utterance: str, folder: Path) -> Take:
    path = folder / f"{utterance}.mp4"
    waveform = read_audio(path, sample_rate_hz=RATE_HZ)
    loudness = loudness_lufs(waveform, RATE_HZ)
    if loudness <= QUIETEST_LUFS:
        raise ListeningError(f"{path}: its sound is silent, so it cannot be rated. Convert it again or leave it out.")
    video = probe_video(path)
    return Take(system, utterance, path, loudness, float(np.abs(waveform).max()), (video.width, video.height))


def _common_level(takes: list[Take]) -> float:
    """`LOUDNESS_LUFS`, or what lets the peakiest clip stay below full scale."""
    headroom = min(take.loudness_lufs - 20 * np.log10(take.peak) for take in takes)
    return float(min(LOUDNESS_LUFS, headroom + HIGHEST_PEAK_DBFS))


def _levelled(waveform: np.ndarray, from_lufs: float, to_lufs: float) -> np.ndarray:
    return (waveform * 10 ** ((to_lufs - from_lufs) / 20)).astype(np.float32)


def _write_clip(take: Take, media: Path, name: str, level_lufs: float) -> tuple[float, bool]:
    """The three files of a clip; their length in seconds and whether the picture was copied as it is."""
    waveform = _levelled(read_audio(take.path, sample_rate_hz=RATE_HZ), take.loudness_lufs, level_lufs)
    write_aac(media / media_name(name, "audio"), waveform, sample_rate_hz=RATE_HZ)
    for modality, sound in (("visual", None), ("audiovisual", waveform)):
        out = media / media_name(name, modality)
        copied = copy_picture(take.path, out, waveform=sound, sample_rate_hz=RATE_HZ)
    shown_seconds = float(probe_video(take.path).shown_seconds)
    return round(min(shown_seconds, len(waveform) / RATE_HZ), 3), copied


def _write_checks(media: Path, level_lufs: float) -> dict[str, Check]:
    found = {}
    for n_beeps, n_flashes in checks.NUMBERS:
        name = secrets.token_hex(8)
        sound = checks.beeps(n_beeps, RATE_HZ)
        sound = _levelled(sound, loudness_lufs(sound, RATE_HZ), level_lufs)
        write_aac(media / media_name(name, "audio"), sound, sample_rate_hz=RATE_HZ)
        picture = media / media_name(name, "visual")
        write_video(picture, checks.flashes(n_flashes), None, fps=checks.FPS, sample_rate_hz=RATE_HZ)
        found[name] = Check(n_beeps, n_flashes, checks.SECONDS)
    return dict(sorted(found.items()))


def _summary(design: Design, takes: list[Take], n_copied: int) -> str:
    utterances = design.by_utterance
    sizes = {name: sorted({take.size for take in takes if take.system == name}) for name in design.rated}
    lines = [
        f"{len(utterances)} utterances by {', '.join(design.systems)}; natural: {', '.join(design.anchors)}; "
        f"{len(design.clips)} clips to rate, at most {design.n_pages} pages a rater",
        f"all sound levelled to {design.loudness_lufs:.1f} LUFS (ITU-R BS.1770-4); pictures of {n_copied} clips copied "
        f"as they were, of {len(takes) - n_copied} encoded anew",
    ]
    if len({tuple(size) for size in sizes.values()}) > 1:
        told = "; ".join(f"{name} {', '.join(f'{w} x {h}' for w, h in size)}" for name, size in sizes.items())
        lines.append(f"note: pictures differ in size ({told}): crop them alike, or the framing tells natural from made")
    if len(utterances) < 2 and design.pairs:
        lines.append("note: one utterance only, so no preference is asked: X must say another sentence")
    return "\n".join(lines)
