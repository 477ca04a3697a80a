"""From answers in the database to tables: who counts, what is found, what is written."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from avsc_tf.core.errors import ListeningError
from avsc_tf.listening.answers import read_answers
from avsc_tf.listening.design import NO_DIFFERENCE, PREFER_A, PREFER_B, Design, write_design
from avsc_tf.listening.plan import Page
from avsc_tf.listening.results import analyse_test
from avsc_tf.listening.store import AnswerStore

Rate = Callable[..., str]


def opinion(design: Design, rng: np.random.Generator, lean: float) -> Callable[[Page, str], int]:
    """Joint is 0.7 better than baseline by sound and equal by sight; 3 of 4 prefer it by sound, 1 of 2 by sight."""

    def score(page: Page, question: str) -> int:
        kind, modality = question.split("_")
        by_sound = modality != "visual"
        if kind == "rate":
            system = design.clips[page.subject].system
            quality = {"joint": 3.2, "baseline": 2.5, "target": 4.4}[system] if by_sound else 3.0
            return int(np.clip(round(quality + lean + rng.normal(0, 0.7)), 1, 5))
        if rng.random() < 0.2:
            return NO_DIFFERENCE
        wants_joint = rng.random() < (0.75 if by_sound else 0.5)
        return PREFER_A if (design.clips[page.a or ""].system == "joint") == wants_joint else PREFER_B

    return score


@pytest.fixture(scope="module")
def answered(design: Design, rate: Rate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a test whose answers.sqlite holds 24 raters that count and five that do not."""
    folder = tmp_path_factory.mktemp("answered")
    write_design(folder, design)
    store = AnswerStore(folder / "answers.sqlite", design)
    store._db.execute("PRAGMA synchronous=OFF")
    rng = np.random.default_rng(5)
    for _ in range(24):
        rate(store, design, opinion(design, rng, rng.normal(0, 0.4)))
    rate(store, design, opinion(design, rng, 0), attentive=False)
    rate(store, design, opinion(design, rng, 0), haste=10)
    rate(store, design, opinion(design, rng, 0), pages=4)
    rate(store, design, lambda page, question: 3)
    store.register()
    store.close()
    return folder


@pytest.fixture(scope="module")
def analysed(answered: Path) -> Path:
    """The folder of its results; `told.txt` holds what was printed."""
    out = answered / "out"
    told = analyse_test(answered, answered / "answers.sqlite", out)
    (out / "told.txt").write_text(told, encoding="utf-8")
    return out


def test_who_counts(answered: Path, design: Design) -> None:
    answers = read_answers(answered / "answers.sqlite", design)
    assert list(answers.raters["valid"]) == [True] * 24 + [False] * 5
    assert [re.sub(r"\d+", "N", reason) for reason in answers.raters["reason"][24:]] == [
        "N of N attention checks wrong",
        "fewer than N pages",  # rushed pages do not count, so none is left
        "fewer than N pages",
        "the same score for everything",
        "fewer than N pages",
    ]
    assert set(answers.ratings["rater"]) == set(answers.raters["rater"][:24])
    assert len(answers.ratings) == 24 * 28 * 3 and set(answers.ratings["score"]) == {1, 2, 3, 4, 5}


def test_unfinished_and_rushed_pages_do_not_count(design: Design, store: AnswerStore, tmp_path: Path) -> None:
    """Eight pages: the second lacks an answer, the third was left too soon (one tenth is the most that may be)."""
    state = store.register()
    for position, page in enumerate(state.pages[:20], start=1):
        for question in page.questions[:-1] if position == 6 else page.questions:
            check = design.checks.get(page.subject)
            right = {"count_audio": check.beeps, "count_visual": check.flashes} if check else {}
            store.answer(
                state.rater, position, question, right.get(question, position % 3 + 1), 1 if position == 7 else 99
            )
    assert not state.pages[5].is_check and not state.pages[6].is_check
    answers = read_answers(tmp_path / "answers.sqlite", design)
    (row,) = answers.raters.to_dict("records")
    n_checks = sum(page.is_check for page in state.pages[:20])
    assert (row["pages"], row["rushed"], row["checks"], row["valid"]) == (18 - n_checks, 1, n_checks, True)


def test_sides_are_undone(design: Design, store: AnswerStore, rate: Rate, tmp_path: Path) -> None:
    """A rater who always wants the joint system, on whichever side it is."""

    def joint(page: Page, question: str) -> int:
        if question.startswith("rate"):
            return 1 + len(page.subject) % 5
        return PREFER_A if design.clips[page.a or ""].system == "joint" else PREFER_B

    rate(store, design, joint)
    choices = read_answers(tmp_path / "answers.sqlite", design).preferences
    assert len(choices) > 20 and set(choices["choice"]) == {"first"} and set(choices["first"]) == {"joint"}


def test_known_effects_are_recovered(analysed: Path) -> None:
    assert (
        (analysed / "told.txt")
        .read_text(encoding="utf-8")
        .startswith("24 of 29 raters count, with 672 pages\naudio: joint 3.")
    )
    tree = json.loads((analysed / "results.json").read_text(encoding="utf-8"))

    def row(table: str, **wanted: Any) -> dict[str, Any]:
        pair = {"first": "joint", "second": "baseline", "emotion": "all"}
        (found,) = [r for r in tree[table] if all(r[k] == v for k, v in {**pair, **wanted}.items())]
        return found

    def near(found: dict[str, Any], value: float) -> bool:
        """Within four standard errors: one 95 % interval in twenty misses, and there are eight here."""
        return abs((found["low"] + found["high"]) / 2 - value) < found["high"] - found["low"] < 0.6

    for modality in ("audio", "audiovisual"):
        for table in ("t_tests", "mixed_models", "rank_tests"):
            found = row(table, modality=modality)
            assert near(found, 0.7) and found["p"] < 0.001
        chosen = row("preferences", modality=modality)
        assert near(chosen, 0.75) and chosen["p"] < 0.001
        assert near(chosen["clustered"], 0.75)
    for table in ("t_tests", "mixed_models", "rank_tests", "preferences"):
        assert row(table, modality="visual")["p"] > 0.01
    means = {r["system"]: r for r in tree["mos"] if (r["modality"], r["emotion"]) == ("audio", "all")}
    assert means["target"]["low"] > means["joint"]["high"]  # the hidden anchor
    assert tree["about"]["ratings_a_clip"]["mean"] == pytest.approx(24 * 28 / 60)
    assert tree["emotions"] == ["neutral", "happiness", "happiness_strong", "sadness", "anger", "all"]


def test_figures_are_those_of_the_table(analysed: Path) -> None:
    """results.json against pandas on ratings.csv, results.csv against results.json."""
    tree, ratings = (
        json.loads((analysed / "results.json").read_text(encoding="utf-8")),
        pd.read_csv(analysed / "ratings.csv"),
    )
    for row in tree["mos"]:
        part = ratings[(ratings["modality"] == row["modality"]) & (ratings["system"] == row["system"])]
        part = part if row["emotion"] == "all" else part[part["emotion"] == row["emotion"]]
        assert (row["mean"], row["n"]) == (pytest.approx(part["score"].mean()), len(part))
        assert row["low"] < row["mean"] < row["high"]
    lines = list(csv.DictReader((analysed / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert sum(line["figure"] == "mos" for line in lines) == len(tree["mos"]) == 3 * 6 * 3
    assert {line["figure"] for line in lines} == {"mos", "t_test", "mixed_model", "rank_test", "preference_share"}
    first = next(line for line in lines if line["figure"] == "preference_share")
    assert float(first["value"]) == tree["preferences"][0]["share"] and first["versus"] == "baseline"


def test_page_is_self_contained_and_says_what_is_bold(analysed: Path) -> None:
    page = (analysed / "results.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(""", page)
    assert page.count('src="data:image/svg') == 2
    last = page[page.index('<tr class="all"><td>All</td>') :].split("</tr>")[0]
    assert re.findall(r'class="([^"]*)">\d\.\d\d<', last) == ["edge best", "", "", "edge", "", "", "edge best", "", ""]
    assert "+Happiness" in page


def test_one_system_and_no_mood(design: Design, store: AnswerStore, rate: Rate, tmp_path: Path) -> None:
    """MOS alone, where there is nothing to compare."""
    clips = {n: replace(c, emotion="neutral") for n, c in design.clips.items() if c.system != "baseline"}
    alone = replace(design, systems=("joint",), clips=clips)
    folder = tmp_path / "alone"
    folder.mkdir()
    write_design(folder, alone)
    own = AnswerStore(folder / "a.sqlite", alone)
    rng = np.random.default_rng(0)
    for _ in range(3):
        rate(own, alone, opinion(alone, rng, 0))
    own.close()
    told = analyse_test(folder, folder / "a.sqlite", folder / "out")
    assert "preferred" not in told
    page = (folder / "out" / "results.html").read_text(encoding="utf-8")
    assert "Speaker similarity" not in page and page.count('src="data:image/svg') == 1


def test_refusals(design: Design, store: AnswerStore, built: Path, tmp_path: Path) -> None:
    write_design(tmp_path, design)
    db = tmp_path / "answers.sqlite"
    (tmp_path / "no.sqlite").write_bytes(b"no database at all" * 99)
    for test, file, message in (
        (tmp_path, tmp_path / "none.sqlite", "no such file"),
        (tmp_path, tmp_path / "no.sqlite", "holds no answers"),
        (built, db, "answers of another test"),
        (tmp_path, db, "no rater counts yet: nobody has begun"),
    ):
        with pytest.raises(ListeningError, match=message):
            analyse_test(test, file, tmp_path / "out")
    store.register()
    with pytest.raises(ListeningError, match="1 with fewer than 5 pages"):
        analyse_test(tmp_path, db, tmp_path / "out")
