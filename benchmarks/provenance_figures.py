"""Rates with Wilson's intervals, means with bootstrap intervals, of the rows of benchmarks/provenance.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from math import erfc, sqrt
from typing import Any

import numpy as np

from avsc_tf.evaluation.confidence import estimate
from avsc_tf.provenance.code import MAX_FALSE_ALARM

STREAMS = ("sound", "picture")
NORMAL_95 = 1.959964
ALL = "all three together"


def wilson(hits: int, n: int) -> dict[str, Any]:
    """A share and its 95 % interval (Wilson 1927)."""
    if n == 0:
        return {"share": None, "low": None, "high": None, "hits": 0, "n": 0}
    share, z2 = hits / n, NORMAL_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return {"share": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half), "hits": hits, "n": n}


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All of docs/figures/provenance.json."""
    marked = [{**entry, "kind": row["kind"]} for row in rows for entry in row["marked"]]
    unmarked = [entry for row in rows for entry in row["unmarked"]]
    chance = [entry for row in rows for entry in row["chance"]]
    costs = ("pesq", "dnsmos_change", "ssim", "psnr_db")
    return {
        "clips": {kind: sum(row["kind"] == kind for row in rows) for kind in _in_order(row["kind"] for row in rows)},
        "seconds": {"shortest": min(row["seconds"] for row in rows), "longest": max(row["seconds"] for row in rows)},
        "max_false_alarm": MAX_FALSE_ALARM,
        "detection": {stream: _by_attack(_select(marked, stream=stream)) for stream in STREAMS},
        "all three together, by kind": {stream: _by_kind(_select(marked, stream=stream)) for stream in STREAMS},
        "false_alarms": {
            stream: _false_alarms(_select(unmarked, stream=stream), _select(chance, stream=stream))
            for stream in STREAMS
        },
        "chance": {stream: _chance(_select(chance, stream=stream)) for stream in STREAMS},
        "cost": {
            name: dataclasses.asdict(estimate([row["cost"][name] for row in rows if name in row["cost"]]))
            for name in costs
        },
        "marking_cpu_seconds_a_second": sum(r["marking_cpu_seconds"] for r in rows) / sum(r["seconds"] for r in rows),
        "score_histogram": {
            stream: {
                "unmarked": _histogram(_select([*unmarked, *chance], stream=stream)),
                "as written": _histogram(_select(marked, stream=stream, attack="as written", length="whole")),
                ALL: _histogram(_select(marked, stream=stream, attack=ALL, length="whole")),
            }
            for stream in STREAMS
        },
    }


def _select(entries: Iterable[dict[str, Any]], **wanted: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if all(entry.get(name) == value for name, value in wanted.items())]


def _by_attack(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    pairs = _in_order((entry["attack"], entry["length"]) for entry in entries)
    return {
        f"{attack}, {length}": _detection(_select(entries, attack=attack, length=length)) for attack, length in pairs
    }


def _by_kind(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    whole = _select(entries, attack=ALL, length="whole")
    return {kind: _detection(_select(whole, kind=kind)) for kind in _in_order(entry["kind"] for entry in whole)}


def _false_alarms(unmarked: Sequence[dict[str, Any]], chance: Sequence[dict[str, Any]]) -> dict[str, Any]:
    wrong_keys = [entry for entry in chance if "found" in entry]
    return {
        "public key": _found(unmarked),
        "wrong keys": _found(wrong_keys),
        "highest score": max((entry["score"] for entry in [*unmarked, *wrong_keys]), default=None),
    }


def _in_order(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _found(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    values = [bool(entry["found"]) for entry in entries]
    return wilson(sum(values), len(values))


def _detection(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Share found; of the found ones, the share with a wrong payload; the middle score and the lowest."""
    found = [entry for entry in entries if entry["found"]]
    scores = [entry["score"] for entry in entries] or [float("nan")]
    return {
        "found": wilson(len(found), len(entries)),
        "wrong_payload": wilson(sum(not entry["right"] for entry in found), len(found)),
        "median_score": float(np.median(scores)),
        "lowest_score": float(np.min(scores)),
    }


def _chance(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of wrong payloads beside the normal distribution: mean, deviation, and share above 1 to 6 deviations."""
    if not entries:
        return {}
    n = sum(entry["n"] for entry in entries)
    above = np.sum([entry["above"] for entry in entries], axis=0)
    normal: Callable[[float], float] = lambda z: erfc(z / sqrt(2)) / 2  # noqa: E731
    return {
        "scores": n,
        "independent": sum(entry["independent"] for entry in entries),
        "mean": float(np.mean([entry["mean"] for entry in entries])),
        "deviation": float(np.sqrt(np.mean([entry["square"] for entry in entries]))),
        "share_above": {str(z): float(count / n) for z, count in enumerate(above, 1)},
        "normal_above": {str(z): normal(z) for z in range(1, 7)},
    }


def _histogram(entries: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    scores = [entry["score"] for entry in entries if "score" in entry]
    counts, edges = np.histogram(scores, bins=np.arange(0, 26, 0.5))
    return {"edges": edges.tolist(), "counts": counts.tolist()}
