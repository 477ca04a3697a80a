"""The exported WaveNet against the sampler: speech, likelihoods, its bound."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

NAMES = ("mel",)  # all that the demo's WaveNet takes


def test_speech_is_the_samplers(joint, same) -> None:
    same.speech(joint)


def test_likelihoods_are_the_engines(joint, same) -> None:
    same.scores(joint)


def test_a_seed_belongs_to_its_utterance(joint, make_clips, make_batch) -> None:
    """The others of a call, and their padding, do not change a sound."""
    call = joint.signature("wavenet", "generate")
    one, other = make_clips(joint.bundle, [2, 3], speaker="target")
    alone = call(**make_batch([one], *NAMES), seed=np.array([5], np.int32))["waveform"][0]
    together = call(**make_batch([other, one], *NAMES), seed=np.array([1, 5], np.int32))["waveform"][1]
    apart = np.flatnonzero(alone != together[: len(alone)])
    assert not len(apart) or apart[0] > len(alone) // 4  # as above: another batch size sums in another order
    again = call(**make_batch([one], *NAMES), seed=np.array([6], np.int32))["waveform"][0]
    assert (alone != again).mean() > 0.5


@pytest.mark.parametrize("signature", ["generate", "score", "generate_from_uniform"])
def test_more_samples_than_allowed_are_refused(joint, make_clips, make_batch, signature: str) -> None:
    """10 s of 16 kHz for all utterances together: 250 video frames of 640 samples."""
    n_video = 126
    inputs = make_batch(make_clips(joint.bundle, [n_video, 1], speaker="target"), *NAMES)
    more = {"generate": ("seed", np.zeros(2, np.int32))}.get(
        signature, ("waveform" if signature == "score" else "uniform", np.zeros((2, 640 * n_video), np.float32))
    )
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"(?s)may ask for 160000 samples at most.*--max-seconds.*161280"
    ):
        joint.signature("wavenet", signature)(**inputs, **dict([more]))


def test_seeds_for_other_utterances_are_refused(joint, make_clips, make_batch) -> None:
    inputs = make_batch(make_clips(joint.bundle, [2, 1], speaker="target"), *NAMES)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)seed and lengths: must be of as many utterances"):
        joint.signature("wavenet", "generate")(**inputs, seed=np.zeros(3, np.int32))
