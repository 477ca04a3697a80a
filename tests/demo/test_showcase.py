"""The vocoder of the side-by-side follows from figures; the videos shown are one an emotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avsc_tf.core.config import load_config
from avsc_tf.core.errors import MediaError, StageError
from avsc_tf.core.runs import NETWORKS
from avsc_tf.demo.run import DemoFolders, demo_stages
from avsc_tf.demo.showcase import choose_vocoder, first_of_each_emotion, held_out_clips, make_showcase
from avsc_tf.media.clips import ClipSource

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "demo.yaml"


def figures(**changes: float | None) -> dict[str, Any]:
    """Copy synthesis that just passes, with some of the WaveNet's figures changed."""
    wavenet = {"pitch_cents": 19.0, "voicing_error": 0.09, "predicted_mos": 2.5, **changes}
    return {
        "wavenet": {name: {"mean": value} for name, value in wavenet.items()},
        "griffin-lim": {"predicted_mos": {"mean": 2.5}},
    }


def test_a_wavenet_that_passes_speaks() -> None:
    choice = choose_vocoder(figures())
    assert (choice.vocoder, choice.passed) == ("wavenet", True)
    assert "passed the gate" in choice.text


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("pitch_cents", 21.0, "pitch error"),
        ("voicing_error", 0.11, "0.11"),
        ("predicted_mos", 2.4, "2.40"),
        ("predicted_mos", None, "MOS"),
        ("pitch_cents", None, "not measured"),
    ],
)
def test_each_condition_alone_sends_it_back(figure: str, value: float | None, words: str) -> None:
    choice = choose_vocoder(figures(**{figure: value}))
    assert (choice.vocoder, len(choice.reasons)) == ("griffin-lim", 1)
    assert words in choice.text


def test_nothing_measured_means_griffin_lim() -> None:
    assert choose_vocoder({}).vocoder == "griffin-lim"


def test_first_of_each_emotion_keeps_the_order() -> None:
    clips = [
        ClipSource(name, "A", emotion, name, "test", Path(f"{name}.mp4"), None)
        for name, emotion in (("a", "sad"), ("b", "glad"), ("c", "sad"), ("d", "angry"))
    ]
    assert [clip.utterance for clip in first_of_each_emotion(clips)] == ["a", "b", "d"]


def test_a_corpus_without_held_out_clips(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("", encoding="utf-8")
    with pytest.raises(MediaError, match=r"no clip is held out. Mark some `test` in manifest.csv"):
        held_out_clips(tmp_path)


def test_vocoders_must_be_judged_first(tmp_path: Path) -> None:
    folders = {name: tmp_path for name in ("source", "target", "held_out", "out")}
    with pytest.raises(StageError, match=r"copy_synthesis.json: the vocoders were not judged"):
        make_showcase(load_config(CONFIG), copy_synthesis=tmp_path / "copy_synthesis.json", **folders)


def test_a_stage_depends_on_its_own_settings_only(tmp_path: Path) -> None:
    """More image epochs train the image network again, and neither the corpus nor the other networks."""

    def settings(*overrides: str) -> dict[str, Any]:
        stages = demo_stages(load_config(CONFIG, overrides), DemoFolders(tmp_path))
        return {stage.name: stage.settings for stage in stages}

    before, after = settings(), settings("image.epochs=77")
    assert [name for name in before if before[name] != after[name]] == ["train image"]
    before, after = settings(), settings("demo.sentences_per_emotion=5")
    assert [name for name in before if before[name] != after[name]] == ["corpus"]


def test_every_stage_comes_after_those_it_reads(tmp_path: Path) -> None:
    stages = demo_stages(load_config(CONFIG), DemoFolders(tmp_path))
    names = [stage.name for stage in stages]
    for number, stage in enumerate(stages):
        assert set(stage.after) <= set(names[:number]), stage.name
    assert {f"train {network}" for network in NETWORKS} <= set(names)
