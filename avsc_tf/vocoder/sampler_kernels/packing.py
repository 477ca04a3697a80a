"""A network's weights, laid out for the kernel: panels in the order of their use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc_tf.features.pitch import LAG_OFFSETS, LOWEST_F0_HZ
from avsc_tf.signal.companding import LINEAR_SCALE, class_values, expand
from avsc_tf.vocoder.sampler_kernels.layout import (
    FEATURE_STEP,
    Floats,
    Sizes,
    Weights,
    aligned_zeros,
    filled_up,
)
from avsc_tf.vocoder.sampler_kernels.vectors import Vectors

PANEL_VECTORS = (4, 2, 1)  # outputs made at a time; the narrower ones at a matrix's end


def sizes_of(model: Any, *, sample_rate_hz: int, n_lanes: int) -> Sizes:
    """`model`: a built `models.wavenet.WaveNet`."""
    has_lag, linear = model.pitch_input == "lag", model.input_features == "companded_and_linear"
    n_parameters = 3 * model.n_mixtures or model.n_classes
    peak = 2 if model.prediction_order and not model.n_mixtures else 0
    reach = max(int(sample_rate_hz / LOWEST_F0_HZ) + 2 - LAG_OFFSETS[0], model.prediction_order)
    return Sizes(
        n_layers=model.n_layers,
        channels=filled_up(model.residual_channels),
        skip=filled_up(model.skip_channels),
        post=filled_up(model.post_channels),
        raw=filled_up(n_parameters + peak),
        features=filled_up(model.get_layer("input_projection").kernel.shape[0], FEATURE_STEP),
        n_classes=model.n_classes,
        n_mixtures=model.n_mixtures,
        n_parameters=n_parameters,
        order=model.prediction_order,
        has_linear=int(linear),
        has_lag=int(has_lag),
        history=1 << reach.bit_length(),
        hop_samples=model.hop_samples,
        n_lanes=n_lanes,
    )


def weights_of(model: Any, sizes: Sizes, vectors: Vectors, *, bfloat16: bool) -> Weights:
    """Every weight once; biases and the input projection (a thousandth of all) stay float32."""
    matrices = [_filled(matrix, *shape) for matrix, shape in _matrices(model, sizes)]
    packed = np.concatenate([_panels(matrix, vectors.width, bfloat16=bfloat16) for matrix in matrices])
    if bfloat16:
        packed = packed.view(np.uint32 if vectors.dot_product else np.int32)
    entry = _filled(_of(model, "input_projection", "kernel"), sizes.features, sizes.channels)
    companded = class_values(model.n_classes)
    return Weights(
        words=_aligned(packed),
        inputs=_aligned(_panels(entry, vectors.width, bfloat16=False)),
        biases=_aligned(np.concatenate(_biases(model, sizes))),
        dilations=np.array([2 ** (k % model.dilation_cycle) for k in range(model.n_layers)], np.int64),
        companded=companded,
        expanded=(LINEAR_SCALE * expand(companded, model.n_classes)).astype(np.float32),
        offsets=np.array(LAG_OFFSETS, np.int64),
    )


def _of(model: Any, layer: str, weight: str) -> Floats:
    return np.asarray(getattr(model.get_layer(layer), weight), np.float32)


def _matrices(model: Any, sizes: Sizes) -> list[tuple[Floats, tuple[int, int]]]:
    """In the order of use, each with its filled-up shape."""
    width, filled, found = model.residual_channels, sizes.channels, []
    for k in range(model.n_layers):
        halves = _of(model, f"block_{k}", "kernel").reshape(2, width, 2, width)
        spread = np.zeros((2, filled, 2, filled), np.float32)
        spread[:, :width, :, :width] = halves
        found.append((spread.reshape(2 * filled, 2 * filled), (2 * filled, 2 * filled)))
        if k < model.n_layers - 1:
            found.append((_of(model, f"block_{k}", "residual_kernel"), (filled, filled)))
    skip = _of(model, "skip", "kernel").reshape(model.n_layers, width, -1)
    skip = np.pad(skip, [(0, 0), (0, filled - width), (0, 0)]).reshape(model.n_layers * filled, -1)
    found.append((skip, (len(skip), sizes.skip)))
    found.append((_of(model, "post", "kernel"), (sizes.skip, sizes.post)))
    last = [_of(model, "logits", name) for name in ("kernel", *_peak(model, "peak_kernel"))]
    found.append((np.concatenate(last, axis=1), (sizes.post, sizes.raw)))
    return found


def _peak(model: Any, name: str) -> tuple[str, ...]:
    """Two more outputs of the last product move the peak of `layers.predictive_logits`."""
    return (name,) if model.prediction_order and not model.n_mixtures else ()


def _biases(model: Any, sizes: Sizes) -> list[Floats]:
    residual = [_of(model, f"block_{k}", "residual_bias") for k in range(model.n_layers - 1)]
    found = [_filled(bias[None], 1, sizes.channels) for bias in (_of(model, "input_projection", "bias"), *residual)]
    found.append(np.zeros((1, sizes.channels), np.float32))  # of the last layer, which has no residual
    last = [_of(model, "logits", name) for name in ("bias", *_peak(model, "peak_bias"))]
    ends = [_of(model, "skip", "bias"), _of(model, "post", "bias"), np.concatenate(last)]
    widths = (sizes.skip, sizes.post, sizes.raw)
    found += [_filled(bias[None], 1, width) for bias, width in zip(ends, widths, strict=True)]
    return [bias.ravel() for bias in found]


def _filled(matrix: Floats, n_rows: int, n_columns: int) -> Floats:
    return np.pad(matrix, [(0, n_rows - matrix.shape[0]), (0, n_columns - matrix.shape[1])])


def _panels(matrix: Floats, width: int, *, bfloat16: bool) -> NDArray:
    """Columns in groups of four vectors, then two, then one; each group row by row."""
    rows = pair_rows(matrix) if bfloat16 else matrix
    parts: list[NDArray] = []
    done = 0
    for columns in (count * width for count in PANEL_VECTORS):
        while rows.shape[1] - done >= columns:
            parts.append(rows[:, done : done + columns].ravel())
            done += columns
    return np.concatenate(parts)


def pair_rows(matrix: Floats) -> NDArray[np.uint32]:
    """[rows, n] -> [rows / 2, n]: bfloat16 of an even row in the lower half of a word, of the odd one in the upper."""
    halves = to_bfloat16(matrix)
    return halves[0::2] | (halves[1::2] << np.uint32(16))


def to_bfloat16(values: Floats) -> NDArray[np.uint32]:
    """To the nearest, ties to even: the upper 16 bits of float32, as the lower 16 of an integer."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)


def _aligned(values: NDArray) -> NDArray:
    copy = aligned_zeros(values.size, values.dtype.type)
    copy[:] = values.ravel()
    return copy
