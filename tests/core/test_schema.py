"""The tables of stored features: unique names, known types, no symbol without a meaning."""

from __future__ import annotations

import pytest

from avsc_tf.core import schema

SYMBOLS = {"video", "mel", "samples", "steps", "n_mels", "n_vgg", "n_keypoints", "n_facial"}


@pytest.mark.parametrize("table", [schema.CLIP, schema.PAIR], ids=["clip", "pair"])
def test_table(table: tuple[schema.Feature, ...]) -> None:
    names = [feature.name for feature in table]
    assert len(set(names)) == len(names)
    for feature in table:
        assert feature.dtype in {"str", "bytes", "float16", "float32", "int16", "int32"}
        assert feature.unit and feature.meaning
        assert {s for s in feature.shape if isinstance(s, str)} <= SYMBOLS


def test_pairs_and_clips_share_their_labels() -> None:
    assert set(schema.LABELS) <= set(schema.CLIP)
    assert set(schema.LABELS) <= set(schema.PAIR)
