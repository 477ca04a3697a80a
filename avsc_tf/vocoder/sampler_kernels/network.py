"""One sample after another through the network, for several lanes at once: the weights are read once for all of them.

A lane holds one utterance. Every dilated layer keeps a ring of its past inputs, so that nothing is computed twice
(Paine et al., 2016). A lane's arithmetic is the same, bit by bit, whatever the number of lanes and what they hold.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from avsc_tf.signal.companding import LINEAR_SCALE
from avsc_tf.vocoder.sampler_kernels.compiling import INSIDE, compiled
from avsc_tf.vocoder.sampler_kernels.drawing import add_peak, draw, mixture_log_shares, mixture_logits
from avsc_tf.vocoder.sampler_kernels.elementwise import fetch, gate, ready, remember
from avsc_tf.vocoder.sampler_kernels.tiles import rows_a_word, tile

F32 = np.float32
LEAST = F32(-3e38)  # below every sum
FEW_REGISTERS = 8  # vectors of this width (AVX2) come with 16 registers; the others with 32


@njit(**INSIDE)
def _panel(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, start, start_at, start_step, least,
           n_lanes):  # fmt: skip
    """Four vectors of outputs for all lanes."""
    lane = 0
    if len(ways) != FEW_REGISTERS:
        while n_lanes - lane >= 4:
            tile(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, start, start_at, start_step,
                 least, 4, 4)  # fmt: skip
            lane += 4
            x_at, out_at, start_at = x_at + 4 * x_step, out_at + 4 * out_step, start_at + 4 * start_step
    while n_lanes - lane >= 2:
        tile(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, start, start_at, start_step,
             least, 4, 2)  # fmt: skip
        lane += 2
        x_at, out_at, start_at = x_at + 2 * x_step, out_at + 2 * out_step, start_at + 2 * start_step
    if n_lanes > lane:
        tile(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, start, start_at, start_step,
             least, 4, 1)  # fmt: skip


@njit(**INSIDE)
def _rest(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, n_out, start, start_at, start_step,
          least, n_lanes):  # fmt: skip
    """One to three vectors of outputs: two, then one."""
    n_words = n_rows // rows_a_word(words)
    for lane in range(n_lanes):
        x, out, init, word, left = (
            x_at + lane * x_step, out_at + lane * out_step, start_at + lane * start_step, at, n_out)  # fmt: skip
        if left >= 2 * len(ways):
            tile(ways, words, word, memory, pairs, x, x_step, n_rows, out, out_step, start, init, start_step, least,
                 2, 1)  # fmt: skip
            word += 2 * len(ways) * n_words
            out, init, left = out + 2 * len(ways), init + 2 * len(ways), left - 2 * len(ways)
        if left:
            tile(ways, words, word, memory, pairs, x, x_step, n_rows, out, out_step, start, init, start_step, least,
                 1, 1)  # fmt: skip


@njit(**INSIDE)
def product(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, n_out, start, start_at, start_step,
            least, n_lanes):  # fmt: skip
    """memory[out] = max(least, start + x @ matrix), all lanes; the matrix lies in `words` from `at` on, in panels.

    Returns where the next matrix starts.
    """
    wide = 4 * len(ways)
    n_words = n_rows // rows_a_word(words)
    while n_out >= wide:
        _panel(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, start, start_at, start_step,
               least, n_lanes)  # fmt: skip
        at += wide * n_words
        out_at, start_at, n_out = out_at + wide, start_at + wide, n_out - wide
    if n_out:
        _rest(ways, words, at, memory, pairs, x_at, x_step, n_rows, out_at, out_step, n_out, start, start_at,
              start_step, least, n_lanes)  # fmt: skip
        at += n_out * n_words
    return at


@njit(**INSIDE)
def _fetch_layer(ways, rings, ring_at, ring_count, biases, bias_at, condition, condition_at, condition_step, channels,
                 n_lanes):  # fmt: skip
    """What the next layer needs beside its weights: they push it out of the cache between one sample and the next."""
    fetch(ways, rings, ring_at, ring_count)
    fetch(ways, biases, bias_at, channels)
    for lane in range(n_lanes):
        fetch(ways, condition, condition_at + lane * condition_step, 2 * channels)


@njit(**INSIDE)
def _compand(linear, mu, log_mu):
    size = min(abs(linear), F32(1.0))
    size = np.log1p(mu * size) / log_mu
    return size if linear >= 0 else -size


@njit(**INSIDE)
def _features(features, sizes, memory, lane, lag, offsets):
    """What `layers.sample_inputs.SampleInputs` makes of the lane's past; the prediction is in `memory.predicted`."""
    age, past = memory.ages[lane], sizes.history - 1
    companded, expanded = memory.past_companded[lane], memory.past_expanded[lane]
    previous, before = (age - 1) & past, (age - 2) & past
    features[0] = companded[previous]
    n = 1
    if sizes.has_linear:
        features[1] = companded[before] if age > 0 else F32(0.0)
        features[2] = expanded[previous]
        features[3] = expanded[before] if age > 0 else F32(0.0)
        n = 4
    if sizes.has_lag:
        period = lag if lag > 0 else age + offsets[-1] + 2  # unvoiced: a place before the start
        n_taps = offsets.size
        for k in range(n_taps):
            place = age - period + offsets[k]
            tap = place & past if place >= 0 else sizes.history  # where silence lies
            features[n + k] = companded[tap]
            if sizes.has_linear:
                features[n + n_taps + k] = expanded[tap]
        n += 2 * n_taps if sizes.has_linear else n_taps
    if sizes.order:
        features[n] = memory.predicted[lane, 1]
        n += 1
        if sizes.has_linear:
            features[n] = F32(LINEAR_SCALE) * memory.predicted[lane, 0]
            n += 1
        features[n] = memory.past_residual[lane, previous]
        if sizes.has_lag:
            for k in range(offsets.size):
                place = age - lag + offsets[k]
                known = lag > 0 and place >= 0
                features[n + 1 + k] = memory.past_residual[lane, place & past] if known else F32(0.0)


@njit(**INSIDE)
def _predict(memory, lane, coefficients, past, mu, log_mu):
    """Linear prediction of the lane's next sample, within [-1, 1]."""
    total, age, signal = F32(0.0), memory.ages[lane], memory.past_signal[lane]
    for k in range(coefficients.size):
        total += coefficients[k] * signal[(age - 1 - k) & past]
    total = min(max(total, F32(-1.0)), F32(1.0))
    memory.predicted[lane, 0] = total
    memory.predicted[lane, 1] = _compand(total, mu, log_mu)


@njit(**INSIDE)
def _note(sizes, weights, memory, lane, chosen, mu, log_mu):
    """The class becomes the lane's past."""
    place = memory.ages[lane] & (sizes.history - 1)
    memory.past_companded[lane, place] = weights.companded[chosen]
    memory.past_expanded[lane, place] = weights.expanded[chosen]
    if sizes.order:
        signal = weights.expanded[chosen] / F32(LINEAR_SCALE)
        memory.past_signal[lane, place] = signal
        memory.past_residual[lane, place] = _compand(signal - memory.predicted[lane, 0], mu, log_mu)
    memory.ages[lane] += 1


@njit(**INSIDE)
def _finish(sizes, weights, memory, block, lane, frame, sample, raw, logits, forced, mu, log_mu):
    """From the last product's outputs to the lane's class."""
    if sizes.n_mixtures:
        centre = memory.predicted[lane, 1]
        if forced:
            mixture_logits(logits, raw[: sizes.n_parameters], centre, weights.companded)
        else:
            mixture_log_shares(logits, raw[: sizes.n_parameters], centre, weights.companded)
    else:
        logits = raw[: sizes.n_classes]
        if sizes.order:
            centre = memory.predicted[lane, 1] + raw[sizes.n_classes]
            add_peak(logits, weights.companded, centre, raw[sizes.n_classes + 1])
    if block.logits.size:
        for j in range(sizes.n_classes):
            block.logits[lane, sample, j] = logits[j]
    if not forced:
        block.classes[lane, sample] = draw(
            logits, block.temperature[lane, frame], block.uniform[lane, sample], memory.sums
        )
    _note(sizes, weights, memory, lane, block.classes[lane, sample], mu, log_mu)


@compiled
def run(ways, sizes, weights, memory, block, n_lanes, n_frames, forced):
    """`n_frames` of the first `n_lanes` lanes."""
    channels, n_layers, floats, pairs = sizes.channels, sizes.n_layers, memory.floats, memory.pairs
    words, biases, capacity = weights.words, weights.biases, sizes.n_lanes
    features_at = 0
    x_at = features_at + capacity * sizes.features
    pair_at = x_at + capacity * channels
    filtered_at = pair_at + capacity * 2 * channels
    gates_at = filtered_at + capacity * 2 * channels
    skip_at = gates_at + capacity * n_layers * channels
    post_at = skip_at + capacity * sizes.skip
    raw_at = post_at + capacity * sizes.post
    logits_at = raw_at + capacity * sizes.raw
    skip_bias = (1 + n_layers) * channels
    condition = block.condition.reshape(-1)
    lane_condition = block.condition.shape[1] * n_layers * 2 * channels
    ring_step = memory.rings.shape[1] * memory.rings.shape[2]
    mu = F32(sizes.n_classes - 1)
    log_mu = np.log1p(mu)
    for sample in range(n_frames * sizes.hop_samples):
        frame, clock = sample // sizes.hop_samples, memory.clock[0]
        for lane in range(n_lanes):
            if sizes.order:
                _predict(memory, lane, block.coefficients[lane, frame], sizes.history - 1, mu, log_mu)
            features = floats[features_at + lane * sizes.features : features_at + (lane + 1) * sizes.features]
            lag = block.lag[lane, sample] if sizes.has_lag else 0
            _features(features, sizes, memory, lane, lag, weights.offsets)
        product(ways, weights.inputs, 0, floats, pairs, features_at, sizes.features, sizes.features, x_at, channels,
                channels, biases, 0, 0, LEAST, n_lanes)  # fmt: skip
        ring, at = 0, 0
        for k in range(n_layers):
            dilation = weights.dilations[k]
            slot = (ring + (clock & (dilation - 1))) * capacity * channels
            ring += dilation
            if k < n_layers - 1:
                following = (ring + (clock & (weights.dilations[k + 1] - 1))) * ring_step
                _fetch_layer(ways, memory.rings, following, n_lanes * ring_step // capacity, biases, (2 + k) * channels,
                             condition, (frame * n_layers + k + 1) * 2 * channels, lane_condition, channels,
                             n_lanes)  # fmt: skip
            for lane in range(n_lanes):
                remember(ways, words, floats, pairs, memory.rings, slot + lane * channels, x_at + lane * channels,
                         pair_at + lane * 2 * channels, biases, (1 + k) * channels, channels)  # fmt: skip
            at = product(ways, words, at, floats, pairs, pair_at, 2 * channels, 2 * channels, filtered_at, 2 * channels,
                         2 * channels, condition, (frame * n_layers + k) * 2 * channels, lane_condition, LEAST,
                         n_lanes)  # fmt: skip
            for lane in range(n_lanes):
                gate(ways, words, floats, pairs, filtered_at + lane * 2 * channels,
                     gates_at + (lane * n_layers + k) * channels, channels)  # fmt: skip
            if k < n_layers - 1:
                at = product(ways, words, at, floats, pairs, gates_at + k * channels, n_layers * channels, channels,
                             x_at, channels, channels, floats, x_at, channels, LEAST, n_lanes)  # fmt: skip
        at = product(ways, words, at, floats, pairs, gates_at, n_layers * channels, n_layers * channels, skip_at,
                     sizes.skip, sizes.skip, biases, skip_bias, 0, F32(0.0), n_lanes)  # fmt: skip
        ready(ways, words, floats, pairs, skip_at, n_lanes * sizes.skip)
        at = product(ways, words, at, floats, pairs, skip_at, sizes.skip, sizes.skip, post_at, sizes.post, sizes.post,
                     biases, skip_bias + sizes.skip, 0, F32(0.0), n_lanes)  # fmt: skip
        ready(ways, words, floats, pairs, post_at, n_lanes * sizes.post)
        product(ways, words, at, floats, pairs, post_at, sizes.post, sizes.post, raw_at, sizes.raw, sizes.raw,
                biases, skip_bias + sizes.skip + sizes.post, 0, LEAST, n_lanes)  # fmt: skip
        for lane in range(n_lanes):
            raw = floats[raw_at + lane * sizes.raw : raw_at + (lane + 1) * sizes.raw]
            logits = floats[logits_at : logits_at + sizes.n_classes]
            _finish(sizes, weights, memory, block, lane, frame, sample, raw, logits, forced, mu, log_mu)
        memory.clock[0] = clock + 1
