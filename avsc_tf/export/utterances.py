"""Utterances of unequal lengths in one batch: checked, then each run alone, so that padding cannot change anything.

The networks convolve over time with zeros beyond both ends. In a padded batch each layer's biases would fill the
padding, and the last frames of the shorter utterances would hear them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

Tensor = Any
Rates = Mapping[str, int]  # frames of each stream in one video frame


def checked(streams: Mapping[str, Tensor], lengths: Tensor, rates: Rates, *, optional: bool) -> tuple[dict, Tensor]:
    """Refuse what is no batch of utterances, with a line that says why.

    Args:
        streams: [batch, rate * frames, ...] each.
        lengths: int32 [batch], video frames of each utterance.
        optional: a stream without frames is one that is missing, where another has some.

    Returns:
        The same streams, and the number of video frames they are padded to.
    """
    frames = {name: tf.shape(stream)[1] for name, stream in streams.items()}
    n_video = tf.reduce_max(tf.stack([frames[name] // rates[name] for name in streams]))
    rules = []
    for name, stream in streams.items():
        n_frames, rate = frames[name], rates[name]
        fits = tf.equal(n_frames, rate * n_video)
        or_none = " or none" if optional and len(streams) > 1 else ""
        if or_none:
            fits = fits | tf.equal(n_frames, 0)
        what = f"{name}: must have {rate} for each video frame{or_none}; its length and the video frames are"
        rules.append(tf.debugging.Assert(fits, [what, n_frames, n_video]))
        same = tf.equal(tf.shape(stream)[0], tf.shape(lengths)[0])
        rules.append(
            tf.debugging.Assert(same, [f"{name} and lengths: must be of as many utterances", tf.shape(stream)[0]])
        )
        if stream.dtype.is_floating:
            finite = tf.reduce_all(tf.math.is_finite(stream))
            rules.append(tf.debugging.Assert(finite, [f"{name}: holds values that are not finite"]))
    some = tf.reduce_all((lengths >= 1) & (lengths <= n_video))
    rules.append(tf.debugging.Assert(some, ["lengths: each must lie between 1 and the video frames", lengths, n_video]))
    with tf.control_dependencies(rules):
        return {name: tf.identity(stream) for name, stream in streams.items()}, tf.identity(n_video)


def each(
    function: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]],
    streams: Mapping[str, Tensor],
    lengths: Tensor,
    rates: Rates,
    n_video: Tensor,
    outputs: Mapping[str, tuple[tf.TensorSpec, int]],
) -> dict[str, Tensor]:
    """`function(streams of one utterance, its video frames)` for each utterance, padded with zeros and stacked.

    Args:
        streams: [batch, rate * frames, ...] each, or [batch] those without a rate.
        outputs: of each output the shape of one utterance, and its rate; rate 0: not over time, not padded.
    """

    def one(row: tuple[dict[str, Tensor], Tensor]) -> dict[str, Tensor]:
        of_row, n_frames = row
        cut = {name: x[: rates[name] * n_frames] if rates.get(name) else x for name, x in of_row.items()}
        found = function(cut, n_frames)
        return {name: _padded(found[name], rate * n_video) if rate else found[name] for name, (_, rate) in specs}

    specs = list(outputs.items())
    signature = {name: spec for name, (spec, _) in specs}
    return tf.map_fn(one, (dict(streams), lengths), fn_output_signature=signature, parallel_iterations=1)


def _padded(stream: Tensor, length: Tensor) -> Tensor:
    missing = length - tf.shape(stream)[0]
    return tf.pad(stream, [[0, missing], *[[0, 0]] * (len(stream.shape) - 1)])
