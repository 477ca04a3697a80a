"""The TensorFlow engine against the CPU's, over the settings; batches of unequal lengths; draws; export."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.config import load_config
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.vocoder.sampler_graph import draw, generate
from avsc_tf.vocoder.sampler_kernels.engine import CpuEngine
from avsc_tf.vocoder.sampler_kernels.vectors import vectors_of_this_machine
from avsc_tf.vocoder.sampler_tensorflow import TensorFlowEngine, padded_frames
from avsc_tf.vocoder.utterances import Utterance

HOP = 80
TINY = [
    "wavenet.n_classes=32",
    "wavenet.n_layers=5",
    "wavenet.dilation_cycle=4",
    "wavenet.residual_channels=6",
    "wavenet.skip_channels=10",
    "wavenet.post_channels=14",
    "wavenet.condition_channels=7",
    "wavenet.facial_channels=0",
]
SHAPES = {
    "demo": [],
    "one layer, odd widths": ["wavenet.n_layers=1", "wavenet.residual_channels=5", "wavenet.skip_channels=3"],
    "previous sample only, lag": ["wavenet.input_features=companded"],
    "no pitch lag": ["wavenet.pitch_input=none"],
    "F0 alone, no prediction": ["wavenet.pitch_input=f0", "wavenet.prediction_order=0"],
    "lag, no prediction": ["wavenet.prediction_order=0"],
    "mixture of logistics": ["wavenet.n_mixtures=3"],
    "mixture without prediction": ["wavenet.n_mixtures=2", "wavenet.prediction_order=0"],
    "paper's inputs": ["wavenet.pitch_input=none", "wavenet.prediction_order=0", "wavenet.input_features=companded"],
}
EVERY_SHAPE = [pytest.param(name, marks=[] if name == "demo" else pytest.mark.slow) for name in SHAPES]


def engines(root, *overrides: str) -> tuple[TensorFlowEngine, CpuEngine]:
    """Both, of one network with random weights."""
    config = load_config(root / "configs" / "demo.yaml", [*TINY, *overrides])
    keras.utils.set_random_seed(8)
    model, rng = build_wavenet(config), np.random.default_rng(9)
    for weight in model.trainable_weights:
        is_sharp = "peak" in weight.path or (config.wavenet.n_mixtures and "logits" in weight.path)
        scale = 0.03 if is_sharp else 0.3  # sharper peaks make logits of -150, beyond float32's 1e-4
        weight.assign(weight.numpy() + scale * rng.normal(size=weight.shape))
    return TensorFlowEngine(model, config), CpuEngine(model, config, vectors_of_this_machine())


def utterance(engine: CpuEngine, n_frames: int, seed: int = 0) -> Utterance:
    """Random features; the pitch lag shrinks over the second half and is 0, unvoiced, in the first."""
    net, rng = engine.net, np.random.default_rng(seed)
    n_samples, order = n_frames * HOP, net.prediction_order
    lag = np.where(np.arange(n_samples) < n_samples // 2, 0, np.linspace(90, 30, n_samples)).astype(np.int32)
    decay = 0.9 * 0.5 ** np.arange(order)  # of a stable filter
    return Utterance(
        condition=rng.normal(size=(n_frames, net.n_layers, 2 * net.residual_channels)).astype(np.float32),
        lag=lag if net.pitch_input == "lag" else np.zeros(0, np.int32),
        voiced=lag[::HOP] > 0,
        coefficients=(decay * rng.uniform(0.5, 1.0, (n_frames, order))).astype(np.float32)
        if order
        else np.zeros((0, 0), np.float32),
        log_mel=np.zeros((n_frames, 80), np.float32),
    )


def reference_draw(logits: np.ndarray, temperature: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """[n, classes], [n], [n] -> [n], in float64."""
    heat = np.where(temperature > 0, temperature, 1.0)[:, None]
    shares = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float64) / heat)
    cumulated = shares.cumsum(1)
    drawn = np.minimum((cumulated <= uniform[:, None] * cumulated[:, -1:]).sum(1), logits.shape[1] - 1)
    return np.where(temperature > 0, drawn, logits.argmax(1))


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_logits_equal_the_cpu_engines(shape, root):
    ours, cpu = engines(root, *SHAPES[shape])
    job = utterance(cpu, 7)
    classes = np.random.default_rng(1).integers(0, 32, 7 * HOP).astype(np.int32)
    np.testing.assert_allclose(ours.logits(job, classes), cpu.logits(job, classes), atol=1e-4)  # another order of sums


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_each_utterance_of_a_batch_obeys_its_own_logits(shape, root):
    """Unequal lengths side by side; every second frame takes the likeliest class, the others draw."""
    ours, cpu = engines(root, *SHAPES[shape])
    rng, jobs = np.random.default_rng(2), [utterance(cpu, n, seed=n) for n in (5, 12, 9)]
    uniforms = [rng.random(len(job.condition) * HOP, dtype=np.float32) for job in jobs]
    temperatures = [np.where(np.arange(len(job.condition)) % 2, 0.0, 0.8).astype(np.float32) for job in jobs]
    found = ours.generate_batch(jobs, temperatures=temperatures, uniforms=uniforms)
    for job, classes, temperature, uniform in zip(jobs, found, temperatures, uniforms, strict=True):
        assert classes.dtype == np.int32 and len(classes) == len(uniform)
        assert len(np.unique(classes)) > 5  # or nothing would be tested
        expected = reference_draw(cpu.logits(job, classes), np.repeat(temperature, HOP), uniform)
        assert (expected == classes).mean() > 0.995  # logits differ by 1e-5: a draw at a class's edge may cross it


@pytest.mark.parametrize("n_classes", [2, 4, 6, 32, 256, 1000, 1024])
def test_draws_follow_the_cumulated_softmax(n_classes, rng):
    logits = rng.normal(0.0, 2.0, (50, n_classes)).astype(np.float32)
    temperature = np.where(np.arange(50) % 3, rng.uniform(0.2, 1.5, 50), 0.0).astype(np.float32)
    uniform = rng.random(50, dtype=np.float32)
    uniform[:4] = 0.0, 0.0, 1.0 - 2.0**-24, 1.0 - 2.0**-24  # the ends of what a generator gives
    found = draw(tf.constant(logits), tf.constant(temperature), tf.constant(uniform)).numpy()
    expected = reference_draw(logits, temperature, uniform)
    inner = np.arange(50) >= 4
    assert (found == expected)[inner].mean() > 0.95  # float32 sums: a threshold may fall on a class's edge
    assert (np.abs(found - expected)[inner] <= 1).all()
    assert (found[:2] == expected[:2]).all()
    assert (found >= 0).all() and (found < n_classes).all()


def test_lengths_share_a_compilation_up_to_the_next_power_of_two(root):
    jobs = {n: Utterance(np.zeros((n, 1, 2)), *[np.zeros(0)] * 4) for n in (1, 32, 33, 200)}
    assert [padded_frames([jobs[n]]) for n in jobs] == [32, 32, 64, 256]
    assert padded_frames(list(jobs.values())) == 256


def test_the_plain_graph_can_be_exported_and_says_the_same(root, tmp_path):
    """Without XLA, from a SavedModel; the likeliest classes, so that rounding moves none but ties."""
    ours, cpu = engines(root)
    job, n_frames = utterance(cpu, 3), 3
    inputs = ours._inputs([job], n_frames)
    module, n_samples = tf.Module(), tf.constant(n_frames * HOP)
    signature = [tf.TensorSpec(array.shape, array.dtype) for array in inputs]
    heat, uniform = tf.zeros((1, n_frames)), tf.fill((1, n_frames * HOP), 0.5)

    @tf.function(input_signature=signature)
    def speak(condition, lag, coefficients):
        batch = type(inputs)(condition, lag, coefficients)
        return generate(ours._weights, ours._form, batch, heat, uniform, n_samples)

    module.speak = speak
    tf.saved_model.save(module, str(tmp_path / "model"))
    spoken = tf.saved_model.load(str(tmp_path / "model")).speak(*map(tf.constant, inputs)).numpy()[0]
    likeliest = cpu.logits(job, spoken).argmax(1)
    assert (spoken == likeliest).mean() > 0.995 and len(np.unique(spoken)) > 1
