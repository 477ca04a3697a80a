"""The exported WaveNet against the sampler: speech, likelihoods, its bound."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.companding import class_values, compand, expand, pre_emphasise, to_classes
from avsc_tf.features.partial_clip import PartialClip
from avsc_tf.features.statistics import join_facial

LENGTHS = [4, 6]


def voices(served, make_clips, seed: int = 0) -> list[PartialClip]:
    """Of the target, their mel of a buzz in noise, so that some frames are voiced."""
    config, rng = served.converter.config, np.random.default_rng(seed)
    timebase = served.converter.timebase
    found = []
    for k, clip in enumerate(make_clips(served.converter, LENGTHS, speaker="target", seed=seed)):
        t = np.arange(timebase.samples_in(clip.n_frames)) / timebase.sample_rate_hz
        buzz = sum(np.cos(2 * np.pi * (150 - 30 * k) * h * t + h) / h for h in range(1, 40)) * (t > t[-1] / 4)
        waveform = (0.1 * buzz + 0.001 * rng.normal(size=len(t))).astype(np.float32)
        mel = mel_spectrogram(waveform, config.acoustic, timebase)
        found.append(PartialClip(clip.n_frames, mel, clip.keypoints, clip.vgg))
    return found


def standardised(served, clip) -> tuple[np.ndarray, np.ndarray]:
    statistics = served.converter.statistics
    facial = join_facial(clip.vgg, clip.keypoints)
    return statistics.standardise("target", "mel", clip.mel), statistics.standardise("target", "facial", facial)


def spoken(served, found, *, seed: int = 0) -> list[np.ndarray]:
    """By the tools' sampler."""
    mels, facials = zip(*(standardised(served, clip) for clip in found), strict=True)
    return served.converter.sampler.generate(mels, facials, seed=seed)


def uniforms(served, found, seed: int = 0) -> np.ndarray:
    """The sampler's own random numbers, padded."""
    per = served.converter.sampler.hop_samples * served.converter.timebase.mel_per_video
    out = np.full((len(found), per * max(clip.n_frames for clip in found)), 0.25, np.float32)
    for row, clip in zip(out, found, strict=True):
        n = per * clip.n_frames
        row[:n] = np.random.default_rng(seed).random(n, dtype=np.float32)
    return out


def score_reference(served, clip, waveform: np.ndarray) -> np.ndarray:
    """Log likelihoods by the sampler's engine, sample by sample."""
    net = served.converter.config.wavenet
    classes = to_classes(compand(pre_emphasise(waveform, net.pre_emphasis), net.n_classes), net.n_classes)
    logits = served.converter.sampler.logits(classes, *standardised(served, clip))
    return tf.nn.log_softmax(logits).numpy()[np.arange(len(classes)), classes]


def names(served) -> tuple[str, ...]:
    return ("mel", "keypoints", "vgg") if served.converter.config.wavenet.facial_channels else ("mel",)


def check_speech(served, make_clips, make_batch) -> None:
    found = voices(served, make_clips)
    inputs = make_batch(found, *names(served))
    if served.converter.config.wavenet.pitch_input != "none":
        jobs = [served.converter.sampler.utterance(*standardised(served, clip)) for clip in found]
        assert all(0.2 < job.voiced.mean() < 1 for job in jobs)
    waveform = served.signature("wavenet", "generate_from_uniform")(**inputs, uniform=uniforms(served, found))["waveform"]
    per = served.converter.sampler.hop_samples * 8
    for row, clip, wanted in zip(waveform, found, spoken(served, found), strict=True):
        n = per * clip.n_frames
        # Two float32 engines: a draw at the very edge between two classes may fall to either side, and what follows is
        # then another sound. Up to there they agree to the rounding of the de-emphasis.
        apart = np.flatnonzero(np.abs(row[:n] - wanted) > 1e-5)
        assert not len(apart) or apart[0] > n // 4, f"apart from sample {apart[:1]} of {n}"
        assert wanted.std() > 1e-3
        assert not row[n:].any()


def check_score(served, make_clips, make_batch) -> None:
    found = voices(served, make_clips)
    inputs = make_batch(found, *names(served))
    per, rng, net = served.converter.sampler.hop_samples * 8, np.random.default_rng(3), served.converter.config.wavenet
    waveform = np.full((2, per * max(LENGTHS)), 0.5, np.float32)
    wanted = []
    for row, clip in zip(waveform, found, strict=True):
        classes = np.clip(rng.normal(net.n_classes / 2, 4, per * clip.n_frames).astype(int), 0, net.n_classes - 1)
        values = expand(class_values(net.n_classes)[classes], net.n_classes)
        row[: len(classes)] = served.converter.sampler.to_waveform(classes.astype(np.int32))
        wanted.append(score_reference(served, clip, row[: len(classes)]))
        assert np.abs(values).max() <= 1
    outputs = served.signature("wavenet", "score")(**inputs, waveform=waveform)
    for k, reference in enumerate(wanted):
        # The sampler sums as it goes, the network whole matrices: logits of up to some 50 agree to 1e-5 of that.
        np.testing.assert_allclose(outputs["log_probability"][k][: len(reference)], reference, rtol=0, atol=5e-4)
        assert not outputs["log_probability"][k][len(reference) :].any()
        assert outputs["mean_log_probability"][k] == pytest.approx(reference.mean(), abs=1e-4)
        assert reference.std() > 0.1


def test_speech_is_the_samplers(joint, make_clips, make_batch) -> None:
    check_speech(joint, make_clips, make_batch)


def test_likelihoods_are_the_engines(joint, make_clips, make_batch) -> None:
    check_score(joint, make_clips, make_batch)


def test_a_seed_belongs_to_its_utterance(joint, make_clips, make_batch) -> None:
    """The others of a call, and their padding, do not change a sound."""
    call = joint.signature("wavenet", "generate")
    one, other = make_clips(joint.converter, [2, 3], speaker="target")
    alone = call(**make_batch([one], *names(joint)), seed=np.array([5], np.int32))["waveform"][0]
    together = call(**make_batch([other, one], *names(joint)), seed=np.array([1, 5], np.int32))["waveform"][1]
    apart = np.flatnonzero(alone != together[: len(alone)])
    assert not len(apart) or apart[0] > len(alone) // 4  # as above: another batch size sums in another order
    again = call(**make_batch([one], *names(joint)), seed=np.array([6], np.int32))["waveform"][0]
    assert (alone != again).mean() > 0.5


@pytest.mark.parametrize("signature", ["generate", "score", "generate_from_uniform"])
def test_more_samples_than_allowed_are_refused(joint, make_clips, make_batch, signature: str) -> None:
    """10 s of 16 kHz for all utterances together: 250 video frames of 640 samples."""
    n_video = 126
    inputs = make_batch(make_clips(joint.converter, [n_video, 1], speaker="target"), *names(joint))
    more = {"generate": ("seed", np.zeros(2, np.int32))}.get(
        signature, ("waveform" if signature == "score" else "uniform", np.zeros((2, 640 * n_video), np.float32))
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)may ask for 160000 samples at most.*--max-seconds.*161280"):
        joint.signature("wavenet", signature)(**inputs, **dict([more]))


def test_seeds_for_other_utterances_are_refused(joint, make_clips, make_batch) -> None:
    inputs = make_batch(make_clips(joint.converter, [2, 1], speaker="target"), *names(joint))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)seed and lengths: must be of as many utterances"):
        joint.signature("wavenet", "generate")(**inputs, seed=np.zeros(3, np.int32))
