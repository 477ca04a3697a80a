"""What exported models are compared with: the bundle, the sampler, the engines. Loaded by `conftest.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.export.signatures import sizes_of, traced
from avsc_tf.export.standardising import Standardising
from avsc_tf.export.wavenet import ServedWaveNet
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.partial_clip import PartialClip
from avsc_tf.features.statistics import join_facial
from avsc_tf.signal.companding import compand, pre_emphasise, to_classes
from avsc_tf.vocoder.mel_matching import match_mel

# One float32 computation done twice, in the same order but by kernels that may sum in another: values of the
# networks are of order 1 before they are put in units, and 1e-5 is some 80 roundings of them.
IN_UNITS = {
    "mel": {"rtol": 0, "atol": 2e-5},  # deviations of up to 2
    "vgg": {"rtol": 0, "atol": 1e-5},
    "keypoints": {"rtol": 0, "atol": 1e-4},  # pixels of some 200, whose last float32 place is 1.5e-5
}
LENGTHS = [4, 6]


def clips(bundle: Bundle, lengths: Sequence[int], *, speaker: str = "source", seed: int = 0) -> list[PartialClip]:
    """Features of a speaker, of so many video frames each."""
    rng, per = np.random.default_rng(seed), bundle.config.timebase.mel_per_video

    def draw(feature: str, n: int) -> np.ndarray:
        mean, std = bundle.statistics.get(speaker, feature)
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
    """What the bundle says of one clip."""
    bundle = served.bundle
    target = bundle.convert_features(clip)
    painted = bundle.paint(target) if bundle.generator is not None else None
    found = bundle.finish(target, None, painted, "none")
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
    config, rng = served.bundle.config, np.random.default_rng(seed)
    timebase = served.bundle.config.timebase
    found = []
    for k, clip in enumerate(clips(served.bundle, LENGTHS, speaker="target", seed=seed)):
        t = np.arange(timebase.samples_in(clip.n_frames)) / timebase.sample_rate_hz
        buzz = sum(np.cos(2 * np.pi * (150 - 30 * k) * h * t + h) / h for h in range(1, 40)) * (t > t[-1] / 4)
        waveform = (0.1 * buzz + 0.001 * rng.normal(size=len(t))).astype(np.float32)
        mel = mel_spectrogram(waveform, config.acoustic, timebase)
        found.append(PartialClip(clip.n_frames, mel, clip.keypoints, clip.vgg))
    return found


def standardised(served, clip) -> tuple[np.ndarray, np.ndarray]:
    statistics = served.bundle.statistics
    facial = join_facial(clip.vgg, clip.keypoints)
    return statistics.standardise("target", "mel", clip.mel), statistics.standardise("target", "facial", facial)


def uniforms(served, found, seed: int = 0) -> np.ndarray:
    """The sampler's own random numbers, padded."""
    per = served.bundle.sampler.hop_samples * served.bundle.config.timebase.mel_per_video
    out = np.full((len(found), per * max(clip.n_frames for clip in found)), 0.25, np.float32)
    for row, clip in zip(out, found, strict=True):
        n = per * clip.n_frames
        row[:n] = np.random.default_rng(seed).random(n, dtype=np.float32)
    return out


def score_reference(served, clip, waveform: np.ndarray) -> np.ndarray:
    """Log likelihoods by the sampler's engine, sample by sample."""
    classes = classes_of(served, waveform)
    logits = served.bundle.sampler.logits(classes, *standardised(served, clip))
    return tf.nn.log_softmax(logits).numpy()[np.arange(len(classes)), classes]


def names(served) -> tuple[str, ...]:
    return ("mel", "keypoints", "vgg") if served.bundle.config.wavenet.facial_channels else ("mel",)


def speech(served, *, jit_compile: bool = False) -> None:
    """What is sampled is what the sampler draws; what is served is that, brought to its mel."""
    found = voices(served)
    inputs = batch(found, *names(served))
    if served.bundle.config.wavenet.pitch_input != "none":
        jobs = [served.bundle.sampler.utterance(*standardised(served, clip)) for clip in found]
        assert all(0.2 < job.voiced.mean() < 1 for job in jobs)
    inputs["uniform"] = uniforms(served, found)
    served_speech = served.signature("wavenet", "generate_from_uniform")(**inputs)["waveform"]
    sampled = as_sampled(served, inputs, jit_compile)
    config, per = served.bundle.config, served.bundle.sampler.hop_samples * 8
    for k, clip in enumerate(found):
        n = per * clip.n_frames
        same_draws(served, clip, sampled[k][:n], inputs["uniform"][k][:n])
        wanted = match_mel(sampled[k][:n], clip.mel, config, passes=config.wavenet.mel_matching_passes)
        # The same graph sampled both. Spectra are float32, 1e-7 of their loudest bin; a random network's sound is loud
        # where the mel is not, and the pass lifts its empty bands by up to 26 dB, rounding and all.
        np.testing.assert_allclose(served_speech[k][:n], wanted, rtol=0, atol=1e-4)
        assert wanted.std() > 1e-3 and not served_speech[k][n:].any()


def as_sampled(served, inputs: dict[str, np.ndarray], jit_compile: bool) -> np.ndarray:
    """The same graph without mel matching."""
    config, sampler = served.bundle.config, served.bundle.sampler
    plain = dataclasses.replace(config, wavenet=dataclasses.replace(config.wavenet, mel_matching_passes=0))
    standardising = Standardising(served.bundle.statistics)
    wavenet = ServedWaveNet(sampler.model, plain, standardising, max_samples=160000, jit_compile=jit_compile)
    (function,) = (f for f in wavenet.functions() if f.signature.name == "generate_from_uniform")
    call = traced(function, sizes_of(plain), [])
    return call(**{name: tf.constant(array) for name, array in inputs.items()})["waveform"].numpy()


def same_draws(served, clip: PartialClip, ours: np.ndarray, uniform: np.ndarray) -> None:
    """The sampler's samples, up to the first draw that lies at the very edge between two classes, if there is one.

    Two float32 engines put such an edge in slightly different places, and what follows is then another sound.
    """
    sampler, inputs = served.bundle.sampler, standardised(served, clip)
    theirs = sampler.generate([inputs[0]], [inputs[1]], mel_matching_passes=0)[0]
    a, b = classes_of(served, ours), classes_of(served, theirs)
    apart = np.flatnonzero(a != b)
    first = int(apart[0]) if len(apart) else len(a)
    np.testing.assert_allclose(ours[:first], theirs[:first], rtol=0, atol=1e-6)  # float64 de-emphasis, rounded
    assert first > 100, "a few samples tell nothing"
    if len(apart):
        job = sampler.utterance(*inputs)
        net = served.bundle.config.wavenet
        heat = net.voiced_temperature if job.voiced[first // sampler.hop_samples] else net.temperature
        logits = sampler.logits(b, *inputs)[first].astype(np.float64)
        if heat:
            cumulated = np.cumsum(np.exp((logits - logits.max()) / heat))
            edges = cumulated[min(a[first], b[first]) : max(a[first], b[first])] / cumulated[-1]
            np.testing.assert_allclose(edges, uniform[first], rtol=0, atol=1e-4)  # logits agree to some 1e-5
        else:
            assert abs(logits[a[first]] - logits[b[first]]) < 1e-4


def classes_of(served, waveform: np.ndarray) -> np.ndarray:
    net = served.bundle.config.wavenet
    return to_classes(compand(pre_emphasise(waveform, net.pre_emphasis), net.n_classes), net.n_classes)


def scores(served) -> None:
    found = voices(served)
    inputs = batch(found, *names(served))
    per, rng, net = served.bundle.sampler.hop_samples * 8, np.random.default_rng(3), served.bundle.config.wavenet
    waveform = np.full((2, per * max(LENGTHS)), 0.5, np.float32)
    wanted = []
    for row, clip in zip(waveform, found, strict=True):
        classes = np.clip(rng.normal(net.n_classes / 2, 4, per * clip.n_frames).astype(int), 0, net.n_classes - 1)
        row[: len(classes)] = served.bundle.sampler.to_waveform(classes.astype(np.int32))
        wanted.append(score_reference(served, clip, row[: len(classes)]))
    outputs = served.signature("wavenet", "score")(**inputs, waveform=waveform)
    for k, reference in enumerate(wanted):
        # The sampler sums as it goes, the network whole matrices: logits of up to some 50 agree to 1e-5 of that.
        np.testing.assert_allclose(outputs["log_probability"][k][: len(reference)], reference, rtol=0, atol=5e-4)
        assert not outputs["log_probability"][k][len(reference) :].any()
        assert outputs["mean_log_probability"][k] == pytest.approx(reference.mean(), abs=1e-4)
        assert reference.std() > 0.1
