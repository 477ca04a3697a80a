"""Speech from a trained WaveNet, sample by sample (paper section 3.2)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from avsc_tf.config import Config
from avsc_tf.conversion.mel_matching import match_mel
from avsc_tf.conversion.sampler_plain import PlainEngine
from avsc_tf.conversion.utterances import Utterance, UtteranceMaker
from avsc_tf.features.companding import class_values, de_emphasise, expand
from avsc_tf.features.pitch import PitchEstimator

Floats = NDArray[np.float32]


class WaveNetSampler:
    """A network's weights, laid out for the compiled kernel.

    Args:
        model: a built `models.wavenet.WaveNet`.
        config: the settings it was built from.
        estimator: reads pitch from mel where the network has the pitch-lag input; the packaged one by default.
    """

    def __init__(self, model, config: Config, *, estimator: PitchEstimator | None = None):
        self._config = config
        self.net = config.wavenet
        self.hop_samples = model.hop_samples
        self._utterance = UtteranceMaker(model, config, estimator=estimator)
        self._engine = PlainEngine(model, config)

    def generate(
        self,
        mels: Sequence[Floats],
        facials: Sequence[Floats] | None = None,
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
            n_threads: utterances made at a time; as many as there are cores by default.

        Returns:
            float32 [frames * hop_samples] at wavenet.sample_rate_hz, full scale 1, not clipped.
        """
        net = self.net
        calm = net.voiced_temperature if voiced_temperature is None else voiced_temperature
        lively = net.temperature if temperature is None else temperature
        passes = net.mel_matching_passes if mel_matching_passes is None else mel_matching_passes
        if facials is None:
            jobs = [self._utterance(mel, None) for mel in mels]
        else:
            jobs = [self._utterance(mel, facial) for mel, facial in zip(mels, facials, strict=True)]

        def run(job: Utterance) -> Floats:
            heat = np.where(job.voiced, calm, lively).astype(np.float32)
            uniform = np.random.default_rng(seed).random(len(job.voiced) * self.hop_samples, dtype=np.float32)
            classes = self._engine.generate(job, temperature=heat, uniform=uniform)
            return match_mel(self.to_waveform(classes), job.log_mel, self._config, passes=passes)

        if len(jobs) == 1:
            return [run(jobs[0])]
        with ThreadPoolExecutor(n_threads or os.cpu_count() or 1) as pool:
            return list(pool.map(run, jobs))

    def logits(self, classes: NDArray[np.int32], mel: Floats, facial: Floats | None = None) -> Floats:
        """Step by step over a given utterance: [samples, n_classes], each sample's prediction from those before."""
        return self._engine.logits(self._utterance(mel, facial), classes)

    def to_waveform(self, classes: NDArray[np.int32]) -> Floats:
        """Classes -> samples: mu-law and pre-emphasis undone."""
        linear = expand(class_values(self.net.n_classes)[classes], self.net.n_classes)
        return de_emphasise(linear, self.net.pre_emphasis)
