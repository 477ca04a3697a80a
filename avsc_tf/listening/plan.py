"""Which pages a rater gets: what has the fewest ratings first, checks in between, order and sides drawn by a seed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from avsc_tf.listening.design import COUNTS, PREFERENCES, RATINGS, TARGET, Design

PAGES_A_CHECK = 12
FIRST_CHECK_BY = 4  # page: who leaves early has met a check, and hears whether the sound is on


@dataclass(frozen=True)
class Page:
    """One page of a rater, in opaque names of clips (a check's in `subject` where there is nothing else).

    `a`, `b` and `x` are there where a preference is asked: two systems' clips, and the natural target saying another
    sentence.
    """

    subject: str
    a: str | None = None
    b: str | None = None
    x: str | None = None
    is_check: bool = False

    @property
    def questions(self) -> tuple[str, ...]:
        """In the order they are asked."""
        if self.is_check:
            return COUNTS
        return RATINGS + PREFERENCES if self.x else RATINGS


@dataclass(frozen=True)
class Usage:
    """How often each clip is rated and each (utterance, pair of systems) compared by all raters so far.

    Pages that raters at work have before them count in part, by the chance that they are done.
    """

    clips: Mapping[str, float]
    pairs: Mapping[tuple[str, str, str], float]  # utterance, system, system in the order of the design


def n_checks(n_pages: int) -> int:
    """Checks among `n_pages` pages; at least one."""
    return max(1, round(n_pages / PAGES_A_CHECK))


def n_planned(design: Design) -> tuple[int, int]:
    """Pages with a clip to rate, and checks, that each rater gets."""
    total = min(design.n_pages, len(design.clips) + n_checks(len(design.clips)))
    checks = min(n_checks(total), total - 1)
    return min(total - checks, len(design.clips)), checks


def plan_pages(design: Design, usage: Usage, rng: np.random.Generator) -> list[Page]:
    """Pages of the next rater, at most `design.n_pages`.

    An utterance comes again, by another system, only after all others have come. Clips with the fewest ratings come
    first, in order too, so that raters who stop early leave no gaps; equals are drawn by lot, no system ahead of
    another. A pair of systems is compared once an utterance.
    """
    n_clips, checks = n_planned(design)
    chosen = _choose_clips(design, usage, n_clips, rng)
    pages = _with_pairs(design, usage, chosen, rng)
    names = list(design.checks)
    for at in _check_positions(len(pages), checks, rng):
        pages.insert(at, Page(names[int(rng.integers(len(names)))], is_check=True))
    return pages


def _choose_clips(design: Design, usage: Usage, n: int, rng: np.random.Generator) -> list[str]:
    rounds: list[list[str]] = []
    used: set[str] = set()
    systems: Counter[str] = Counter()
    utterances = list(design.by_utterance)
    while sum(map(len, rounds)) < n:
        this: list[str] = []
        left = set(utterances)
        while left and sum(map(len, rounds)) + len(this) < n:
            open_clips = [c for u in left for c in design.by_utterance[u].values() if c not in used]
            if not open_clips:
                break
            luck = dict(zip(sorted(open_clips), rng.random(len(open_clips)), strict=True))
            best = min(luck, key=lambda c: (round(usage.clips.get(c, 0.0)), systems[design.clips[c].system], luck[c]))
            used.add(best)
            systems[design.clips[best].system] += 1
            left.remove(design.clips[best].utterance)
            this.append(best)
        rounds.append(this)
    return _apart(design, rounds)


def _apart(design: Design, rounds: list[list[str]]) -> list[str]:
    """One row of rounds; an utterance does not follow itself across their border where that can be helped."""
    row: list[str] = []
    for this in rounds:
        if row and len(this) > 1 and design.clips[row[-1]].utterance == design.clips[this[0]].utterance:
            this = [*this[1:], this[0]]
        row += this
    return row


def _with_pairs(design: Design, usage: Usage, clips: list[str], rng: np.random.Generator) -> list[Page]:
    asked: set[tuple[str, str, str]] = set()
    pages = []
    for name in clips:
        clip = design.clips[name]
        open_pairs = [p for pair in design.pairs if (p := (clip.utterance, *pair)) not in asked]
        references = _references(design, name)
        if not open_pairs or not references:
            pages.append(Page(name))
            continue
        luck = rng.random(len(open_pairs))
        best = min(range(len(open_pairs)), key=lambda i: (usage.pairs.get(open_pairs[i], 0.0), luck[i]))
        asked.add(open_pairs[best])
        sides = [design.by_utterance[clip.utterance][system] for system in open_pairs[best][1:]]
        a, b = sides if rng.random() < 0.5 else sides[::-1]
        pages.append(Page(name, a, b, references[int(rng.integers(len(references)))]))
    return pages


def _references(design: Design, name: str) -> list[str]:
    """Natural target clips of other sentences, of the same emotion where there are any."""
    clip = design.clips[name]
    others = [n for n, c in design.clips.items() if c.system == TARGET and c.sentence != clip.sentence]
    return [n for n in others if design.clips[n].emotion == clip.emotion] or others


def _check_positions(n_pages: int, checks: int, rng: np.random.Generator) -> list[int]:
    """Where checks go in, in rising order: the first early, the others one in each equal stretch of the rest."""
    if not checks:
        return []
    first = int(rng.integers(1, min(FIRST_CHECK_BY, n_pages + 1)))
    edges = np.linspace(min(first + 2, n_pages), n_pages + checks, checks).astype(int)
    return [first] + [int(rng.integers(low, max(low + 1, high))) for low, high in itertools.pairwise(edges)]
