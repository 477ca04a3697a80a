"""What the parts of `alignment.py` share: features by name, paths by setting, error shares, plots, tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.alignment.distances import Features, SoundFeatures, literal_cost, standardised_cost
from avsc_tf.alignment.dtw import warping_path
from avsc_tf.alignment.matching import ClipDescriptor, Cohort, PairMatch, describe, judge, margin_limit, match_pair
from avsc_tf.alignment.pairs import pair_positions
from avsc_tf.alignment.silence import anchored_path
from avsc_tf.core.config import Config
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.statistics import RunningMoments, Statistics, flatten_keypoints
from avsc_tf.media.audio import read_audio
from avsc_tf.signal.speech import Span, speech_span

Bank = dict[str, Features]
Rows = list[dict[str, Any]]
DISTANCES = ("literal", "standardised")


def sounds_of(config: Config, paths: Iterable[Path]) -> Bank:
    timebase = config.timebase
    return {
        path.stem: SoundFeatures(
            mel_spectrogram(read_audio(path, sample_rate_hz=timebase.sample_rate_hz), config.acoustic, timebase)
        )
        for path in paths
    }


def in_noise(
    config: Config, mel: np.ndarray, below_db: float, rng: np.random.Generator, *, longest_s: float = 2.0
) -> tuple[SoundFeatures, int]:
    """A clip between stretches of pink noise and in it, `below_db` under its loud frames; and the frames before it."""
    timebase = config.timebase
    before, after = rng.integers(0, round(longest_s * timebase.video_fps), 2)
    n_frames = len(mel) // timebase.mel_per_video + before + after
    spectrum = np.fft.rfft(rng.standard_normal(timebase.samples_in(n_frames)))
    pink = np.fft.irfft(spectrum / np.sqrt(1 + np.arange(len(spectrum))))
    noise = mel_spectrogram((pink / np.abs(pink).max()).astype(np.float32), config.acoustic, timebase)
    loud, level = (np.percentile(np.log(np.exp(2 * x).mean(axis=1)) / 2, 95) for x in (mel, noise))
    noise += loud - below_db / 20 * np.log(10) - level
    pads = [np.full((timebase.mel_frames_in(n), mel.shape[1]), mel.min(), mel.dtype) for n in (before, after)]
    clean = np.concatenate([pads[0], mel, pads[1]])
    return SoundFeatures(np.logaddexp(2 * clean, 2 * noise).astype(np.float32) / 2), int(before)


def statistics_of(**speakers: Iterable[Features]) -> Statistics:
    moments: dict[str, Any] = {}
    for speaker, clips in speakers.items():
        running: dict[str, RunningMoments] = {}
        for clip in clips:
            running.setdefault("mel", RunningMoments()).add(clip.mel)
            if clip.keypoints is not None and clip.vgg is not None:
                running.setdefault("vgg", RunningMoments()).add(clip.vgg)
                running.setdefault("keypoints", RunningMoments()).add(flatten_keypoints(clip.keypoints))
        moments[speaker] = {name: r.moments() for name, r in running.items()}
    return Statistics(moments)


def cost_matrix(config: Config, pair: tuple[Features, Features], statistics: Statistics, distance: str) -> np.ndarray:
    timebase = config.timebase
    return literal_cost(*pair, timebase) if distance == "literal" else standardised_cost(*pair, statistics, timebase)


def path_cost(config: Config, pair: tuple[Features, Features], statistics: Statistics, distance: str) -> float:
    """Mean cost of a step of the path under `alignment.silence`, by the path's own distance."""
    cost = cost_matrix(config, pair, statistics, distance)
    keep = config.alignment.silence == "keep"
    path = warping_path(cost) if keep else anchored_path(cost, *speech_spans(config, pair))
    return float(cost[path[:, 0], path[:, 1]].mean())


def speech_spans(config: Config, pair: tuple[Features, Features]) -> tuple[Span, Span]:
    timebase = config.timebase
    return tuple(speech_span(c.mel, mel_per_video=timebase.mel_per_video, video_fps=timebase.video_fps) for c in pair)


def positions_s(path: np.ndarray, shape: Any, config: Config, *, timeline: str) -> tuple[np.ndarray, np.ndarray]:
    """Seconds in source and target at the frames of the timeline."""
    alignment = dataclasses.replace(config.alignment, timeline=timeline)  # type: ignore[arg-type]
    source, target = pair_positions(path, *shape, alignment=alignment)
    return source / config.time.video_fps, target / config.time.video_fps


def error_ms(errors: list[np.ndarray]) -> dict[str, float]:
    every = 1e3 * np.concatenate(errors)
    return {"mean": every.mean(), "median": np.median(every), "95 %": np.percentile(every, 95), "n": len(every)}


def descriptors(bank: Bank, speaker: str, statistics: Statistics, config: Config) -> dict[str, ClipDescriptor]:
    timebase = config.timebase
    return {n: describe(c.mel, statistics, speaker, name=n, timebase=timebase) for n, c in bank.items()}


def cost_alone(a: ClipDescriptor, b: ClipDescriptor) -> float:
    return match_pair(a, b, sources=Cohort(), targets=Cohort(), cohort=0).cost


def matches_of(
    sources: dict[str, ClipDescriptor],
    targets: dict[str, ClipDescriptor],
    pairs: Iterable[tuple[str, str]],
    config: Config,
) -> dict[Any, PairMatch]:
    cohorts = {"sources": Cohort(sources.values()), "targets": Cohort(targets.values())}
    return {(a, b): match_pair(sources[a], targets[b], cohort=config.alignment.cohort, **cohorts) for a, b in pairs}


def detect(
    what: str, sources: Any, targets: Any, names: list[str], wrong: list[tuple[str, str]], config: Config
) -> dict[str, Any]:
    true = matches_of(sources, targets, [(n, n) for n in names], config)
    return rates(what, true, matches_of(sources, targets, wrong, config))


def rates(what: str, true: dict[Any, PairMatch], wrong: dict[Any, PairMatch]) -> dict[str, Any]:
    """Errors under the limit that the true pairs set, as in a corpus in which nearly all pairs are true."""
    limit = margin_limit(match.margin for match in true.values())
    verdicts = [[judge(match, limit=limit).verdict for match in found.values()] for found in (true, wrong)]
    margins = [np.array([match.margin for match in found.values()]) for found in (true, wrong)]
    shares = {
        f"{kind}: {verdict}": found.count(verdict) / len(found)
        for kind, found in zip(("pairs", "others"), verdicts, strict=True)
        for verdict in ("doubtful", "no pair", "pair")
        if (kind, verdict) != ("pairs", "pair")
    }
    return {
        "non-pairs": what,
        "n pairs": len(true),
        "n others": len(wrong),
        "median margin": float(np.median(margins[0])),
        "limit": limit,
        **shares,
        "equal error": _equal_error(*margins),
    }


def _equal_error(pairs: np.ndarray, others: np.ndarray) -> float:
    """The smallest share of errors that both kinds can be held under by one threshold."""
    return min(max((pairs > limit).mean(), (others <= limit).mean()) for limit in np.concatenate([pairs, others]))


def plot(
    path: Path,
    config: Config,
    pair: tuple[Features, Features],
    statistics: Statistics,
    knots_s: Sequence[np.ndarray] | None,
) -> None:
    """Cost matrix with both paths, the speech spans and the true times (white circles) on top."""
    from matplotlib.figure import Figure

    matrix = cost_matrix(config, pair, statistics, "standardised")
    fps, spans = config.time.video_fps, speech_spans(config, pair)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot()
    extent = (0, matrix.shape[1] / fps, 0, matrix.shape[0] / fps)
    axes.imshow(matrix, origin="lower", extent=extent, aspect="auto", cmap="magma")
    for label, steps, colour in (
        ("keep", warping_path(matrix), "deepskyblue"),
        ("match", anchored_path(matrix, *spans), "lime"),
    ):
        axes.plot(*((steps[:, axis] + 0.5) / fps for axis in (1, 0)), color=colour, label=label, linewidth=1.2)
    for draw, span in ((axes.axhline, spans[0]), (axes.axvline, spans[1])):
        for frame in span:
            draw(frame / fps, color="white", linewidth=0.6, linestyle=":")
    if knots_s is not None:
        axes.plot(knots_s[1], knots_s[0], "o", markersize=5, fillstyle="none", color="white", label="true times")
    axes.set(xlabel="target, s", ylabel="source, s", title=path.stem)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def show(title: str, rows: Rows) -> None:
    """Print a table."""
    cells = [list(rows[0]), *([f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    print(f"\n{title}")
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), flush=True)
