"""The kernel of `sampler_plain`: one WaveNet sample after another; every dilated layer keeps a ring of past inputs.

Nothing is computed twice, as in Paine et al. (2016). Compiled once a machine and cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from avsc_tf.signal.companding import LINEAR_SCALE, MIN_LOG_SCALE, PEAK_WIDTH, START_LOG_SCALE, START_SHARPNESS

_OPTIONS = {"fastmath": True, "nogil": True, "error_model": "numpy", "cache": True}

F32 = np.float32


@njit(inline="always", **_OPTIONS)
def _tanh(x):
    """Rational approximation (as in Eigen), within 5e-7; plain arithmetic, so that loops of it become vector code."""
    x = min(max(x, F32(-7.9053111)), F32(7.9053111))
    s = x * x
    p = F32(-2.76076847742355e-16)
    p = p * s + F32(2.00018790482477e-13)
    p = p * s + F32(-8.60467152213735e-11)
    p = p * s + F32(5.12229709037114e-08)
    p = p * s + F32(1.48572235717979e-05)
    p = p * s + F32(6.37261928875436e-04)
    p = (p * s + F32(4.89352455891786e-03)) * x
    q = F32(1.19825839466702e-06)
    q = q * s + F32(1.18534705686654e-04)
    q = q * s + F32(2.26843463243900e-03)
    q = q * s + F32(4.89352518554385e-03)
    return p / q


@njit(**_OPTIONS)
def _add_product(y, x, matrix):
    """y += x @ matrix; four rows a pass, so that y is loaded and stored four times less."""
    n_in, n_out = matrix.shape
    whole = n_in - n_in % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        row_a, row_b, row_c, row_d = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(n_out):
            y[j] += a * row_a[j] + b * row_b[j] + c * row_c[j] + d * row_d[j]
    for i in range(whole, n_in):
        a, row_a = x[i], matrix[i]
        for j in range(n_out):
            y[j] += a * row_a[j]


@njit(**_OPTIONS)
def _rectify(x):
    for j in range(x.size):
        x[j] = max(x[j], F32(0.0))


@njit(**_OPTIONS)
def _draw(logits, temperature, uniform):
    """Class whose share of the cumulated softmax holds `uniform`; overwrites `logits`. Temperature 0: the likeliest."""
    peak, likeliest = logits[0], 0
    for j in range(logits.size):
        if logits[j] > peak:
            peak, likeliest = logits[j], j
    if temperature <= F32(0.0):
        return likeliest
    total = F32(0.0)
    inverse = F32(1.0) / temperature
    for j in range(logits.size):
        logits[j] = np.exp((logits[j] - peak) * inverse)
        total += logits[j]
    threshold = F32(uniform) * total
    cumulated = F32(0.0)
    for j in range(logits.size - 1):
        cumulated += logits[j]
        if cumulated > threshold:
            return j
    return logits.size - 1


@njit(**_OPTIONS)
def _compand(linear, mu, log_mu):
    size = min(abs(linear), F32(1.0))
    size = np.log1p(mu * size) / log_mu
    return size if linear >= 0 else -size


@njit(**_OPTIONS)
def _predict(signal, t, coefficients):
    """Linear prediction of signal[t], within [-1, 1]."""
    total = F32(0.0)
    for k in range(min(t, coefficients.size)):
        total += coefficients[k] * signal[t - 1 - k]
    return min(max(total, F32(-1.0)), F32(1.0))


@njit(**_OPTIONS)
def _sample_features(features, classes, t, lag, offsets, companded, expanded, linear, has_lag, silence):
    """What `layers.sample_inputs.SampleInputs` makes of the samples before `t`; returns how many features."""
    previous = classes[t - 1] if t > 0 else silence
    features[0] = companded[previous]
    n = 1
    if linear:
        features[1] = companded[classes[t - 2]] if t > 1 else (companded[silence] if t == 1 else F32(0.0))
        features[2] = expanded[previous]
        features[3] = expanded[classes[t - 2]] if t > 1 else (expanded[silence] if t == 1 else F32(0.0))
        n = 4
    if has_lag:
        for k in range(offsets.size):
            place = t - lag + offsets[k]
            tap = classes[place] if (lag > 0 and place >= 0) else silence
            features[n + k] = companded[tap]
            if linear:
                features[n + offsets.size + k] = expanded[tap]
        n += offsets.size * (2 if linear else 1)
    return n


@njit(**_OPTIONS)
def _prediction_features(features, n, predicted, predicted_companded, residuals, t, lag, offsets, linear, has_lag):
    """The prediction, then the residuals of the sample before and of one pitch period ago."""
    features[n] = predicted_companded
    n += 1
    if linear:
        features[n] = F32(LINEAR_SCALE) * predicted
        n += 1
    features[n] = residuals[t - 1] if t > 0 else F32(0.0)
    n += 1
    if has_lag:
        for k in range(offsets.size):
            place = t - lag + offsets[k]
            features[n + k] = residuals[place] if (lag > 0 and place >= 0) else F32(0.0)


@njit(**_OPTIONS)
def _add_peak(logits, companded, centre, sharpness):
    """What `layers.predictive_logits.PredictiveLogits` adds to a plain softmax."""
    for j in range(logits.size):
        distance = (companded[j] - centre) / F32(PEAK_WIDTH)
        logits[j] -= sharpness * np.sqrt(F32(1.0) + distance * distance)


@njit(**_OPTIONS)
def _log_sigmoid(x):
    return min(x, F32(0.0)) - np.log1p(np.exp(-abs(x)))


@njit(**_OPTIONS)
def _mixture_logits(logits, parameters, centre, companded):
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


@njit(**_OPTIONS)
def generate(
    input_kernel,  # [features, R]
    input_bias,  # [R]
    gate_kernels,  # [L, 2R, 2R], rows: x(t - dilation), x(t)
    residual_kernels,  # [L, R, R]; the last is not used
    residual_biases,  # [L, R]
    skip_kernel,  # [L * R, S]
    skip_bias,
    post_kernel,
    post_bias,
    logit_kernel,
    logit_bias,
    peak_kernel,  # [H, 2]: shift and sharpness; not used without prediction
    peak_bias,
    dilations,  # [L]
    condition,  # [frames, L, 2R], biases of the gates included
    lag,  # [samples], 0 where unvoiced; empty without pitch lag
    coefficients,  # [frames, order] of the linear prediction; no rows without it
    offsets,  # of the lag taps
    companded,  # [classes]
    expanded,  # [classes]
    n_mixtures,  # 0: softmax
    linear,
    silence,
    temperature,  # [frames]
    uniform,  # [samples]
    classes,  # [samples]; written, or with `forced` only read
    forced,
    logits_out,  # [samples, classes], or empty
):
    n_samples, n_layers, width = uniform.size, gate_kernels.shape[0], input_bias.size
    hop = n_samples // condition.shape[0]
    ring_start = np.zeros(n_layers, np.int64)
    for k in range(1, n_layers):
        ring_start[k] = ring_start[k - 1] + dilations[k - 1]
    ring = np.zeros((ring_start[n_layers - 1] + dilations[n_layers - 1], width), np.float32)
    features = np.zeros(input_kernel.shape[0], np.float32)
    pair = np.zeros(2 * width, np.float32)
    filtered = np.zeros(2 * width, np.float32)
    gates = np.zeros(n_layers * width, np.float32)
    x = np.zeros(width, np.float32)
    skip = np.zeros(skip_bias.size, np.float32)
    post = np.zeros(post_bias.size, np.float32)
    raw = np.zeros(logit_bias.size, np.float32)
    logits = np.zeros(companded.size, np.float32) if n_mixtures else raw
    peak = np.zeros(2, np.float32)
    predicts, has_lag = coefficients.shape[0] > 0, lag.size > 0
    signal = np.zeros(n_samples if predicts else 0, np.float32)
    residuals = np.zeros(n_samples if predicts else 0, np.float32)
    predicted, predicted_companded = F32(0.0), F32(0.0)
    mu = F32(companded.size - 1)
    log_mu = np.log1p(mu)
    for t in range(n_samples):
        frame = t // hop
        lag_now = lag[t] if has_lag else 0
        n = _sample_features(features, classes, t, lag_now, offsets, companded, expanded, linear, has_lag, silence)
        if predicts:
            predicted = _predict(signal, t, coefficients[frame])
            predicted_companded = _compand(predicted, mu, log_mu)
            _prediction_features(
                features, n, predicted, predicted_companded, residuals, t, lag_now, offsets, linear, has_lag
            )
        x[:] = input_bias
        _add_product(x, features, input_kernel)
        for k in range(n_layers):
            slot = ring[ring_start[k] + t % dilations[k]]
            for j in range(width):
                pair[j] = slot[j]
                pair[width + j] = x[j]
                slot[j] = x[j]
            filtered[:] = condition[frame, k]
            _add_product(filtered, pair, gate_kernels[k])
            gate = gates[k * width : (k + 1) * width]
            for j in range(width):
                half = F32(0.5) * filtered[width + j]
                gate[j] = _tanh(filtered[j]) * (F32(0.5) + F32(0.5) * _tanh(half))
            if k < n_layers - 1:
                bias = residual_biases[k]
                for j in range(width):
                    x[j] += bias[j]
                _add_product(x, gate, residual_kernels[k])
        skip[:] = skip_bias
        _add_product(skip, gates, skip_kernel)
        _rectify(skip)
        post[:] = post_bias
        _add_product(post, skip, post_kernel)
        _rectify(post)
        raw[:] = logit_bias
        _add_product(raw, post, logit_kernel)
        if n_mixtures:
            _mixture_logits(logits, raw, predicted_companded, companded)
        elif predicts:
            peak[:] = peak_bias
            _add_product(peak, post, peak_kernel)
            _add_peak(logits, companded, predicted_companded + peak[0], peak[1] + F32(START_SHARPNESS))
        if logits_out.size:
            logits_out[t] = logits
        if not forced:
            classes[t] = _draw(logits, temperature[frame], uniform[t])
        if predicts:
            signal[t] = expanded[classes[t]] / F32(LINEAR_SCALE)
            residuals[t] = _compand(signal[t] - predicted, mu, log_mu)
