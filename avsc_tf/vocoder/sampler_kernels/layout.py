"""What the kernel is given: the network's sizes, its weights and the memory of the lanes, as named tuples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHANNEL_STEP = 16  # channel counts are filled up to a multiple of it with zeros: whole vectors, whatever their width
FEATURE_STEP = 4  # rows of the input projection, likewise
ALIGNMENT_BYTES = 64
LARGE_PAGE_BYTES = 1 << 21
NUMPY_LARGE_BYTES = 1 << 22  # from there on NumPy asks the system for large pages
SMALL_BYTES = 1 << 16


class Sizes(NamedTuple):
    """Channel counts are filled up, see `CHANNEL_STEP`; whole numbers, some of them yes or no."""

    n_layers: int
    channels: int  # of the residual path; gates have twice as many
    skip: int
    post: int
    raw: int  # outputs of the last product
    features: int  # inputs a sample, see `layers.sample_inputs`
    n_classes: int
    n_mixtures: int  # 0: softmax
    n_parameters: int  # used of `raw`
    order: int  # of the linear prediction; 0: none
    has_linear: int
    has_lag: int
    history: int  # past samples remembered; a power of two
    hop_samples: int
    n_lanes: int  # at most


class Weights(NamedTuple):
    words: np.ndarray  # float32, or bfloat16 pairs as int32 or uint32 (see `tiles`), in the order of their use
    inputs: Floats  # the input projection
    biases: Floats  # of the input, of each layer's residual, of skip, post and logits
    dilations: NDArray[np.int64]
    companded: Floats  # [classes], value of each
    expanded: Floats  # [classes], linear value times LINEAR_SCALE
    offsets: NDArray[np.int64]  # of the lag taps


class Memory(NamedTuple):
    """Of all lanes; what a following call goes on from is in `rings`, the histories and the clocks."""

    floats: Floats  # channels on their way through the network
    pairs: NDArray[np.int32]  # the same rounded to bfloat16, for the dot product
    sums: Floats  # [blocks of classes]
    rings: Floats  # [sum of dilations, lanes, channels] past inputs of the layers; half as large in bfloat16
    past_companded: Floats  # [lanes, history + 1]; the last is what stands before the first sample
    past_expanded: Floats
    past_signal: Floats  # linear
    past_residual: Floats
    predicted: Floats  # [lanes, 2]: the sample's linear prediction, linear and companded
    clock: NDArray[np.int64]  # [1], samples made since the rings were new
    ages: NDArray[np.int64]  # [lanes], samples made of the lane's utterance


class Block(NamedTuple):
    """Some frames of the utterances in the lanes."""

    condition: Floats  # [lanes, frames, layers, 2 * channels]
    lag: NDArray[np.int32]  # [lanes, samples]
    coefficients: Floats  # [lanes, frames, order]
    temperature: Floats  # [lanes, frames]
    uniform: Floats  # [lanes, samples]
    classes: NDArray[np.int32]  # [lanes, samples], written, or only read when forced
    logits: Floats  # [lanes, samples, classes], or empty


def filled_up(count: int, step: int = CHANNEL_STEP) -> int:
    """To the next multiple."""
    return -(-count // step) * step


def aligned_zeros(count: int, dtype: type) -> np.ndarray:
    """Large arrays start at a large memory page, where the system has such: fewer pages to look up."""
    size = count * np.dtype(dtype).itemsize
    room = max(size, NUMPY_LARGE_BYTES) + LARGE_PAGE_BYTES if size > SMALL_BYTES else size + ALIGNMENT_BYTES
    raw = np.zeros(room, np.uint8)  # memory that is never touched is never taken
    start = -raw.ctypes.data % (LARGE_PAGE_BYTES if size > SMALL_BYTES else ALIGNMENT_BYTES)
    return raw[start : start + size].view(dtype)
