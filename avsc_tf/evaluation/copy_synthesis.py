"""The vocoders alone: held-out recordings of the target rendered from their own features.

What conversion gets wrong is not in these figures, so they say whether a vocoder may speak (the gate in `aims.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from avsc_tf.core.errors import RecordError
from avsc_tf.core.files import write_atomically
from avsc_tf.corpus.reader import Records
from avsc_tf.evaluation.aims import gate
from avsc_tf.evaluation.figures import Table, copy_figures
from avsc_tf.features.statistics import join_facial
from avsc_tf.measures import voice
from avsc_tf.media.mux import write_sound
from avsc_tf.signal.pcm import to_float32

FILE_NAME = "copy_synthesis.json"
CLIPS_A_CALL = 8

# (vocoder, standardised mel [8T, n_mels] and facial [T, n_facial] an utterance) -> waveforms at time.sample_rate_hz
Speak = Callable[[str, Sequence[np.ndarray], Sequence[np.ndarray]], Sequence[np.ndarray]]


def measure_copy_synthesis(
    records: Records, speak: Speak, out: Path, *, vocoders: Sequence[str], progress: bool = True
) -> dict[str, Any]:
    """Render every held-out clip of the target by every vocoder, and measure.

    Writes `out/copy_synthesis/VOCODER/NAME.wav` and, last and whole, `out/copy_synthesis.json`.

    Returns:
        {"table": row -> figure -> entry, "gate": {"passed", "reasons"}}.
    """
    clips = list(records.clips("target", "test", only=("utterance", "mel", "keypoints", "vgg", "waveform")))
    if not clips:
        raise RecordError(
            f"{records.folder}: no held-out clip of the target. Raise split.test_share and prepare again."
        )
    table = Table()
    with tqdm(total=len(clips) * (len(vocoders) + 1), desc="copy synthesis", unit="clip", disable=not progress) as bar:
        pitches = {}
        for clip in clips:
            pitches[clip["utterance"]] = _measure_natural(clip, records, table)
            bar.update()
        for vocoder in vocoders:
            for start in range(0, len(clips), CLIPS_A_CALL):
                batch = clips[start : start + CLIPS_A_CALL]
                _measure_batch(vocoder, batch, records, speak, out, table, pitches)
                bar.update(len(batch))
    summary = table.summary()
    passed, reasons = gate(summary)
    result = {"table": summary, "gate": {"passed": passed, "reasons": reasons}}
    write_json(out / FILE_NAME, result)
    return result


def _measure_natural(clip: Mapping[str, Any], records: Records, table: Table) -> voice.PitchTrack:
    rate_hz = records.config.time.sample_rate_hz
    natural = natural_waveform(clip)
    table.add("natural", clip["utterance"], {"predicted_mos": voice.predicted_mos(natural, rate_hz)})
    return voice.track_pitch(natural, rate_hz)


def _measure_batch(
    vocoder: str,
    batch: Sequence[Mapping[str, Any]],
    records: Records,
    speak: Speak,
    out: Path,
    table: Table,
    pitches: Mapping[str, voice.PitchTrack],
) -> None:
    config, statistics = records.config, records.statistics
    mels = [statistics.standardise("target", "mel", clip["mel"]) for clip in batch]
    facials = [statistics.standardise("target", "facial", join_facial(c["vgg"], c["keypoints"])) for c in batch]
    folder = out / "copy_synthesis" / vocoder
    for clip, waveform in zip(batch, speak(vocoder, mels, facials), strict=True):
        name = clip["utterance"]
        write_sound(folder / f"{name}.wav", waveform, sample_rate_hz=config.time.sample_rate_hz)
        table.add(vocoder, name, copy_figures(waveform, natural_waveform(clip), pitches[name], config))


def verdict(result: Mapping[str, Any]) -> str:
    """The gate in words."""
    state = "passes" if result["gate"]["passed"] else "does not pass"
    return "\n".join([f"The WaveNet {state} the gate.", *(f"  {reason}" for reason in result["gate"]["reasons"])])


def natural_waveform(clip: Mapping[str, Any]) -> np.ndarray:
    """float32 [samples] of a recorded clip, full scale 1."""
    return to_float32(clip["waveform"])


def read_copy_synthesis(out: Path) -> dict[str, Any] | None:
    """What `measure_copy_synthesis` left, or None."""
    path = out / FILE_NAME
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_json(path: Path, content: Any) -> None:
    """Write beside, then rename."""
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False))
