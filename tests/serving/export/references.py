"""What exported models are compared with: the converter, the sampler, the engines. Loaded by `conftest.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.conversion.converter import Converter
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.companding import compand, pre_emphasise, to_classes
from avsc_tf.features.partial_clip import PartialClip
from avsc_tf.features.statistics import join_facial

# One float32 computation done twice, in the same order but by kernels that may sum in another: values of the
# networks are of order 1 before they are put in units, and 1e-5 is some 80 roundings of them.
IN_UNITS = {
    "mel": {"rtol": 0, "atol": 2e-5},  # deviations of up to 2
    "vgg": {"rtol": 0, "atol": 1e-5},
    "keypoints": {"rtol": 0, "atol": 1e-4},  # pixels of some 200, whose last float32 place is 1.5e-5
}
LENGTHS = [4, 6]


def clips(converter: Converter, lengths: Sequence[int], *, speaker: str = "source", seed: int = 0) -> list[PartialClip]:
    """Features of a speaker, of so many video frames each."""
    rng, per = np.random.default_rng(seed), converter.timebase.mel_per_video

    def draw(feature: str, n: int) -> np.ndarray:
        mean, std = converter.statistics.get(speaker, feature)
        return (mean + std * rng.normal(size=(n, len(mean)))).astype(np.float32)

    return [
        PartialClip(n, draw("mel", per * n), draw("keypoints", n).reshape(n, -1, 2), draw("vgg", n)) for n in lengths
    ]


def batch(found: Sequence[PartialClip], *names: str, padding: float = 7.0) -> dict[str, np.ndarray]:
    """Padded with something that is nobody's feature, and with their lengths."""
    longest = max(clip.n_frames for clip in found)

    def padded(name: str) -> np.ndarray:
        arrays = [getattr(clip, name) for clip in found]
        rate = len(arrays[0]) // found[0].n_frames
        out = np.full((len(arrays), rate * longest, *arrays[0].shape[1:]), padding, np.float32)
        for row, array in zip(out, arrays, strict=True):
            row[: len(array)] = array
        return out

    names = names or ("mel", "keypoints", "vgg")
    return {**{name: padded(name) for name in names}, "lengths": np.array([clip.n_frames for clip in found], np.int32)}


def expected(served, clip: PartialClip) -> dict[str, np.ndarray]:
    """What the converter says of one clip."""
    converter = served.converter
    target = converter.convert_features(clip)
    painted = converter.paint(target) if converter.generator is not None else None
    found = converter.in_units(target, None, painted, "none")
    return {n: x for n in ("mel", "keypoints", "vgg", "frames") if (x := getattr(found, n)) is not None}


def row(outputs: dict[str, np.ndarray], k: int, wanted: dict[str, np.ndarray]) -> None:
    """Row k of a batch's outputs is `wanted`, and 0 beyond it."""
    for name, array in wanted.items():
        ours = outputs[name][k]
        if name == "frames":
            frames(ours[: len(array)], array)
        else:
            np.testing.assert_allclose(ours[: len(array)], array, err_msg=name, **IN_UNITS[name])
        assert not ours[len(array) :].any(), f"{name} beyond the utterance"


def frames(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Rounded to whole levels: a value at the edge between two may fall to either side, hardly any does."""
    apart = np.abs(ours.astype(int) - theirs)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.002
    assert theirs.std() > 5, "one colour tells nothing"


def voices(served, seed: int = 0) -> list[PartialClip]:
    """Of the target, their mel of a buzz in noise, so that some frames are voiced."""
    config, rng = served.converter.config, np.random.default_rng(seed)
    timebase = served.converter.timebase
    found = []
    for k, clip in enumerate(clips(served.converter, LENGTHS, speaker="target", seed=seed)):
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


def speech(served) -> None:
    found = voices(served)
    inputs = batch(found, *names(served))
    if served.converter.config.wavenet.pitch_input != "none":
        jobs = [served.converter.sampler.utterance(*standardised(served, clip)) for clip in found]
        assert all(0.2 < job.voiced.mean() < 1 for job in jobs)
    waveform = served.signature("wavenet", "generate_from_uniform")(**inputs, uniform=uniforms(served, found))[
        "waveform"
    ]
    per = served.converter.sampler.hop_samples * 8
    for row, clip, wanted in zip(waveform, found, spoken(served, found), strict=True):
        n = per * clip.n_frames
        # Two float32 engines: a draw at the very edge between two classes may fall to either side, and what follows is
        # then another sound. Up to there they agree to the rounding of the de-emphasis.
        apart = np.flatnonzero(np.abs(row[:n] - wanted) > 1e-5)
        assert not len(apart) or apart[0] > n // 4, f"apart from sample {apart[:1]} of {n}"
        assert wanted.std() > 1e-3
        assert not row[n:].any()


def scores(served) -> None:
    found = voices(served)
    inputs = batch(found, *names(served))
    per, rng, net = served.converter.sampler.hop_samples * 8, np.random.default_rng(3), served.converter.config.wavenet
    waveform = np.full((2, per * max(LENGTHS)), 0.5, np.float32)
    wanted = []
    for row, clip in zip(waveform, found, strict=True):
        classes = np.clip(rng.normal(net.n_classes / 2, 4, per * clip.n_frames).astype(int), 0, net.n_classes - 1)
        row[: len(classes)] = served.converter.sampler.to_waveform(classes.astype(np.int32))
        wanted.append(score_reference(served, clip, row[: len(classes)]))
    outputs = served.signature("wavenet", "score")(**inputs, waveform=waveform)
    for k, reference in enumerate(wanted):
        # The sampler sums as it goes, the network whole matrices: logits of up to some 50 agree to 1e-5 of that.
        np.testing.assert_allclose(outputs["log_probability"][k][: len(reference)], reference, rtol=0, atol=5e-4)
        assert not outputs["log_probability"][k][len(reference) :].any()
        assert outputs["mean_log_probability"][k] == pytest.approx(reference.mean(), abs=1e-4)
        assert reference.std() > 0.1
