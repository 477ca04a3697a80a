"""From the database of a test to results.json, results.csv, the valid answers as CSV, and results.html."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from avsc_tf.core.errors import ListeningError
from avsc_tf.core.files import claim_folder, write_atomically
from avsc_tf.listening.answers import Answers, Rule, read_answers
from avsc_tf.listening.design import MODALITIES, Design, read_design
from avsc_tf.listening.results_page import results_html
from avsc_tf.listening.statistics import (
    T_TEST_LEVEL,
    Comparison,
    mean_score,
    mixed_model,
    preference,
    rank_test,
    t_test,
)

ALL = "all"
EMOTION_ORDER = ("neutral", "happiness", "happiness_strong", "sadness", "sadness_strong", "anger", "anger_strong")
Test = Callable[[pd.DataFrame, str, str], Comparison | None]
_CSV_COLUMNS = ("figure", "modality", "emotion", "system", "versus", "value", "low", "high", "p", "n")


def analyse_test(test: Path, db: Path, out: Path, rule: Rule | None = None) -> str:
    """Write results.json, results.csv, results.html, raters.csv, ratings.csv and preferences.csv to OUT.

    Returns:
        The main findings, in a few lines.
    Raises:
        ListeningError: no test, no answers, or no rater that counts.
    """
    design = read_design(test)
    rule = rule or Rule()
    answers = read_answers(db, design, rule)
    if answers.ratings.empty:
        reasons = answers.raters["reason"].value_counts()
        told = "; ".join(f"{n} with {reason}" for reason, n in reasons.items()) or "nobody has begun"
        raise ListeningError(f"{db}: no rater counts yet: {told}. Collect more answers.")
    tree = results_tree(design, answers, rule)
    claim_folder(out, ("results.json",))
    write_atomically(out / "results.json", json.dumps(_plain(tree), indent=1, ensure_ascii=False) + "\n")
    write_atomically(out / "results.csv", _csv(tree))
    for name in ("raters", "ratings", "preferences"):
        write_atomically(out / f"{name}.csv", getattr(answers, name).to_csv(index=False))
    write_atomically(out / "results.html", results_html(design, tree))
    return _summary(tree, out)


def results_tree(design: Design, answers: Answers, rule: Rule) -> dict[str, Any]:
    """All figures as plain values."""
    ratings, choices = answers.ratings, answers.preferences
    found = set(ratings["emotion"])
    emotions = [e for e in EMOTION_ORDER if e in found] + sorted(found - set(EMOTION_ORDER))
    groups = [*emotions, ALL] if len(emotions) > 1 else [ALL]
    return {
        "about": _about(design, answers, rule),
        "emotions": groups,
        "mos": [row for m in MODALITIES for e in groups for row in _mos(design, _part(ratings, m, e), m, e)],
        "t_tests": [row for m in MODALITIES for e in groups for row in _t_tests(design, _part(ratings, m, e), m, e)],
        "mixed_models": list(_paired_tests(design, ratings, mixed_model)),
        "rank_tests": list(_paired_tests(design, ratings, rank_test)),
        "preferences": [row for m in MODALITIES for e in groups for row in _preferences(design, choices, m, e)],
        "raters": answers.raters.to_dict("records"),
    }


def _part(table: pd.DataFrame, modality: str, emotion: str) -> pd.DataFrame:
    chosen = table["modality"] == modality
    return table[chosen if emotion == ALL else chosen & (table["emotion"] == emotion)]


def _about(design: Design, answers: Answers, rule: Rule) -> dict[str, Any]:
    clips = [(clip.system, clip.utterance) for clip in design.clips.values()]
    one = answers.ratings[answers.ratings["modality"] == MODALITIES[0]]
    counts = one.groupby(["system", "utterance"]).size().reindex(clips, fill_value=0)
    return {
        "title": design.title,
        "test": design.test,
        "systems": list(design.systems),
        "anchors": list(design.anchors),
        "loudness_lufs": design.loudness_lufs,
        "rule": asdict(rule),
        "n_raters": len(answers.raters),
        "n_valid_raters": int(answers.raters["valid"].sum()),
        "n_pages": len(one),
        "n_clips": len(clips),
        "ratings_a_clip": {"least": int(counts.min()), "mean": float(counts.mean()), "most": int(counts.max())},
    }


def _mos(design: Design, ratings: pd.DataFrame, modality: str, emotion: str) -> Iterator[dict[str, Any]]:
    for system in design.rated:
        own = ratings[ratings["system"] == system]
        found = mean_score(own)
        row = {"modality": modality, "emotion": emotion, "system": system, "mean": found.mean, "low": found.low}
        spread = float(own["score"].std()) if len(own) > 1 else math.nan
        yield row | {"high": found.high, "sd": spread, "n_raters": found.n, "n": len(own)}


def _t_tests(design: Design, ratings: pd.DataFrame, modality: str, emotion: str) -> Iterator[dict[str, Any]]:
    for first, second in combinations(design.rated, 2):
        scores = [ratings.loc[ratings["system"] == name, "score"].to_numpy(float) for name in (first, second)]
        if (test := t_test(*scores)) is not None:
            row = {"modality": modality, "emotion": emotion, "first": first, "second": second, **asdict(test)}
            yield row | {"significant": test.p < 1 - T_TEST_LEVEL}


def _paired_tests(design: Design, ratings: pd.DataFrame, test: Test) -> Iterator[dict[str, Any]]:
    """Over all emotions, for each pair of what was rated."""
    for modality in MODALITIES:
        part = _part(ratings, modality, ALL)
        for first, second in combinations(design.rated, 2):
            if (found := test(part, first, second)) is not None:
                yield {"modality": modality, "emotion": ALL, "first": first, "second": second, **asdict(found)}


def _preferences(design: Design, choices: pd.DataFrame, modality: str, emotion: str) -> Iterator[dict[str, Any]]:
    part = _part(choices, modality, emotion)
    for first, second in design.pairs:
        found = preference(part[(part["first"] == first) & (part["second"] == second)])
        if found is not None:
            row = {"modality": modality, "emotion": emotion, "first": first, "second": second, **asdict(found)}
            yield row | {"shares": found.shares}


def _csv(tree: dict[str, Any]) -> str:
    """One line a figure, of every table."""
    lines = [{"figure": "mos", "value": row["mean"], **row} for row in tree["mos"]]
    for name in ("t_tests", "mixed_models", "rank_tests"):
        lines += [{"figure": name[:-1], "value": row["difference"], **_sides(row)} for row in tree[name]]
    for row in tree["preferences"]:
        n = row["n_first"] + row["n_second"]
        lines.append({"figure": "preference_share", "value": row["share"], "n": n, **_sides(row)})
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _sides(row: dict[str, Any]) -> dict[str, Any]:
    return {"system": row["first"], "versus": row["second"], **row}


def _plain(value: Any) -> Any:
    """NaN is no JSON: null stands for it."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _summary(tree: dict[str, Any], out: Path) -> str:
    about = tree["about"]
    lines = [f"{about['n_valid_raters']} of {about['n_raters']} raters count, with {about['n_pages']} pages"]
    for modality in MODALITIES:
        rows = [row for row in tree["mos"] if row["modality"] == modality and row["emotion"] == ALL]
        told = ", ".join(f"{r['system']} {r['mean']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" for r in rows if r["n"])
        lines.append(f"{modality}: {told}")
    lines += [
        f"{row['modality']}: {row['first']} preferred to {row['second']} by {row['share']:.0%} "
        f"[{row['low']:.0%}, {row['high']:.0%}] of those who chose, p = {row['p']:.2g}"
        for row in tree["preferences"]
        if row["emotion"] == ALL
    ]
    return "\n".join([*lines, f"written: {out / 'results.html'}"])
