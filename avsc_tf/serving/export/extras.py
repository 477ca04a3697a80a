"""What travels with a served model in `assets.extra`: model card, settings, digests, requests to warm up with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from avsc_tf.config import save_config
from avsc_tf.conversion.converter import Converter
from avsc_tf.runs import NETWORKS, config_path, statistics_path, weights_path
from avsc_tf.serving.export.card import model_card
from avsc_tf.serving.export.models import ServedModel
from avsc_tf.serving.export.signatures import sizes_of
from avsc_tf.serving.export.warmup import write_warmup

EXTRA_NAME = "assets.extra"
CARD_NAME = "MODEL_CARD.md"
SIGNATURES_NAME = "signatures.json"
DIGESTS_NAME = "bundle_digests.json"


def write_extras(folder: Path, model: ServedModel, converter: Converter, run: Path, *, warmup: bool) -> str:
    """Write them; returns a note where warm-up requests were wanted and could not be made."""
    extra = folder / EXTRA_NAME
    extra.mkdir()
    digests = bundle_digests(run)
    (extra / CARD_NAME).write_text(model_card(model, converter, run, digests, consent_of(run)))
    save_config(converter.config, extra / "config.yaml")
    (extra / DIGESTS_NAME).write_text(json.dumps(digests, indent=2) + "\n")
    (extra / SIGNATURES_NAME).write_text(json.dumps(described(model, sizes_of(converter.config)), indent=2) + "\n")
    return write_warmup(extra, model, converter) if warmup else ""


def consent_of(run: Path) -> str:
    """One line."""
    path = run / "consent.yaml"
    return path.read_text() if path.is_file() else "The run folder holds no consent record."


def bundle_digests(run: Path) -> dict[str, str]:
    """SHA-256 of the files of a run that a conversion reads, by their place in it."""
    files = [path(run, network) for network in NETWORKS for path in (config_path, weights_path)]
    there = [path for path in (statistics_path(run), *files) if path.is_file()]
    return {str(path.relative_to(run)): _digest(path) for path in there}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(model: ServedModel, sizes: dict[str, int]) -> dict[str, object]:
    """The signatures as data: names, types, shapes, units, meanings."""

    def tensors(features) -> list[dict[str, object]]:
        return [
            {
                "name": f.name,
                "dtype": f.dtype,
                "shape": [sizes.get(axis, axis) if isinstance(axis, str) else axis for axis in f.shape],
                "unit": f.unit,
                "meaning": f.meaning,
            }
            for f in features
        ]

    return {
        function.signature.name: {
            "meaning": function.signature.meaning,
            "inputs": tensors(function.signature.inputs),
            "outputs": tensors(function.signature.outputs),
        }
        for function in model.functions
    }
