"""Windows: whole, aligned between modalities and speakers, by (seed, epoch), every pair in its share."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.core.errors import RecordError
from avsc_tf.datasets.conversion import batches_per_epoch, plan_windows, windows

LENGTHS = (31, 12, 20, 57)  # the second is shorter than the window of 20
WINDOW = 20


@pytest.fixture(scope="module")
def records(make_records):
    found = make_records(LENGTHS)
    assert len(found.manifest.shards_of("pairs-train")) == 3  # of at least 0.02 MiB
    return found


def epoch_of(records, epoch: int, seed: int = 5) -> list:
    return list(windows(records, "train", records.config, epoch=epoch, seed=seed).as_numpy_iterator())


def test_batches_have_the_networks_shapes(records):
    batches = epoch_of(records, 0)
    assert len(batches) == batches_per_epoch(records, "train", records.config) == 3  # 128 frames, 6.4 windows of 20
    for sides in batches:
        for side in sides:
            assert side["mel"].shape == (2, 8 * WINDOW, 3)
            assert side["facial"].shape == (2, WINDOW, 144)
            assert side["mel"].dtype == side["facial"].dtype == np.float32


def test_windows_are_whole_and_their_parts_belong_together(records):
    for epoch in range(5):
        for inputs, outputs in epoch_of(records, epoch):
            np.testing.assert_array_equal(inputs["mel"], -outputs["mel"])
            np.testing.assert_array_equal(inputs["facial"], -outputs["facial"])
            for mel, facial in zip(inputs["mel"][..., 0], inputs["facial"][..., 0], strict=True):
                pair, first = divmod(mel[0], 1000)
                n = LENGTHS[int(pair)]
                frames = np.minimum(first + np.arange(WINDOW), n - 1)  # a short pair repeats its last frame
                np.testing.assert_array_equal(facial, frames)
                np.testing.assert_array_equal(mel, 1000 * pair + np.minimum(first + np.arange(160) / 8, n - 1 / 8))


def test_same_seed_and_epoch_give_the_same_batches(records):
    first, again, next_epoch, other_seed = (epoch_of(records, *args) for args in ((3,), (3,), (4,), (3, 6)))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a[0]["mel"], b[0]["mel"])
    for other in (next_epoch, other_seed):
        assert any(not np.array_equal(a[0]["mel"], b[0]["mel"]) for a, b in zip(first, other, strict=True))


def test_held_records_are_decoded_once(make_records):
    records = make_records(LENGTHS)
    first = epoch_of(records, 1)
    for path in records.folder.glob("*.tfrecord"):
        path.unlink()
    for a, b in zip(first, epoch_of(records, 1), strict=True):
        np.testing.assert_array_equal(a[1]["facial"], b[1]["facial"])


def test_every_pair_has_its_share_and_every_place_is_reached():
    lengths = np.array([31, 20, 20, 57])
    plan = np.concatenate([plan_windows(lengths, 20, n_windows=6, epoch=e, seed=1) for e in range(4000)])
    share = np.bincount(plan[:, 0]) / len(plan)
    np.testing.assert_allclose(share, lengths / 128, atol=0.01)  # 24000 draws: standard deviation below 0.003
    for k, length in enumerate(lengths):
        assert set(plan[plan[:, 0] == k, 1]) == set(range(length - 20 + 1))


def test_each_epoch_takes_long_pairs_more_often():
    lengths = np.array([100, 20])
    for epoch in range(50):
        plan = plan_windows(lengths, 20, n_windows=6, epoch=epoch, seed=0)
        assert (plan[:, 0] == 0).sum() == 5  # systematic sampling: exactly 5 and 1, not so on average


def test_order_is_shuffled_over_all_pairs():
    lengths = np.full(40, 50)
    first, other = (plan_windows(lengths, 50, n_windows=40, epoch=e, seed=0)[:, 0] for e in (0, 1))
    assert sorted(first) == sorted(other) == list(range(40))  # windows as long as the pairs: each pair once
    assert (first != other).any()
    # Neighbours in the corpus stay neighbours by chance only: about 2 of 39, more than 8 hardly ever.
    assert (np.diff(first) == 1).sum() <= 8


def test_split_without_pairs_is_said(records):
    with pytest.raises(RecordError, match="no pair in split 'test'"):
        windows(records, "test", records.config, epoch=0, seed=0)
