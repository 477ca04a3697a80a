"""Tables, ratios, aims and the gate."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from avsc_tf.evaluation.aims import gate, judge
from avsc_tf.evaluation.figures import PitchRange, Table, add_ratios, pitch_figures
from avsc_tf.measures.voice import PitchTrack


def test_table_keeps_sentences_and_can_be_written_as_json() -> None:
    table = Table()
    table.add("converted", "a", {"mcd_db": 2.0, "predicted_mos": None})
    table.add("converted", "b", {"mcd_db": 4.0, "predicted_mos": float("nan")})
    summary = json.loads(json.dumps(table.summary(), allow_nan=False))
    entry = summary["converted"]["mcd_db"]
    assert entry["mean"] == 3.0 and entry["n"] == 2 and entry["sentences"] == {"a": 2.0, "b": 4.0}
    assert summary["converted"]["predicted_mos"]["mean"] is None
    assert summary["converted"]["predicted_mos"]["n"] == 0


def test_ratios_to_the_unchanged_source() -> None:
    table = Table()
    for name, source, converted in (("a", 4.0, 1.0), ("b", 6.0, 3.0)):
        table.add("source", name, {"mcd_db": source})
        table.add("converted", name, {"mcd_db": converted})
    table.add("second_take", "a", {"mcd_db": 2.0})  # not every sentence has one
    summary = table.summary()
    add_ratios(summary)
    assert summary["source"]["mcd_db_of_source"]["mean"] == 1.0
    assert summary["converted"]["mcd_db_of_source"]["mean"] == pytest.approx(0.4)
    assert summary["second_take"]["mcd_db_of_source"]["mean"] == pytest.approx(0.5)  # of sentence a alone


def test_pitch_range_maps_one_voice_on_another(rng: np.random.Generator) -> None:
    low = PitchTrack(np.exp(rng.normal(np.log(110), 0.10, 500)))
    high = PitchTrack(np.exp(rng.normal(np.log(220), 0.25, 400)))
    moved = PitchRange.of([low]).moved_to(PitchRange.of([high]), low)
    assert np.log(moved.f0_hz).mean() == pytest.approx(np.log(high.f0_hz).mean())
    assert np.log(moved.f0_hz).std() == pytest.approx(np.log(high.f0_hz).std())


def test_pitch_figures_look_at_the_speech_only() -> None:
    track = PitchTrack(np.array([300.0, 100.0, 100.0, np.nan, 300.0]))
    reference = PitchTrack(np.array([100.0, 100.0, 100.0, 100.0, 100.0]))
    spoken = np.array([False, True, True, True, False])
    assert pitch_figures(track, reference, spoken) == {"pitch_cents": 0.0, "voicing_error": pytest.approx(1 / 3)}


def entry(mean: float | None) -> dict[str, Any]:
    return {"mean": mean, "low": None, "high": None, "n": 4}


def test_aims_are_judged_by_their_bounds() -> None:
    figures = {
        "about": {"vocoders": ["griffin-lim", "wavenet"]},
        "features": {
            "converted": {"mcd_db": entry(2.7), "mcd_db_of_source": entry(0.52), "opening_r": entry(0.95)},
            "ridge": {"mcd_db": entry(2.6)},
        },
        "sync": {"converted, griffin-lim": {"lag_size": entry(0.4)}, "converted, wavenet": {"lag_size": entry(3.0)}},
    }
    verdicts = {v["label"]: v for v in judge(figures)}
    assert verdicts["mel-cepstral distortion, share of the source's"]["passed"] is True
    ridge = verdicts["mel-cepstral distortion, dB, below frame-wise ridge"]
    assert ridge["bound"] == 2.6 and ridge["passed"] is False
    assert verdicts["mouth opening, correlation"]["passed"] is False
    assert verdicts["mouth width, correlation"]["passed"] is None  # not measured
    assert verdicts["lag between sound and lips, video frames"]["passed"] is True


def vocoders(pitch: float | None, voicing: float, mos: float | None, preview: float | None) -> dict[str, Any]:
    wavenet = {"pitch_cents": entry(pitch), "voicing_error": entry(voicing), "predicted_mos": entry(mos)}
    return {"wavenet": wavenet, "griffin-lim": {"predicted_mos": entry(preview)}}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (vocoders(20.0, 0.05, 3.0, 2.9), "pitch error is 20 cents"),
        (vocoders(None, 0.05, 3.0, 2.9), "pitch error was not measured"),
        (vocoders(12.0, 0.1, 3.0, 2.9), "Voiced/unvoiced error is 0.10"),
        (vocoders(12.0, 0.05, 2.8, 2.9), "MOS is 2.80; Griffin-Lim's is 2.90"),
        (vocoders(12.0, 0.05, None, None), "MOS was not measured"),
        ({"griffin-lim": {}}, "No copy synthesis"),
    ],
)
def test_gate_names_what_fails(table: dict[str, Any], reason: str) -> None:
    passed, reasons = gate(table)
    assert not passed and len(reasons) == 1 and reason in reasons[0]


def test_gate_opens() -> None:
    assert gate(vocoders(19.9, 0.09, 2.9, 2.9)) == (True, [])
