"""The evaluation as its tool names it: what does not go together is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsc_tf.core.errors import BundleError, MediaError, RecordError
from avsc_tf.evaluation.inputs import evaluate, headlines
from avsc_tf.evaluation.videos.material import short_labels

PAPER = Path("configs/paper.yaml")


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        ({"videos": "a"}, MediaError, "--reference: is missing"),
        ({"videos": "a", "reference": "b", "records": "r"}, MediaError, "--records .*r: does not go with"),
        ({"videos": "a", "reference": "missing"}, MediaError, "missing: no such folder"),
        ({"videos": "a", "reference": "b", "versus": ["a", "b"]}, MediaError, "takes one folder of videos"),
        ({"videos": "a", "reference": "b"}, MediaError, "b: holds no clips|a: holds no clips"),
        ({"bundle": ["a"]}, MediaError, "--records: is missing"),
        ({"bundle": ["a"], "records": "r", "training": "b"}, MediaError, "--training .*b: does not go with"),
        ({"bundle": ["a", "b", "r"], "records": "r"}, MediaError, "Name no more"),
        ({"bundle": ["a"], "records": "r"}, (BundleError, RecordError), "a/conversion|config.yaml"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, named, error, words) -> None:
    for name in ("a", "b", "r"):
        (tmp_path / name).mkdir()

    def path(value):
        return [tmp_path / x for x in value] if isinstance(value, list) else tmp_path / value

    with pytest.raises(error, match=words):
        evaluate(out=tmp_path / "out", config=PAPER, **{k: path(v) for k, v in named.items()})
    assert {path.name for path in (tmp_path / "out").glob("*")} <= {"evaluate.lock"}


def test_labels_tell_systems_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "x" / "joint", tmp_path / "y" / "joint"
    assert short_labels({"converted": [one], "versus": [tmp_path / "audio", tmp_path / "visual"]}) == {
        "converted": "joint",
        "versus": "audio + visual",
    }
    assert short_labels({"converted": [one], "versus": [other]}) == {"converted": "x/joint", "versus": "y/joint"}
    assert short_labels({"converted": [one], "versus": [one]})["converted"].endswith("x/joint")


def test_headlines_name_the_rows_and_the_winner(tmp_path: Path) -> None:
    entry = {"mean": 3.0, "low": 2.5, "high": 3.5, "n": 6}
    rows = {"converted": {"mcd_db": entry}, "versus": {"mcd_db": entry | {"mean": 4.0}}}
    found = {
        "about": {"rows": {"converted": "joint", "versus": "apart"}, "sentences": 6},
        "tables": {"voice": rows, "face": {}, "sync": {}},
        "versus": {"voice": {"mcd_db": {"better": "converted"}}},
    }
    text = headlines(found, tmp_path / "report.html")
    assert "MCD, dB" in text.splitlines()[0]
    assert text.splitlines()[1].split()[:2] == ["joint", "3.00"]
    assert "Better beyond chance (Holm's p < 0.05): MCD, dB: joint" in text
    assert text.endswith("report.html")
