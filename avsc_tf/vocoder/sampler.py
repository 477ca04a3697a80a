"""Speech from a trained WaveNet, sample by sample (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from avsc_tf.core.config import Config
from avsc_tf.features.pitch import PitchEstimator
from avsc_tf.signal.companding import class_values, de_emphasise, expand
from avsc_tf.vocoder.engines import Engines
from avsc_tf.vocoder.mel_matching import match_mel
from avsc_tf.vocoder.pauses import pause_cuts
from avsc_tf.vocoder.utterances import Utterance, UtteranceMaker

Floats = NDArray[np.float32]

CHUNK_FRAMES = 20  # of a stream: 0.1 s


class WaveNetSampler:
    """A network's weights, laid out for an engine (see `engines`).

    Args:
        model: a built `models.wavenet.WaveNet`.
        config: the settings it was built from.
        estimator: reads pitch from mel where the network has the pitch-lag input; the packaged one by default.
    """

    def __init__(self, model, config: Config, *, estimator: PitchEstimator | None = None):
        self.model = model
        self._config = config
        self.net = config.wavenet
        self.hop_samples = model.hop_samples
        self.engines = Engines(model, config)
        self.utterance = UtteranceMaker(model, config, estimator=estimator)

    def generate(
        self,
        mels: Sequence[Floats],
        facials: Sequence[Floats | None] | None = None,
        *,
        seed: int = 0,
        temperature: float | None = None,
        voiced_temperature: float | None = None,
        mel_matching_passes: int | None = None,
        n_threads: int | None = None,
    ) -> list[Floats]:
        """Waveforms of utterances, each from its own random generator: the others do not change it.

        Args:
            mels: [mel frames, n_mels] each, as the network takes them (standardised by the run).
            facials: [mel frames / mel_per_video, n_facial] each, standardised; None: absent.
            temperature, voiced_temperature, mel_matching_passes: instead of the settings' own, see `WaveNetConfig`.
            n_threads: of the CPU; as many as there are cores for this process by default.

        Returns:
            float32 [frames * hop_samples] at wavenet.sample_rate_hz, full scale 1, not clipped.
        """
        if facials is None:
            jobs = [self.utterance(mel, None) for mel in mels]
        else:
            jobs = [self.utterance(mel, facial) for mel, facial in zip(mels, facials, strict=True)]
        cuts = [self.parts_of(job) for job in jobs]
        heats = [self._temperatures(job, temperature, voiced_temperature) for job in jobs]
        uniforms = [self._uniforms(job, seed) for job in jobs]
        classes = self._classes(jobs, cuts, heats, uniforms, n_threads)
        passes = self.net.mel_matching_passes if mel_matching_passes is None else mel_matching_passes

        def finish(job: Utterance, spoken: NDArray[np.int32]) -> Floats:
            return match_mel(self.to_waveform(spoken), job.log_mel, self._config, passes=passes)

        with ThreadPoolExecutor(n_threads or joblib.cpu_count()) as pool:
            return list(pool.map(finish, jobs, classes))

    def stream(
        self,
        mel: Floats,
        facial: Floats | None = None,
        *,
        seed: int = 0,
        temperature: float | None = None,
        voiced_temperature: float | None = None,
        chunk_frames: int = CHUNK_FRAMES,
    ) -> Iterator[Floats]:
        """The waveform of one utterance while it is being made, [chunk_frames * hop_samples] at a time, on the CPU.

        Joined, the chunks are what `generate` makes without mel matching and without cuts at pauses: the one needs the
        sound that follows, the other speaks what is later at the same time. The features are those of the whole
        utterance: the network's condition looks ahead (with the BLSTM to the end).
        """
        job = self.utterance(mel, facial)
        heat = self._temperatures(job, temperature, voiced_temperature)
        engine, state = self.engines.get("cpu"), np.zeros(1)
        chunks = engine.stream(job, temperature=heat, uniform=self._uniforms(job, seed), chunk_frames=chunk_frames)
        for classes in chunks:
            linear = self._linear(classes)
            if self.net.pre_emphasis:
                linear, state = lfilter([1.0], [1.0, -self.net.pre_emphasis], linear, zi=state)
            yield linear.astype(np.float32)

    def logits(self, classes: NDArray[np.int32], mel: Floats, facial: Floats | None = None) -> Floats:
        """Step by step over a given utterance: [samples, n_classes], each sample's prediction from those before."""
        return self.engines.get(self.engines.choose(1)).logits(self.utterance(mel, facial), classes)

    def to_waveform(self, classes: NDArray[np.int32]) -> Floats:
        """Classes -> samples: mu-law and pre-emphasis undone."""
        return de_emphasise(self._linear(classes), self.net.pre_emphasis)

    def parts_of(self, job: Utterance) -> list[slice]:
        """Frames spoken on their own, each part from silence: all of them, or what lies between pauses."""
        cuts: list[int] = []
        if self.net.cut_at_pauses_seconds:
            frame_seconds = self.hop_samples / self.net.sample_rate_hz
            least_frames = max(2, round(self.net.cut_at_pauses_seconds / frame_seconds))
            cuts = pause_cuts(job.log_mel, least_frames=least_frames)
        return [slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, len(job.log_mel)], strict=True)]

    def _classes(
        self,
        jobs: Sequence[Utterance],
        cuts: Sequence[Sequence[slice]],
        heats: Sequence[Floats],
        uniforms: Sequence[Floats],
        n_threads: int | None,
    ) -> list[NDArray[np.int32]]:
        """Of whole utterances, made in their parts."""
        hop = self.hop_samples
        places = [(k, part) for k, parts in enumerate(cuts) for part in parts]
        kind = self.engines.choose(len(places))
        spoken = iter(
            self.engines.get(kind).generate_batch(
                [jobs[k].part(part.start, part.stop, hop_samples=hop) for k, part in places],
                temperatures=[heats[k][part] for k, part in places],
                uniforms=[uniforms[k][part.start * hop : part.stop * hop] for k, part in places],
                **({"n_threads": n_threads} if kind == "cpu" else {}),
            )
        )
        return [np.concatenate([next(spoken) for _ in parts]) for parts in cuts]

    def _temperatures(self, job: Utterance, unvoiced: float | None, voiced: float | None) -> Floats:
        """[frames]"""
        net = self.net
        calm = net.voiced_temperature if voiced is None else voiced
        lively = net.temperature if unvoiced is None else unvoiced
        return np.where(job.voiced, calm, lively).astype(np.float32)

    def _uniforms(self, job: Utterance, seed: int) -> Floats:
        """[samples], of a generator that no other utterance shares."""
        return np.random.default_rng(seed).random(len(job.voiced) * self.hop_samples, dtype=np.float32)

    def _linear(self, classes: NDArray[np.int32]) -> Floats:
        return expand(class_values(self.net.n_classes)[classes], self.net.n_classes)
