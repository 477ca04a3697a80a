"""The peer of benchmarks/training.py is the same network with the same losses, and takes the same step."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.models.image_discriminator import build_image_discriminator
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.models.wavenet import build_wavenet

torch = pytest.importorskip("torch", reason="optional: pip install avsc_tf[benchmarks]")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def peer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import training_contenders
    import training_pytorch

    yield training_pytorch, training_contenders
    for name in ("training_contenders", "training_pytorch"):
        sys.modules.pop(name)


@pytest.fixture
def config():
    return load_config(Path(__file__).with_name("peer.yaml"))


def pairs_of(config, pytorch):
    yield build_conversion_net(config), pytorch.PyTorchConversion
    yield build_wavenet(config), pytorch.PyTorchWaveNet
    yield build_image_generator(config), pytorch.PyTorchGenerator
    yield build_image_discriminator(config), pytorch.PyTorchDiscriminator


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("which", range(4), ids=["conversion", "wavenet", "generator", "discriminator"])
def test_outputs_are_equal(which, training, peer, config, rng):
    pytorch, contenders = peer
    keras.utils.set_random_seed(3)
    ours, make = list(pairs_of(config, pytorch))[which]
    for variable in ours.trainable_variables:  # biases and norms are all alike at the start
        variable.assign(variable.numpy() + rng.normal(0, 0.05, variable.shape).astype(np.float32))
    theirs = make(ours).train(training)
    pytorch.copy_weights(ours, theirs)
    network = ("conversion", "wavenet", "image", "image")[which]
    # of three examples some units have nearly no deviation, and batch norm, dividing by it, enlarges every rounding
    batch = contenders.make_batch(contenders.with_settings(config, network, batch_size=8), network)
    inputs = batch[1] if which == 3 else batch[0]
    wanted = ours(inputs, training=training)
    if which == 3:
        given = theirs(pytorch.tensor(inputs).permute(0, 3, 1, 2))
    else:
        given = theirs({name: pytorch.tensor(value) for name, value in inputs.items()})
    given = given.permute(0, 2, 3, 1) if which == 2 else given
    names = wanted if isinstance(wanted, dict) else [None]
    for name in names:
        a, b = (wanted, given) if name is None else (wanted[name], given[name])
        # float32, sums over up to a thousand products in another order; batch norm divides by small deviations
        scale = float(np.abs(a).max())
        np.testing.assert_allclose(b.detach().numpy(), np.asarray(a), rtol=0, atol=3e-5 * scale)


@pytest.mark.parametrize("network", ["conversion", "wavenet", "image"])
def test_losses_and_gradients_are_equal(network, peer, config):
    _, contenders = peer
    ours, theirs = steppers(contenders, config, network)
    figures, losses = ours.step(), theirs.step()
    for name, parameters, _, _ in theirs.step.func.__self__.parts:
        # float32 sums in another order, through ten layers and back
        assert float(figures[name][0]) == pytest.approx(losses[name], rel=1e-5)
        norm = float(torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters])))
        clip = getattr(config, network).clip_norm
        ours_norm = float(figures[name.replace("loss", "gradient_norm")][0])
        assert norm == pytest.approx(min(ours_norm, clip) if clip else ours_norm, rel=1e-3)


# The generator is left out: Adam follows the sign of its first gradients, which are so small that rounding turns them.
@pytest.mark.parametrize("network", ["conversion", "wavenet"])
def test_a_step_of_adam_is_equal(network, peer, config):
    _, contenders = peer
    ours, theirs = steppers(contenders, config, network)
    for _ in range(3):
        figures, losses = ours.step(), theirs.step()
    assert float(figures["loss"][0]) == pytest.approx(losses["loss"], rel=2e-4)  # as above: few signs turn


def steppers(contenders, config, network):
    """Both, with the same weights and batch."""
    config = contenders.with_settings(config, network, batch_size=3)
    batch = contenders.make_batch(config, network)
    keras.utils.set_random_seed(3)
    ours = contenders.ours(config, network, batch)
    keras.utils.set_random_seed(3)
    return ours, contenders.pytorch(config, network, batch, bfloat16=False, compiled=False, n_threads=1)
