"""Who rates what: every clip nearly equally often, at any time, whoever leaves early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from avsc_tf.listening.design import TARGET, Design
from avsc_tf.listening.plan import FIRST_CHECK_BY, Page, Usage, n_planned, plan_pages
from avsc_tf.listening.store import AnswerStore

NOTHING = Usage({}, {})


def pages_of(design: Design, seed: int = 0, usage: Usage = NOTHING) -> list[Page]:
    return plan_pages(design, usage, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("n_pages", "wanted"), [(2, (1, 1)), (3, (2, 1)), (30, (28, 2)), (50, (46, 4)), (500, (60, 5))]
)
def test_number_of_pages(design: Design, n_pages: int, wanted: tuple[int, int]) -> None:
    """60 clips and a check every twelve pages; never more than is allowed."""
    test = replace(design, n_pages=n_pages)
    pages = pages_of(test)
    assert n_planned(test) == wanted and len(pages) <= n_pages
    assert Counter(page.is_check for page in pages) == {False: wanted[0], True: wanted[1]}


@pytest.mark.parametrize("seed", range(5))
def test_a_rater(design: Design, seed: int) -> None:
    """Utterances come in rounds, none twice in a row; systems evenly; the first check early."""
    pages = pages_of(replace(design, n_pages=50), seed)
    rated = [design.clips[page.subject] for page in pages if not page.is_check]
    assert len({(clip.system, clip.utterance) for clip in rated}) == len(rated)
    assert len({clip.utterance for clip in rated[:20]}) == 20  # all before any comes again
    assert all(a.utterance != b.utterance for a, b in pairwise(rated))
    systems = Counter(clip.system for clip in rated)
    assert max(systems.values()) - min(systems.values()) <= 1
    checks = [i for i, page in enumerate(pages) if page.is_check]
    assert checks[0] < FIRST_CHECK_BY and max(np.diff(checks)) < 30


def test_comparisons(design: Design) -> None:
    """Each utterance is compared once: two systems' clips of it, and the target saying another sentence, same mood."""
    pages = [page for page in pages_of(replace(design, n_pages=500)) if page.x]
    assert len(pages) == 20 == len({design.clips[page.subject].utterance for page in pages})
    for page in pages:
        subject, a, b, x = (design.clips[name or ""] for name in (page.subject, page.a, page.b, page.x))
        assert a.utterance == b.utterance == subject.utterance and {a.system, b.system} == set(design.systems)
        assert x.system == TARGET and x.sentence != subject.sentence and x.emotion == subject.emotion
    sides = Counter(
        design.clips[page.a or ""].system for seed in range(10) for page in pages_of(design, seed) if page.x
    )
    assert 0.35 < sides["joint"] / sides.total() < 0.65  # 200 tosses of a fair coin: 4 standard deviations


def test_no_comparison_without_another_sentence(design: Design) -> None:
    one = {name: clip for name, clip in design.clips.items() if clip.utterance == "anger_02"}
    assert not any(page.x for page in pages_of(replace(design, clips=one)))


def test_same_seed_same_pages(design: Design) -> None:
    assert pages_of(design, 4) == pages_of(design, 4)
    assert pages_of(design, 4) != pages_of(design, 5)


def test_ratings_are_spread_evenly(design: Design, store: AnswerStore, rate: Callable[..., str]) -> None:
    """Thirty raters at once, a third of whom leave early: the numbers of ratings of 60 clips lie close together."""
    given: Counter[str] = Counter(dict.fromkeys(design.clips, 0))
    compared: Counter[str] = Counter()

    def count(page: Page, question: str) -> int:
        given[page.subject] += question == "rate_audio"
        compared[design.clips[page.subject].utterance] += question == "prefer_audio"
        return 3

    rng = np.random.default_rng(0)
    for rater in range(30):
        rate(store, design, count, pages=int(rng.integers(3, 28)) if rater % 3 == 0 else None)
    mean = given.total() / 60
    assert mean == pytest.approx(12, abs=2)
    assert max(given.values()) - min(given.values()) <= 5  # by lot alone it would be 14 (Poisson, 60 clips)
    assert max(compared.values()) - min(compared.values()) <= 6


def test_who_left_does_not_count(design: Design, store: AnswerStore) -> None:
    """Clips given to a rater who never came back are as open as before, those of one at work are not."""
    first = store.register()
    now = store._db.execute("SELECT seen_at FROM raters").fetchone()[0]
    assert sum(store._usage(store._db, now).clips.values()) > 10
    assert not store._usage(store._db, now + 3601).clips
    store.answer(first.rater, 1, first.pages[0].questions[0], 3, 1.0)
    later = store._usage(store._db, now + 7200).clips
    assert later == ({} if first.pages[0].is_check else {first.pages[0].subject: 1.0})
