"""A bundle: complete ones load with their weights, and every missing or unfit part is named with its remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.config import Config, load_config, save_config
from avsc_tf.errors import BundleError
from avsc_tf.features.statistics import Statistics
from avsc_tf.runs import config_path, statistics_path, weights_path
from avsc_tf.serving.bundle import check_bundle, load_bundle

TINY = (
    "conversion.audio_down_channels=[4, 5, 6]",
    "conversion.facial_down_channels=[7]",
    "conversion.fusion_channels=[8]",
    "conversion.audio_up_channels=[6, 5, 4]",
    "conversion.facial_up_channels=[9]",
    "conversion.linear_path=false",
    "image.size_px=16",
    "image.dense_units=[10]",
    "image.generator_channels=[3, 3, 3, 3, 3, 3, 3]",
    "wavenet.n_layers=3",
    "wavenet.n_classes=16",
    "wavenet.pitch_input=none",
    "wavenet.facial_channels=2",
)


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(Path(__file__).resolve().parents[2] / "configs" / "demo.yaml", TINY)


@pytest.fixture(scope="module")
def complete(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from avsc_tf.models.conversion_net import build_conversion_net
    from avsc_tf.models.image_generator import build_image_generator
    from avsc_tf.models.wavenet import build_wavenet
    from avsc_tf.training.checkpoints import save_weights

    run = tmp_path_factory.mktemp("bundle") / "run"
    builders = {"conversion": build_conversion_net, "wavenet": build_wavenet, "image": build_image_generator}
    for network, build in builders.items():
        save_weights(build(config), weights_path(run, network))
        save_config(config, config_path(run, network))
    sizes = {"mel": 80, "vgg": 4096, "keypoints": 140}
    moments = {name: (np.zeros(n, np.float32), np.ones(n, np.float32)) for name, n in sizes.items()}
    Statistics({"source": moments, "target": moments}).save(statistics_path(run))
    return run


@pytest.fixture
def run(complete: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(complete, tmp_path / "run"))


def test_a_complete_bundle_loads_its_weights(complete: Path, config: Config) -> None:
    first, again = (load_bundle(complete) for _ in range(2))
    assert first.sampler is not None
    mel, facial = np.ones((1, 16, 80), np.float32), np.ones((1, 2, 4236), np.float32)
    outputs = [net.conversion_net({"mel": mel, "facial": facial}, training=False)["mel"] for net in (first, again)]
    np.testing.assert_array_equal(*map(np.asarray, outputs))  # random initial weights would differ
    assert np.asarray(outputs[0]).std() > 0


def test_griffin_lim_needs_no_wavenet(run: Path) -> None:
    shutil.rmtree(run / "wavenet")
    assert load_bundle(run, vocoders=["griffin-lim"]).sampler is None
    with pytest.raises(BundleError, match=r"wavenet/config.yaml: missing .*train.py wavenet .*or take --vocoder"):
        load_bundle(run)


@pytest.mark.parametrize("network", ["conversion", "wavenet", "image"])
@pytest.mark.parametrize("part", ["config.yaml", "model.weights.h5"])
def test_a_missing_part_is_named_with_its_command(run: Path, network: str, part: str) -> None:
    (run / network / part).unlink()
    with pytest.raises(BundleError, match=rf"{network}/{part}: missing from the bundle.*train.py {network} --config"):
        check_bundle(run)


def test_missing_statistics(run: Path) -> None:
    (run / "statistics.npz").unlink()
    with pytest.raises(BundleError, match=r"statistics.npz: missing from the bundle"):
        check_bundle(run)


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing: no such run folder"):
        load_bundle(tmp_path / "nothing")


def test_networks_of_different_features_do_not_go_together(run: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "configs" / "demo.yaml"
    save_config(load_config(path, [*TINY, "acoustic.fmin_hz=50"]), run / "image" / "config.yaml")
    with pytest.raises(BundleError, match=r"image/config.yaml: acoustic.fmin_hz is 50.0, but .* trained with 0.0"):
        check_bundle(run)


def test_each_network_keeps_its_own_section(run: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "configs" / "demo.yaml"
    save_config(load_config(path, [*TINY, "image.epochs=77"]), run / "image" / "config.yaml")
    save_config(load_config(path, [*TINY, "wavenet.epochs=78"]), run / "wavenet" / "config.yaml")
    config = check_bundle(run)
    assert (config.image.epochs, config.wavenet.epochs) == (77, 78)


def test_weights_of_another_size(run: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "configs" / "demo.yaml"
    save_config(load_config(path, [*TINY, "image.dense_units=[11]"]), run / "image" / "config.yaml")
    with pytest.raises(BundleError, match=r"image/model.weights.h5: the weights do not fit .*train.py image"):
        load_bundle(run, vocoders=["griffin-lim"])


@pytest.mark.parametrize("name", ["conversion/model.weights.h5", "statistics.npz", "conversion/config.yaml"])
def test_truncated_parts(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 3])
    with pytest.raises(BundleError, match=name.split("/")[-1]):
        load_bundle(run, vocoders=["griffin-lim"])
