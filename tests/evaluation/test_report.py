"""The page builds from a small run, holds everything inside itself, and says what it must."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from avsc_tf.core.config import Config, load_config
from avsc_tf.evaluation.aims import judge
from avsc_tf.evaluation.figures import Table, add_ratios, feature_figures
from avsc_tf.evaluation.held_out import Sentence
from avsc_tf.evaluation.plots import _loudest_stretch, read_history, telling_moments
from avsc_tf.evaluation.report import Shown, write_report
from avsc_tf.evaluation.rows import Answer
from avsc_tf.evaluation.timeline import Label, map_from_labels
from avsc_tf.features.clip import encode_frames

N_FRAMES, SIZE_PX, N_MELS = 21, 32, 80
LABELS = [Label("_", 0.0, 0.1), Label("a", 0.1, 0.5), Label("<o>", 0.5, 0.7)]


@pytest.fixture
def config(root: Path) -> Config:
    return load_config(root / "configs" / "demo.yaml", [f"image.size_px={SIZE_PX}"])


def make_answer(rng: np.random.Generator, config: Config) -> Answer:
    keypoints = rng.uniform(80, 170, (N_FRAMES, 70, 2)).astype(np.float32)
    keypoints[:, 36], keypoints[:, 45] = (90, 100), (166, 100)
    frames = rng.integers(0, 255, (N_FRAMES, SIZE_PX, SIZE_PX, 3)).astype(np.uint8)
    return Answer(rng.normal(-4, 1, (8 * N_FRAMES, N_MELS)).astype(np.float32), keypoints, frames)


@pytest.fixture
def shown(rng: np.random.Generator, config: Config) -> Shown:
    source, converted, target = (make_answer(rng, config) for _ in range(3))
    time_map = map_from_labels(LABELS, LABELS, origin="phone times", name="x")
    clip = {"utterance": "sadness_00", "emotion": "sadness", "sentence": "umi e <b>", "keypoints": source.keypoints}
    path = np.stack([np.arange(N_FRAMES)] * 2, axis=1)
    film = {**clip, "keypoints": target.keypoints, "frames": encode_frames(target.frames, size_px=SIZE_PX)}
    sentence = Sentence(clip, film, path, time_map, target, config.timebase)
    return Shown(sentence, source, converted, target)


@pytest.fixture
def figures(shown: Shown, config: Config) -> dict[str, Any]:
    table = Table()
    for row, answer in (("converted", shown.converted), ("source", shown.source), ("target_dtw", shown.target)):
        table.add(row, "sadness_00", feature_figures(answer, shown.sentence, None, config))
    features = table.summary()
    add_ratios(features)
    copies = {"wavenet": {"pitch_cents": {"mean": 41.0, "low": 30.0, "high": 55.0, "n": 3, "sentences": {}}}}
    reason = "Median pitch error is 41 cents; it must be under 30."
    found = {
        "about": {
            "sentences": 1,
            "emotions": ["sadness"],
            "times": "phone times",
            "vocoders": ["griffin-lim", "wavenet"],
            "interval": "95 % interval",
        },
        "features": features,
        "voices": {},
        "sync": {},
        "copy_synthesis": copies,
        "gate": {"passed": False, "reasons": [reason]},
    }
    return {**found, "aims": judge(found)}


def test_target_beside_itself_is_perfect(figures: dict[str, Any]) -> None:
    perfect = figures["features"]["target_dtw"]
    assert perfect["mcd_db"]["mean"] == 0.0 and perfect["lip_error"]["mean"] == 0.0
    assert perfect["mouth_ssim"]["mean"] == 1.0 and perfect["frame_l1"]["mean"] == 0.0
    assert perfect["mouth_ssim_aligned"]["mean"] == 1.0 and perfect["texture_distance"]["mean"] == 0.0
    assert perfect["edge_ratio"]["mean"] == perfect["flicker_ratio"]["mean"] == 1.0
    assert perfect["opening_r"]["mean"] == 1.0 and perfect["width_sd_ratio"]["mean"] == 1.0


def test_page(figures: dict[str, Any], shown: Shown, config: Config, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    (run / "conversion").mkdir(parents=True)
    (run / "conversion" / "history.csv").write_text(
        "epoch,loss,val_loss,seconds\n1,3.0,3.5,7\n2,2.0,,7\n", encoding="utf-8"
    )
    stages = tmp_path / "stages.json"
    stages.write_text(
        json.dumps(
            {"prepare": {"seconds": 90.0, "peak_memory_bytes": 2**31, "command": "python x", "state": "finished"}}
        ),
        encoding="utf-8",
    )
    videos = [out / "side_by_side.mp4", out / "converted" / "sad & low.mp4"]
    write_report(out / "report.html", figures, [shown], config=config, run=run, stages=stages, files=videos)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert not list(out.glob("*.part"))

    for text in (
        "target itself through the DTW alignment",
        "falls short",
        "not measured",
        "Median pitch error is 41 cents",
        "because the WaveNet does not pass the gate yet",
        "phone times",
        "1.5 min",
        "2.0 GiB",
        "ridge-initialised linear path",
        "learning rate 0.0005",
        'src="side_by_side.mp4"',
        'src="converted/sad%20%26%20low.mp4"',
        "umi e &lt;b&gt;",
    ):
        assert text in page, text
    assert "<b>" not in page.split("<h2>What it looks like")[1].split("<h2>Training")[0]  # text is escaped
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)  # nothing from elsewhere


def test_pictures_are_inside_the_page(figures: dict[str, Any], shown: Shown, config: Config, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", figures, [shown], config=config, run=tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    assert len(found) == 2  # spectrograms and frames; no history, so no curves
    for data in found:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and image.shape[1] > 600 and image.std() > 10
    assert "No history was found" in page and "<video" not in page and "Time and memory" not in page


def write_copies(folder: Path, vocoders: tuple[str, ...], rng: np.random.Generator) -> None:
    for vocoder in vocoders:
        (folder / vocoder).mkdir(parents=True)
        soundfile.write(folder / vocoder / "sadness_00.wav", rng.uniform(-0.5, 0.5, 40_000), 48_000)


def test_copies_stand_beside_the_recording(
    figures: dict[str, Any], shown: Shown, config: Config, tmp_path: Path, rng: np.random.Generator
) -> None:
    shown.sentence.target["waveform"] = rng.integers(-9000, 9000, 40_320).astype(np.int16)
    write_copies(tmp_path / "copy_synthesis", ("wavenet", "griffin-lim"), rng)
    write_report(tmp_path / "report.html", figures, [shown], config=config, run=tmp_path)
    part = (
        (tmp_path / "report.html")
        .read_text(encoding="utf-8")
        .split("copy synthesis and the gate")[1]
        .split("<h2>Converted")[0]
    )
    (data,) = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", part)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None and image.shape[1] > 1000 and image.std() > 10
    assert "sadness_00, held out: umi e &lt;b&gt;" in part
    assert "pitch error under 20 cents, voicing error under 0.1" in part


def test_no_spectrograms_without_all_copies(
    figures: dict[str, Any], shown: Shown, config: Config, tmp_path: Path, rng: np.random.Generator
) -> None:
    write_copies(tmp_path / "copy_synthesis", ("griffin-lim",), rng)
    write_report(tmp_path / "report.html", figures, [shown], config=config, run=tmp_path)
    assert "held out: umi" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_loudest_stretch_is_shown() -> None:
    quiet, loud = np.full(3000, 0.1, np.float32), np.full(1500, 0.9, np.float32)
    recording, copy = np.concatenate([quiet, loud, quiet]), np.arange(7400, dtype=np.float32)
    cut, start_s, seconds = _loudest_stretch([recording, copy], 1000)
    assert (start_s, seconds) == (3.0, 1.5)
    assert np.array_equal(cut[0], loud) and np.array_equal(cut[1], np.arange(3000, 4500))
    short, start_s, seconds = _loudest_stretch([recording[:700], copy], 1000)
    assert (start_s, seconds) == (0.0, 0.7) and [len(w) for w in short] == [700, 700]


def test_telling_moments_alternate_wide_and_narrow() -> None:
    opening = np.array([0, 3, 1, 5, 2, 4, 0, 7, 6, 1, 2, 9], float)
    assert telling_moments(opening, 4) == [1, 4, 7, 9]
    assert telling_moments(np.zeros(3), 5) == [0, 0, 1, 1, 2]


def test_history_keeps_losses_only(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(
        "epoch,generator/l1,discriminator/loss,learning_rate\n1,0.5,1.5,0.1\n2,0.25,,0.1\n", encoding="utf-8"
    )
    found = read_history(path)
    assert list(found) == ["generator/l1", "discriminator/loss"]
    assert found["generator/l1"] == [0.5, 0.25] and np.isnan(found["discriminator/loss"][1])
    assert read_history(tmp_path / "absent.csv") == {}
