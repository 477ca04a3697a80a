"""results.html: the paper's Table 1 and Figure 5 of a test, with intervals and tests; one self-contained page."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

import jinja2

from avsc_tf.listening import plots
from avsc_tf.listening.design import MODALITIES, Design

_TEMPLATE = Path(__file__).with_name("results.html")
_MISSING = "\N{EN DASH}"


def results_html(design: Design, tree: dict[str, Any]) -> str:
    """The page of `results.results_tree`'s figures."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"signed": _signed, "number": _number, "p": _p, "percent": _percent}
    overall = [row for row in tree["mos"] if row["emotion"] == tree["emotions"][-1]]
    pairs = [[row for row in tree["preferences"] if (row["first"], row["second"]) == pair] for pair in design.pairs]
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        about=tree["about"],
        rule=tree["about"]["rule"],
        modalities=MODALITIES,
        titles=plots.TITLES,
        rated=design.rated,
        table=_table_1(design, tree),
        scores=_image(plots.score_plot(overall, design.rated, design.systems)),
        pairs=[
            {"rows": rows, "picture": _image(plots.preference_plot(rows, tree["emotions"], design.systems))}
            for rows in pairs
            if rows
        ],
        tests=_tests(tree),
        raters=tree["raters"],
        label=plots.emotion_label,
    )


def _table_1(design: Design, tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of emotions; a system's cell is bold where the t-test says it is above every other system."""
    cells = {(row["emotion"], row["modality"], row["system"]): row for row in tree["mos"]}
    beaten: dict[tuple[str, str, str], int] = {}
    for row in tree["t_tests"]:
        if row["significant"] and {row["first"], row["second"]} <= set(design.systems):
            better = row["first"] if row["difference"] > 0 else row["second"]
            key = (row["emotion"], row["modality"], better)
            beaten[key] = beaten.get(key, 0) + 1
    others = len(design.systems) - 1
    return [
        {
            "emotion": emotion,
            "cells": [
                {"best": others > 0 and beaten.get((emotion, m, s), 0) == others, **cells[emotion, m, s]}
                for m in MODALITIES
                for s in design.rated
            ],
        }
        for emotion in tree["emotions"]
    ]


def _tests(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """The three tests of each pair over all emotions, side by side."""
    overall = tree["emotions"][-1]
    names = ("t_tests", "mixed_models", "rank_tests")
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for name in names:
        for row in tree[name]:
            if row["emotion"] == overall:
                key = (row["modality"], row["first"], row["second"])
                found.setdefault(key, dict.fromkeys(names))[name] = row
    return [{"modality": m, "first": a, "second": b, **tests} for (m, a, b), tests in found.items()]


def _image(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _number(value: float | None, decimals: int = 2) -> str:
    return _MISSING if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"


def _signed(value: float | None) -> str:
    return _MISSING if value is None or not math.isfinite(value) else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _percent(value: float | None) -> str:
    return _MISSING if value is None or not math.isfinite(value) else f"{100 * value:.0f} %"


def _p(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return _MISSING
    return "< .0001" if value < 1e-4 else f"{value:.4f}".lstrip("0")
