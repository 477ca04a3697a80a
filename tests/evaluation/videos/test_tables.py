"""What is written of figures by row and sentence."""

from __future__ import annotations

import csv
import io

import pytest

from avsc_tf.evaluation.videos import tables
from avsc_tf.evaluation.videos.catalogue import CATALOGUE, FIGURES
from avsc_tf.evaluation.videos.material import SentenceInfo

SENTENCES = [SentenceInfo(f"u{i}", "anger" if i < 4 else "neutral") for i in range(7)]


def column(values) -> dict[str, float | None]:
    return {s.utterance: v for s, v in zip(SENTENCES, values, strict=True)}


@pytest.fixture
def values():
    return {
        "voice": {
            "converted": {"mcd_db": column([3.0, 3.1, 3.2, 3.3, 4.0, 4.1, None]), "f0_r": column([0.9] * 7)},
            "versus": {"mcd_db": column([4.0, 4.2, 4.1, 4.4, 5.0, 5.2, 5.0]), "f0_r": column([0.9] * 7)},
            "source": {"mcd_db": column([7.0] * 7)},
        },
        "sync": {"converted": {"naive_r": column([0.99] * 7)}, "versus": {"naive_r": column([0.5] * 7)}},
    }


def test_summary_leaves_out_what_was_not_measured(values):
    entry = tables.summary(values)["voice"]["converted"]["mcd_db"]
    assert entry["n"] == 6
    assert entry["mean"] == pytest.approx(3.45)
    assert entry["sentences"]["u6"] is None
    assert entry["low"] < 3.45 < entry["high"]


def test_by_emotion(values):
    found = tables.by_emotion(values, SENTENCES)
    assert found["anger"]["voice"]["converted"]["mcd_db"]["mean"] == pytest.approx(3.15)
    assert found["neutral"]["voice"]["converted"]["mcd_db"]["n"] == 2
    assert tables.by_emotion(values, [SentenceInfo("u0"), SentenceInfo("u1")]) == {}


def test_versus_corrects_and_judges_headlines_alone(values):
    found = tables.versus(values)
    mcd = found["voice"]["mcd_db"]
    assert mcd["mean"] == pytest.approx(-1.033, abs=1e-3)  # of the six that both have
    assert mcd["p"] == pytest.approx(2 / 64)
    assert mcd["p_holm"] == pytest.approx(2 / 64)  # the only headline of the two
    assert mcd["better"] == "converted"
    assert found["voice"]["f0_r"] | {"p": 1.0, "p_holm": None, "better": ""} == found["voice"]["f0_r"]
    assert "sync" not in found  # the naive figure has no better and worse


def test_versus_knows_which_way_is_better():
    many = [SentenceInfo(f"s{i}") for i in range(9)]
    worse = {s.utterance: 0.8 - 0.01 * i for i, s in enumerate(many)}
    better = {u: v + 0.05 + 0.001 * i for i, (u, v) in enumerate(worse.items())}
    by = {"opening_r": worse, "mouth_ssim": {u: 0.5 for u in worse}}
    found = tables.versus({"face": {"converted": by, "versus": by | {"opening_r": better}}})
    assert found["face"]["opening_r"]["better"] == "versus"
    assert found["face"]["opening_r"]["p_holm"] == pytest.approx(2 * found["face"]["opening_r"]["p"])
    assert found["face"]["mouth_ssim"]["better"] == ""
    lower = tables.versus({"voice": {"converted": {"mcd_db": worse}, "versus": {"mcd_db": better}}})
    assert lower["voice"]["mcd_db"]["better"] == "converted"


@pytest.mark.parametrize(
    ("name", "value", "other", "sign"),
    [
        ("opening_r", 0.9, 0.8, 1),
        ("mcd_db", 3.0, 4.0, 1),
        ("edge_ratio", 0.9, 1.3, 1),
        ("offset_frames", -0.5, 0.1, -1),
    ],
)
def test_gain(name, value, other, sign):
    assert FIGURES[name].gain(value, other) * sign > 0
    assert FIGURES[name].gain(other, value) * sign < 0


def test_csv_files_hold_every_figure(values):
    lines = list(csv.DictReader(io.StringIO(tables.sentences_csv(values, SENTENCES))))
    assert len(lines) == 3 * 7
    first = next(x for x in lines if x["row"] == "converted" and x["utterance"] == "u5")
    assert (first["emotion"], first["mcd_db"], first["naive_r"]) == ("neutral", "4.1", "0.99")
    overall, emotions = tables.summary(values), tables.by_emotion(values, SENTENCES)
    summary = list(csv.DictReader(io.StringIO(tables.summary_csv(overall, emotions))))
    assert len(summary) == 3 * 7  # seven columns of figures, for all and for two emotions
    assert {line["emotion"] for line in summary} == {"all", "anger", "neutral"}
    versus = list(csv.DictReader(io.StringIO(tables.versus_csv(tables.versus(values)))))
    assert [line["figure"] for line in versus] == ["mcd_db", "f0_r"]


def test_every_figure_says_how_it_is_measured():
    assert len(FIGURES) == sum(len(figures) for figures in CATALOGUE.values())  # no name twice
    assert all(len(figure.how) > 10 and figure.title for figure in FIGURES.values())
