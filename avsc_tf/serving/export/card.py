"""The model card of a served model, in Markdown."""

from __future__ import annotations

from pathlib import Path

from avsc_tf.conversion.converter import Converter
from avsc_tf.serving.export.models import ServedModel


def model_card(model: ServedModel, converter: Converter, run: Path, digests: dict[str, str]) -> str:
    return ""
