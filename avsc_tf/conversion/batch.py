"""Conversion of many clips: a few in memory at a time, and an error of one clip does not end the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.conversion.bundle import Bundle, OnStage
from avsc_tf.conversion.converted import TargetFeatures
from avsc_tf.conversion.jobs import ClipJob, features_path, steps_of
from avsc_tf.core.errors import AvscError
from avsc_tf.core.unexpected import as_clip_error
from avsc_tf.provenance.marking import Provenance
from avsc_tf.vocoder import NO_VOICE, VOCODERS, Vocoder

CLIPS_PER_BATCH = 16  # utterances held in memory and generated together


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch.

    Args:
        keep_features: also write NAME.npz (`ConvertedClip.save_features`) beside each video.
        audio_track, on_stage: as in `Bundle.convert`. An exception of `on_stage` outside of `Exception` ends the batch.
        provenance: as in `ConvertedClip.save`.
        advance: called with the number of finished steps (see `steps_of`), for a progress bar.
    """

    seed: int = 0
    keep_features: bool = False
    audio_track: int = 0
    provenance: Provenance | None = field(default_factory=Provenance)
    on_stage: OnStage | None = None
    advance: Callable[[int], object] = lambda steps: None


@dataclass(frozen=True)
class BatchResult:
    """Errors of the clips that could not be converted, and remarks on those that could."""

    errors: dict[Path, AvscError] = field(default_factory=dict)
    notes: dict[Path, tuple[str, ...]] = field(default_factory=dict)

    @contextmanager
    def contain(self, clip: Path) -> Iterator[None]:
        """Record exceptions of the block as the error of the clip."""
        try:
            yield
        except Exception as error:
            self.errors[clip] = as_clip_error(error, clip)


@dataclass(frozen=True)
class _ReadClip:
    """A clip between reading and writing."""

    job: ClipJob
    features: TargetFeatures


def convert_jobs(bundle: Bundle, jobs: Sequence[ClipJob], options: BatchOptions) -> BatchResult:
    """Convert many clips; only exceptions such as KeyboardInterrupt end the batch.

    Raises:
        ProvenanceError: the files could not be signed; raised before anything is converted.
    """
    if options.provenance is not None:
        options.provenance.identity()
    result = BatchResult()
    for start in range(0, len(jobs), CLIPS_PER_BATCH):
        clips = [clip for job in jobs[start : start + CLIPS_PER_BATCH] if (clip := _read(bundle, job, options, result))]
        voices = {}
        for vocoder in (*VOCODERS, NO_VOICE):
            if any(vocoder in clip.job.outputs for clip in clips):
                voices[vocoder] = _synthesise(bundle, clips, vocoder, options, result)
                options.advance(len(clips))
        for clip in clips:
            if clip.job.clip not in result.errors:
                waveforms = {vocoder: voices[vocoder][clip.job.clip] for vocoder in clip.job.outputs}
                _write(bundle, clip, waveforms, options, result)
            options.advance(1)
    return result


def _read(bundle: Bundle, job: ClipJob, options: BatchOptions, result: BatchResult) -> _ReadClip | None:
    with result.contain(job.clip):
        source = bundle.read(job.clip, audio_track=options.audio_track, on_stage=options.on_stage)
        features = bundle.convert_features(source)
        if notes := bundle.notes(source):
            result.notes[job.clip] = notes
        options.advance(1)
        return _ReadClip(job, features)
    options.advance(steps_of(job))
    return None


def _synthesise(
    bundle: Bundle, clips: Sequence[_ReadClip], vocoder: Vocoder, options: BatchOptions, result: BatchResult
) -> dict[Path, np.ndarray | None]:
    """Waveforms by clip, all at once; if that fails, one by one, which shows the clip at fault."""
    if vocoder == NO_VOICE:
        return {clip.job.clip: None for clip in clips}
    common: dict[str, Any] = {"vocoder": vocoder, "seed": options.seed, "on_stage": options.on_stage}
    try:
        waveforms = bundle.synthesise([clip.features for clip in clips], **common)
        return {clip.job.clip: waveform for clip, waveform in zip(clips, waveforms, strict=True)}
    except Exception as error:
        if len(clips) == 1:
            result.errors[clips[0].job.clip] = as_clip_error(error, clips[0].job.clip)
            return {}
    one_by_one: dict[Path, np.ndarray | None] = {}
    for clip in clips:
        with result.contain(clip.job.clip):
            (one_by_one[clip.job.clip],) = bundle.synthesise([clip.features], **common)
    return one_by_one


def _write(
    bundle: Bundle,
    clip: _ReadClip,
    waveforms: dict[Vocoder, np.ndarray | None],
    options: BatchOptions,
    result: BatchResult,
) -> None:
    with result.contain(clip.job.clip):
        frames = bundle.paint(clip.features, on_stage=options.on_stage) if bundle.has_face else None
        for vocoder, output in clip.job.outputs.items():
            converted = bundle.finish(clip.features, waveforms[vocoder], frames, vocoder, seed=options.seed)
            converted = converted.save(output, provenance=options.provenance)
            if options.keep_features:
                converted.save_features(features_path(output))
