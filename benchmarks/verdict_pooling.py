"""Several seeds' evaluations as one: each sentence the mean of its seeds, so that sentences are what is drawn.

A seed more makes no sentence more: intervals and tests are over sentences, and what the seed alone moves stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avsc_tf.evaluation.paired import holm
from avsc_tf.evaluation.videos import tables
from avsc_tf.evaluation.videos.catalogue import CATALOGUE, FIGURES
from avsc_tf.evaluation.videos.material import CONVERTED, ROWS, TARGET, VERSUS

JUDGED = (CONVERTED, VERSUS)
NONE = "-"
ABOUT = ("sentences", "interval", "test", "notes")
PRIMARY = ("canonical_r", "mcd_db", "mouth_distance")  # synchrony, voice, face: named before any video was measured
WITH_SENTENCES = (CONVERTED, VERSUS, TARGET)

Report = Mapping[str, Any]  # report.json of tools/evaluate.py
Values = dict[str, dict[str, dict[str, dict[str, float | None]]]]  # table -> row -> figure -> utterance -> value


def pool(reports: Sequence[Report]) -> dict[str, Any]:
    """The means over seeds, the paired difference joint - baseline, and each seed's own difference.

    Returns:
        tables[table][row][figure] as in report.json; difference[table][figure] with mean, low, high, n, p, p_holm
        (over the headline figures), better, by_seed; primary[figure] with p_holm over the three primary figures.
    """
    seeds = [values_of(report) for report in reports]
    means = mean_of(seeds)
    difference = tables.versus(means)
    for table, by in difference.items():
        for name, entry in by.items():
            entry["by_seed"] = [_difference(values[table], name) for values in seeds]
            entry["seed_sd"] = {
                row: _rounded(np.std([_mean(values[table][row][name]) for values in seeds], ddof=1))
                for row in JUDGED
                if len(seeds) > 1
            }
    return {
        "about": {name: reports[0]["about"][name] for name in ABOUT} | {"seeds": len(seeds)},
        "primary": _primary(difference),
        "difference": difference,
        "tables": _without_sentences(tables.summary(means)),
    }


def values_of(report: Report) -> Values:
    """The sentences' values of the catalogue's tables."""
    return {
        table: {
            row: {name: entry["sentences"] for name, entry in figures.items()}
            for row, figures in report["tables"].get(table, {}).items()
        }
        for table in CATALOGUE
    }


def mean_of(seeds: Sequence[Values]) -> Values:
    """Each sentence's mean over the seeds that could be measured; rows that know no seed as the first has them."""
    first = seeds[0]
    return {
        table: {
            row: {name: {u: _mean_at(seeds, table, row, name, u) for u in by} for name, by in figures.items()}
            if row in JUDGED
            else figures
            for row, figures in rows.items()
        }
        for table, rows in first.items()
    }


def _mean_at(seeds: Sequence[Values], table: str, row: str, name: str, utterance: str) -> float | None:
    found = [seed[table][row][name].get(utterance) for seed in seeds]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _difference(rows: Mapping[str, Mapping[str, Mapping[str, float | None]]], name: str) -> float:
    first, second = (rows[row][name] for row in JUDGED)
    pairs = [(a, second.get(u)) for u, a in first.items()]
    return _rounded(np.mean([a - b for a, b in pairs if a is not None and b is not None]))


def _mean(by: Mapping[str, float | None]) -> float:
    return float(np.mean([value for value in by.values() if value is not None]))


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 5)


def _primary(difference: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    entries = {name: entry for by in difference.values() for name, entry in by.items() if name in PRIMARY}
    adjusted = holm([np.nan if entry["p"] is None else entry["p"] for entry in entries.values()])
    return {name: {"p": entry["p"], "p_holm": p} for (name, entry), p in zip(entries.items(), adjusted, strict=True)}


def _without_sentences(summary: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> dict[str, Any]:
    """Only the rows that are compared keep each sentence's value."""
    return {
        table: {
            row: {
                name: {k: v for k, v in entry.items() if k != "sentences" or row in WITH_SENTENCES}
                for name, entry in figures.items()
            }
            for row, figures in rows.items()
        }
        for table, rows in summary.items()
    }


def table_text(found: Mapping[str, Any]) -> str:
    """A Markdown table of every compared figure, then one of the rows that cost nothing."""
    lines = ["| figure | joint | baseline | joint - baseline | p | Holm | each seed |", "|---|---|---|---|---|---|---|"]
    for table, by in found["difference"].items():
        for name, entry in by.items():
            places = FIGURES[name].decimals + 1
            joint, baseline = (found["tables"][table][row][name]["mean"] for row in JUDGED)
            seeds = ", ".join(f"{value:+.{places}f}" for value in entry["by_seed"])
            lines.append(
                f"| {FIGURES[name].title} | {joint:.{places}f} | {baseline:.{places}f} | {entry['mean']:+.{places}f} "
                f"({_bounds(entry, places)}) | {_p(entry['p'])} | {_p(entry['p_holm'])} | {seeds} |"
            )
    return "\n".join([*lines, "", *_rows_text(found["tables"])])


def _rows_text(by_table: Mapping[str, Any]) -> list[str]:
    lines = []
    for table, figures in CATALOGUE.items():
        rows = [row for row in ROWS if row in by_table[table]]
        shown = [f for f in figures if any(f.name in by_table[table][row] for row in rows)]
        lines += [" | ".join(["", table, *(f.title for f in shown), ""]).strip(), "|---" * (len(shown) + 1) + "|"]
        for row in rows:
            cells = [_cell(by_table[table][row].get(f.name), f.decimals) for f in shown]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _cell(entry: Mapping[str, Any] | None, decimals: int) -> str:
    return NONE if entry is None or entry["mean"] is None else f"{entry['mean']:.{decimals}f}"


def _bounds(entry: Mapping[str, Any], places: int) -> str:
    if entry["low"] is None:
        return NONE
    return f"{entry['low']:+.{places}f} to {entry['high']:+.{places}f}"


def _p(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"
