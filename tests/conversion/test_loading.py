"""A bundle: complete ones load with their weights, and every missing or unfit part is named with its remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.conversion.converted import TargetFeatures
from avsc_tf.conversion.loading import check_bundle, load_bundle, load_conversion, modalities_of, vocoders_of
from avsc_tf.core.config import Config, save_config
from avsc_tf.core.errors import BundleError
from avsc_tf.core.runs import config_path, statistics_path
from avsc_tf.features.statistics import Statistics

Small = Callable[..., Config]
Bundle = Callable[..., Path]
Seal = Callable[[Path], Path]


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory, small: Small, bundle: Bundle) -> dict[str, Path]:
    """Run folders of the paper's baselines, with what each needs and nothing more."""
    folder = tmp_path_factory.mktemp("baselines")
    audio = small("conversion.modalities=audio", "wavenet.facial_channels=0")
    visual = small("conversion.modalities=visual", "image.mel_input=false")
    return {
        "audio": bundle(audio, folder / "audio", ("conversion", "wavenet")),
        "visual": bundle(visual, folder / "visual", ("conversion", "image")),
    }


def test_a_complete_bundle_loads_its_weights(complete: Path) -> None:
    first, again = (load_bundle(complete) for _ in range(2))
    assert first.sampler is not None
    mel, facial = np.ones((1, 16, 80), np.float32), np.ones((1, 2, 4236), np.float32)
    outputs = [net.conversion_net({"mel": mel, "facial": facial}, training=False)["mel"] for net in (first, again)]
    np.testing.assert_array_equal(*map(np.asarray, outputs))  # random initial weights would differ
    assert np.asarray(outputs[0]).std() > 0


def test_griffin_lim_needs_no_wavenet(run: Path) -> None:
    shutil.rmtree(run / "wavenet")
    assert load_bundle(run, vocoders=["griffin-lim"]).sampler is None
    with pytest.raises(BundleError, match=r"wavenet/config.yaml: missing .*avsc train wavenet .*or take --vocoder"):
        load_bundle(run)


@pytest.mark.parametrize("network", ["conversion", "wavenet", "image"])
@pytest.mark.parametrize("part", ["config.yaml", "model.weights.h5"])
def test_a_missing_part_is_named_with_its_command(run: Path, network: str, part: str) -> None:
    (run / network / part).unlink()
    with pytest.raises(BundleError, match=rf"{network}/{part}: missing from the bundle.*avsc train {network} --config"):
        check_bundle(run)


def test_missing_statistics(run: Path) -> None:
    (run / "statistics.npz").unlink()
    with pytest.raises(BundleError, match=r"statistics.npz: missing from the bundle"):
        check_bundle(run)


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing: no such run folder"):
        load_bundle(tmp_path / "nothing")


def test_networks_of_different_features_do_not_go_together(run: Path, small: Small, seal_anew: Seal) -> None:
    save_config(small("acoustic.fmin_hz=50"), run / "image" / "config.yaml")
    with pytest.raises(BundleError, match=r"image/config.yaml: acoustic.fmin_hz is 50.0, but .* trained with 0.0"):
        check_bundle(seal_anew(run))


def test_networks_of_another_untrained_vgg_do_not_go_together(run: Path, small: Small, seal_anew: Seal) -> None:
    save_config(small("seed=5"), run / "image" / "config.yaml")
    with pytest.raises(BundleError, match=r"image/config.yaml: seed is 5, but .* untrained VGG-19"):
        check_bundle(seal_anew(run))


def test_each_network_keeps_its_own_section(run: Path, small: Small, seal_anew: Seal) -> None:
    save_config(small("image.epochs=77"), run / "image" / "config.yaml")
    save_config(small("wavenet.epochs=78"), run / "wavenet" / "config.yaml")
    config = check_bundle(seal_anew(run))
    assert (config.image.epochs, config.wavenet.epochs) == (77, 78)


def test_weights_of_another_size(run: Path, small: Small, seal_anew: Seal) -> None:
    save_config(small("image.dense_units=[11]"), run / "image" / "config.yaml")
    with pytest.raises(BundleError, match=r"image/model.weights.h5: holds \d+ bytes .* has \d+: .* do not fit"):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])


@pytest.mark.parametrize("name", ["conversion/model.weights.h5", "statistics.npz", "conversion/config.yaml"])
def test_truncated_parts(run: Path, name: str, seal_anew: Seal) -> None:
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 3])
    with pytest.raises(
        BundleError, match=rf"{name}: (is damaged, or was exchanged|setting wavenet is missing|not valid YAML)"
    ):
        load_bundle(run, vocoders=["griffin-lim"])
    with pytest.raises(BundleError, match=name.split("/")[-1]):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])


def test_baselines_load_alone(baselines: dict[str, Path]) -> None:
    audio, visual = load_bundle(baselines["audio"]), load_bundle(baselines["visual"], vocoders=["none"])
    assert audio.has_voice and not audio.has_face and audio.generator is None and audio.sampler is not None
    assert visual.has_face and not visual.has_voice and visual.sampler is None


@pytest.mark.parametrize("order", [("audio", "visual"), ("visual", "audio")])
def test_both_baselines_are_one_converter(baselines: dict[str, Path], order: tuple[str, str], rng) -> None:
    runs = [baselines[name] for name in order]
    assert modalities_of(*runs) == "separate"
    both, audio, visual = load_bundle(*runs), *(load_bundle(baselines[name]) for name in ("audio", "visual"))
    x = {
        "mel": rng.normal(size=(1, 24, 80)).astype(np.float32),
        "facial": rng.normal(size=(1, 3, 4236)).astype(np.float32),
    }
    outputs = both.conversion_net(x, training=False)
    np.testing.assert_array_equal(outputs["mel"], audio.conversion_net(x, training=False)["mel"])
    np.testing.assert_array_equal(outputs["facial"], visual.conversion_net(x, training=False)["facial"])
    assert both.has_voice and both.has_face and both.sampler is not None
    features = TargetFeatures(np.asarray(outputs["mel"])[0], np.asarray(outputs["facial"])[0])
    np.testing.assert_array_equal(both.paint(features), visual.paint(features))


def test_only_the_two_baselines_go_together(baselines: dict[str, Path], complete: Path) -> None:
    for pair in ((complete, baselines["audio"]), (baselines["audio"], baselines["audio"])):
        with pytest.raises(BundleError, match=r"Two run folders go together only where one was trained with"):
            load_bundle(*pair)


def test_baselines_of_different_records(baselines: dict[str, Path], tmp_path: Path, seal_anew: Seal) -> None:
    other = Path(shutil.copytree(baselines["visual"], tmp_path / "other"))
    statistics = Statistics.load(statistics_path(other))
    moments = {name: (mean + 1, std) for name, (mean, std) in statistics.moments["source"].items()}
    Statistics({**statistics.moments, "source": moments}).save(statistics_path(other))
    with pytest.raises(BundleError, match=r"were trained on different records"):
        load_bundle(baselines["audio"], seal_anew(other))


def test_networks_that_wait_for_the_other_modality(
    baselines: dict[str, Path], tmp_path: Path, small: Small, seal_anew: Seal
) -> None:
    audio, visual = (Path(shutil.copytree(run, tmp_path / name)) for name, run in baselines.items())
    save_config(small("wavenet.facial_channels=2"), config_path(audio, "wavenet"))
    with pytest.raises(
        BundleError, match=r"wavenet/config.yaml: wavenet.facial_channels is 2, but the run converts sound"
    ):
        check_bundle(seal_anew(audio))
    save_config(small(), config_path(visual, "image"))
    with pytest.raises(BundleError, match=r"image/config.yaml: image.mel_input is true, but the run converts the face"):
        check_bundle(seal_anew(visual), vocoders=["none"])


def test_a_baseline_without_a_part(baselines: dict[str, Path], tmp_path: Path) -> None:
    audio, visual = (Path(shutil.copytree(run, tmp_path / name)) for name, run in baselines.items())
    shutil.rmtree(audio / "wavenet")
    with pytest.raises(BundleError, match=r"wavenet/config.yaml: missing .*or take --vocoder griffin-lim"):
        load_bundle(audio)
    assert load_bundle(audio, vocoders=["griffin-lim"]).has_voice
    shutil.rmtree(visual / "image")
    with pytest.raises(BundleError, match=r"image/config.yaml: missing from the bundle"):
        load_bundle(visual, vocoders=["none"])


def test_voices_that_are_made() -> None:
    run = Path("run")
    assert vocoders_of("audio_visual", None, run) == ["wavenet"]
    assert vocoders_of("separate", ["griffin-lim", "wavenet"], run) == ["wavenet", "griffin-lim"]
    assert vocoders_of("visual", None, run) == ["none"]
    with pytest.raises(BundleError, match=r"run: has no voice"):
        vocoders_of("visual", ["griffin-lim"], run)


def test_the_conversion_network_alone(run: Path, baselines: dict[str, Path], rng) -> None:
    whole = load_bundle(run, vocoders=["griffin-lim"])
    shutil.rmtree(run / "image")
    _, convert = load_conversion(run)
    mel = rng.normal(size=(24, 80)).astype(np.float32)
    facial = rng.normal(size=(3, 4236)).astype(np.float32)
    outputs = whole.conversion_net({"mel": mel[None], "facial": facial[None]}, training=False)
    for ours, name in zip(convert(mel, facial), ("mel", "facial"), strict=True):
        np.testing.assert_array_equal(ours, np.asarray(outputs[name])[0])
    with pytest.raises(BundleError, match=r"conversion.modalities is audio; there is but one stream"):
        load_conversion(baselines["audio"])
