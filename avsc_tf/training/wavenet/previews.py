"""What the WaveNet makes of a held-out recording, for TensorBoard: to hear, and to see what its mel lacks."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import soxr
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from avsc_tf.core.config import Config
from avsc_tf.datasets.recordings import Floats, Recording
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.models.wavenet import WaveNet
from avsc_tf.training.engine.callbacks import Preview

MakeSampler = Callable[[WaveNet, Config], Any]  # training imports no stage after it, so the tools hand this in
Standardise = Callable[[Floats], Floats]

PREVIEW_SECONDS = 2.0
DIFFERENCE_RANGE_NATS = 3.0  # 26 dB either way


def speech_preview(
    model: WaveNet,
    recordings: Sequence[Recording],
    config: Config,
    make_sampler: MakeSampler | None,
    standardise: Standardise | None,
) -> Preview | None:
    """The first seconds of a held-out recording and of its copy by the network: sounds, and their mels' difference."""
    if make_sampler is None or not recordings:
        return None
    full = config.timebase
    timebase = full.at_rate(config.wavenet.sample_rate_hz)
    recording = recordings[0]
    n_video = min(timebase.video_frames_in(len(recording.waveform)), round(PREVIEW_SECONDS * timebase.video_fps))
    mel = np.array(recording.mel[: timebase.mel_frames_in(n_video)])
    facial = None if recording.facial is None else np.array(recording.facial[:n_video])
    natural = np.array(recording.waveform[: timebase.samples_in(n_video)])

    def show(finished_epochs: int, writer: Any) -> None:
        fed = mel if standardise is None else standardise(mel)
        facials = None if facial is None else [facial]
        spoken = make_sampler(model, config).generate([fed], facials, seed=config.seed)[0]
        at_full_rate = soxr.resample(spoken, timebase.sample_rate_hz, full.sample_rate_hz, quality="HQ")
        spoken_mel = mel_spectrogram(at_full_rate[: full.samples_in(n_video)], config.acoustic, full)
        with writer.as_default(step=finished_epochs):
            for name, waveform in (("natural", natural), ("wavenet", spoken)):
                audio = np.clip(waveform, -1.0, 1.0)[None, :, None]  # [clips, samples, channels]
                tf.summary.audio(name, audio, timebase.sample_rate_hz)
            tf.summary.image("mel: asked for, spoken, difference", mel_comparison(mel, spoken_mel, config)[None])

    return show


def mel_comparison(asked: Floats, spoken: Floats, config: Config) -> np.ndarray:
    """Mel asked for, mel of the speech, and speech minus asked [frames, n_mels], natural log, as one uint8 picture."""
    n = min(len(asked), len(spoken))
    asked, spoken = asked[:n], spoken[:n]
    figure = Figure(figsize=(9.0, 7.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True)
    extent = (0.0, n * config.time.hop_ms / 1000, 0.0, float(asked.shape[1]))
    levels = {"vmin": np.log(config.acoustic.log_floor), "vmax": float(asked.max()), "cmap": "magma"}
    limits = {"vmin": -DIFFERENCE_RANGE_NATS, "vmax": DIFFERENCE_RANGE_NATS, "cmap": "RdBu_r"}
    rows = (("asked for", asked, levels), ("spoken", spoken, levels), ("spoken - asked", spoken - asked, limits))
    for axis, (title, values, colours) in zip(axes, rows, strict=True):
        picture = axis.imshow(values.T, origin="lower", aspect="auto", extent=extent, **colours)
        figure.colorbar(picture, ax=axis, label="nepers")
        axis.set_title(title, loc="left")
        axis.set_ylabel("mel band")
    mean = float(np.abs(spoken - asked).mean())
    axes[-1].set_title(f"mean size {mean:.2f} nepers", loc="right")
    axes[-1].set_xlabel("seconds")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="raw")
    width, height = figure.canvas.get_width_height()
    return np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)[..., :3]
