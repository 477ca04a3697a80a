"""What benchmarks/provenance.py counts, against values worked out by hand."""

from __future__ import annotations

import pytest

from .conftest import ROOT


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import provenance_figures

    return provenance_figures


def test_wilsons_interval(figures) -> None:
    """9 of 10: 0.596 to 0.982; none of 100: 0 to 0.037 (Wilson 1927)."""
    found = figures.wilson(9, 10)
    assert (found["low"], found["high"]) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    none = figures.wilson(0, 100)
    assert none["low"] == 0.0 and none["high"] == pytest.approx(0.0370, abs=1e-4)
    assert figures.wilson(0, 0)["share"] is None


def test_rates_are_counted_by_attack_stream_and_length(figures) -> None:
    def entry(found: bool, right: bool, length: str = "whole", score: float = 9.0) -> dict:
        return {
            "attack": figures.ALL, "stream": "sound", "length": length, "found": found, "right": right, "score": score,
        }  # fmt: skip

    row = {
        "clip": "a", "kind": "corpus", "seconds": 2.0, "marking_cpu_seconds": 0.5, "cost": {"pesq": 4.5},
        "marked": [entry(True, True), entry(True, False), entry(False, False, score=3.0), entry(True, True, "1 s")],
        "unmarked": [{"stream": "sound", "found": False, "score": 5.0}],
        "chance": [{"stream": "sound", "n": 4, "independent": 2, "above": [1, 0, 0, 0, 0, 0], "mean": 0, "square": 1}],
    }  # fmt: skip
    found = figures.figures([row])
    whole = found["detection"]["sound"][f"{figures.ALL}, whole"]
    assert (whole["found"]["hits"], whole["found"]["n"]) == (2, 3)
    assert (whole["wrong_payload"]["hits"], whole["wrong_payload"]["n"]) == (1, 2)
    assert whole["median_score"] == 9.0 and whole["lowest_score"] == 3.0
    assert found["all three together, by kind"]["sound"]["corpus"]["found"]["n"] == 3
    assert found["false_alarms"]["sound"]["public key"]["n"] == 1
    assert found["chance"]["sound"]["share_above"]["1"] == 0.25
    assert found["chance"]["sound"]["normal_above"]["2"] == pytest.approx(0.02275, abs=1e-5)
    assert found["marking_cpu_seconds_a_second"] == 0.25 and found["cost"]["pesq"]["n"] == 1
