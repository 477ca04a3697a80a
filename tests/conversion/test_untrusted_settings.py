"""Settings of a bundle that mean harm: files they include, YAML bombs, networks of many gigabytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from harmful import Seal, Small, edit, peak_mib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avsc_tf.conversion.loading import load_bundle
from avsc_tf.conversion.untrusted import abstract_bytes, check_weights
from avsc_tf.core.config import load_saved_config
from avsc_tf.core.errors import BundleError, ConfigError
from avsc_tf.core.runs import config_path, weights_path
from avsc_tf.models.conversion_net import build_conversion_net


def test_settings_that_include_another_file(run: Path, tmp_path: Path, seal_anew: Seal) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: hunter2\n", encoding="utf-8")
    path = config_path(run, "image")
    path.write_text(f"include: {secret}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BundleError, match=r"unknown setting include") as caught:
        load_bundle(seal_anew(run))
    assert "hunter2" not in str(caught.value)


def test_laughs_by_the_billion(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has a YAML alias \(\*a0\)"):
        load_saved_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: " + b"[" * 5000, r"nested more than 20 deep"),
        (b"a: " + b"{b: " * 5000, r"nested more than 20 deep"),
        (b"# " + b"x" * 300_000, r"has more than 262144 bytes"),
        (b"a: 2020-99-99", r"not valid YAML"),
        (b"\xff\xfe\x00", r"is not UTF-8 text\. Save the file as UTF-8"),
        (b"1: 2", r"must be a mapping of names"),
        (b"- a", r"must be a mapping of names"),
        (b"a: " + b"9" * 5000, r"not valid YAML"),
    ],
)
def test_yaml_of_no_good(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_saved_config(path)


@pytest.mark.parametrize(
    "override",
    [
        {"conversion": {"fusion_channels": [60000, 60000]}},
        {"image": {"dense_units": [60000], "path_units": 2**20}},
        {"wavenet": {"skip_channels": 60000, "post_channels": 60000}},
        {"image": {"path_components": 60000, "size_px": 4096}},
    ],
    ids=lambda o: next(iter(o)),
)
def test_networks_of_many_gigabytes_are_not_built(run: Path, seal_anew: Seal, override: dict[str, Any]) -> None:
    (network,) = override
    edit(config_path(run, network), lambda tree: tree[network].update(override[network]))
    before = peak_mib()
    with pytest.raises(BundleError, match=rf"{network}/model.weights.h5: holds \d+ bytes of weights, but the network"):
        load_bundle(seal_anew(run))
    assert peak_mib() - before < 500  # the smallest of them would take 14 GB; what stays are TensorFlow's graphs


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("wavenet", "n_layers", 10**9),
        ("wavenet", "mel_matching_passes", 10**9),
        ("image", "size_px", 2**30),
        ("time", "video_fps", 10**9),
        ("time", "sample_rate_hz", 10**12),
        ("acoustic", "fft_length", 2**40),
        ("face", "crop_px", 10**7),
        ("conversion", "fusion_channels", [2] * 100_00),
        ("conversion", "kernel_size", 10**9 + 1),
        ("time", "hop_ms", float("nan")),
        ("acoustic", "window_ms", float("nan")),
        ("image", "steady_head_seconds", float("inf")),
    ],
)
def test_settings_without_measure(run: Path, seal_anew: Seal, section: str, key: str, value: object) -> None:
    for network in ("conversion", "wavenet", "image"):
        edit(config_path(run, network), lambda tree: tree[section].update({key: value}))
    with pytest.raises(BundleError, match=r"conversion/config.yaml: "):
        load_bundle(seal_anew(run))


def test_the_abstract_network_has_the_size_of_the_real_one(small: Small, complete: Path) -> None:
    config = small()
    built = build_conversion_net(config)
    n_bytes = sum(4 * int(np.prod(v.shape)) for v in built.variables)
    abstract = abstract_bytes(lambda: build_conversion_net(config), Path("config.yaml"))
    assert abs(abstract - n_bytes) <= 256  # seeds of dropout and noise are held in 8 bytes
    check_weights(
        weights_path(complete, "conversion"), lambda: build_conversion_net(config), settings=Path("config.yaml")
    )


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_settings_never_surprise(complete: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Whatever one value becomes, the settings load or are refused in words."""
    tree = yaml.safe_load(config_path(complete, "wavenet").read_text(encoding="utf-8"))
    section = data.draw(st.sampled_from([name for name, value in tree.items() if isinstance(value, dict)]))
    key = data.draw(st.sampled_from(sorted(tree[section])))
    numbers = st.integers(-(2**70), 2**70) | st.floats() | st.booleans()
    tree[section][key] = data.draw(numbers | st.text(max_size=5) | st.none() | st.lists(numbers, max_size=4))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        load_saved_config(path)
    except ConfigError as error:
        assert str(path) in str(error)
