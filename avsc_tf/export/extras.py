"""What travels with a served model in `assets.extra`: model card, settings, digests, requests to warm up with."""

from __future__ import annotations

import json
from pathlib import Path

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.core.config import save_config
from avsc_tf.core.consent import write_consent
from avsc_tf.core.digests import read_digests
from avsc_tf.core.runs import CONFIG_NAME, consent_path
from avsc_tf.export.card import model_card
from avsc_tf.export.models import ServedModel
from avsc_tf.export.signatures import sizes_of
from avsc_tf.export.warmup import write_warmup

EXTRA_NAME = "assets.extra"
CARD_NAME = "MODEL_CARD.md"
SIGNATURES_NAME = "signatures.json"
DIGESTS_NAME = "bundle_digests.json"


def write_extras(folder: Path, model: ServedModel, bundle: Bundle, run: Path, *, warmup: bool) -> str:
    """Write them; returns a note where warm-up requests were wanted and could not be made."""
    extra = folder / EXTRA_NAME
    extra.mkdir()
    digests, origin = read_digests(run), bundle.origin
    (extra / CARD_NAME).write_text(model_card(model, bundle, run, digests), encoding="utf-8")
    save_config(bundle.config, extra / CONFIG_NAME)
    for consent in origin.consents:
        write_consent(consent_path(extra), consent)
    of_bundle = {"bundle": origin.bundle_digest, "files": digests}
    (extra / DIGESTS_NAME).write_text(json.dumps(of_bundle, indent=2) + "\n", encoding="utf-8")
    (extra / SIGNATURES_NAME).write_text(
        json.dumps(described(model, sizes_of(bundle.config)), indent=2) + "\n", encoding="utf-8"
    )
    return write_warmup(extra, model, bundle) if warmup else ""


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
