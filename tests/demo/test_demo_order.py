"""The demo's WaveNet waits for the conversion network where it is trained on converted features."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsc_tf.core.config import load_config
from avsc_tf.demo.run import DemoFolders, demo_stages

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("features", ["natural", "converted", "mixed"])
def test_wavenet_comes_after_what_it_hears(features, tmp_path):
    config = load_config(ROOT / "configs" / "demo.yaml", [f"wavenet.train_features={features}"])
    stages = demo_stages(config, DemoFolders(tmp_path))
    names = [stage.name for stage in stages]
    assert all(names.index(before) < names.index(stage.name) for stage in stages for before in stage.after)
    wavenet = stages[names.index("train wavenet")]
    assert ("train conversion" in wavenet.after) == (features != "natural")
    assert stages[names.index("train image")].after == ("prepare",)
