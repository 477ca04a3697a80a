"""Rates with Wilson's intervals, means with bootstrap intervals, of the rows of benchmarks/provenance.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from math import erfc, sqrt
from typing import Any

import numpy as np

from avsc_tf.evaluation.confidence import estimate
from avsc_tf.provenance.code import MAX_FALSE_ALARM, N_VALUES

STREAMS = ("sound", "picture")
NORMAL_95 = 1.959964


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
    seconds = sum(row["seconds"] for row in rows)
    return {
        "clips": {kind: sum(row["kind"] == kind for row in rows) for kind in sorted({row["kind"] for row in rows})},
        "max_false_alarm": MAX_FALSE_ALARM,
        "detection": {
            stream: {
                f"{attack}, {length}": _detection([e for e in marked if (e["attack"], e["length"]) == (attack, length) and e["stream"] == stream])
                for attack, length in _ordered((e["attack"], e["length"]) for e in marked if e["stream"] == stream)
            }
            for stream in STREAMS
        },
        "all three together, by kind": {
            stream: {
                kind: _detection([e for e in marked if e["kind"] == kind and e["stream"] == stream and e["attack"] == "all three together" and e["length"] == "whole"])
                for kind in sorted({row["kind"] for row in rows})
            }
            for stream in STREAMS
        },
        "false_alarms": {
            stream: {
                "unmarked, public key": _found(e for e in unmarked if e["stream"] == stream),
                "unmarked, wrong keys": _found(e for e in chance if e["stream"] == stream and "found" in e),
                "highest score": max((e["score"] for e in [*unmarked, *chance] if e["stream"] == stream and "score" in e), default=None),
            }
            for stream in STREAMS
        },
        "chance": {stream: _chance([e for e in chance if e["stream"] == stream]) for stream in STREAMS},
        "cost": {
            name: dataclasses.asdict(estimate([row["cost"][name] for row in rows if name in row["cost"]]))
            for name in ("pesq", "dnsmos_change", "ssim", "psnr_db")
        },
        "marking_cpu_seconds_a_second": sum(row["marking_cpu_seconds"] for row in rows) / max(seconds, 1e-9),
        "score_histogram": {
            stream: {name: _histogram([e["score"] for e in entries if e["stream"] == stream and "score" in e]) for name, entries in (
                ("unmarked", [*unmarked, *chance]),
                ("as written", [e for e in marked if e["attack"] == "as written" and e["length"] == "whole"]),
                ("all three together", [e for e in marked if e["attack"] == "all three together" and e["length"] == "whole"]),
            )}
            for stream in STREAMS
        },
    }  # fmt: skip


def _ordered(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(pairs))


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
    n = len(entries) * N_VALUES * N_VALUES
    above = np.sum([entry["above"] for entry in entries], axis=0)
    normal: Callable[[float], float] = lambda z: erfc(z / sqrt(2)) / 2  # noqa: E731
    return {
        "scores": n,
        "independent": len(entries) * 2 * N_VALUES,
        "mean": float(np.mean([entry["mean"] for entry in entries])),
        "deviation": float(np.sqrt(np.mean([entry["square"] for entry in entries]))),
        "share_above": {str(z): float(count / n) for z, count in enumerate(above, 1)},
        "normal_above": {str(z): normal(z) for z in range(1, 7)},
    }


def _histogram(scores: Sequence[float]) -> dict[str, list[float]]:
    counts, edges = np.histogram(scores, bins=np.arange(0, 26, 0.5))
    return {"edges": edges.tolist(), "counts": counts.tolist()}
