"""The conversion network judged by what it makes of held-out sentences' features, before vocoder and picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.evaluation.figures import feature_figures
from avsc_tf.evaluation.held_out import Sentence
from avsc_tf.evaluation.rows import Answer
from avsc_tf.features.keypoints import mouth_opening, mouth_width
from avsc_tf.features.statistics import Statistics, join_facial, split_facial
from avsc_tf.measures import sync
from avsc_tf.measures.canonical import canonical_correlation
from avsc_tf.measures.spectrum import mel_cepstrum

N_CEPSTRA = 4  # of the sound's side of the canonical correlation, beside its loudness


@dataclass(frozen=True)
class Streams:
    """Both features of one utterance of T video frames, standardised by their speaker's statistics."""

    mel: np.ndarray  # [mel_per_video * T, n_mels]
    facial: np.ndarray  # [T, n_facial]


Convert = Callable[[Streams], Streams]  # the source's -> the target's


def source_streams(sentence: Sentence, statistics: Statistics) -> Streams:
    """What the conversion network reads of a sentence's source clip."""
    clip = sentence.source
    facial = join_facial(clip["vgg"], clip["keypoints"])
    return Streams(
        statistics.standardise("source", "mel", clip["mel"]), statistics.standardise("source", "facial", facial)
    )


def answer_of(converted: Streams, statistics: Statistics, config: Config) -> Answer:
    """Mel and keypoints of the target in their units."""
    facial = statistics.restore("target", "facial", converted.facial)
    _, keypoints = split_facial(facial, n_keypoints=config.face.n_keypoints)
    return Answer(statistics.restore("target", "mel", converted.mel), keypoints)


def conversion_figures(answer: Answer, sentence: Sentence, config: Config) -> dict[str, float]:
    """An answer beside the reference, and how its sound and its lips go together."""
    return feature_figures(answer, sentence, None, config) | together_figures(answer, sentence.spoken_pictures, config)


def together_figures(answer: Answer, spoken: np.ndarray, config: Config) -> dict[str, float]:
    """Sound and lips of one answer beside each other.

    `sound_lips_r` is Pearson's r of loudness and mouth opening in the speech (`spoken`, bool [T]); `canonical_r` the
    first canonical correlation of loudness and four cepstra with opening and width of the mouth, the paper's measure
    (4.5) with so few dimensions that one sentence can bear it; `lag_size` the frames between loudness and opening.
    """
    per = config.timebase.mel_per_video
    frames = answer.mel.reshape(len(answer.keypoints), per, -1).mean(axis=1)
    loudness, opening = frames.mean(axis=1), mouth_opening(answer.keypoints)
    heard = np.column_stack([loudness, mel_cepstrum(frames)[:, :N_CEPSTRA]])[spoken]
    seen = np.column_stack([opening, mouth_width(answer.keypoints)])[spoken]
    return {
        "sound_lips_r": sync.correlation(loudness[spoken], opening[spoken]),
        "canonical_r": canonical_correlation(heard, seen),
        "lag_size": abs(sync.lag_frames(loudness, opening)),
    }
