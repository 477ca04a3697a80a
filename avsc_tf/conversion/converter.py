"""A clip of A in, an mp4 of B out (paper figure 1): voice and face converted together, then made audible and visible.

Features of the source clip are made by the code that prepared the records, standardised by the SOURCE's statistics,
converted as a whole utterance (paper section 3.1), and restored by the TARGET's. The waveform comes from the WaveNet
(section 3.2) or, as a preview, from Griffin-Lim; the frames from the image generator (section 3.3).

A clip may lack its sound or its picture: the conversion network then sees zeros, the mean of what is missing, and
still makes both. Networks of one modality (the baselines, section 4.4) make a sound alone or a silent film.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from avsc_tf.conversion.batch import convert_batches
from avsc_tf.conversion.converted import ConvertedClip, TargetFeatures
from avsc_tf.conversion.jobs import Job
from avsc_tf.conversion.notes import clip_notes
from avsc_tf.conversion.origin import Origin, marked, signature
from avsc_tf.conversion.overwriting import MADE_HERE
from avsc_tf.core.config import Config
from avsc_tf.core.errors import AvscError, MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.clip import ClipExtractor, ClipFeatures
from avsc_tf.features.partial_clip import PartialClip, clip_statistics, missing_stream, read_clip
from avsc_tf.features.smoothing import smooth_keypoints
from avsc_tf.features.statistics import (
    Statistics,
    flatten_keypoints,
    join_facial,
    split_facial,
    unflatten_keypoints,
)
from avsc_tf.media.clips import ClipSource, separate_sound, single_clip
from avsc_tf.media.container import has_picture
from avsc_tf.media.mux import write_sound, write_video
from avsc_tf.provenance.marking import Provenance
from avsc_tf.vocoder import Vocoder
from avsc_tf.vocoder.griffin_lim import griffin_lim

PEAK_LIMIT = 0.95  # louder waveforms are scaled down to it: AAC overshoots full scale by a little
FRAMES_A_BATCH = 32
SEPARATE = "separate"  # `Converter.modalities` of two networks side by side
UNFAMILIAR_DEVIATIONS = 2.5  # RMS over keypoints: the demo speaker's own clips reach 1.0, other people start at 3.8


@dataclass
class Converter:
    """The three networks with what lies between them.

    Args:
        config: settings of the networks.
        statistics: per-speaker mean and deviation of the records the networks were trained on.
        conversion_net: {"mel", "facial"} -> {"mel", "facial"}, whole utterances.
        generator: {"mel" [B, 8, n_mels], "facial" [B, n_facial]} -> [B, size, size, 3] in [-1, 1]; None without a face.
        sampler: WaveNet sampler, or None where only Griffin-Lim is wanted.
        modalities: those of the conversion network, or `SEPARATE`; "" takes them from the settings.
        origin: the bundle, and the consents that every conversion is checked against.
        provenance: how files are marked and signed; None writes them without marks and credentials.
        audio_track: which sound track of video files, counted from 1; 0: the default one, whatever the records took.
        on_stage: called with each stage ("read", "speak", "paint") as it begins, and with its share that is done; to
            end all conversion it raises what is no `Exception`, as Ctrl-C does.
    """

    config: Config
    statistics: Statistics
    conversion_net: Any
    generator: Any
    sampler: Any = None
    modalities: str = ""
    origin: Origin = field(default_factory=Origin)
    provenance: Provenance | None = field(default_factory=Provenance)
    audio_track: int = 0
    on_stage: Callable[[str, float], object] | None = field(default=None, repr=False)
    timebase: Timebase = field(init=False)
    notes: dict[Path, tuple[str, ...]] = field(init=False, default_factory=dict)  # of the last `convert_jobs`, by clip
    _extractor: ClipExtractor | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.timebase = self.config.timebase
        self.modalities = self.modalities or self.config.conversion.modalities

    @property
    def has_voice(self) -> bool:
        """Whether the networks make a voice."""
        return self.modalities != "visual"

    @property
    def has_face(self) -> bool:
        """Whether the networks make a face."""
        return self.modalities != "audio"

    def _at(self, stage: str, share: float = 0.0) -> None:
        if self.on_stage is not None:
            self.on_stage(stage, share)

    def read(self, clip: Path) -> PartialClip:
        """Features of a source clip, made as `prepare` makes them.

        Raises:
            MediaError: the clip cannot be read, or lacks what the networks cannot do without.
            FaceError: no face, or one that is lost for too long.
            ConsentError: the target's consent has ended.
        """
        self.origin.check()
        self._at("read")
        if self._extractor is None:
            sync = replace(self.config.sync, audio_track=self.audio_track)
            self._extractor = ClipExtractor(replace(self.config, sync=sync))
        source = read_clip(self._extractor, _with_own_sound(clip), sound=self.has_voice, picture=self.has_face)
        missing = missing_stream(source)
        if self.modalities == SEPARATE and missing:
            made = "voice" if missing == "sound" else "face"
            raise MediaError(
                f"{clip}: holds no {missing}, and these networks make the {made} from the {missing} alone. Name a clip "
                "with both, or a bundle of one joint network."
            )
        return source

    def convert_features(self, source: ClipFeatures | PartialClip) -> TargetFeatures:
        """The conversion network over the whole utterance; zeros stand for a stream that is missing.

        Somebody else than the source speaker (`is_unfamiliar`) is standardised by the clip's own mean and deviation:
        by the source speaker's, every feature would lie far outside of what the networks know.
        """
        statistics = clip_statistics(source) if self.is_unfamiliar(source) else self.statistics
        n_mel = self.timebase.mel_frames_in(source.n_frames)
        mel = np.zeros((n_mel, self.config.acoustic.n_mels), np.float32)
        facial = np.zeros((source.n_frames, self.config.face.n_facial), np.float32)
        if source.mel is not None:
            mel = statistics.standardise("source", "mel", source.mel)
        if source.vgg is not None and source.keypoints is not None:
            facial = statistics.standardise("source", "facial", join_facial(source.vgg, source.keypoints))
        outputs = self.conversion_net({"mel": mel[np.newaxis], "facial": facial[np.newaxis]}, training=False)
        return TargetFeatures(*(np.asarray(outputs[n])[0] if n in outputs else None for n in ("mel", "facial")))

    def is_unfamiliar(self, source: ClipFeatures | PartialClip) -> bool:
        """Whether the face is not the source speaker's, by its mean keypoints in the speaker's deviations.

        Without a face nobody is unfamiliar.
        """
        if source.keypoints is None:
            return False
        mean, std = self.statistics.get("source", "keypoints")
        away = (flatten_keypoints(source.keypoints).mean(axis=0) - mean) / std
        return bool(np.sqrt(np.mean(away**2)) > UNFAMILIAR_DEVIATIONS)

    def speak(self, features: Sequence[TargetFeatures], *, vocoder: Vocoder, seed: int) -> list[np.ndarray]:
        """Waveforms of exactly the pictures' length; the other utterances of a call do not change a sound.

        Returns:
            float32 [samples at time.sample_rate_hz] an utterance, peaks at most `PEAK_LIMIT`.
        """
        spoken = [f.mel for f in features if f.mel is not None]
        if len(spoken) < len(features):
            raise ValueError("these networks have no voice")
        self._at("speak")
        if vocoder == "griffin-lim":
            mels = [self.statistics.restore("target", "mel", mel) for mel in spoken]
            waveforms = [griffin_lim(mel, self.config.acoustic, self.timebase, seed=seed) for mel in mels]
        else:
            if self.sampler is None:
                raise ValueError("this converter was loaded without its WaveNet")
            low = self.sampler.generate(spoken, [f.facial for f in features], seed=seed)
            waveforms = [self._at_full_rate(waveform) for waveform in low]
        lengths = [f.n_frames(self.timebase.mel_per_video) for f in features]
        return [self._of_length(waveform, n) for waveform, n in zip(waveforms, lengths, strict=True)]

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
        if features.facial is None:
            raise ValueError("these networks have no face")
        facial = self.steady(features.facial)
        n_frames, per = len(facial), self.timebase.mel_per_video
        mel = np.zeros((n_frames, per, self.config.acoustic.n_mels), np.float32)  # the visual baseline does not look
        if features.mel is not None:
            mel = features.mel.reshape(n_frames, per, -1)
        parts = []
        for start in range(0, n_frames, FRAMES_A_BATCH):
            self._at("paint", start / n_frames)
            batch = slice(start, start + FRAMES_A_BATCH)
            images = self.generator({"mel": mel[batch], "facial": facial[batch]}, training=False)
            parts.append(np.clip(np.rint((np.asarray(images) + 1) * 127.5), 0, 255).astype(np.uint8))
        return np.concatenate(parts)

    def steady(self, facial: np.ndarray) -> np.ndarray:
        """Standardised facial feature [T, n_facial] with its keypoints smoothed as `image.steady_head_seconds` and
        `steady_face_seconds` say."""
        image, fps = self.config.image, self.config.time.video_fps
        if not image.steady_head_seconds and not image.steady_face_seconds:
            return facial
        n_values = 2 * self.config.face.n_keypoints
        vgg, flat = facial[:, :-n_values], facial[:, -n_values:]
        keypoints = unflatten_keypoints(self.statistics.restore("target", "keypoints", flat))
        steady = smooth_keypoints(
            keypoints, head_frames=image.steady_head_seconds * fps, face_frames=image.steady_face_seconds * fps
        )
        flat = self.statistics.standardise("target", "keypoints", flatten_keypoints(steady))
        return np.concatenate([vgg, flat], axis=1)

    def in_units(
        self, features: TargetFeatures, waveform: np.ndarray | None, frames: np.ndarray | None, vocoder: str
    ) -> ConvertedClip:
        """Restore what is standardised by the target's statistics."""
        vgg = keypoints = mel = None
        if features.facial is not None:
            facial = self.statistics.restore("target", "facial", features.facial)
            vgg, keypoints = split_facial(facial, n_keypoints=self.config.face.n_keypoints)
        if features.mel is not None:
            mel = self.statistics.restore("target", "mel", features.mel)
        return ConvertedClip(mel, keypoints, vgg, waveform, frames, vocoder)

    def convert(self, clip: Path, output: Path, *, vocoder: Vocoder = "wavenet", seed: int = 0) -> ConvertedClip:
        """Convert one clip and write its mp4 (H.264, AAC; without a face a WAV).

        Returns:
            What was written, with its marks.
        Raises:
            MediaError, FaceError, ConsentError, ProvenanceError.
        """
        self.check_signing()
        features = self.convert_features(self.read(clip))
        waveform = self.speak([features], vocoder=vocoder, seed=seed)[0] if self.has_voice else None
        frames = self.paint(features) if self.has_face else None
        return self.write(self.in_units(features, waveform, frames, vocoder), output, seed=seed)

    def check_signing(self) -> None:
        """Raise ProvenanceError where files could not be signed, before anything is converted."""
        if self.provenance is not None:
            self.provenance.identity()

    def write(self, converted: ConvertedClip, output: Path, *, seed: int | None = None) -> ConvertedClip:
        """The mp4 of a converted clip, or the WAV of one without a face: marked, signed, whole or not at all.

        Returns:
            The clip with its marks, as it was encoded.
        Raises:
            OutputError, MediaError, ProvenanceError.
        """
        time, finish = self.config.time, None
        if self.provenance is not None:
            converted = marked(converted, self.origin, self.provenance, sample_rate_hz=time.sample_rate_hz)
            finish = signature(converted, self.origin, self.provenance, output, seed=seed)
        if converted.frames is None:
            assert converted.waveform is not None, "neither voice nor face"
            write_sound(
                output,
                converted.waveform,
                sample_rate_hz=time.sample_rate_hz,
                comment=MADE_HERE,
                finish=finish,
            )
            return converted
        write_video(
            output,
            converted.frames,
            converted.waveform,
            fps=time.video_fps,
            sample_rate_hz=time.sample_rate_hz,
            audio_codec="aac",
            comment=MADE_HERE,
            finish=finish,
        )
        return converted

    def convert_jobs(
        self,
        jobs: Sequence[Job],
        *,
        seed: int = 0,
        keep_features: bool = False,
        advance: Callable[[int], object] = lambda steps: None,
    ) -> dict[Path, AvscError]:
        """Convert many clips; nothing that happens at one of them stops the others.

        Args:
            keep_features: also write NAME.npz (`ConvertedClip.save`) beside each video.
            advance: called with the number of steps done (see `steps_of`), for a progress bar.

        Returns:
            The error of each clip that could not be converted.
        """
        self.check_signing()
        self.notes.clear()
        return convert_batches(self, jobs, seed=seed, keep_features=keep_features, advance=advance)

    def note(self, clip: Path, source: PartialClip) -> None:
        """Keep what should be known of a clip that was read, for `notes`."""
        notes = clip_notes(
            source,
            is_unfamiliar=self.is_unfamiliar(source),
            missing=missing_stream(source) if self.modalities == "audio_visual" else "",
            modality_dropout=self.config.conversion.modality_dropout,
        )
        if notes:
            self.notes[clip] = notes


def _with_own_sound(video: Path) -> ClipSource:
    """The clip with its sound recorded apart, as in a clip folder."""
    return single_clip(video, separate_sound(video) if has_picture(video) else None)
