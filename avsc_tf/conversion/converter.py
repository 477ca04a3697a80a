"""A clip of A in, an mp4 of B out (paper figure 1): voice and face converted together, then made audible and visible.

Features of the source clip are made by the code that prepared the records, standardised by the SOURCE's statistics,
converted as a whole utterance (paper section 3.1), and restored by the TARGET's. The waveform comes from the WaveNet
(section 3.2) or, as a preview, from Griffin-Lim; the frames from the image generator (section 3.3).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from avsc_tf.config import Config
from avsc_tf.conversion.griffin_lim import griffin_lim
from avsc_tf.conversion.jobs import VOCODERS, Job, Vocoder
from avsc_tf.errors import AvscError, MediaError
from avsc_tf.features.clip import ClipExtractor, ClipFeatures
from avsc_tf.features.statistics import (
    Statistics,
    StatisticsFitter,
    flatten_keypoints,
    join_facial,
    split_facial,
    unflatten_keypoints,
)
from avsc_tf.features.steadying import steadied
from avsc_tf.media.clips import AUDIO_SUFFIXES, ClipSource, single_clip
from avsc_tf.media.mux import write_video
from avsc_tf.timebase import Timebase

PEAK_LIMIT = 0.95  # louder waveforms are scaled down to it: AAC overshoots full scale by a little
FRAMES_A_BATCH = 32
CLIPS_A_BATCH = 16  # utterances held in memory and generated together
UNFAMILIAR_DEVIATIONS = 2.5  # RMS over keypoints: the demo speaker's own clips reach 1.0, other people start at 3.8


@dataclass(frozen=True)
class TargetFeatures:
    """What the conversion network says of the target, standardised by the target's statistics."""

    mel: np.ndarray  # [mel_per_video * T, n_mels]
    facial: np.ndarray  # [T, n_vgg + 2 * n_keypoints]


@dataclass(frozen=True)
class ConvertedClip:
    """A converted utterance in the units of the recordings."""

    mel: np.ndarray  # [mel_per_video * T, n_mels], natural-log mel
    keypoints: np.ndarray  # [T, n_keypoints, 2], pixels of the target's crop
    vgg: np.ndarray  # [T, n_vgg]
    waveform: np.ndarray  # float32 [samples at time.sample_rate_hz], within full scale
    frames: np.ndarray  # uint8 [T, size_px, size_px, 3], RGB
    vocoder: str

    def save(self, path: Path) -> None:
        """Write all arrays to an .npz (vgg as float16), whole or not at all."""
        beside = path.with_name(f".{path.stem}.part.npz")
        np.savez_compressed(
            beside,
            mel=self.mel,
            keypoints=self.keypoints,
            vgg=self.vgg.astype(np.float16),
            waveform=self.waveform,
            frames=self.frames,
            vocoder=np.array(self.vocoder),
        )
        os.replace(beside, path)


def steps_of(job: Job) -> int:
    """What a progress bar counts for a job: reading, each voice, and the picture."""
    return 2 + len(job.outputs)


@dataclass
class Converter:
    """The three networks with what lies between them.

    Args:
        config: settings of the networks.
        statistics: per-speaker mean and deviation of the records the networks were trained on.
        conversion_net: {"mel", "facial"} -> {"mel", "facial"}, whole utterances.
        generator: {"mel" [B, 8, n_mels], "facial" [B, n_facial]} -> [B, size, size, 3] in [-1, 1].
        sampler: WaveNet sampler, or None where only Griffin-Lim is wanted.
    """

    config: Config
    statistics: Statistics
    conversion_net: Any
    generator: Any
    sampler: Any = None
    timebase: Timebase = field(init=False)
    unfamiliar: list[Path] = field(init=False, default_factory=list)  # clips of somebody else, see `is_unfamiliar`
    _extractor: ClipExtractor | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.timebase = Timebase.from_config(self.config.time)

    def read(self, clip: Path) -> ClipFeatures:
        """Features of a source clip, made as `prepare` makes them.

        Raises:
            MediaError: the clip cannot be read. FaceError: no face, or one that is lost for too long.
        """
        if self._extractor is None:
            self._extractor = ClipExtractor(self.config)
        return self._extractor(_with_own_sound(clip))

    def convert_features(self, source: ClipFeatures) -> TargetFeatures:
        """The conversion network over the whole utterance.

        Somebody else than the source speaker (`is_unfamiliar`) is standardised by the clip's own mean and deviation:
        by the source speaker's, every feature would lie far outside of what the networks know.
        """
        facial = join_facial(source.vgg, source.keypoints)
        statistics = own_statistics(source) if self.is_unfamiliar(source) else self.statistics
        inputs = {
            "mel": statistics.standardise("source", "mel", source.mel)[np.newaxis],
            "facial": statistics.standardise("source", "facial", facial)[np.newaxis],
        }
        outputs = self.conversion_net(inputs, training=False)
        return TargetFeatures(np.asarray(outputs["mel"])[0], np.asarray(outputs["facial"])[0])

    def is_unfamiliar(self, source: ClipFeatures) -> bool:
        """Whether the face is not the source speaker's, by its mean keypoints in the speaker's deviations."""
        mean, std = self.statistics.get("source", "keypoints")
        away = (flatten_keypoints(source.keypoints).mean(axis=0) - mean) / std
        return bool(np.sqrt(np.mean(away**2)) > UNFAMILIAR_DEVIATIONS)

    def speak(self, features: Sequence[TargetFeatures], *, vocoder: Vocoder, seed: int) -> list[np.ndarray]:
        """Waveforms of exactly the pictures' length; the other utterances of a call do not change a sound.

        Returns:
            float32 [samples at time.sample_rate_hz] an utterance, peaks at most `PEAK_LIMIT`.
        """
        if vocoder == "griffin-lim":
            mels = [self.statistics.restore("target", "mel", f.mel) for f in features]
            waveforms = [griffin_lim(mel, self.config.acoustic, self.timebase, seed=seed) for mel in mels]
        else:
            if self.sampler is None:
                raise ValueError("this converter was loaded without its WaveNet")
            low = self.sampler.generate([f.mel for f in features], [f.facial for f in features], seed=seed)
            waveforms = [self._at_full_rate(waveform) for waveform in low]
        return [self._of_length(waveform, len(f.facial)) for waveform, f in zip(waveforms, features, strict=True)]

    def _at_full_rate(self, waveform: np.ndarray) -> np.ndarray:
        rates = self.config.wavenet.sample_rate_hz, self.config.time.sample_rate_hz
        return soxr.resample(waveform.astype(np.float32), *rates, quality="HQ")

    def _of_length(self, waveform: np.ndarray, n_frames: int) -> np.ndarray:
        n_samples = self.timebase.samples_in(n_frames)
        waveform = np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform)))).astype(np.float32)
        peak = float(np.abs(waveform).max(initial=0.0))
        return waveform * np.float32(min(1.0, PEAK_LIMIT / max(peak, 1e-9)))

    def paint(self, features: TargetFeatures) -> np.ndarray:
        """Frames of the target: uint8 [T, size_px, size_px, 3], RGB; of steadied keypoints, where settings say so."""
        features = self.steady(features)
        n_frames, per = len(features.facial), self.timebase.mel_per_video
        mel = features.mel.reshape(n_frames, per, -1)
        parts = []
        for start in range(0, n_frames, FRAMES_A_BATCH):
            batch = slice(start, start + FRAMES_A_BATCH)
            images = self.generator({"mel": mel[batch], "facial": features.facial[batch]}, training=False)
            parts.append(np.clip(np.rint((np.asarray(images) + 1) * 127.5), 0, 255).astype(np.uint8))
        return np.concatenate(parts)

    def steady(self, features: TargetFeatures) -> TargetFeatures:
        """Features with the keypoints smoothed as `image.steady_head_seconds` and `steady_face_seconds` say."""
        image, fps = self.config.image, self.config.time.video_fps
        if not image.steady_head_seconds and not image.steady_face_seconds:
            return features
        n_values = 2 * self.config.face.n_keypoints
        vgg, flat = features.facial[:, :-n_values], features.facial[:, -n_values:]
        keypoints = unflatten_keypoints(self.statistics.restore("target", "keypoints", flat))
        steady = steadied(
            keypoints, head_frames=image.steady_head_seconds * fps, face_frames=image.steady_face_seconds * fps
        )
        flat = self.statistics.standardise("target", "keypoints", flatten_keypoints(steady))
        return TargetFeatures(features.mel, np.concatenate([vgg, flat], axis=1))

    def in_units(
        self, features: TargetFeatures, waveform: np.ndarray, frames: np.ndarray, vocoder: str
    ) -> ConvertedClip:
        """Restore what is standardised by the target's statistics."""
        facial = self.statistics.restore("target", "facial", features.facial)
        vgg, keypoints = split_facial(facial, n_keypoints=self.config.face.n_keypoints)
        mel = self.statistics.restore("target", "mel", features.mel)
        return ConvertedClip(mel, keypoints, vgg, waveform, frames, vocoder)

    def convert(self, clip: Path, output: Path, *, vocoder: Vocoder = "wavenet", seed: int = 0) -> ConvertedClip:
        """Convert one clip and write its mp4 (H.264, AAC). Raises MediaError, FaceError."""
        features = self.convert_features(self.read(clip))
        waveform = self.speak([features], vocoder=vocoder, seed=seed)[0]
        converted = self.in_units(features, waveform, self.paint(features), vocoder)
        self.write(converted, output)
        return converted

    def write(self, converted: ConvertedClip, output: Path) -> None:
        """The mp4 of a converted clip, whole or not at all. Raises MediaError."""
        time = self.config.time
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_video(
                output,
                converted.frames,
                converted.waveform,
                fps=time.video_fps,
                sample_rate_hz=time.sample_rate_hz,
                audio_codec="aac",
            )
        except OSError as error:
            raise MediaError(f"{output}: cannot be written ({error.strerror}). Name a folder you may write.") from error

    def convert_jobs(
        self,
        jobs: Sequence[Job],
        *,
        seed: int = 0,
        keep_features: bool = False,
        advance: Callable[[int], object] = lambda steps: None,
    ) -> dict[Path, AvscError]:
        """Convert many clips; a bad one does not stop the others.

        Args:
            keep_features: also write NAME.npz (`ConvertedClip.save`) beside each video.
            advance: called with the number of steps done (see `steps_of`), for a progress bar.

        Returns:
            The error of each clip that could not be converted.
        """
        errors: dict[Path, AvscError] = {}
        for start in range(0, len(jobs), CLIPS_A_BATCH):
            batch = jobs[start : start + CLIPS_A_BATCH]
            good = list(self._read_batch(batch, errors, advance))
            self._finish_batch(good, seed, keep_features, errors, advance)
        return errors

    def _read_batch(
        self, batch: Iterable[Job], errors: dict[Path, AvscError], advance: Callable[[int], object]
    ) -> Iterable[tuple[Job, TargetFeatures]]:
        for job in batch:
            try:
                source = self.read(job.clip)
                features = self.convert_features(source)
            except AvscError as error:
                errors[job.clip] = error
                advance(steps_of(job))
                continue
            if self.is_unfamiliar(source):
                self.unfamiliar.append(job.clip)
            advance(1)
            yield job, features

    def _finish_batch(
        self,
        good: Sequence[tuple[Job, TargetFeatures]],
        seed: int,
        keep_features: bool,
        errors: dict[Path, AvscError],
        advance: Callable[[int], object],
    ) -> None:
        voices: dict[Vocoder, list[np.ndarray]] = {}
        for vocoder in VOCODERS:
            if any(vocoder in job.outputs for job, _ in good):
                voices[vocoder] = self.speak([f for _, f in good], vocoder=vocoder, seed=seed)
                advance(len(good))
        for index, (job, target) in enumerate(good):
            frames = self.paint(target)
            try:
                for vocoder, output in job.outputs.items():
                    converted = self.in_units(target, voices[vocoder][index], frames, vocoder)
                    self.write(converted, output)
                    if keep_features:
                        converted.save(output.with_suffix(".npz"))
            except AvscError as error:
                errors[job.clip] = error
            advance(1)


def own_statistics(source: ClipFeatures) -> Statistics:
    """Mean and deviation of one clip, in place of its speaker's."""
    fitter = StatisticsFitter()
    fitter.add("source", mel=source.mel, vgg=source.vgg, keypoints=source.keypoints)
    return fitter.finish()


def _with_own_sound(video: Path) -> ClipSource:
    """The clip, with NAME.wav or NAME.flac beside it as its sound, as in a clip folder."""
    beside = [path for suffix in AUDIO_SUFFIXES if (path := video.with_suffix(suffix)).is_file()]
    return single_clip(video, beside[0] if beside else None)
