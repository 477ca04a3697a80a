"""Small SVG drawings for report.html, from numbers alone: warping path, crop path, strip of levels, histogram.

Colours come from the page's classes, so that they follow its light and dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from avsc_tf.corpus.doctor import thinned

_BOX = 100  # coordinates of the path plot, whole numbers
_DRAWN_POINTS = 48
_STRIP_WIDTH, _STRIP_HEIGHT = 320, 44
_HISTOGRAM_BINS = 21


def path_plot(path: np.ndarray | None, kind: str = "ok") -> Markup:
    """Warping path [steps, 2]: source to the right, target upwards, each over its own length; the diagonal behind."""
    if path is None or len(path) == 0:
        return Markup("")
    steps = np.asarray(path, float)
    lengths = np.maximum(steps.max(axis=0), 1)
    points = thinned(steps, _DRAWN_POINTS) / lengths * _BOX
    points[:, 1] = _BOX - points[:, 1]
    return _svg(
        f"path {kind}",
        (-4, -4, _BOX + 8, _BOX + 8),
        f'<path class="diagonal" d="M0 {_BOX}L{_BOX} 0"/><polyline points="{_points(points)}"/>',
        "Warping path",
    )


def crop_plot(
    centres: np.ndarray | Sequence[tuple[float, float]] | None,
    side: float | None,
    frame_size: tuple[int, int] | None,
    speaker: str,
    kind: str = "ok",
) -> Markup:
    """The frame, the crop at its median place, and the way of its centre; 100 units are the frame's height."""
    if centres is None or side is None or frame_size is None or len(centres) == 0:
        return Markup("")
    width, height = frame_size
    scale = _BOX / height
    way = thinned(np.asarray(centres, float), _DRAWN_POINTS) * scale
    if len(way) == 1:
        way = np.repeat(way, 2, axis=0)
    left, top = np.median(way, axis=0) - side * scale / 2
    square = f"{left:.0f}", f"{top:.0f}", f"{side * scale:.0f}", f"{side * scale:.0f}"
    return _svg(
        f"crop {speaker} {kind}",
        (-4, -4, round(width * scale) + 8, _BOX + 8),
        f"{_rect('frame', 0, 0, f'{width * scale:.0f}', _BOX)}{_rect('square', *square)}"
        f'<polyline points="{_points(way, decimals=1)}"/>',
        f"Crop of the {speaker}'s face",
    )


def strip(values: Sequence[float], marked: Sequence[float], *, unit: str, label: str, step: float) -> Markup:
    """A tick a value, `marked` ones in another colour, the median as a long line.

    The axis ends at multiples of `step`, three steps from the median at most: what lies beyond is drawn at its end.
    """
    if not values:
        return Markup("")
    median = float(np.median(values))
    low, high = max(min(values), median - 3 * step), min(max(values), median + 3 * step)
    low, high = math.floor(low / step) * step, math.ceil(high / step + 1e-9) * step
    high = max(high, low + step)
    place = _STRIP_WIDTH / (high - low)
    rest = sorted(set(values) - set(marked))
    body = (
        f'<path class="axis" d="M0 28H{_STRIP_WIDTH}"/>'
        f'<path class="tick" d="{_ticks(rest, low, high, place)}"/>'
        f'<path class="tick marked" d="{_ticks(sorted(set(marked)), low, high, place)}"/>'
        f'<path class="median" d="M{(median - low) * place:.1f} 2V32"/>'
        f"{_axis_text(low, high, unit)}"
    )
    return _svg("strip", (-2, 0, _STRIP_WIDTH + 4, _STRIP_HEIGHT), body, label)


def ratio_histogram(ratios: Sequence[float], label: str) -> Markup:
    """Duration ratios on a logarithmic axis around 1, the median as a line."""
    if not ratios:
        return Markup("")
    logs = np.log([ratio for ratio in ratios if ratio > 0])
    reach = max(math.log(1.25), float(np.abs(logs).max())) * 1.02
    counts, _ = np.histogram(logs, bins=_HISTOGRAM_BINS, range=(-reach, reach))
    bar = _STRIP_WIDTH / _HISTOGRAM_BINS
    tops = counts / counts.max() * 24
    bars = "".join(f"M{i * bar:.1f} 28v-{top:.1f}h{bar - 1:.1f}V28z" for i, top in enumerate(tops) if top > 0)
    median = (float(np.median(logs)) + reach) / (2 * reach) * _STRIP_WIDTH
    body = (
        f'<path class="bars" d="{bars}"/><path class="axis" d="M0 28H{_STRIP_WIDTH}M{_STRIP_WIDTH / 2:g} 25v6"/>'
        f'<path class="median" d="M{median:.1f} 2V32"/>'
        f'<text x="{_STRIP_WIDTH / 2:g}" y="42" text-anchor="middle">1</text>'
        f"{_axis_text(math.exp(-reach), math.exp(reach), '', decimals=2)}"
    )
    return _svg("strip", (-2, 0, _STRIP_WIDTH + 4, _STRIP_HEIGHT), body, label)


def _ticks(values: Sequence[float], low: float, high: float, place: float) -> str:
    return "".join(f"M{(min(max(value, low), high) - low) * place:.1f} 8v16" for value in values)


def _axis_text(low: float, high: float, unit: str, *, decimals: int = 0) -> str:
    ends = (
        f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}") + (f" {unit}" if unit else "") for value in (low, high)
    )
    first, last = ends
    return f'<text x="0" y="42">{first}</text><text x="{_STRIP_WIDTH}" y="42" text-anchor="end">{last}</text>'


def _points(points: np.ndarray, *, decimals: int = 0) -> str:
    return " ".join(f"{x:.{decimals}f},{y:.{decimals}f}" for x, y in points)


def _rect(kind: str, x: object, y: object, width: object, height: object) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>'


def _svg(kind: str, box: tuple[float, float, float, float], body: str, label: str) -> Markup:
    """`body` is drawn from numbers; `label` is text and is escaped."""
    view = " ".join(f"{value:g}" for value in box)
    return Markup('<svg class="{}" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(
        kind, view, label, Markup(body)
    )
