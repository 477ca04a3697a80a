"""Windows of aligned pairs for the conversion network (paper section 3.1: windows of 2 s)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from avsc_tf.config import Config
from avsc_tf.errors import RecordError
from avsc_tf.records.reader import Records, pair_shard_name
from avsc_tf.timebase import Timebase


@dataclass(frozen=True, eq=False)
class PairFrames:
    """All pairs of a split end to end, each at least one window long (the facial part in float16, as stored)."""

    mel: dict[str, Any]  # speaker -> float32 tensor [mel_per_video * N, n_mels]
    facial: dict[str, Any]  # speaker -> float16 tensor [N, n_facial]
    lengths: np.ndarray  # video frames of each pair


def windows(records: Records, split: str, config: Config, *, epoch: int, seed: int) -> Any:
    """One epoch of random windows, each whole, in batches of `conversion.batch_size`.

    An epoch has about as many windows as fit into the recordings side by side, and every pair gets its share of them.
    Pairs shorter than a window are lengthened by their last frame. The same (seed, epoch) gives the same batches.

    Returns:
        tf.data of (inputs, outputs), both {"mel": [B, mel_per_video * w, n_mels], "facial": [B, w, n_facial]} float32,
        standardised, where w is the window in video frames.

    Raises:
        RecordError: the split holds no pair.
    """
    import tensorflow as tf

    frames, window = load_pairs(records, split), window_frames(config)
    per = Timebase.from_config(config.time).mel_per_video
    n_windows = batches_per_epoch(records, split, config) * config.conversion.batch_size
    starts = plan_windows(frames.lengths, window, n_windows=n_windows, epoch=epoch, seed=seed)

    def window_at(start: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        sides = [
            {
                "mel": frames.mel[speaker][start * per : (start + window) * per],
                "facial": tf.cast(frames.facial[speaker][start : start + window], tf.float32),
            }
            for speaker in ("source", "target")
        ]
        for side in sides:
            side["mel"] = tf.ensure_shape(side["mel"], [window * per, config.acoustic.n_mels])
            side["facial"] = tf.ensure_shape(side["facial"], [window, config.face.n_facial])
        return sides[0], sides[1]

    return (
        tf.data.Dataset.from_tensor_slices(starts)
        .map(window_at, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.conversion.batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def window_frames(config: Config) -> int:
    """Video frames of a window."""
    return round(config.conversion.window_seconds * config.time.video_fps)


def batches_per_epoch(records: Records, split: str, config: Config) -> int:
    """Batches that `windows` gives: about the recordings' length in windows, at least one."""
    lengths = records.manifest.shard(pair_shard_name(split)).video_frames
    n_windows = sum(max(length, window_frames(config)) for length in lengths) / window_frames(config)
    return max(1, round(n_windows / config.conversion.batch_size))


def plan_windows(lengths: np.ndarray, window: int, *, n_windows: int, epoch: int, seed: int) -> np.ndarray:
    """First frames of an epoch's windows in the pairs laid end to end, shuffled: int64 [n_windows].

    Each pair has the whole number of windows next to its share of the frames, up or down by chance (systematic
    sampling); the place inside the pair is uniform.

    Args:
        lengths: video frames of each pair, none below `window`.
    """
    rng = np.random.default_rng([seed, epoch])
    ends = np.cumsum(lengths)
    places = (np.arange(n_windows) + rng.random()) * (ends[-1] / n_windows)
    pair = np.searchsorted(ends, places, side="right").clip(max=len(lengths) - 1)
    starts = ends[pair] - lengths[pair] + rng.integers(0, lengths[pair] - window + 1)
    return rng.permutation(starts).astype(np.int64)


@lru_cache(maxsize=2)
def load_pairs(records: Records, split: str) -> PairFrames:
    """Decode a split's pairs into memory, once (the paper's 630 pairs: about 1 GB).

    Raises:
        RecordError: the split holds no pair.
    """
    import tensorflow as tf

    if records.n_pairs(split) == 0:
        raise RecordError(f"{records.folder}: no pair in split {split!r}. Prepare more clips, or name their splits.")
    window = window_frames(records.config)
    window_mels = window * Timebase.from_config(records.config.time).mel_per_video
    parts: dict[str, list[np.ndarray]] = {}
    lengths = []
    for pair in records.pairs(split):
        lengths.append(max(window, len(pair["source_facial"])))
        for speaker in ("source", "target"):
            for feature, least in (("mel", window_mels), ("facial", window)):
                name = f"{speaker}_{feature}"
                parts.setdefault(name, []).append(lengthen(pair[name], least))
    with tf.device("CPU"):
        tensors = {name: tf.constant(np.concatenate(parts.pop(name))) for name in list(parts)}
    return PairFrames(
        mel={speaker: tensors[f"{speaker}_mel"] for speaker in ("source", "target")},
        facial={speaker: tensors[f"{speaker}_facial"] for speaker in ("source", "target")},
        lengths=np.array(lengths),
    )


def lengthen(x: np.ndarray, least: int) -> np.ndarray:
    """Repeat the last row of `x` [n, d] until there are `least`."""
    missing = max(0, least - len(x))
    return np.pad(x, ((0, missing), (0, 0)), mode="edge") if missing else x
