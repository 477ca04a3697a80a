"""The three networks in PyTorch, layer by layer as ours, and their training steps: the peer of training.py.

Modules have our layers' names, so that `copy_weights` can fill them; equal outputs are checked before anything is timed
(`tests/training/test_pytorch_peer.py`). The peer has PyTorch's own ways: channels first, fused Adam, `autocast` for
bfloat16. Padding is TensorFlow's `same`: of a stride-2 layer one sample before and two after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn

from avsc_tf.models.conversion_net import ConversionNet
from avsc_tf.models.image_discriminator import ImageDiscriminator
from avsc_tf.models.image_generator import ImageGenerator
from avsc_tf.models.wavenet import WaveNet

EPSILON = 1e-3  # Keras' batch norm
Tensors = Mapping[str, torch.Tensor]


def tensor(value: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(value))


class Convolution(nn.Module):
    """One- or two-dimensional, stride 1 or 2, `same`; `up`: transposed with stride 2."""

    def __init__(self, n_dims: int, n_in: int, n_out: int, kernel: int, *, stride: int = 1, up: bool = False) -> None:
        super().__init__()
        plain, transposed = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d)}[n_dims]
        before = (kernel - 2) // 2
        self.up = up
        self.padding = [before, kernel - 2 - before] * n_dims if stride == 2 else None
        if up:
            self.layer = transposed(n_in, n_out, kernel, stride=2, padding=before)
        else:
            self.layer = plain(n_in, n_out, kernel, stride=stride, padding=0 if stride == 2 else kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.padding:
            x = functional.pad(x, self.padding)
        y = self.layer(x)
        if self.up:
            y = y[(..., *(slice(2 * n) for n in x.shape[2:]))]
        return y


class Hidden(nn.Module):
    """Convolution, ReLU, batch norm, as the conversion network has them; `norm_first`: as the generator has them."""

    def __init__(self, layer: nn.Module, norm: nn.Module, *, norm_first: bool = False) -> None:
        super().__init__()
        self.layer, self.norm, self.norm_first = layer, norm, norm_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.norm_first:
            return functional.relu(self.norm(self.layer(x)))
        return self.norm(functional.relu(self.layer(x)))


class PyTorchConversion(nn.Module):
    """The paper's conversion network: no dropout, no noise, no linear path."""

    def __init__(self, net: ConversionNet) -> None:
        super().__init__()
        s = net.settings
        self.stacks = {
            name: s[f"{name}_channels"] for name in ("audio_down", "facial_down", "fusion", "audio_up", "facial_up")
        }
        kernel, momentum = s["kernel_size"], 1 - s["batch_norm_momentum"]
        fusion_in = s["audio_down_channels"][-1] + s["facial_down_channels"][-1]
        last = s["fusion_channels"][-1]
        first = {
            "audio_down": s["n_mels"],
            "facial_down": s["n_facial"],
            "fusion": fusion_in,
            "audio_up": last,
            "facial_up": last,
        }
        self.layers = nn.ModuleDict()
        for name, channels in self.stacks.items():
            for i, (n_in, n_out) in enumerate(zip((first[name], *channels), channels, strict=False)):
                how = {"stride": 2} if name == "audio_down" else {"up": name == "audio_up"}
                norm = nn.BatchNorm1d(n_out, EPSILON, momentum)
                self.layers[f"{name}_{i + 1}"] = Hidden(Convolution(1, n_in, n_out, kernel, **how), norm)
        self.layers["mel_out"] = Convolution(1, s["audio_up_channels"][-1], s["n_mels"], kernel)
        self.layers["facial_out"] = Convolution(1, s["facial_up_channels"][-1], s["n_facial"], kernel)

    def forward(self, inputs: Tensors) -> dict[str, torch.Tensor]:
        """[batch, frames, values] as ours."""
        audio = self._stack("audio_down", inputs["mel"].transpose(1, 2))
        facial = self._stack("facial_down", inputs["facial"].transpose(1, 2))
        fused = self._stack("fusion", torch.cat([audio[-1], facial[-1]], dim=1))[-1]
        mel = self._stack("audio_up", fused, earlier=audio)[-1]
        face = self._stack("facial_up", fused, earlier=facial)[-1]
        outputs = {"mel": self.layers["mel_out"](mel), "facial": self.layers["facial_out"](face)}
        return {name: y.transpose(1, 2) for name, y in outputs.items()}

    def _stack(self, name: str, x: torch.Tensor, earlier: list[torch.Tensor] | None = None) -> list[torch.Tensor]:
        maps = []
        for i in range(len(self.stacks[name])):
            y = self.layers[f"{name}_{i + 1}"](x)
            skips = [x] if x.shape == y.shape else []
            skips += [m for m in earlier or [] if m.shape == y.shape][-1:]
            for skip in skips:
                y = y + skip
            maps.append(x := y)
        return maps


class PyTorchGenerator(nn.Module):
    """The paper's generator: no noise, no closed-form path."""

    def __init__(self, net: ImageGenerator) -> None:
        super().__init__()
        s = net.settings
        momentum, kernel = 1 - s["batch_norm_momentum"], s["kernel_size"]
        self.map_px = s["size_px"] // 2 ** sum(s["upsample"])
        widths = (s["mel_per_video"] * s["n_mels"] + s["n_facial"], *s["dense_units"], self.map_px**2)
        self.dense = len(widths) - 1
        self.layers = nn.ModuleDict()
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            norm = nn.BatchNorm1d(n_out, EPSILON, momentum)
            self.layers[f"dense_{i + 1}"] = Hidden(nn.Linear(n_in, n_out), norm, norm_first=True)
        channels = (1, *s["channels"])
        self.convolutions = len(channels) - 2
        for i, (n_in, n_out) in enumerate(pairwise(channels[:-1])):
            layer = Convolution(2, n_in, n_out, kernel, up=s["upsample"][i])
            self.layers[f"conv_{i + 1}"] = Hidden(layer, nn.BatchNorm2d(n_out, EPSILON, momentum), norm_first=True)
        self.layers["image_linear"] = Convolution(2, channels[-2], channels[-1], kernel, up=s["upsample"][-1])

    def forward(self, inputs: Tensors) -> torch.Tensor:
        """[batch, 3, size, size]"""
        x = torch.cat([inputs["mel"].flatten(1), inputs["facial"]], dim=1)
        for i in range(self.dense):
            x = self.layers[f"dense_{i + 1}"](x)
        x = x.reshape(-1, 1, self.map_px, self.map_px)
        for i in range(self.convolutions):
            x = self.layers[f"conv_{i + 1}"](x)
        return torch.tanh(self.layers["image_linear"](x).float())


class PyTorchDiscriminator(nn.Module):
    def __init__(self, net: ImageDiscriminator) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        channels, side = (3, *net.channels), net.size_px
        self.n_convolutions = len(net.channels)
        for i, (n_in, n_out) in enumerate(pairwise(channels)):
            self.layers[f"conv_{i + 1}"] = Convolution(2, n_in, n_out, net.kernel_size, stride=2)
            side = max(1, side // 4)
        self.layers["score"] = nn.Linear(channels[-1] * side * side, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(self.n_convolutions):
            x = functional.relu(self.layers[f"conv_{i + 1}"](x))
            if x.shape[-1] > 1:
                x = functional.max_pool2d(x, 2)
        return self.layers["score"](x.permute(0, 2, 3, 1).flatten(1))


class PyTorchWaveNet(nn.Module):
    """The paper's form: companded input, softmax, no pitch, no prediction; products as ours."""

    def __init__(self, net: WaveNet) -> None:
        super().__init__()
        self.dilations = [2 ** (k % net.dilation_cycle) for k in range(net.n_layers)]
        self.hop_samples, self.mel_per_video, width = net.hop_samples, net.mel_per_video, net.residual_channels
        self.layers = nn.ModuleDict()
        self.layers["facial_projection"] = nn.Linear(net.n_facial, net.facial_channels)
        half = net.condition_rnn_units // 2
        n_condition = net.n_mels + net.facial_channels
        self.layers["condition_rnn"] = nn.LSTM(n_condition, half, batch_first=True, bidirectional=True)
        self.layers["condition_conv"] = Convolution(1, 2 * half, net.condition_channels, net.condition_kernel)
        self.layers["condition_projection"] = nn.Linear(net.condition_channels, net.n_layers * 2 * width)
        self.layers["input_projection"] = nn.Linear(1, width)
        for k in range(net.n_layers):
            self.layers[f"block_{k}"] = nn.Linear(2 * width, 2 * width, bias=False)
            if k < net.n_layers - 1:
                self.layers[f"residual_{k}"] = nn.Linear(width, width)
        self.layers["skip"] = nn.Linear(net.n_layers * width, net.skip_channels)
        self.layers["post"] = nn.Linear(net.skip_channels, net.post_channels)
        self.layers["logits"] = nn.Linear(net.post_channels, net.n_classes)
        for name in ("run_mean", "run_std", "mean", "std"):
            self.register_buffer(name, torch.zeros(net.n_mels))

    def forward(self, inputs: Tensors) -> torch.Tensor:
        """Logits [batch, time, classes]."""
        layers = self.layers
        mel = (inputs["mel"] * self.run_std + self.run_mean - self.mean) / self.std
        facial = layers["facial_projection"](inputs["facial"]).repeat_interleave(self.mel_per_video, dim=1)
        condition = layers["condition_rnn"](torch.cat([mel, facial.to(mel.dtype)], dim=-1))[0]
        condition = torch.tanh(layers["condition_conv"](condition.transpose(1, 2))).transpose(1, 2)
        gates_in = layers["condition_projection"](condition).chunk(len(self.dilations), dim=-1)
        x = layers["input_projection"](inputs["waveform"].unsqueeze(-1))
        batch, time, width = x.shape
        gates = []
        for k, dilation in enumerate(self.dilations):
            delayed = functional.pad(x, (0, 0, dilation, 0))[:, :time]
            filtered = layers[f"block_{k}"](torch.cat([delayed, x], dim=-1))
            filtered = filtered.view(batch, -1, self.hop_samples, 2 * width) + gates_in[k].unsqueeze(2)
            tanh, sigmoid = filtered.view(batch, time, 2 * width).chunk(2, dim=-1)
            gates.append(torch.tanh(tanh) * torch.sigmoid(sigmoid))
            if f"residual_{k}" in layers:
                x = x + layers[f"residual_{k}"](gates[-1])
        y = functional.relu(layers["skip"](torch.cat(gates, dim=-1)))
        return layers["logits"](functional.relu(layers["post"](y)))


@torch.no_grad()
def copy_weights(ours: keras.Model, peer: nn.Module) -> None:
    """Fill the peer's layers with those of one of our networks."""
    for layer in ours.layers:
        weights = [tensor(w) for w in layer.get_weights()]
        if not weights:
            continue
        if layer.name.endswith("_norm"):
            norm = peer.layers[layer.name.removesuffix("_norm")].norm
            for target, value in zip(
                (norm.weight, norm.bias, norm.running_mean, norm.running_var), weights, strict=True
            ):
                target.copy_(value)
        elif layer.name == "mel_normalisation":
            for name, value in zip(("run_mean", "run_std", "mean", "std"), weights, strict=True):
                getattr(peer, name).copy_(value)
        elif layer.name == "condition_rnn":
            _copy_lstm(weights, peer.layers[layer.name])
        elif layer.name.startswith("block_"):
            peer.layers[layer.name].weight.copy_(weights[0].T)
            if len(weights) > 1:
                residual = peer.layers[layer.name.replace("block", "residual")]
                residual.weight.copy_(weights[1].T)
                residual.bias.copy_(weights[2])
        else:
            module = peer.layers[layer.name]
            module = module.layer if isinstance(module, Hidden) else module
            module = module.layer if isinstance(module, Convolution) else module
            kernel, bias = weights
            turned = (3, 2, 0, 1) if kernel.ndim == 4 else tuple(reversed(range(kernel.ndim)))
            module.weight.copy_(kernel.permute(turned))
            module.bias.copy_(bias)


def _copy_lstm(weights: list[torch.Tensor], lstm: nn.LSTM) -> None:
    for direction, (kernel, recurrent, bias) in zip(("", "_reverse"), (weights[:3], weights[3:]), strict=True):
        getattr(lstm, f"weight_ih_l0{direction}").copy_(kernel.T)
        getattr(lstm, f"weight_hh_l0{direction}").copy_(recurrent.T)
        getattr(lstm, f"bias_ih_l0{direction}").copy_(bias)
        getattr(lstm, f"bias_hh_l0{direction}").zero_()


Losses = Callable[[Any], dict[str, torch.Tensor]]


def conversion_losses(net: nn.Module, weight: float) -> Losses:
    def losses(batch: Any) -> dict[str, torch.Tensor]:
        inputs, wanted = batch
        given = net(inputs)
        parts = {name: (wanted[name] - given[name].float()).abs().mean() for name in wanted}
        return {"loss": weight * parts["mel"] + parts["facial"]}

    return losses


def wavenet_losses(net: nn.Module) -> Losses:
    def losses(batch: Any) -> dict[str, torch.Tensor]:
        inputs, classes = batch
        logits = net(inputs).float()
        return {"loss": functional.cross_entropy(logits.flatten(0, 1), classes.flatten())}

    return losses


def gan_losses(generator: nn.Module, discriminator: nn.Module, adversarial_weight: float, l1_weight: float) -> Losses:
    """One pass for both networks, as ours."""

    def losses(batch: Any) -> dict[str, torch.Tensor]:
        features, images = batch
        generated = generator(features)
        real, fake = discriminator(images).float(), discriminator(generated).float()
        adversarial = 0.5 * (fake - 1).square().mean()
        l1 = (images - generated).abs().mean()
        return {
            "generator/loss": adversarial_weight * adversarial + l1_weight * l1,
            "discriminator/loss": 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean(),
        }

    return losses


class PyTorchTraining:
    """Steps of one network or two, each down its own loss by Adam.

    Args:
        descents: loss -> its network and its rate.
        clip_norm, ema_decay: as in the settings.
    """

    def __init__(
        self,
        losses: Losses,
        descents: Mapping[str, tuple[nn.Module, float]],
        *,
        betas: tuple[float, float],
        clip_norm: float,
        ema_decay: float,
        bfloat16: bool,
    ) -> None:
        self.losses, self.clip_norm, self.ema_decay, self.bfloat16 = losses, clip_norm, ema_decay, bfloat16
        self.parts = []
        for name, (network, rate) in descents.items():
            parameters = list(network.parameters())
            adam = torch.optim.Adam(parameters, lr=rate, betas=betas, eps=1e-7, fused=True)
            averages = [p.detach().clone() for p in parameters] if ema_decay else []
            self.parts.append((name, parameters, adam, averages))

    def step(self, batch: Any) -> dict[str, float]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            found = self.losses(batch)
        last = len(self.parts) - 1
        gradients = [
            torch.autograd.grad(found[name], parameters, retain_graph=k < last)
            for k, (name, parameters, _, _) in enumerate(self.parts)
        ]
        for (_, parameters, adam, averages), found_gradients in zip(self.parts, gradients, strict=True):
            for parameter, gradient in zip(parameters, found_gradients, strict=True):
                parameter.grad = gradient
            if self.clip_norm:
                nn.utils.clip_grad_norm_(parameters, self.clip_norm)
            adam.step()
            if averages:
                with torch.no_grad():
                    torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1 - self.ema_decay)
        return {name: float(value.detach()) for name, value in found.items()}
