"""What a visitor looks at first: one converted video an emotion, and source, converted and target side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError, StageError
from avsc_tf.core.files import write_atomically, written_whole
from avsc_tf.evaluation.aims import gate
from avsc_tf.media.clips import ClipSource, find_clips
from avsc_tf.media.panels import Row, write_panels, write_sheet
from avsc_tf.vocoder import Vocoder

CHOICE_NAME = "vocoder.json"


@dataclass(frozen=True)
class VocoderChoice:
    """The vocoder of the side-by-side video, and why."""

    vocoder: Vocoder
    passed: bool
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for the terminal and the report."""
        if self.passed:
            return "The side-by-side uses the WaveNet: it passed the gate."
        return f"The side-by-side uses Griffin-Lim: the WaveNet has not passed the gate. {' '.join(self.reasons)}"


def choose_vocoder(copy_synthesis: Mapping[str, Any]) -> VocoderChoice:
    """The WaveNet where its copy synthesis of held-out recordings passed the gate, else Griffin-Lim.

    Args:
        copy_synthesis: row -> figure -> entry, with rows "wavenet" and "griffin-lim".
    """
    passed, reasons = gate(copy_synthesis)
    return VocoderChoice("wavenet" if passed else "griffin-lim", passed, tuple(reasons))


def held_out_clips(folder: Path) -> list[ClipSource]:
    """Clips that the corpus' manifest keeps for testing. Raises MediaError."""
    clips = [clip for clip in find_clips(folder) if clip.split == "test"]
    if not clips:
        raise MediaError(f"{folder}: no clip is held out. Mark some `test` in manifest.csv.")
    return clips


def first_of_each_emotion(clips: Iterable[ClipSource]) -> list[ClipSource]:
    """One clip an emotion, in the clips' order."""
    chosen: dict[str, ClipSource] = {}
    for clip in clips:
        chosen.setdefault(clip.emotion, clip)
    return list(chosen.values())


def make_showcase(
    config: Config, *, source: Path, target: Path, held_out: Path, copy_synthesis: Path, out: Path
) -> None:
    """Write OUT/converted/EMOTION.mp4, OUT/side_by_side.mp4 (and one picture of it, .png) and OUT/vocoder.json.

    Args:
        source, target: clip folders of the two speakers.
        held_out: converted sentences, a folder a vocoder.
        copy_synthesis: copy_synthesis.json of the evaluation, which decides the vocoder.

    Raises:
        MediaError: a clip or a converted video is missing. StageError: the vocoders were not judged.
    """
    if not copy_synthesis.is_file():
        raise StageError(f"{copy_synthesis}: the vocoders were not judged. Run avsc diagnose copy-synthesis first.")
    choice = choose_vocoder(json.loads(copy_synthesis.read_text(encoding="utf-8"))["table"])
    targets = {clip.utterance: clip.video for clip in find_clips(target)}
    rows = []
    shutil.rmtree(out / "converted", ignore_errors=True)
    for clip in first_of_each_emotion(held_out_clips(source)):
        converted = held_out / choice.vocoder / f"{clip.video.stem}.mp4"
        for path in (converted, targets.get(clip.utterance)):
            if path is None or not path.is_file():
                raise MediaError(f"{path or target / clip.utterance}: missing for the side-by-side. Convert it first.")
        title = " | ".join(text.replace("_", " ") for text in (clip.emotion, clip.sentence) if text)
        panels = ("source", clip.video), ("converted", converted), ("target", targets[clip.utterance])
        rows.append(Row(title, panels))
        _copy(converted, out / "converted" / f"{clip.emotion or clip.utterance}.mp4")
    fps, rate_hz = config.time.video_fps, config.time.sample_rate_hz
    write_sheet(out / "side_by_side.png", rows, fps=fps)
    write_panels(out / "side_by_side.mp4", rows, fps=fps, sample_rate_hz=rate_hz)
    content = {"vocoder": choice.vocoder, "passed": choice.passed, "text": choice.text}
    write_atomically(out / CHOICE_NAME, json.dumps(content, indent=1))
    print(choice.text)


def _copy(path: Path, to: Path) -> None:
    with written_whole(to) as part:
        shutil.copyfile(path, part)
