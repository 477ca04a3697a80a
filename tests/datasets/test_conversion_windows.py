"""Windows: whole, aligned between modalities and speakers, by (seed, epoch), every pair in its share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avsc_tf.config import Config, load_config
from avsc_tf.datasets.conversion import batches_per_epoch, plan_windows, windows
from avsc_tf.errors import RecordError

LENGTHS = (31, 12, 20, 57)  # the second is shorter than the window of 20
OVERRIDES = ["acoustic.n_mels=3", "face.n_vgg=4", "conversion.window_seconds=0.8", "conversion.batch_size=2"]
WINDOW = 20


@dataclass(eq=False)
class NumberedRecords:
    """In place of an opened folder: every value of a pair says where it is from (pair, frame, speaker)."""

    config: Config
    lengths: tuple[int, ...] = LENGTHS
    folder: Path = Path("numbered")
    n_reads: int = field(default=0)

    @property
    def manifest(self):
        return SimpleNamespace(shard=lambda name: SimpleNamespace(video_frames=self.lengths))

    def n_pairs(self, split: str) -> int:
        return len(self.lengths)

    def pairs(self, split: str):
        self.n_reads += 1
        for pair, n in enumerate(self.lengths):
            mel = 1000.0 * pair + np.arange(8 * n) / 8
            facial = 1000.0 * pair + np.arange(n)
            yield {
                "source_mel": np.repeat(mel[:, None], 3, axis=1).astype(np.float32),
                "target_mel": np.repeat(-mel[:, None], 3, axis=1).astype(np.float32),
                "source_facial": np.repeat(facial[:, None] % 1000, 144, axis=1).astype(np.float16),
                "target_facial": np.repeat(-(facial[:, None] % 1000), 144, axis=1).astype(np.float16),
            }


@pytest.fixture
def records(root) -> NumberedRecords:
    return NumberedRecords(load_config(root / "configs" / "demo.yaml", OVERRIDES))


def epoch_of(records: NumberedRecords, epoch: int, seed: int = 5) -> list:
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


def test_records_are_decoded_once(records):
    for epoch in range(3):
        epoch_of(records, epoch)
    assert records.n_reads == 1


def test_every_pair_has_its_share_and_every_place_is_reached():
    lengths = np.array([31, 20, 20, 57])
    starts = np.concatenate([plan_windows(lengths, 20, n_windows=6, epoch=e, seed=1) for e in range(4000)])
    borders = np.array([0, 31, 51, 71, 128])
    pair = np.searchsorted(borders, starts, side="right") - 1
    share = np.bincount(pair) / len(pair)
    np.testing.assert_allclose(share, lengths / 128, atol=0.01)  # 24000 draws: standard deviation below 0.003
    inside = starts - borders[pair]
    for k, length in enumerate(lengths):
        assert set(inside[pair == k]) == set(range(length - 20 + 1))


def test_each_epoch_takes_long_pairs_more_often():
    lengths = np.array([100, 20])
    for epoch in range(50):
        starts = plan_windows(lengths, 20, n_windows=6, epoch=epoch, seed=0)
        assert (starts < 100).sum() == 5  # systematic sampling: exactly 5 and 1, not so on average


def test_split_without_pairs_is_said(records):
    records.lengths = ()
    with pytest.raises(RecordError, match="numbered: no pair in split 'test'"):
        windows(records, "test", records.config, epoch=0, seed=0)
