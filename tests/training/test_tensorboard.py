"""What a training writes for TensorBoard, read back from its files, and served by TensorBoard itself."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.util import event_pb2

from avsc_tf.training.conversion.train import train_conversion
from avsc_tf.training.engine.callbacks import tag_of
from avsc_tf.training.image.train import train_image
from avsc_tf.vocoder.griffin_lim import preview_vocoder

START_SECONDS = 90  # of TensorBoard on a busy machine


@dataclass(frozen=True)
class Written:
    """One value in an event file."""

    run: str
    tag: str
    step: int
    plugin: str
    value: Any


def events_of(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.rglob("events*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield path.parent.name, event_pb2.Event.FromString(record)


def written(folder: Path) -> list[Written]:
    return [
        Written(run, v.tag, event.step, v.metadata.plugin_data.plugin_name, tf.make_ndarray(v.tensor))
        for run, event in events_of(folder)
        for v in event.summary.value
    ]


def picture(one: Written) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(one.value[2], np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope="module")
def run(tiny_config, tiny_records, tmp_path_factory):
    """Conversion and image network, two epochs each, previews after the second."""
    folder = tmp_path_factory.mktemp("run")
    changes = {"epochs": 2, "preview_epochs": 2}
    conversion = replace(tiny_config.conversion, batch_size=2, linear_path_ridge=1e4, **changes)
    image = replace(tiny_config.image, path_components=4, path_units=32, **changes)
    config = replace(tiny_config, conversion=conversion, image=image)
    _, history = train_conversion(config, tiny_records, folder, vocode=preview_vocoder(config))
    _, image_history = train_image(config, tiny_records, folder)
    return folder, {"conversion": history, "image": image_history}


def test_charts_hold_train_and_held_out_curves_of_one_name():
    assert [tag_of(name) for name in ("loss", "mel_loss", "gradient_norm", "learning_rate", "seconds", "a/l1")] == [
        "loss/loss",
        "loss/mel_loss",
        "optimizer/gradient_norm",
        "optimizer/learning_rate",
        "speed/seconds",
        "a/l1",
    ]


@pytest.mark.parametrize(
    ("network", "losses"),
    [
        ("conversion", ("loss", "mel_loss", "facial_loss")),
        ("image", ("generator/loss", "generator/l1", "generator/adversarial", "discriminator/loss")),
    ],
)
def test_scalars_are_those_of_the_history(run, network, losses):
    folder, histories = run
    scalars = {(w.run, w.tag, w.step): float(w.value) for w in written(folder / network) if w.plugin == "scalars"}
    for row in histories[network]:
        for name in losses:
            step = int(row["epoch"])
            assert scalars["train", tag_of(name), step] == pytest.approx(row[name], rel=1e-6)  # float32
            assert scalars["held_out", tag_of(name), step] == pytest.approx(row[f"val_{name}"], rel=1e-6)
    tags = {tag for _, tag, _ in scalars}
    norms = {"conversion": "optimizer/", "image": "generator/"}[network]
    assert {f"{norms}gradient_norm", f"{norms}learning_rate", "speed/examples_per_second", "speed/seconds"} <= tags
    assert not {tag for tag in tags if "val_" in tag or "epoch" in tag.split("/")}


def test_conversion_preview_shows_mels_faces_and_sounds(run, tiny_config):
    folder, _ = run
    shown = [w for w in written(folder / "conversion") if w.plugin in ("images", "audio")]
    assert {(w.run, w.step) for w in shown} == {("held_out", 2)}
    by_tag = {w.tag: w for w in shown}
    assert sorted(by_tag) == [
        "face: converted, target/neutral, u3",
        "mel: source, converted, target/neutral, u3",
        "sound of the mel: converted/neutral, u3",
        "sound of the mel: target/neutral, u3",
    ]
    # 67 video frames: 536 of mel, three times 2 x 80 rows and two lines; 17 faces of 96 px, twice and a line.
    assert picture(by_tag["mel: source, converted, target/neutral, u3"]).shape == (3 * 160 + 4, 536, 3)
    assert picture(by_tag["face: converted, target/neutral, u3"]).shape == (2 * 96 + 2, 17 * 96)
    wav = tf.audio.decode_wav(by_tag["sound of the mel: target/neutral, u3"].value[0, 0])
    assert wav.audio.shape == (67 * 1920, 1) and int(wav.sample_rate) == 48_000
    quality = {w.tag: float(w.value) for w in written(folder / "conversion") if w.tag.startswith("quality/")}
    assert sorted(quality) == ["quality/mcd_db", "quality/mouth_opening_r", "quality/mouth_width_r"]
    assert quality["quality/mcd_db"] > 0 and abs(quality["quality/mouth_opening_r"]) <= 1


def test_image_preview_shows_generated_frames_above_real_ones(run, tiny_config):
    folder, _ = run
    values = [w for w in written(folder / "image") if w.step == 2]
    (shown,) = (w for w in values if w.plugin == "images")
    assert shown.tag == "generated, original/neutral, u3"
    assert picture(shown).shape == (2 * 32 + 2, 8 * 32, 3)
    (similarity,) = (float(w.value) for w in values if w.tag == "quality/mouth_ssim")
    assert -1 <= similarity < 1


@pytest.mark.parametrize(("network", "layer"), [("conversion", "fusion_1"), ("image", "conv_1")])
def test_graph_holds_the_networks(run, network, layer):
    folder, _ = run
    graphs = [event.graph_def for _, event in events_of(folder / network) if event.HasField("graph_def")]
    assert len(graphs) == 1
    graph = graph_pb2.GraphDef.FromString(graphs[0])
    names = [node.name for node in graph.node] + [n.name for f in graph.library.function for n in f.node_def]
    parts = {"conversion": ["conversion_net"], "image": ["image_generator", "image_discriminator"]}[network]
    for part in parts:
        assert any(part in name and f"/{layer}" in name for name in names)


def test_previews_change_nothing_of_a_training(tiny_config, tiny_records, tmp_path):
    """Dropout and noise draw from seeds that a preview must leave alone."""
    found = []
    for every in (0, 1):
        net = replace(tiny_config.conversion, batch_size=2, epochs=2, dropout=0.1, input_noise=0.1, ema_decay=0.5)
        image = replace(tiny_config.image, epochs=2, feature_noise=0.1, ema_decay=0.5, preview_epochs=every)
        config = replace(tiny_config, conversion=replace(net, preview_epochs=every), image=image)
        results = []
        for train, options in ((train_conversion, {"vocode": preview_vocoder(config)}), (train_image, {})):
            model, history = train(config, tiny_records, tmp_path / str(every), **options)
            results.append((model.get_weights(), [{k: v for k, v in r.items() if k != "seconds"} for r in history]))
        found.append(results)
    for (weights, history), (shown_weights, shown_history) in zip(*found, strict=True):
        assert history == shown_history
        for a, b in zip(weights, shown_weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_tensorboard_serves_a_run(run):
    """As `tensorboard --logdir RUN` is started by a user."""
    folder, _ = run
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        scalars = _served(server, port, "scalars/tags", until=4)
        assert sorted(scalars) == [f"{n}/logs/{run}" for n in ("conversion", "image") for run in ("held_out", "train")]
        assert "loss/mel_loss" in scalars["conversion/logs/train"]
        assert "loss/mel_loss" in scalars["conversion/logs/held_out"]
        assert "quality/mcd_db" in scalars["conversion/logs/held_out"]
        assert "generated, original/neutral, u3" in _served(server, port, "images/tags")["image/logs/held_out"]
        assert len(_served(server, port, "audio/tags")["conversion/logs/held_out"]) == 2
        assert _served(server, port, "graphs/info")["image/logs/train"]["run_graph"]
    finally:
        server.terminate()
        server.wait()


def _served(server: subprocess.Popen, port: int, what: str, *, until: int = 1) -> dict[str, Any]:
    """What TensorBoard says, once it has read so many runs."""
    for _ in range(2 * START_SECONDS):
        assert server.poll() is None, "TensorBoard ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/{what}", timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.URLError:
            found = {}
        if len(found) >= until:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not served within {START_SECONDS} s")
