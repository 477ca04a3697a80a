"""Pictures of the report, as PNG bytes."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import librosa
import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsc_tf.core.config import Config
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import mel_spectrogram

COLUMNS = ("source", "converted", "target")
COLOURS = {"source": "#8a8f98", "converted": "#c2410c", "target": "#1d4ed8"}
INK, RULE = "#1f2328", "#d0d4da"
STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
N_MOMENTS = 8
FINE_TOP_HZ, FINE_WINDOW_SECONDS = 4000.0, 0.045  # harmonics of voices above 90 Hz lie apart
SHOWN_SECONDS = 1.5
HELD_OUT = "val_"  # how training names a figure of held-out sentences


def mel_panels(mels: Sequence[np.ndarray], openings: Sequence[np.ndarray], timebase: Timebase) -> bytes:
    """Source, converted and target mel ([8T, n_mels] natural log) side by side, the mouth openings ([T]) below.

    All lie on the source's timeline; the three spectrograms share one scale of colours.
    """
    loudest = max(float(mel.max()) for mel in mels)
    seconds = len(mels[0]) / timebase.mel_fps
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.9), layout="constrained")
        panels = figure.subplot_mosaic([list(COLUMNS), ["mouth"] * 3], height_ratios=[1.9, 1])
        for name, mel in zip(COLUMNS, mels, strict=True):
            axes = panels[name]
            axes.imshow(mel.T, origin="lower", aspect="auto", cmap="magma", vmin=loudest - 8, vmax=loudest,
                        extent=(0, seconds, 0, mel.shape[1]), interpolation="nearest")  # fmt: skip
            axes.set_title(name if name != "target" else "target, on the source's time")
            axes.set_yticks([] if name != "source" else [0, mel.shape[1]])
        panels["source"].set_ylabel("mel band")
        axes = panels["mouth"]
        for name, opening in zip(COLUMNS, openings, strict=True):
            axes.plot(
                (np.arange(len(opening)) + 0.5) / timebase.video_fps, opening, color=COLOURS[name], label=name, lw=1.4
            )
        axes.set(xlim=(0, seconds), xlabel="seconds", ylabel="mouth opening\n(eye distances)")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.98), borderaxespad=0, fontsize=8)
        return as_png(figure)


def voice_panels(waveforms: Mapping[str, np.ndarray], config: Config) -> bytes:
    """Renderings of one sentence (float32 at `time.sample_rate_hz`) side by side, by name; the recording first.

    Above the mel spectrogram that the vocoders were given, below the spectrum up to 4 kHz finely enough to see single
    harmonics, which the mel bands do not show: hoarseness fills the dark between them. Of a long sentence the loudest
    seconds. One scale of colours a row.
    """
    timebase = config.timebase
    cut, start_s, seconds = _loudest_stretch(list(waveforms.values()), timebase.sample_rate_hz)
    rows = [
        (
            [mel_spectrogram(waveform, config.acoustic, timebase) for waveform in cut],
            config.acoustic.n_mels,
            "mel band",
        ),
        ([_fine_spectrum(waveform, timebase.sample_rate_hz) for waveform in cut], FINE_TOP_HZ / 1000, "kHz"),
    ]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.4), layout="constrained")
        panels = figure.subplots(2, len(cut), sharex=True, sharey="row", squeeze=False)
        for line, (spectra, top, label) in zip(panels, rows, strict=True):
            loud = float(np.percentile(spectra[0], 99.7))
            for axes, spectrum in zip(line, spectra, strict=True):
                axes.imshow(spectrum.T, origin="lower", aspect="auto", cmap="magma", vmin=loud - 7, vmax=loud,
                            extent=(start_s, start_s + seconds, 0, top), interpolation="nearest")  # fmt: skip
            line[0].set_ylabel(label)
        for axes, name in zip(panels[0], waveforms, strict=True):
            axes.set_title(name)
        for axes in panels[1]:
            axes.set_xlabel("seconds")
        return as_png(figure)


def _loudest_stretch(waveforms: Sequence[np.ndarray], sample_rate_hz: int) -> tuple[list[np.ndarray], float, float]:
    """At most `SHOWN_SECONDS` of all, where the first has most energy; with their start and length in seconds."""
    n_samples = min(len(waveform) for waveform in waveforms)
    length = min(n_samples, round(SHOWN_SECONDS * sample_rate_hz))
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveforms[0][:n_samples], dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[: len(energy) - length]))
    return [w[start : start + length] for w in waveforms], start / sample_rate_hz, length / sample_rate_hz


def _fine_spectrum(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """[frames, bins] natural log magnitude up to `FINE_TOP_HZ`, in windows of `FINE_WINDOW_SECONDS`."""
    length = round(FINE_WINDOW_SECONDS * sample_rate_hz)
    spectrum = librosa.stft(
        np.asarray(waveform, np.float32), n_fft=2 * length, win_length=length, hop_length=length // 8
    )
    n_bins = round(FINE_TOP_HZ * 2 * length / sample_rate_hz)
    return np.log(np.abs(spectrum[:n_bins]).T + 1e-5)


def frame_strip(rows: Sequence[np.ndarray], opening: np.ndarray) -> bytes:
    """Source, converted and target frames (uint8 [T, S, S, 3]), a row each, at moments of the sentence.

    Args:
        opening: the target's mouth opening [T]; the moments are the widest and the most closed of each stretch in turn.
    """
    moments = telling_moments(opening, N_MOMENTS)
    return frame_sheet([[frames[moment] for moment in moments] for frames in rows])


def frame_sheet(rows: Sequence[Sequence[np.ndarray] | np.ndarray], *, cell_px: int = 150) -> bytes:
    """Pictures (uint8 RGB squares) in rows and columns."""
    gap, white = 4, 255
    n_columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (cell_px + gap) - gap, n_columns * (cell_px + gap) - gap, 3), white, np.uint8)
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            how = cv2.INTER_AREA if image.shape[0] > cell_px else cv2.INTER_CUBIC
            y, x = r * (cell_px + gap), c * (cell_px + gap)
            sheet[y : y + cell_px, x : x + cell_px] = cv2.resize(image, (cell_px, cell_px), interpolation=how)
    _, png = cv2.imencode(".png", sheet[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return png.tobytes()


def telling_moments(opening: np.ndarray, n: int) -> list[int]:
    """`n` frames in rising order: in each of n equal stretches, in turn the widest and the narrowest mouth."""
    edges = np.linspace(0, len(opening), n + 1).astype(int)
    moments = []
    for i, (start, end) in enumerate(itertools.pairwise(edges)):
        stretch = opening[start : max(end, start + 1)]
        moments.append(int(min(start, len(opening) - 1) + (np.argmax(stretch) if i % 2 == 0 else np.argmin(stretch))))
    return moments


def loss_curves(histories: Sequence[tuple[str, Path]]) -> bytes | None:
    """A panel a network from its `history.csv` (a row an epoch); None where there is no curve to draw."""
    read = [(network, curves) for network, path in histories if (curves := read_history(path))]
    if not read:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        panels = figure.subplots(1, len(read), squeeze=False)[0]
        for axes, (network, curves) in zip(panels, read, strict=True):
            _draw_curves(axes, curves)
            axes.set(title=network, xlabel="epoch")
        return as_png(figure)


def _draw_curves(axes: Axes, curves: dict[str, list[float]]) -> None:
    """One colour a figure; that of held-out sentences (`val_`) is dashed."""
    figures = list(dict.fromkeys(name.removeprefix(HELD_OUT) for name in curves))
    for name, values in curves.items():
        held_out = name.startswith(HELD_OUT)
        axes.plot(
            np.arange(1, len(values) + 1),
            values,
            color=f"C{figures.index(name.removeprefix(HELD_OUT))}",
            linestyle="--" if held_out else "-",
            marker="." if len(values) < 3 else "",
            lw=1.4,
            label=f"{name.removeprefix(HELD_OUT)}, held out" if held_out else name,
        )
    lowest, highest = (bound([bound(values) for values in curves.values()]) for bound in (np.nanmin, np.nanmax))
    if lowest > 0 and highest / lowest > 3:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(matplotlib.ticker.LogLocator(subs=(2, 3, 5, 7)))
        axes.yaxis.set_minor_formatter(matplotlib.ticker.FormatStrFormatter("%.3g"))
    axes.tick_params(axis="both", which="both", labelsize=8)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def read_history(path: Path) -> dict[str, list[float]]:
    """Columns of a `history.csv` that are losses; empty where there is no file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if any(part in name for part in ("loss", "l1", "nll"))]
    return {name: [float(row[name]) if row[name] else float("nan") for row in rows] for name in names}


def as_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
