"""From logits to a class, and the classes' logits out of a mixture of logistics."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from avsc_tf.signal.companding import MIN_LOG_SCALE, PEAK_WIDTH, START_LOG_SCALE, START_SHARPNESS
from avsc_tf.vocoder.sampler_kernels.compiling import OPTIONS

F32 = np.float32
BLOCK = 64  # classes whose shares are summed first, so that the search need not go through them one by one
FARTHEST = 40.0  # a logistic's tail: e^-40 of its peak is never drawn


@intrinsic
def _float_of_bits(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(inline="always", **OPTIONS)
def exp(x):
    """Within 2e-7 of e^x, x < 88 (as in Cephes); plain arithmetic, so that loops of it become vector code."""
    x = max(x, F32(-87.0))
    power = np.int32(x * F32(1.44269504) - F32(0.5))
    r = x - F32(power) * F32(0.693359375)
    r = r - F32(power) * F32(-2.12194440e-4)
    y = F32(1.9875691500e-4) * r + F32(1.3981999507e-3)
    y = y * r + F32(8.3334519073e-3)
    y = y * r + F32(4.1665795894e-2)
    y = y * r + F32(1.6666665459e-1)
    y = y * r + F32(5.0000001201e-1)
    y = y * r * r + r + F32(1.0)
    return y * _float_of_bits(np.int32((power + np.int32(127)) << np.int32(23)))


@njit(**OPTIONS)
def draw(logits, temperature, uniform, sums):
    """The class whose share of the cumulated softmax holds `uniform`; overwrites `logits`.

    sums: room for one float32 a block of classes. Temperature 0: the likeliest class, of equals the first.
    """
    n = logits.size
    peak = logits[0]
    for j in range(n):
        peak = max(peak, logits[j])
    if temperature <= F32(0.0):
        return _first(logits, peak)
    inverse = F32(1.0) / temperature
    total = F32(0.0)
    n_blocks = (n + BLOCK - 1) // BLOCK
    for block in range(n_blocks):
        part = logits[block * BLOCK : min(n, (block + 1) * BLOCK)]
        share = F32(0.0)
        for j in range(part.size):
            value = exp((part[j] - peak) * inverse)
            part[j] = value
            share += value
        sums[block] = share
        total += share
    return _find(logits, sums, n_blocks, uniform * total)


@njit(**OPTIONS)
def _first(logits, peak):
    for j in range(logits.size):
        if logits[j] >= peak:
            return j
    return logits.size - 1


@njit(**OPTIONS)
def _find(shares, sums, n_blocks, threshold):
    """The first class at which the cumulated shares exceed `threshold`."""
    cumulated, block = F32(0.0), 0
    while block < n_blocks - 1 and cumulated + sums[block] <= threshold:
        cumulated += sums[block]
        block += 1
    last = min(shares.size, (block + 1) * BLOCK) - 1
    j = block * BLOCK
    while j < last:
        cumulated += shares[j]
        if cumulated > threshold:
            break
        j += 1
    return j


@njit(**OPTIONS)
def add_peak(logits, companded, centre, sharpness):
    """What `layers.predictive_logits.PredictiveLogits` adds to a plain softmax."""
    sharpness += F32(START_SHARPNESS)
    for j in range(logits.size):
        distance = (companded[j] - centre) * F32(1.0 / PEAK_WIDTH)
        logits[j] -= sharpness * np.sqrt(F32(1.0) + distance * distance)


@njit(**OPTIONS)
def _log_sigmoid(x):
    return min(x, F32(0.0)) - np.log1p(np.exp(-abs(x)))


@njit(**OPTIONS)
def mixture_logits(logits, parameters, centre, companded):
    """What `layers.logistic_mixture.class_logits` says, from the layer's raw output; `centre` joins the means."""
    n = parameters.size // 3
    half_step = F32(1.0) / F32(logits.size - 1)
    peak = parameters[0]
    for m in range(1, n):
        peak = max(peak, parameters[m])
    total = F32(0.0)
    for m in range(n):
        total += np.exp(parameters[m] - peak)
    for j in range(logits.size):
        best, share = F32(-1e30), F32(0.0)
        for m in range(n):
            inverse = np.exp(-max(parameters[2 * n + m] + F32(START_LOG_SCALE), F32(MIN_LOG_SCALE)))
            distance = companded[j] - (parameters[n + m] + centre)
            upper, lower = (distance + half_step) * inverse, (distance - half_step) * inverse
            if j == 0:
                value = _log_sigmoid(upper)
            elif j == logits.size - 1:
                value = _log_sigmoid(-lower)
            else:
                value = np.log(-np.expm1(F32(-2.0) * half_step * inverse)) + _log_sigmoid(upper) + _log_sigmoid(-lower)
            value += parameters[m] - peak
            if value > best:
                share = share * np.exp(best - value) + F32(1.0)
                best = value
            else:
                share += np.exp(value - best)
        logits[j] = best + np.log(share / total)


@njit(**OPTIONS)
def mixture_log_shares(logits, parameters, centre, companded):
    """As `mixture_logits`, quicker and without their far tails: to draw from, not to look at.

    A class's share of a logistic is (1 - e^-width) sigmoid(upper) sigmoid(-lower), an outermost one's but one of these.
    """
    n, n_classes = parameters.size // 3, logits.size
    half_step = F32(1.0) / F32(n_classes - 1)
    peak = parameters[0]
    for m in range(1, n):
        peak = max(peak, parameters[m])
    for j in range(n_classes):
        logits[j] = F32(1e-30)  # so that its logarithm exists
    for m in range(n):
        inverse = np.exp(-max(parameters[2 * n + m] + F32(START_LOG_SCALE), F32(MIN_LOG_SCALE)))
        mean = parameters[n + m] + centre
        weight = np.exp(parameters[m] - peak)
        width = F32(2.0) * half_step * inverse  # of a class, in scales
        within = -weight * np.expm1(-width)
        for j in range(1, n_classes - 1):
            upper = (companded[j] + half_step - mean) * inverse
            above = exp(-min(max(upper, F32(-FARTHEST)), F32(FARTHEST)))
            below = exp(min(max(upper - width, F32(-FARTHEST)), F32(FARTHEST)))
            logits[j] += within / ((F32(1.0) + above) * (F32(1.0) + below))
        lowest, highest = companded[0] + half_step - mean, mean - companded[n_classes - 1] + half_step
        logits[0] += weight / (F32(1.0) + exp(-min(max(lowest * inverse, F32(-FARTHEST)), F32(FARTHEST))))
        logits[n_classes - 1] += weight / (F32(1.0) + exp(-min(max(highest * inverse, F32(-FARTHEST)), F32(FARTHEST))))
    for j in range(n_classes):
        logits[j] = np.log(logits[j])
