"""A finished run measured: held-out sentences, their converted videos, the rows of trivial answers, the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from avsc_tf.core.errors import MediaError, RecordError
from avsc_tf.core.timebase import Timebase
from avsc_tf.corpus.reader import Records
from avsc_tf.evaluation import figures as measures
from avsc_tf.evaluation.aims import judge
from avsc_tf.evaluation.copy_synthesis import read_copy_synthesis, write_json
from avsc_tf.evaluation.figures import PitchRange, Table
from avsc_tf.evaluation.held_out import (
    Folders,
    SecondTake,
    Sentence,
    held_out_sentences,
    second_take,
    through_alignment,
)
from avsc_tf.evaluation.report import Shown, write_report
from avsc_tf.evaluation.rows import Answer, TrivialAnswers
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.keypoints import mouth_opening
from avsc_tf.measures import tracked_face as face
from avsc_tf.measures import voice
from avsc_tf.media.audio import read_audio
from avsc_tf.media.video import read_frames
from avsc_tf.signal.pcm import to_float32

FIGURES_NAME = "figures.json"
REPORT_NAME = "report.html"
PITCH_CLIPS = 7  # training clips a speaker behind the trivial pitch conversion


@dataclass(frozen=True)
class Inputs:
    """What is evaluated.

    Args:
        run: networks' folder, for settings and loss curves.
        converted: folder of NAME.mp4 and NAME.npz (`Bundle --keep-features`) a vocoder, the first is the one whose
            pictures and features are measured and shown.
        folders: the recordings.
        stages: `stages.json` of the demo, or None.
        files: further files to name in the report.
    """

    run: Path
    converted: Mapping[str, Path]
    folders: Folders
    stages: Path | None = None
    files: Sequence[Path] = ()


@dataclass
class _Work:
    """Shared by the steps below."""

    records: Records
    inputs: Inputs
    sentences: list[Sentence]
    timebase: Timebase
    tracker: FaceTracker
    again: dict[str, face.Retracked] = field(default_factory=dict)  # the face tracked in the finished videos
    features: Table = field(default_factory=Table)
    voices: Table = field(default_factory=Table)
    sync: Table = field(default_factory=Table)
    shown: dict[str, Shown] = field(default_factory=dict)  # one sentence an emotion


def evaluate_run(records: Records, inputs: Inputs, out: Path, *, progress: bool = True) -> dict[str, Any]:
    """Measure all held-out sentences; write `out/figures.json` and `out/report.html`, whole or not at all.

    `out/copy_synthesis.json` (`measure_copy_synthesis`) is taken in where it is there.

    Raises:
        RecordError: no held-out pair, or none of them was converted. AlignmentError, MediaError: unreadable inputs.
    """
    config = records.config
    sentences = _converted_only(held_out_sentences(records, inputs.folders), inputs)
    trivial = TrivialAnswers(records, progress=progress)
    ranges = {speaker: _pitch_range(records, speaker) for speaker in ("source", "target")}
    with FaceTracker(config.face.min_detection_confidence) as tracker:
        work = _Work(records, inputs, sentences, config.timebase, tracker)
        for sentence in tqdm(sentences, desc="evaluation", unit="sentence", disable=not progress):
            take = second_take(sentence, config, inputs.folders, tracker)
            _measure_features(work, sentence, trivial, take)
            _measure_voices(work, sentence, ranges, take)
            _measure_sync(work, sentence)
    found = _figures(work)
    found |= {"copy_synthesis": {}, "gate": None}
    copies = read_copy_synthesis(out)
    if copies is not None:
        found |= {"copy_synthesis": copies["table"], "gate": copies["gate"]}
    write_json(out / FIGURES_NAME, found)
    write_report(out / REPORT_NAME, found, list(work.shown.values()), config=config, run=inputs.run,
                 stages=inputs.stages, files=inputs.files)  # fmt: skip
    return found


def _converted_only(sentences: list[Sentence], inputs: Inputs) -> list[Sentence]:
    def complete(name: str) -> bool:
        folders = list(inputs.converted.values())
        return (folders[0] / f"{name}.npz").is_file() and all((f / f"{name}.mp4").is_file() for f in folders)

    there = [sentence for sentence in sentences if complete(sentence.utterance)]
    if not there:
        folder = next(iter(inputs.converted.values()))
        raise RecordError(
            f"{folder}: no converted held-out sentence (NAME.mp4 and NAME.npz; first missing: "
            f"{sentences[0].utterance}). Convert the held-out clips with --keep-features first."
        )
    return there


def _pitch_range(records: Records, speaker: str) -> PitchRange:
    clips = list(records.clips(speaker, "train", only=("waveform",)))
    chosen = clips[:: max(1, len(clips) // PITCH_CLIPS)]
    rate_hz = records.config.time.sample_rate_hz
    return PitchRange.of([voice.track_pitch(to_float32(c["waveform"]), rate_hz) for c in chosen])


def _main_folder(work: _Work) -> Path:
    return next(iter(work.inputs.converted.values()))


def _converted_answer(work: _Work, sentence: Sentence) -> Answer:
    path = _main_folder(work) / f"{sentence.utterance}.npz"
    try:
        with np.load(path) as stored:
            answer = Answer(stored["mel"], stored["keypoints"], None)
    except (OSError, ValueError, KeyError) as error:
        raise MediaError(f"{path}: not the features of a converted clip ({error}). Convert the clip again.") from error
    frames = np.stack(list(read_frames(path.with_suffix(".mp4"), fps=work.timebase.video_fps)))
    n = sentence.n_frames
    if abs(len(frames) - n) > 1 or len(answer.keypoints) != n:
        raise MediaError(f"{path}: {len(frames)} frames, the source clip has {n}. Convert the clip again.")
    frames = frames[np.minimum(np.arange(n), len(frames) - 1)]
    return Answer(answer.mel, answer.keypoints, frames)


def _measure_features(work: _Work, sentence: Sentence, trivial: TrivialAnswers, take: SecondTake | None) -> None:
    config, clip, name = work.records.config, sentence.source, sentence.utterance
    answers = {
        "converted": _converted_answer(work, sentence),
        "source": trivial.source(clip),
        "mean": trivial.mean(clip),
        "band_match": trivial.band_match(clip),
        "ridge": trivial.ridge(clip),
        "target_dtw": through_alignment(sentence, config),
    }
    if take is not None:
        answers["second_take"] = take.answer
    for row, answer in answers.items():
        again = _retracked(work, row, answer)
        if row == "converted" and again is not None:
            work.again[name] = again
        work.features.add(row, name, measures.feature_figures(answer, sentence, again, config))
    if sentence.emotion not in work.shown:
        work.shown[sentence.emotion] = Shown(sentence, answers["source"], answers["converted"], sentence.reference)


def _retracked(work: _Work, row: str, answer: Answer) -> face.Retracked | None:
    """Painted frames are looked at again; in recorded ones the keypoints were tracked already."""
    if row in ("converted", "ridge") and answer.frames is not None:
        return face.retrack(answer.frames, work.tracker, at_px=work.records.config.face.crop_px)
    return face.Retracked(answer.keypoints) if row in ("source", "target_dtw", "second_take") else None


def _measure_voices(work: _Work, sentence: Sentence, ranges: Mapping[str, PitchRange], take: SecondTake | None) -> None:
    config, name = work.records.config, sentence.utterance
    rate_hz = config.time.sample_rate_hz
    target_pitch = voice.track_pitch(sentence.waveform("target"), rate_hz)
    waveforms = {"source": sentence.waveform("source")}
    for vocoder, folder in work.inputs.converted.items():
        waveforms[f"converted, {vocoder}"] = read_audio(folder / f"{name}.mp4", sample_rate_hz=rate_hz)
    tracks = {row: voice.track_pitch(waveform, rate_hz) for row, waveform in waveforms.items()}
    for row, waveform in waveforms.items():
        found = measures.waveform_figures(waveform, tracks[row], sentence, target_pitch, config)
        work.voices.add(row, name, found)
    track = tracks["source"]
    on_source = target_pitch.at(sentence.time_map(track.seconds))
    spoken = sentence.time_map.spoken(track.seconds)
    moved = ranges["source"].moved_to(ranges["target"], track)
    work.voices.add("pitch_match", name, measures.pitch_figures(moved, on_source, spoken))
    if take is not None:
        again = voice.track_pitch(take.waveform, rate_hz).at(take.time_map(track.seconds))
        work.voices.add("second_take", name, measures.pitch_figures(again, on_source, spoken))


def _measure_sync(work: _Work, sentence: Sentence) -> None:
    name, timebase = sentence.utterance, work.timebase
    for speaker in ("source", "target"):
        clip = sentence.source if speaker == "source" else sentence.target
        opening = mouth_opening(clip["keypoints"])
        work.sync.add(speaker, name, measures.sync_figures(sentence.waveform(speaker), opening, timebase))
    opening = mouth_opening(work.again[name].keypoints)  # all vocoders' videos have the same pictures
    for vocoder, folder in work.inputs.converted.items():
        waveform = read_audio(folder / f"{name}.mp4", sample_rate_hz=timebase.sample_rate_hz)
        found = measures.sync_figures(waveform, opening, timebase)
        found |= measures.between_figures(waveform, opening, sentence, timebase)
        work.sync.add(f"converted, {vocoder}", name, found)


def _figures(work: _Work) -> dict[str, Any]:
    features = work.features.summary()
    measures.add_ratios(features)
    origins = sorted({sentence.time_map.origin for sentence in work.sentences})
    found: dict[str, Any] = {
        "about": {
            "sentences": len(work.sentences),
            "emotions": sorted({sentence.emotion for sentence in work.sentences}),
            "times": " and ".join(origins),
            "vocoders": list(work.inputs.converted),
            "interval": "95 % bootstrap interval of the mean over sentences",
        },
        "features": features,
        "voices": work.voices.summary(),
        "sync": work.sync.summary(),
    }
    return {**found, "aims": judge(found)}
