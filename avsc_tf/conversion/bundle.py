"""A trained run that converts clips (paper figure 1): reader, conversion network, vocoder, painter and writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.conversion.converted import ConvertedClip, TargetFeatures
from avsc_tf.conversion.features import convert_features, is_unfamiliar, restore_units
from avsc_tf.conversion.painting import paint
from avsc_tf.conversion.reading import SourceReader, clip_notes
from avsc_tf.conversion.voice import synthesise
from avsc_tf.conversion.writing import Origin
from avsc_tf.core.config import Config
from avsc_tf.features.clip import ClipFeatures
from avsc_tf.features.partial_clip import PartialClip, missing_stream
from avsc_tf.features.statistics import Statistics
from avsc_tf.vocoder import NO_VOICE, Vocoder

SEPARATE = "separate"  # `Bundle.modalities` of the two baselines side by side
OnStage = Callable[[str, float], object]


@dataclass
class Bundle:
    """The three networks of a run, or those of the paper's two baselines.

    A clip may lack its sound or its picture: the conversion network then receives zeros and still makes both outputs.
    Networks of one modality (the baselines, section 4.4) make sound alone or a silent video.

    Args:
        config: settings of the networks.
        statistics: mean and deviation per speaker of the records that the networks were trained on.
        conversion_net: {"mel", "facial"} -> {"mel", "facial"}, whole utterances.
        generator: {"mel" [B, 8, n_mels], "facial" [B, n_facial]} -> [B, size, size, 3] in [-1, 1]; None without a face.
        sampler: WaveNet sampler; None where Griffin-Lim suffices.
        modalities: those of the conversion network, or `SEPARATE`; "" takes them from the settings.
        origin: the run and the consents that each conversion is checked against.

    Examples:
        >>> import avsc_tf as avsc
        >>> bundle = avsc.load("runs/demo/run")  # doctest: +SKIP
        >>> bundle.convert("a.mp4", seed=0).save("b.mp4")  # doctest: +SKIP
    """

    config: Config
    statistics: Statistics
    conversion_net: Any
    generator: Any
    sampler: Any = None
    modalities: str = ""
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        self.modalities = self.modalities or self.config.conversion.modalities

    @property
    def has_voice(self) -> bool:
        """Whether the networks make a voice."""
        return self.modalities != "visual"

    @property
    def has_face(self) -> bool:
        """Whether the networks make a face."""
        return self.modalities != "audio"

    @property
    def default_vocoder(self) -> Vocoder:
        """The WaveNet where it is loaded, else Griffin-Lim; "none" without a voice."""
        if not self.has_voice:
            return NO_VOICE
        return "wavenet" if self.sampler is not None else "griffin-lim"

    @cached_property
    def _reader(self) -> SourceReader:
        separate = self.modalities == SEPARATE
        return SourceReader(self.config, sound=self.has_voice, picture=self.has_face, need_both=separate)

    def convert(
        self,
        clip: str | Path,
        *,
        vocoder: Vocoder | None = None,
        seed: int = 0,
        audio_track: int = 0,
        on_stage: OnStage | None = None,
    ) -> ConvertedClip:
        """Convert a clip of the source speaker.

        Args:
            clip: video, silent video or sound file.
            vocoder: "wavenet" or "griffin-lim"; by default the WaveNet where it is loaded.
            seed: seed of the WaveNet's samples and Griffin-Lim's phases.
            audio_track: sound track of a video file, counted from 1; 0 selects the default one.
            on_stage: called with each stage ("read", "speak", "paint") and the finished share of it.

        Raises:
            MediaError, FaceError, ConsentError.
        """
        source = self.read(Path(clip), audio_track=audio_track, on_stage=on_stage)
        features = self.convert_features(source)
        vocoder = vocoder or self.default_vocoder
        waveform = None
        if self.has_voice:
            (waveform,) = self.synthesise([features], vocoder=vocoder, seed=seed, on_stage=on_stage)
        frames = self.paint(features, on_stage=on_stage) if self.has_face else None
        return self.finish(features, waveform, frames, vocoder, seed=seed, notes=self.notes(source))

    def read(self, clip: Path, *, audio_track: int = 0, on_stage: OnStage | None = None) -> PartialClip:
        """Features of a source clip, computed as for the records. Raises MediaError, FaceError, ConsentError."""
        self.origin.check()
        if on_stage is not None:
            on_stage("read", 0.0)
        return self._reader(clip, audio_track=audio_track)

    def is_unfamiliar(self, source: ClipFeatures | PartialClip) -> bool:
        """Whether a clip shows somebody else than the source speaker (`features.is_unfamiliar`)."""
        return is_unfamiliar(source, self.statistics)

    def convert_features(self, source: ClipFeatures | PartialClip) -> TargetFeatures:
        """Output of the conversion network for a clip (`features.convert_features`)."""
        return convert_features(source, self.conversion_net, self.statistics, self.config)

    def synthesise(
        self, features: Sequence[TargetFeatures], *, vocoder: Vocoder, seed: int, on_stage: OnStage | None = None
    ) -> list[np.ndarray]:
        """Waveforms of utterances (`voice.synthesise`)."""
        if on_stage is not None:
            on_stage("speak", 0.0)
        parts = {"sampler": self.sampler, "statistics": self.statistics, "config": self.config}
        return synthesise(features, vocoder=vocoder, seed=seed, **parts)

    def paint(self, features: TargetFeatures, *, on_stage: OnStage | None = None) -> np.ndarray:
        """Frames of an utterance (`painting.paint`)."""

        def report(share: float) -> None:
            if on_stage is not None:
                on_stage("paint", share)

        return paint(features, self.generator, self.statistics, self.config, on_progress=report)

    def finish(
        self,
        features: TargetFeatures,
        waveform: np.ndarray | None,
        frames: np.ndarray | None,
        vocoder: str,
        *,
        seed: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> ConvertedClip:
        """Combine waveform, frames and the features in recorded units."""
        units = restore_units(features, self.statistics, n_keypoints=self.config.face.n_keypoints)
        time = self.config.time
        return ConvertedClip(
            **units,
            waveform=waveform,
            frames=frames,
            vocoder=vocoder,
            fps=time.video_fps,
            sample_rate_hz=time.sample_rate_hz,
            seed=seed,
            notes=notes,
            origin=self.origin,
        )

    def notes(self, source: PartialClip) -> tuple[str, ...]:
        """Remarks on a source clip for the user."""
        return clip_notes(
            source,
            is_unfamiliar=self.is_unfamiliar(source),
            missing=missing_stream(source) if self.modalities == "audio_visual" else "",
            modality_dropout=self.config.conversion.modality_dropout,
        )
