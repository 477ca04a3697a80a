"""Tiny runs with random weights and statistics, their exports, and utterances for them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.conversion.loading import load_bundle
from avsc_tf.core.config import Config, load_config, save_config
from avsc_tf.core.consent import Consent, write_consent
from avsc_tf.core.digests import seal
from avsc_tf.core.runs import NETWORKS, config_path, consent_path, statistics_path, weights_path
from avsc_tf.export import export_bundle
from avsc_tf.features.partial_clip import PartialClip
from avsc_tf.features.statistics import Statistics

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "face.n_vgg=9",
    "conversion.audio_down_channels=[4, 5, 6]",
    "conversion.facial_down_channels=[7]",
    "conversion.fusion_channels=[8]",
    "conversion.audio_up_channels=[6, 5, 4]",
    "conversion.facial_up_channels=[10]",
    "conversion.linear_path_rank=3",
    "image.size_px=16",
    "image.dense_units=[11]",
    "image.generator_channels=[3, 4, 3, 4, 3, 4, 3]",
    "image.path_components=2",
    "image.path_units=5",
    "image.steady_head_seconds=0.08",
    "image.steady_face_seconds=0.04",
    "wavenet.n_layers=4",
    "wavenet.dilation_cycle=3",
    "wavenet.n_classes=32",
    "wavenet.residual_channels=6",
    "wavenet.skip_channels=12",
    "wavenet.post_channels=14",
    "wavenet.condition_channels=13",
    "wavenet.mel_matching_passes=1",
)
CONSENT = Consent(who="Mary Example", what_for=("tests",))


@dataclass
class Served:
    """A run, loaded and exported."""

    run: Path
    bundle: Bundle
    out: Path
    exported: Any

    @cached_property
    def loaded(self) -> dict[str, Any]:
        """The SavedModels, by name."""
        import tensorflow as tf

        return {name: tf.saved_model.load(str(folder)) for name, folder in self.exported.folders.items()}

    def signature(self, model: str, name: str = "serving_default") -> Callable[..., dict[str, np.ndarray]]:
        """A signature of the SavedModel, of arrays."""
        import tensorflow as tf

        function = self.loaded[model].signatures[name]

        def call(**arrays: np.ndarray) -> dict[str, np.ndarray]:
            return {k: v.numpy() for k, v in function(**{k: tf.constant(v) for k, v in arrays.items()}).items()}

        return call


def tiny(*overrides: str) -> Config:
    return load_config(ROOT / "configs" / "demo.yaml", [*TINY, *overrides])


def write_run(config: Config, run: Path, networks: Sequence[str] = NETWORKS, *, consent: Consent = CONSENT) -> Path:
    """A run folder as training leaves it, its weights and statistics drawn at random."""
    import keras

    from avsc_tf.models.conversion_net import build_conversion_net
    from avsc_tf.models.image_generator import build_image_generator
    from avsc_tf.models.wavenet import build_wavenet
    from avsc_tf.training.engine.checkpoints import save_weights

    rng = np.random.default_rng(20181030)
    statistics = random_statistics(config, rng)
    statistics.save(statistics_path(run))
    builders = {"conversion": build_conversion_net, "wavenet": build_wavenet, "image": build_image_generator}
    keras.utils.set_random_seed(8)
    for network in networks:
        model = builders[network](config)
        for weight in model.weights:
            if weight.dtype == "float32" and not {"mel_normalisation", "path_warp"} & set(weight.path.split("/")):
                shape = weight.shape
                scale = min(0.3, 1.0 / np.sqrt(np.prod(shape[:-1]))) if len(shape) > 1 else 0.1
                centre = 1.0 if weight.name in ("gamma", "moving_variance") else 0.0
                weight.assign(
                    centre + scale * np.abs(rng.normal(size=shape)) * rng.choice([1, centre * 2 - 1], size=shape)
                )
        if network == "wavenet":
            model.mel_normalisation.set_run_statistics(*statistics.get("target", "mel"))
            model.mel_normalisation.set_statistics(np.full(80, -5.0), np.full(80, 2.0))
        save_weights(model, weights_path(run, network))
        save_config(config, config_path(run, network))
    write_consent(consent_path(run), consent)
    seal(run)
    return run


def random_statistics(config: Config, rng: np.random.Generator) -> Statistics:
    """Of two people: faces of some 100 pixels, mels of some -5."""

    def moments() -> dict[str, tuple[np.ndarray, np.ndarray]]:
        face = rng.uniform(60, 190, 2 * config.face.n_keypoints)
        pairs = {
            "mel": (rng.normal(-5, 1, config.acoustic.n_mels), rng.uniform(1, 2, config.acoustic.n_mels)),
            "vgg": (rng.uniform(0, 2, config.face.n_vgg), rng.uniform(0.1, 1, config.face.n_vgg)),
            "keypoints": (face, rng.uniform(1, 3, len(face))),
        }
        return {name: (mean.astype(np.float32), std.astype(np.float32)) for name, (mean, std) in pairs.items()}

    return Statistics({"source": moments(), "target": moments()})


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Served]:
    """`serve(*overrides, networks=...)`: a run of such settings, exported."""

    def make(*overrides: str, networks: Sequence[str] = NETWORKS, **options: Any) -> Served:
        folder = tmp_path_factory.mktemp("served")
        run = write_run(tiny(*overrides), folder / "run", networks)
        exported = export_bundle(run, folder / "out", **options)
        vocoders = ["wavenet"] if "wavenet" in networks else ["griffin-lim"]
        bundle = load_bundle(run, vocoders=vocoders, pictures="image" in networks)
        return Served(run, bundle, folder / "out", exported)

    return make


@pytest.fixture(scope="session")
def joint(serve: Callable[..., Served]) -> Served:
    """Everything that the demo's networks have."""
    return serve()


@pytest.fixture(scope="session")
def same() -> ModuleType:
    """`references.py`"""
    spec = importlib.util.spec_from_file_location("export_references", Path(__file__).with_name("references.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_clips(same: ModuleType) -> Callable[..., list[PartialClip]]:
    return same.clips


@pytest.fixture(scope="session")
def make_batch(same: ModuleType) -> Callable[..., dict[str, np.ndarray]]:
    return same.batch


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`make_run(folder, *overrides, networks=..., consent=...)`"""
    return lambda folder, *overrides, networks=NETWORKS, consent=CONSENT: write_run(
        tiny(*overrides), folder, networks, consent=consent
    )
