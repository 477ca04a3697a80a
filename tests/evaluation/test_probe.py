"""The probe against networks whose debts are known; its files, and its page."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from avsc_tf.evaluation.from_features import Streams
from avsc_tf.evaluation.probe import DAMAGES, OUTPUTS, damaged, probe_figures
from avsc_tf.evaluation.probe_page import cost_text, write_probe


def each_its_own(source: Streams) -> Streams:
    """Voice from the sound alone, face from the face alone."""
    return source


def all_from_the_face(source: Streams) -> Streams:
    """The face dominates: the voice is made of it, too."""
    mel = np.repeat(source.facial[:, :1], 8, axis=0) + np.zeros((1, source.mel.shape[1]))
    return Streams(mel.astype(np.float32), source.facial)


@pytest.fixture
def probe(sentences, feature_statistics, feature_config):
    return lambda convert: probe_figures(convert, sentences, feature_statistics, feature_config, seed=4)


def mean(found, row: str, figure: str) -> float:
    return found["owes"][row][figure]["mean"]


def test_outputs_owe_to_their_own_inputs(probe):
    found = probe(each_its_own)
    for damage in DAMAGES:
        assert mean(found, f"mel {damage}", "mel_change") > 0.9
        assert mean(found, f"mel {damage}", "mel_worse") > 10  # the undamaged answer is right to rounding
        for output in ("mouth", "keypoints", "vgg"):
            assert mean(found, f"mel {damage}", f"{output}_change") == 0
            assert mean(found, f"facial {damage}", f"{output}_change") > 0.9
        assert mean(found, f"facial {damage}", "mel_change") == 0
    # zeroed: the change is the output itself; of another sentence: twice the variance
    assert mean(found, "mel zeroed", "mel_change") == pytest.approx(1, abs=0.02)  # of 30 frames of unit variance each
    assert mean(found, "mel other sentence", "mel_change") == pytest.approx(2**0.5, abs=0.05)


def test_a_face_that_dominates_is_seen(probe):
    found = probe(all_from_the_face)
    assert mean(found, "mel shuffled", "mel_change") == 0
    assert mean(found, "facial shuffled", "mel_change") > 0.9
    # what follows the face in place of the sound was wrong before, and is no more so after
    assert abs(mean(found, "facial shuffled", "mel_worse")) < 0.05


def test_by_emotion_and_at_what_cost(probe, sentences):
    found = probe(each_its_own)
    assert set(found["by_emotion"]) == {"neutral", "anger_strong"}
    assert found["by_emotion"]["neutral"]["mel zeroed"]["mel_change"]["n"] == 2
    assert found["by_emotion"]["anger_strong"]["mel zeroed"]["mel_change"]["low"] is None  # one sentence has no spread
    cost = found["cost"]
    assert cost["both"]["mcd_db"]["mean"] == cost["sound"]["mcd_db"]["mean"] < 1e-3 < cost["picture"]["mcd_db"]["mean"]
    assert cost["picture"]["lip_error"]["mean"] < 1e-3 < cost["sound"]["lip_error"]["mean"]


def test_damages(rng):
    x, other = rng.normal(size=(12, 3)), rng.normal(size=(8, 3))
    assert not damaged(x, "zeroed", other, rng, rows=4).any()
    shuffled = damaged(x, "shuffled", other, np.random.default_rng(2), rows=4)
    blocks = {block.tobytes() for block in x.reshape(3, 4, 3)}
    assert {block.tobytes() for block in shuffled.reshape(3, 4, 3)} == blocks and (shuffled != x).any()
    np.testing.assert_array_equal(damaged(x, "other sentence", other, rng, rows=4), np.concatenate([other, other[:4]]))


def test_files(probe, tmp_path):
    found = probe(each_its_own)
    write_probe(found, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["probe.html", "probe.json", "probe.png"]
    assert json.loads((tmp_path / "new" / "probe.json").read_text(encoding="utf-8")) == json.loads(json.dumps(found))
    picture = cv2.imread(str(tmp_path / "new" / "probe.png"))
    assert picture.shape[0] > 600 and picture.std() > 5
    page = (tmp_path / "new" / "probe.html").read_text(encoding="utf-8")
    assert "never met a missing stream" in page and 'src="http' not in page and "data:image/png" in page
    assert page.count("<tr><td>") == 3
    lines = cost_text(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["sound and picture", "sound alone", "picture alone"]
    assert all(f"{output}_change" in found["owes"]["mel zeroed"] for output in OUTPUTS)
