"""Windows of aligned pairs for the conversion network (paper section 3.1: windows of 2 s)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.core.schema import PAIR
from avsc_tf.corpus.reader import Records, choose, pair_stem
from avsc_tf.datasets.batches import WHOLE, Share, batches
from avsc_tf.datasets.rows import Rows, open_rows

NAMES = ("source_mel", "source_facial", "target_mel", "target_facial")


def windows(
    records: Records,
    split: str,
    config: Config,
    *,
    epoch: int,
    seed: int,
    start_batch: int = 0,
    share: Share = WHOLE,
) -> Any:
    """One epoch of random windows, each whole, in batches of `conversion.batch_size`.

    An epoch has about as many windows as fit into the recordings side by side, and every pair gets its share of them.
    Pairs shorter than a window are lengthened by their last frame. The same (seed, epoch) gives the same batches,
    whether the split is held in memory or streamed (`records.memory_mb`); `start_batch` goes on at any of them, and
    `share` gives a part of each.

    Returns:
        tf.data of (inputs, outputs), both {"mel": [B, mel_per_video * w, n_mels], "facial": [B, w, n_facial]} float32,
        standardised, where w is the window in video frames.

    Raises:
        RecordError: the split holds no pair, or one is damaged (while it is read: see `batches.named_read_errors`).
    """
    import tensorflow as tf

    window, batch_size = window_frames(config), config.conversion.batch_size
    per = config.timebase.mel_per_video
    rows = open_pairs(records, split, config)
    n_batches = batches_per_epoch(records, split, config)
    lengths = np.maximum(rows.lengths, window)
    plan = plan_windows(lengths, window, n_windows=n_batches * batch_size, epoch=epoch, seed=seed)
    plan = plan.reshape(n_batches, batch_size, 2)

    def read(batch: int, chosen: slice) -> list[np.ndarray]:
        parts = [read_window(rows, int(pair), int(first), window) for pair, first in plan[batch, chosen]]
        return [np.stack([lengthen(p[n], window * (per if n.endswith("mel") else 1)) for p in parts]) for n in NAMES]

    def finish(*arrays: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        source_mel, source_facial, target_mel, target_facial = (tf.cast(array, tf.float32) for array in arrays)
        return {"mel": source_mel, "facial": source_facial}, {"mel": target_mel, "facial": target_facial}

    mel = tf.TensorSpec([batch_size, window * per, config.acoustic.n_mels], tf.float32)
    facial = tf.TensorSpec([batch_size, window, config.face.n_facial], tf.float16)
    return batches(read, [mel, facial] * 2, n_batches=n_batches, start_batch=start_batch, share=share, finish=finish)


def open_pairs(records: Records, split: str, config: Config) -> Rows:
    """The features of a split's pairs. Raises RecordError where it holds none."""
    if records.n_pairs(split) == 0:
        raise RecordError(f"{records.folder}: no pair in split {split!r}. Prepare more clips, or name their splits.")
    return open_rows(records, pair_stem(split), choose(PAIR, NAMES), memory_mb=config.records.memory_mb)


def read_window(rows: Rows, pair: int, first: int, window: int) -> dict[str, Any]:
    """The frames of a pair from `first` on: `window` of them, or as many as there are."""
    return rows.read(pair, first, min(window, int(rows.lengths[pair]) - first))


def window_frames(config: Config) -> int:
    """Video frames of a window."""
    return round(config.conversion.window_seconds * config.time.video_fps)


def batches_per_epoch(records: Records, split: str, config: Config) -> int:
    """Batches that `windows` gives: about the recordings' length in windows, at least one."""
    lengths = records.manifest.video_frames_of(pair_stem(split))
    n_windows = sum(max(length, window_frames(config)) for length in lengths) / window_frames(config)
    return max(1, round(n_windows / config.conversion.batch_size))


def plan_windows(
    lengths: NDArray[np.int64], window: int, *, n_windows: int, epoch: int, seed: int
) -> NDArray[np.int64]:
    """An epoch's windows over all pairs, shuffled: int64 [n_windows, 2], the pair and the window's first frame in it.

    Each pair has the whole number of windows next to its share of the frames, up or down by chance (systematic
    sampling); the place inside the pair is uniform. Nothing but (seed, epoch) decides, so any batch can be made again.

    Args:
        lengths: video frames of each pair, none below `window`.
    """
    rng = np.random.default_rng([seed, epoch])
    ends = np.cumsum(lengths)
    places = (np.arange(n_windows) + rng.random()) * (ends[-1] / n_windows)
    pair = np.searchsorted(ends, places, side="right").clip(max=len(lengths) - 1)
    first = rng.integers(0, lengths[pair] - window + 1)
    return np.stack([pair, first], axis=1).astype(np.int64)[rng.permutation(n_windows)]


def lengthen(x: NDArray[Any], least: int) -> NDArray[Any]:
    """Repeat the last row of `x` [n, d] until there are `least`."""
    missing = max(0, least - len(x))
    return np.pad(x, ((0, missing), (0, 0)), mode="edge") if missing else x
