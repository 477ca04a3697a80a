"""The same WaveNet as a PyTorch loop over ring buffers: the peer of wavenet.py, as fast as eager PyTorch lets it be.

No gradient, no allocation for a matrix product, every ring slot a view made beforehand, one product for all skip
connections. The residual biases are taken out of the loop: a layer's input then lacks what they have summed up to, so
each layer's condition and the silence in its ring get it instead. The first layer's input is a table over classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from avsc_tf.core.config import WaveNetConfig
from avsc_tf.core.errors import ConfigError
from avsc_tf.signal.companding import class_values, silence_class
from avsc_tf.vocoder.sampler_graph import Weights
from avsc_tf.vocoder.utterances import Utterance


def import_torch() -> Any:
    """PyTorch on one thread. Raises ConfigError where it is missing."""
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            "PyTorch, the peer, is missing: pip install -e .[benchmarks], or leave it out by --without pytorch."
        ) from error
    torch.set_num_threads(1)
    return torch


def speaks(net: WaveNetConfig) -> bool:
    """Whether the settings are of the paper's own form, the only one this loop knows."""
    return (
        net.input_features == "companded"
        and net.pitch_input == "none"
        and net.prediction_order == 0
        and net.n_mixtures == 0
    )


class Layer(NamedTuple):
    """Tensors and views of one layer; a row is [1, channels]."""

    slots: list[Any]  # rows of the ring, as many as the dilation
    gate_kernel: Any
    residual_kernel: Any  # None of the last layer
    gate: Any  # the layer's part of all gates' row


class PyTorchEngine:
    """One stream, one thread.

    Args:
        weights: from `vocoder.sampler_tensorflow.weights_of`.
    """

    def __init__(self, weights: Weights, net: WaveNetConfig, *, hop_samples: int):
        self.torch = torch = import_torch()
        self.net, self.hop_samples = net, hop_samples

        def tensor(value: Any) -> Any:
            return torch.from_numpy(np.array(value, np.float32))

        values = class_values(net.n_classes)[:, None]
        self.table = tensor(values @ np.asarray(weights.input_kernel) + np.asarray(weights.input_bias))
        self.gate_kernels = [tensor(kernel) for kernel in weights.gate_kernels]
        self.residual_kernels = [*(tensor(kernel) for kernel in weights.residual_kernels), None]
        width = net.residual_channels
        biases = np.stack([np.zeros(width, np.float32), *(np.asarray(b) for b in weights.residual_biases)])
        self.missing = tensor(biases.cumsum(0))[: net.n_layers]  # [layers, residual], of each layer's input
        self.gate_shift = torch.stack(
            [torch.cat([m, m]) @ kernel for m, kernel in zip(self.missing, self.gate_kernels, strict=True)]
        )
        self.head = [
            (tensor(np.asarray(bias)[None]), tensor(kernel))
            for bias, kernel in (
                (weights.skip_bias, weights.skip_kernel),
                (weights.post_bias, weights.post_kernel),
                (weights.logit_bias, weights.logit_kernel),
            )
        ]

    def generate_batch(self, jobs: list[Utterance], *, temperatures: Any, uniforms: Any) -> list[np.ndarray]:
        """As the other engines' of the same name; one utterance after another."""
        return [self._speak(*of_one)[0] for of_one in zip(jobs, temperatures, uniforms, strict=True)]

    def logits(self, job: Utterance, classes: np.ndarray) -> np.ndarray:
        """Teacher-forced, [samples, n_classes]."""
        uniform = np.zeros(len(classes), np.float32)
        return self._speak(job, np.ones(len(job.condition), np.float32), uniform, forced=classes)[1]

    def _speak(self, job: Utterance, temperature: Any, uniform: Any, forced: Any = None) -> tuple[Any, Any]:
        torch, n = self.torch, len(uniform)
        with torch.inference_mode():
            pair = torch.zeros(1, 2 * self.net.residual_channels)
            gates = torch.empty(1, self.net.n_layers * self.net.residual_channels)
            layers = self._layers(gates)
            rows = [torch.empty(1, bias.shape[1]) for bias, _ in self.head]
            condition = torch.tensor(job.condition) + self.gate_shift
            frames = [frame.unsqueeze(1).unbind(0) for frame in condition]
            heat, uniforms = temperature.tolist(), torch.from_numpy(uniform).unsqueeze(1).unbind(0)
            table = self.table.unsqueeze(1).unbind(0)
            classes, all_logits = np.zeros(n, np.int32), None if forced is None else np.zeros((n, rows[-1].shape[1]))
            previous = silence_class(self.net.n_classes)
            for t in range(n):
                frame = t // self.hop_samples
                self._advance(t, table[previous], pair, layers, frames[frame])
                logits = self._logits(gates, rows)
                if all_logits is not None:
                    all_logits[t] = logits
                    previous = classes[t] = forced[t]
                else:
                    previous = classes[t] = self._draw(logits, heat[frame], uniforms[t])
        return classes, all_logits

    def _layers(self, gates: Any) -> list[Layer]:
        torch, parts = self.torch, gates.split(self.net.residual_channels, dim=1)
        return [
            Layer(list(torch.tile(-missing, (dilation, 1)).split(1)), gate_kernel, residual_kernel, gate)
            for dilation, missing, gate_kernel, residual_kernel, gate in zip(
                self.net.dilations, self.missing, self.gate_kernels, self.residual_kernels, parts, strict=True
            )
        ]

    def _advance(self, t: int, first: Any, pair: Any, layers: list[Layer], condition: Any) -> None:
        """`pair` is [x(t - dilation), x(t)]; leaves every layer's gate."""
        width = self.net.residual_channels
        past, x = pair[:, :width], pair[:, width:]
        filtered, addmm, mul = self.torch.empty_like(pair), self.torch.addmm, self.torch.mul
        left, right = filtered[:, :width], filtered[:, width:]
        x.copy_(first)
        for (slots, gate_kernel, residual_kernel, gate), bias in zip(layers, condition, strict=True):
            slot = slots[t % len(slots)]
            past.copy_(slot)
            slot.copy_(x)
            addmm(bias, pair, gate_kernel, out=filtered)
            mul(left.tanh_(), right.sigmoid_(), out=gate)
            if residual_kernel is not None:
                x.addmm_(gate, residual_kernel)

    def _logits(self, gates: Any, rows: list[Any]) -> Any:
        y = gates
        for (bias, kernel), row in zip(self.head, rows, strict=True):
            self.torch.addmm(bias, y, kernel, out=row)
            y = row if row is rows[-1] else row.relu_()
        return y

    def _draw(self, logits: Any, temperature: float, uniform: Any) -> int:
        shares = self.torch.softmax(logits[0] / temperature, 0)
        chosen = int(self.torch.searchsorted(shares.cumsum(0), uniform, right=True))
        return min(chosen, self.net.n_classes - 1)
