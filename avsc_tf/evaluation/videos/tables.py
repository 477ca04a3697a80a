"""From figures by row and sentence to what is written: means with intervals, by emotion, and two systems compared."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avsc_tf.evaluation.confidence import estimate
from avsc_tf.evaluation.figures import figure_entry
from avsc_tf.evaluation.paired import holm, paired_difference
from avsc_tf.evaluation.videos.catalogue import FIGURES, HEADLINES
from avsc_tf.evaluation.videos.material import CONVERTED, VERSUS, SentenceInfo

# table -> row -> figure -> utterance -> value (None: not measured)
Values = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]]


def summary(values: Values, *, only: set[str] | None = None, sentences: bool = True) -> dict[str, Any]:
    """table -> row -> figure -> {"mean", "low", "high", "n", "sentences"}.

    Args:
        only: utterances that count, all where None.
        sentences: also give each sentence's value.
    """
    return {
        table: {row: _entries(figures, only, sentences) for row, figures in rows.items()}
        for table, rows in values.items()
    }


def _entries(
    figures: Mapping[str, Mapping[str, float | None]], only: set[str] | None, sentences: bool
) -> dict[str, dict[str, Any]]:
    found = {}
    for name, by in figures.items():
        kept = {u: float("nan") if v is None else v for u, v in by.items() if only is None or u in only}
        entry = figure_entry(estimate(list(kept.values())), kept)
        found[name] = entry if sentences else {k: v for k, v in entry.items() if k != "sentences"}
    return found


def by_emotion(values: Values, sentences: Sequence[SentenceInfo]) -> dict[str, Any]:
    """emotion -> as `summary`, without the sentences; empty where there is but one emotion."""
    emotions = sorted({s.emotion for s in sentences})
    if len(emotions) < 2:
        return {}
    return {
        emotion: summary(values, only={s.utterance for s in sentences if s.emotion == emotion}, sentences=False)
        for emotion in emotions
    }


def versus(values: Values, *, first: str = CONVERTED, second: str = VERSUS) -> dict[str, Any]:
    """table -> figure -> the difference `first` - `second`, p, and for the headlines p by Holm and which is better.

    Holm's correction is over `catalogue.HEADLINES`, chosen before anything was compared; the other figures stand beside
    them with their plain p. `better` is a row's name where Holm's p is below 0.05, else "".
    """
    rows = []
    for table, by_row in values.items():
        for name, by in by_row.get(first, {}).items():
            other = by_row.get(second, {}).get(name)
            if other is None or name not in FIGURES or FIGURES[name].better == "none":
                continue
            found = paired_difference(by, other)
            if found.difference.n:
                rows.append((table, name, found, [_mean(x, by, other) for x in (by, other)]))
    heads = [name for _, name, _, _ in rows if name in HEADLINES]
    corrected = dict(zip(heads, holm([found.p for _, name, found, _ in rows if name in HEADLINES]), strict=True))
    result: dict[str, Any] = {}
    for table, name, found, means in rows:
        p_holm, gain = corrected.get(name, float("nan")), FIGURES[name].gain(*means)
        winner = (first if gain > 0 else second) if p_holm < 0.05 and gain else ""
        entry = {k: v for k, v in figure_entry(found.difference).items() if k != "sentences"}
        result.setdefault(table, {})[name] = {**entry, "p": _plain(found.p), "p_holm": _plain(p_holm), "better": winner}
    return result


def _mean(values: Mapping[str, float | None], *both: Mapping[str, float | None]) -> float:
    common = [u for u in values if all(by.get(u) is not None for by in both)]
    return estimate([v for u in common if (v := values[u]) is not None]).mean


def _plain(p: float) -> float | None:
    return round(p, 6) if p == p else None


def sentences_csv(values: Values, sentences: Sequence[SentenceInfo]) -> str:
    """One line a row and sentence, one column a figure."""
    names = list(dict.fromkeys(name for rows in values.values() for row in rows.values() for name in row))
    lines = []
    for row in dict.fromkeys(row for rows in values.values() for row in rows):
        for sentence in sentences:
            found = {
                name: by[sentence.utterance]
                for rows in values.values()
                for name, by in rows.get(row, {}).items()
                if sentence.utterance in by
            }
            if found:
                lines.append([row, sentence.utterance, sentence.emotion, *(_text(found.get(name)) for name in names)])
    return _csv(["row", "utterance", "emotion", *names], lines)


def summary_csv(overall: Mapping[str, Any], emotions: Mapping[str, Any]) -> str:
    """One line an emotion ("all" first), table, row and figure: mean, interval, number of sentences."""
    lines = []
    for emotion, tables in (("all", overall), *emotions.items()):
        for table, row, name, entry in _flat(tables):
            lines.append([emotion, table, row, name, *(_text(entry[k]) for k in ("mean", "low", "high", "n"))])
    return _csv(["emotion", "table", "row", "figure", "mean", "low", "high", "n"], lines)


def versus_csv(found: Mapping[str, Any]) -> str:
    """One line a figure: difference, interval, n, p, Holm's p, the better row."""
    keys = ("mean", "low", "high", "n", "p", "p_holm", "better")
    lines = [
        [table, name, *(_text(entry[k]) for k in keys)] for table, by in found.items() for name, entry in by.items()
    ]
    return _csv(["table", "figure", "difference", *keys[1:]], lines)


def _flat(tables: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    for table, rows in tables.items():
        for row, figures in rows.items():
            for name, entry in figures.items():
                yield table, row, name, entry


def _text(value: float | int | str | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _csv(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return buffer.getvalue()
