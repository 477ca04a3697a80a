"""The CPU's engine: vectors of all widths, bfloat16 weights, lanes and threads, streams."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from avsc_tf.core.errors import ConfigError
from avsc_tf.datasets.waveform import crop_inputs
from avsc_tf.vocoder.engines import Engines
from avsc_tf.vocoder.sampler_kernels import vectors as v
from avsc_tf.vocoder.sampler_kernels.engine import CpuEngine
from avsc_tf.vocoder.sampler_kernels.packing import pair_rows, to_bfloat16

HERE = v.vectors_of_this_machine()
needs_avx512 = pytest.mark.skipif(HERE.width < 16, reason="this processor has no AVX-512")
BFLOAT16 = "wavenet.sampler_weights=bfloat16"
WIDE = ["wavenet.n_layers=3", "wavenet.residual_channels=40", "wavenet.skip_channels=70", "wavenet.post_channels=97"]


def teacher_forced(model, config, recording, sampler):
    """(Keras's logits, the utterance, its classes)."""
    inputs, classes = crop_inputs(recording, config, 0, 4)
    expected = np.asarray(model({name: value[None] for name, value in inputs.items()}))[0]
    return expected, sampler.utterance(recording.mel, recording.facial), classes


def said(engine, jobs, *, temperature=0.8, **options):
    """Classes of all jobs, each by random numbers of its own length."""
    hop = engine.hop_samples
    heats = [np.full(len(job.voiced), temperature, np.float32) for job in jobs]
    uniforms = [np.random.default_rng(5).random(len(job.voiced) * hop, dtype=np.float32) for job in jobs]
    return engine.generate_batch(jobs, temperatures=heats, uniforms=uniforms, **options)


@pytest.mark.slow  # each width is compiled
@pytest.mark.parametrize("vectors", [v.AVX2, v.GENERIC], ids=lambda v: v.name)
def test_narrower_vectors_agree(vectors, make, utterance):
    """They need no such processor: LLVM splits them, or leaves them half empty."""
    config, model, sampler = make(*WIDE)
    expected, job, classes = teacher_forced(model, config, utterance(config, n_video=4), sampler)
    found = CpuEngine(model, config, vectors).logits(job, classes)
    np.testing.assert_allclose(found, expected, atol=1e-4)  # float32, sums in another order


def test_bfloat16_weights_are_those_of_a_rounded_network(make, utterance):
    config, model, sampler = make(BFLOAT16, *WIDE)
    recording = utterance(config, n_video=4)
    exact, job, classes = teacher_forced(model, config, recording, sampler)
    for weight in model.trainable_weights:
        if len(weight.shape) == 2 and weight.path.split("/")[-2].startswith(("block", "skip", "post", "logits")):
            weight.assign((to_bfloat16(weight.numpy()) << np.uint32(16)).view(np.float32))
    rounded, *_ = teacher_forced(model, config, recording, sampler)
    unpacked = v.Vectors("unpacked", HERE.width)
    found = CpuEngine(model, config, unpacked).logits(job, classes)
    np.testing.assert_allclose(found, rounded, atol=1e-4)  # float32, sums in another order
    assert np.abs(rounded - exact).max() > 1e-3  # or nothing was rounded


@needs_avx512
@pytest.mark.skipif(not HERE.dot_product, reason="this processor has no bfloat16 dot product")
def test_the_dot_product_rounds_the_inputs_too(make, utterance):
    """Each product's inputs and weights keep 8 bits, 0.2 % either; over three layers and three products that adds up
    to a percent of what the logits differ among themselves."""
    config, model, sampler = make(BFLOAT16, *WIDE)
    expected, job, classes = teacher_forced(model, config, utterance(config, n_video=4), sampler)
    found = CpuEngine(model, config, HERE).logits(job, classes)
    error = found - expected
    assert 1e-4 < np.sqrt(np.mean(error**2)) < 0.01 * expected.std()


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_threads_lanes_and_companions_change_nothing(weights, make, utterance):
    config, model, sampler = make(f"wavenet.sampler_weights={weights}", *WIDE)
    recordings = [utterance(config, n, seed=k) for k, n in enumerate((2, 5, 1, 3, 4, 2, 3))]
    jobs = [sampler.utterance(r.mel, r.facial) for r in recordings]
    engine = CpuEngine(model, config, HERE)
    alone = [said(engine, [job], n_threads=1, lanes=1)[0] for job in jobs]
    assert [len(classes) for classes in alone] == [640 * n for n in (2, 5, 1, 3, 4, 2, 3)]
    for n_threads, lanes in ((1, 2), (1, 3), (1, 7), (2, 2), (3, None), (None, None)):
        together = said(engine, jobs, n_threads=n_threads, lanes=lanes)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len({classes[:640].tobytes() for classes in alone}) == len(jobs)  # they do say different things


@pytest.mark.parametrize("chunk_frames", [1, 7, 1000])
def test_a_stream_is_the_whole_in_pieces(chunk_frames, make, utterance):
    config, _, sampler = make()
    recording = utterance(config, n_video=3)
    whole = sampler.generate([recording.mel], [recording.facial], seed=2)[0]
    chunks = list(sampler.stream(recording.mel, recording.facial, seed=2, chunk_frames=chunk_frames))
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_frames * sampler.hop_samples}


def test_temperature_zero_takes_the_likeliest_class(make, utterance):
    config, model, sampler = make()
    engine = CpuEngine(model, config, HERE)
    recording = utterance(config, n_video=2)
    job = sampler.utterance(recording.mel, recording.facial)
    classes = said(engine, [job], temperature=0.0)[0]
    np.testing.assert_array_equal(engine.logits(job, classes).argmax(1), classes)


def test_a_mixture_is_drawn_as_its_logits_say(make, utterance):
    """Each random number lies within the drawn class's part of the cumulated shares."""
    config, model, sampler = make("wavenet.n_mixtures=3", "wavenet.prediction_order=0")
    recording = utterance(config, n_video=6)
    job = sampler.utterance(recording.mel, recording.facial)
    engine = CpuEngine(model, config, HERE)
    classes = said(engine, [job], temperature=1.0)[0]
    logits = engine.logits(job, classes).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    uniform = np.random.default_rng(5).random(len(classes), dtype=np.float32)
    upper = np.cumsum(shares, axis=1)[np.arange(len(classes)), classes]
    lower = upper - shares[np.arange(len(classes)), classes]
    outside = np.maximum(lower - uniform, uniform - upper)
    assert outside.max() < 1e-4  # float32: logits of up to 100 keep 1e-5 of a share


def test_bfloat16_to_the_nearest_even():
    values = np.array([[1.0, 1.0 + 2**-8, 1.0 + 3 * 2**-8], [-2.0, 1.0 + 2**-8 + 2**-20, 0.0]], np.float32)
    halves = (to_bfloat16(values) << np.uint32(16)).view(np.float32)
    np.testing.assert_array_equal(halves, [[1.0, 1.0, 1.0 + 2**-6], [-2.0, 1.0 + 2**-7, 0.0]])
    np.testing.assert_array_equal(pair_rows(values)[0, 0], 0xC0003F80)


@pytest.mark.parametrize(
    ("features", "llvm_version", "expected"),
    [
        ({"avx512f", "avx512bf16", "avx2", "fma"}, 20, v.AVX512_BF16),
        ({"avx512f", "avx512bf16", "avx2", "fma"}, 15, v.AVX512),
        ({"avx512f", "avx2", "fma"}, 20, v.AVX512),
        ({"avx2", "fma"}, 20, v.AVX2),
        ({"avx2"}, 20, v.GENERIC),
        ({"neon"}, 20, v.NEON),
        (set(), 20, v.GENERIC),
    ],
)
def test_vectors_follow_the_processor(features, llvm_version, expected):
    assert v.choose(features, llvm_version) is expected


def test_vectors_by_the_environment(monkeypatch, make):
    monkeypatch.setenv(v.VARIABLE, "generic")
    config, model, _ = make()
    assert Engines(model, config).get("cpu").vectors is v.GENERIC
    monkeypatch.setenv(v.VARIABLE, "sse9")
    with pytest.raises(ConfigError, match=r"sse9.*choose one of avx512_bf16"):
        Engines(model, config).get("cpu")


def test_the_engine_follows_the_setting(make, monkeypatch):
    config, model, _ = make("wavenet.sampler=tensorflow")
    assert Engines(model, config).choose(1) == "tensorflow"
    config, model, _ = make()
    monkeypatch.setattr("avsc_tf.vocoder.engines._has_gpu", lambda: True)
    assert [Engines(model, config).choose(n) for n in (1, 100)] == ["cpu", "tensorflow"]
    monkeypatch.setattr("avsc_tf.vocoder.engines._has_gpu", lambda: False)
    assert Engines(model, config).choose(100) == "cpu"


@pytest.mark.parametrize("writable", [True, False])
def test_the_cache_lies_in_the_users_folder(writable, tmp_path):
    """Or, where that cannot be written, among the temporary files."""
    base = tmp_path / "cache"
    if not writable:
        base.write_text("a file is no folder", encoding="utf-8")
    code = "from avsc_tf.vocoder.sampler_kernels.compiling import cache_folder as f; print(f()); print(f().is_dir())"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(base), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    folder, exists = done.stdout.split()
    assert exists == "True"
    assert folder.startswith(str(base / "avsc_tf" if writable else tmp_path / "avsc_tf-"))


def test_a_user_without_a_home(tmp_path):
    """As in a container that runs as any number: no $HOME, no entry among the users."""
    code = (
        "import os, pwd\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "from avsc_tf.vocoder.sampler_kernels.compiling import cache_folder\n"
        "from avsc_tf.core.errors import ProvenanceError\n"
        "from avsc_tf.provenance.identity import own_identity, own_root\n"
        "print(cache_folder(), repr(own_root()))\n"
        "try: own_identity()\n"
        "except ProvenanceError as error: print(error)\n"
    )
    hidden = ("HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "AVSC_TF_SIGNING_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    cache, signing = done.stdout.splitlines()
    assert cache.startswith(str(tmp_path / "avsc_tf-")) and cache.endswith(" ''")
    assert signing.startswith("This user has no home folder to keep the key that signs converted videos in. Name a")
