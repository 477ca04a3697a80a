"""Many clips converted: a few in memory at a time, and no clip can end the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avsc_tf.conversion.converted import TargetFeatures
from avsc_tf.conversion.jobs import Job, features_path, steps_of
from avsc_tf.core.errors import AvscError
from avsc_tf.core.unexpected import as_clip_error
from avsc_tf.vocoder import NO_VOICE, VOCODERS, Vocoder

if TYPE_CHECKING:
    from avsc_tf.conversion.converter import Converter

CLIPS_A_BATCH = 16  # utterances held in memory and generated together
Errors = MutableMapping[Path, AvscError]
Advance = Callable[[int], object]


def convert_batches(
    converter: Converter, jobs: Sequence[Job], *, seed: int, keep_features: bool, advance: Advance
) -> dict[Path, AvscError]:
    """See `Converter.convert_jobs`. Raises what is no `Exception` alone, such as KeyboardInterrupt."""
    errors: dict[Path, AvscError] = {}
    for start in range(0, len(jobs), CLIPS_A_BATCH):
        good = []
        for job in jobs[start : start + CLIPS_A_BATCH]:
            features = _read(converter, job, errors)
            advance(1 if features is not None else steps_of(job))
            if features is not None:
                good.append((job, features))
        voices = {}
        for vocoder in (*VOCODERS, NO_VOICE):
            if any(vocoder in job.outputs for job, _ in good):
                voices[vocoder] = _speak(converter, good, vocoder, seed, errors)
                advance(len(good))
        for job, features in good:
            if job.clip not in errors:
                spoken = {vocoder: voices[vocoder][job.clip] for vocoder in job.outputs}
                _finish(converter, job, features, spoken, seed=seed, keep_features=keep_features, errors=errors)
            advance(1)
    return errors


@contextmanager
def _contained(clip: Path, errors: Errors) -> Iterator[None]:
    """Whatever is raised within the block is the error of its clip."""
    try:
        yield
    except Exception as error:
        errors[clip] = as_clip_error(error, clip)


def _read(converter: Converter, job: Job, errors: Errors) -> TargetFeatures | None:
    with _contained(job.clip, errors):
        source = converter.read(job.clip)
        features = converter.convert_features(source)
        converter.note(job.clip, source)
        return features
    return None


def _speak(
    converter: Converter, good: Sequence[tuple[Job, TargetFeatures]], vocoder: Vocoder, seed: int, errors: Errors
) -> dict[Path, np.ndarray | None]:
    """Waveforms by clip, all at once; where that fails, each alone, to know whose fault it is."""
    if vocoder == NO_VOICE:
        return {job.clip: None for job, _ in good}
    try:
        spoken = converter.speak([features for _, features in good], vocoder=vocoder, seed=seed)
        return {job.clip: waveform for (job, _), waveform in zip(good, spoken, strict=True)}
    except Exception as error:
        if len(good) == 1:
            errors[good[0][0].clip] = as_clip_error(error, good[0][0].clip)
            return {}
    alone: dict[Path, np.ndarray | None] = {}
    for job, features in good:
        with _contained(job.clip, errors):
            (alone[job.clip],) = converter.speak([features], vocoder=vocoder, seed=seed)
    return alone


def _finish(
    converter: Converter,
    job: Job,
    features: TargetFeatures,
    voices: dict[Vocoder, np.ndarray | None],
    *,
    seed: int,
    keep_features: bool,
    errors: Errors,
) -> None:
    with _contained(job.clip, errors):
        frames = converter.paint(features) if converter.has_face else None
        for vocoder, output in job.outputs.items():
            converted = converter.in_units(features, voices[vocoder], frames, vocoder)
            converted = converter.write(converted, output, seed=seed)
            if keep_features:
                converted.save(features_path(output))
