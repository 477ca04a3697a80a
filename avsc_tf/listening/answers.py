"""Answers as tables, and which raters and pages count.

A page counts when all its questions are answered (the paper's 4.5) and it was in view for as long as its clips last.
The rule for raters is fixed before anything is averaged, and never looks at which system a score was for.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from avsc_tf.core.errors import ListeningError
from avsc_tf.listening.design import (
    COUNTS,
    PREFER_A,
    PREFER_B,
    PREFERENCES,
    RATINGS,
    Design,
    modality_of,
)
from avsc_tf.listening.plan import Page, n_planned

FIRST, SECOND, NEITHER = "first", "second", "neither"  # a choice, in the order of the design's systems


@dataclass(frozen=True)
class Rule:
    """When a rater counts. Shares are of the rater's own pages."""

    min_pages: int = 5  # with a clip to rate, or all there are
    min_checks_right: float = 0.75  # a check is right when both numbers are
    max_rushed: float = 0.10  # pages left sooner than their clips last
    least_time: float = 0.9  # of the clips' length, for a page not to be rushed: clocks and rounding


@dataclass(frozen=True)
class Answers:
    """Everything that was answered.

    A rater goes by the code shown at the end: the name in the database opens the answers to change.
    `raters`: a row a rater: rater, pages, checks, checks_right, rushed, valid, reason.
    `ratings`: a row a score: rater, system, utterance, emotion, sentence, modality, score (1 to 5).
    `preferences`: a row a choice: rater, utterance, emotion, sentence, modality, first, second (systems), choice.
    Ratings and preferences are those of valid raters on pages that count.
    """

    raters: pd.DataFrame
    ratings: pd.DataFrame
    preferences: pd.DataFrame


RATER_COLUMNS = ["rater", "pages", "checks", "checks_right", "rushed", "valid", "reason"]
RATING_COLUMNS = ["rater", "system", "utterance", "emotion", "sentence", "modality", "score"]
PREFERENCE_COLUMNS = ["rater", "utterance", "emotion", "sentence", "modality", "first", "second", "choice"]


def read_answers(db: Path, design: Design, rule: Rule | None = None) -> Answers:
    """The answers in DB, which may be in use by a server.

    Raises:
        ListeningError: no such file, not a database of answers, or one of another test.
    """
    rule = rule or Rule()
    raters, ratings, preferences = [], [], []
    for rater, done in _finished_pages(db, design):
        whole = [(page, values) for page, values, seconds in done if not _is_rushed(design, page, seconds, rule)]
        rated = [(page, values) for page, values in whole if not page.is_check]
        own_ratings = [_rating(rater, design, page, name, values[name]) for page, values in rated for name in RATINGS]
        record = _judge(design, rule, done, len(rated), {row["score"] for row in own_ratings})
        raters.append({"rater": rater, **record})
        if record["valid"]:
            ratings += own_ratings
            preferences += [
                _preference(rater, design, page, name, values[name])
                for page, values in rated
                if page.x is not None
                for name in PREFERENCES
            ]
    return Answers(
        pd.DataFrame(raters, columns=RATER_COLUMNS),
        pd.DataFrame(ratings, columns=RATING_COLUMNS),
        pd.DataFrame(preferences, columns=PREFERENCE_COLUMNS),
    )


Done = list[tuple[Page, dict[str, int], float]]  # page, values by question, seconds in view


def _finished_pages(db: Path, design: Design) -> list[tuple[str, Done]]:
    """Each rater's code and finished pages."""
    if not db.is_file():
        raise ListeningError(f"{db}: no such file. Name the database that serve wrote.")
    try:
        connection = sqlite3.connect(f"{db.resolve().as_uri()}?mode=ro", uri=True)
        try:
            (test,) = connection.execute("SELECT value FROM meta WHERE name = 'test'").fetchone() or ("",)
            raters = connection.execute("SELECT rater, code FROM raters ORDER BY number").fetchall()
            pages = connection.execute("SELECT rater, position, subject, a, b, x, is_check FROM pages").fetchall()
            answers = connection.execute("SELECT rater, position, question, value, seconds FROM answers").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ListeningError(f"{db}: holds no answers ({error}). Name the database that serve wrote.") from error
    if test != design.test:
        raise ListeningError(f"{db}: holds the answers of another test ({test}). Name the database of this one.")
    values: dict[tuple[str, int], dict[str, int]] = {}
    seconds: dict[tuple[str, int], float] = {}
    for rater, position, question, value, at_seconds in answers:
        values.setdefault((rater, position), {})[question] = value
        seconds[rater, position] = max(at_seconds, seconds.get((rater, position), 0.0))
    done: dict[str, Done] = {rater: [] for rater, _ in raters}
    for rater, position, subject, a, b, x, is_check in sorted(pages):
        page = Page(subject, a, b, x, bool(is_check))
        given = values.get((rater, position), {})
        if all(question in given for question in page.questions):
            done[rater].append((page, given, seconds[rater, position]))
    return [(code, done[rater]) for rater, code in raters]


def _clip_seconds(design: Design, page: Page) -> float:
    """All clips of a page played once."""
    if page.is_check:
        return 2 * design.checks[page.subject].seconds
    compared = [design.clips[name].seconds for name in (page.a, page.b, page.x) if name]
    return 3 * (design.clips[page.subject].seconds + sum(compared))


def _is_rushed(design: Design, page: Page, seconds: float, rule: Rule) -> bool:
    return seconds < rule.least_time * _clip_seconds(design, page)


def _judge(design: Design, rule: Rule, done: Done, n_rated: int, scores: set[int]) -> dict[str, Any]:
    checks = [(design.checks[page.subject], values) for page, values, _ in done if page.is_check]
    right = sum((c.beeps, c.flashes) == tuple(values[q] for q in COUNTS) for c, values in checks)
    rushed = sum(_is_rushed(design, page, seconds, rule) for page, _, seconds in done)
    wanted = min(rule.min_pages, n_planned(design)[0])
    reason = ""
    if n_rated < wanted:
        reason = f"fewer than {wanted} pages"
    elif not checks:
        reason = "no attention check reached"
    elif right < rule.min_checks_right * len(checks):
        reason = f"{len(checks) - right} of {len(checks)} attention checks wrong"
    elif rushed > rule.max_rushed * len(done):
        reason = f"{rushed} of {len(done)} pages left sooner than their clips last"
    elif len(scores) == 1 and n_rated >= rule.min_pages:
        reason = "the same score for everything"
    return {"pages": n_rated, "checks": len(checks), "checks_right": right, "rushed": rushed, "valid": not reason,
            "reason": reason}  # fmt: skip


def _rating(rater: str, design: Design, page: Page, question: str, value: int) -> dict[str, Any]:
    clip = design.clips[page.subject]
    return {
        "rater": rater,
        "system": clip.system,
        "utterance": clip.utterance,
        "emotion": clip.emotion,
        "sentence": clip.sentence,
        "modality": modality_of(question),
        "score": value,
    }


def _preference(rater: str, design: Design, page: Page, question: str, value: int) -> dict[str, Any]:
    order = {name: i for i, name in enumerate(design.systems)}
    a, b = design.clips[page.a or ""], design.clips[page.b or ""]
    first, second = sorted((a.system, b.system), key=order.__getitem__)
    chosen = {PREFER_A: a.system, PREFER_B: b.system}.get(value)
    return {
        "rater": rater,
        "utterance": a.utterance,
        "emotion": a.emotion,
        "sentence": a.sentence,
        "modality": modality_of(question),
        "first": first,
        "second": second,
        "choice": {first: FIRST, second: SECOND}.get(chosen or "", NEITHER),
    }
