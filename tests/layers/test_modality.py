"""Streams that go missing: how often, never both, the same after a restart; and how a missing one is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avsc_tf.layers.modality import ModalityDropout, Presence


def streams(batch: int) -> list[np.ndarray]:
    return [np.ones((batch, 6, 3), np.float32), np.full((batch, 2, 5), 2.0, np.float32)]


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_each_stream_is_lost_at_the_rate_and_never_both(rate):
    first, second = (np.asarray(x) for x in ModalityDropout(rate, seed=3)(streams(4000), training=True))
    lost = [~x.reshape(len(x), -1).any(axis=1) for x in (first, second)]
    assert not (lost[0] & lost[1]).any()
    for one in lost:
        assert one.mean() == pytest.approx(rate, abs=0.032)  # four deviations of 4,000 throws at most
    assert (first[~lost[0]] == 1).all() and (second[~lost[1]] == 2).all()  # whole examples, nothing scaled
    if rate == 0.5:
        assert (lost[0] | lost[1]).all()


def test_conversion_loses_nothing():
    given = streams(50)
    for kept, x in zip(ModalityDropout(0.5, seed=3)(given, training=False), given, strict=True):
        np.testing.assert_array_equal(kept, x)


def test_the_seed_state_decides_what_comes_next():
    layer, other = ModalityDropout(0.3, seed=3), ModalityDropout(0.3, seed=4)
    layer(streams(20), training=True)
    for mine, theirs in zip(layer.variables, other.variables, strict=True):
        theirs.assign(mine)
    ours, again = (np.asarray(one(streams(200), training=True)[0]) for one in (layer, other))
    np.testing.assert_array_equal(ours, again)
    assert 0 < ours.mean() < 1


def test_a_stream_is_there_where_anything_of_it_is_not_zero():
    x = np.zeros((3, 4, 2), np.float32)
    x[1, 3, 1], x[2] = -1e-6, 5.0
    np.testing.assert_array_equal(Presence()(x), np.array([0, 1, 1], np.float32).reshape(3, 1, 1))


def test_round_trip(tmp_path):
    a, b = keras.Input((None, 3)), keras.Input((None, 5))
    kept = ModalityDropout(0.2)([a, b])
    model = keras.Model([a, b], [*kept, Presence()(kept[0])])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.layers[2].rate == 0.2
    for ours, theirs in zip(model(streams(2)), again(streams(2)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
