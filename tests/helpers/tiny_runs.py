"""A whole bundle of tiny networks with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avsc_tf.core.config import Config, load_config, save_config
from avsc_tf.core.consent import Consent, write_consent
from avsc_tf.core.digests import seal
from avsc_tf.core.runs import NETWORKS, config_path, consent_path, digests_path, statistics_path, weights_path
from avsc_tf.features.statistics import Statistics

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "conversion.audio_down_channels=[4, 5, 6]",
    "conversion.facial_down_channels=[7]",
    "conversion.fusion_channels=[8]",
    "conversion.audio_up_channels=[6, 5, 4]",
    "conversion.facial_up_channels=[9]",
    "conversion.linear_path=false",
    "conversion.modality_dropout=0",
    "image.size_px=16",
    "image.dense_units=[10]",
    "image.generator_channels=[3, 3, 3, 3, 3, 3, 3]",
    "wavenet.n_layers=3",
    "wavenet.n_classes=16",
    "wavenet.pitch_input=none",
    "wavenet.facial_channels=2",
)


def tiny_config(*overrides: str) -> Config:
    """The demo's settings with networks of a few units."""
    return load_config(ROOT / "configs" / "demo.yaml", [*TINY, *overrides])


def write_bundle(config: Config, run: Path, networks: Sequence[str] = NETWORKS) -> Path:
    """The run folder of trained networks, and what lies beside them."""
    from avsc_tf.models.conversion_net import build_conversion_net
    from avsc_tf.models.image_generator import build_image_generator
    from avsc_tf.models.wavenet import build_wavenet
    from avsc_tf.training.engine.checkpoints import save_weights

    builders = {"conversion": build_conversion_net, "wavenet": build_wavenet, "image": build_image_generator}
    for network in networks:
        save_weights(builders[network](config), weights_path(run, network))
        save_config(config, config_path(run, network))
    sizes = {"mel": 80, "vgg": 4096, "keypoints": 140}
    moments = {name: (np.zeros(n, np.float32), np.ones(n, np.float32)) for name, n in sizes.items()}
    Statistics({"source": moments, "target": moments}).save(statistics_path(run))
    write_consent(consent_path(run), Consent(who="Mary Example", what_for=("tests",)))
    return sealed(run)


def sealed(run: Path) -> Path:
    """As if all that lies there had been trained so."""
    digests_path(run).unlink(missing_ok=True)
    seal(run)
    return run
