"""What an export leaves beside the graphs, and what it refuses."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

from avsc_tf.core.config import load_saved_config
from avsc_tf.core.consent import Consent, read_consent
from avsc_tf.core.digests import bundle_digest, read_digests
from avsc_tf.core.errors import BundleError, ConsentError, ExportError, OutputError
from avsc_tf.core.schema import Feature
from avsc_tf.export import export_bundle
from avsc_tf.export.saving import save_model
from avsc_tf.export.server_files import COMPOSE_NAME, MODELS_CONFIG_NAME
from avsc_tf.export.signatures import ServedFunction, Signature

AUDIO = ("conversion.modalities=audio", "conversion.modality_dropout=0")
MODELS = ["conversion", "image", "wavenet", "end_to_end"]


def extra(served, model: str, name: str) -> Path:
    return served.out / model / "1" / "assets.extra" / name


def test_a_joint_run_is_four_models(joint) -> None:
    assert list(joint.exported.folders) == MODELS and not joint.exported.left_out
    left = sorted(path.name for path in joint.out.iterdir())
    assert left == sorted([*MODELS, MODELS_CONFIG_NAME, COMPOSE_NAME])


def test_the_server_reads_its_configuration(joint) -> None:
    """By TensorFlow Serving's own protocol buffers; the paths are those of the compose file's mount."""
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((joint.out / MODELS_CONFIG_NAME).read_text(encoding="utf-8"), config)
    service = yaml.safe_load((joint.out / COMPOSE_NAME).read_text(encoding="utf-8"))["services"]["serving"]
    (mount,) = service["volumes"]
    inside = {m.name: Path(m.base_path).relative_to(mount["target"]) for m in config.model_config_list.config}
    assert list(inside) == MODELS
    for name, path in inside.items():
        assert (joint.out / mount["source"] / path / "1" / "saved_model.pb").is_file()
        assert str(path) == name
    (flag,) = service["command"]
    place = Path(flag.removeprefix("--model_config_file=")).relative_to(mount["target"])
    assert (joint.out / place).is_file()
    assert mount["read_only"] and service["image"].startswith("tensorflow/serving:2.17.")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert sorted(port.rsplit(":", 1)[1] for port in service["ports"]) == ["8500", "8501"]


def test_settings_digests_and_consent_travel(joint) -> None:
    for model in MODELS:
        assert load_saved_config(extra(joint, model, "config.yaml")) == joint.bundle.config
        assert read_consent(extra(joint, model, "consent.yaml")).who == "Mary Example"
        digests = json.loads(extra(joint, model, "bundle_digests.json").read_text(encoding="utf-8"))
        assert digests == {"bundle": bundle_digest(joint.run), "files": read_digests(joint.run)}


@pytest.mark.parametrize("model", MODELS)
def test_card_and_signatures_say_what_the_graph_takes(joint, model: str) -> None:
    """Names, types and shapes of the SavedModel, each in the data and in the card's tables."""
    card = extra(joint, model, "MODEL_CARD.md").read_text(encoding="utf-8")
    described = json.loads(extra(joint, model, "signatures.json").read_text(encoding="utf-8"))
    loaded = joint.loaded[model]
    assert set(loaded.signatures) == {*described, "serving_default"}
    for name, signature in described.items():
        function = loaded.signatures[name]
        found = {"inputs": function.structured_input_signature[1], "outputs": function.structured_outputs}
        for side, specs in found.items():
            assert {t["name"] for t in signature[side]} == set(specs)
            for tensor in signature[side]:
                spec = specs[tensor["name"]]
                assert spec.dtype.name == tensor["dtype"]
                assert [None if isinstance(axis, str) else axis for axis in tensor["shape"]] == spec.shape.as_list()
                row = f"| `{tensor['name']}` | {tensor['dtype']} | [{', '.join(map(str, tensor['shape']))}] |"
                assert row in card and tensor["meaning"]
    for words in ("Mary Example", "Intended use", "Limits", bundle_digest(joint.run), "not in the run folder"):
        assert words in card


def test_held_out_losses_are_the_histories_last(make_run, tmp_path) -> None:
    run = make_run(tmp_path / "run", *AUDIO, networks=["conversion"])
    (run / "conversion" / "history.csv").write_text("epoch,loss,val_loss\n1,9,8\n2,7,6.125\n", encoding="utf-8")
    out = export_bundle(run, tmp_path / "out", warmup=False)
    card = (out.folders["conversion"] / "assets.extra" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| conversion | 2 | loss | 6.125 |" in card and "| loss | 8 |" not in card


@pytest.mark.parametrize("model", [pytest.param(m, marks=[] if m == "image" else [pytest.mark.slow]) for m in MODELS])
def test_warm_up_requests_run(joint, model: str) -> None:
    """Each as TensorFlow Serving would run it: parsed from its log, given to the signature it names."""
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from tensorflow_serving.apis import prediction_log_pb2

    path, asked = extra(joint, model, "tf_serving_warmup_requests"), []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == model
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        outputs = joint.signature(model, request.model_spec.signature_name)(**inputs)
        assert all(np.isfinite(array).all() for array in outputs.values())
        asked.append(request.model_spec.signature_name)
    assert asked == list(json.loads(extra(joint, model, "signatures.json").read_text(encoding="utf-8")))


def test_a_version_is_never_overwritten(joint, tmp_path) -> None:
    before = (joint.out / "image" / "1" / "saved_model.pb").stat()
    with pytest.raises(ExportError, match=r"conversion/1: exists already.*--model-version"):
        export_bundle(joint.run, joint.out)
    assert (joint.out / "image" / "1" / "saved_model.pb").stat() == before
    with pytest.raises(ExportError, match=r"--model-version 0: .* counts versions from 1"):
        export_bundle(joint.run, tmp_path / "out", version=0)
    for seconds in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ExportError, match=r"--max-seconds .*: must be above 0"):
            export_bundle(joint.run, tmp_path / "out", max_seconds=seconds)


@pytest.mark.slow
def test_a_second_version_beside_the_first(make_run, tmp_path) -> None:
    run = make_run(tmp_path / "run", *AUDIO, networks=["conversion"])
    for version in (1, 12):
        export_bundle(run, tmp_path / "out", version=version, warmup=False)
    assert sorted(p.name for p in (tmp_path / "out" / "conversion").iterdir()) == ["1", "12"]
    assert (tmp_path / "out" / MODELS_CONFIG_NAME).read_text(encoding="utf-8").count("name:") == 1
    assert not list((tmp_path / "out" / "conversion" / "12" / "assets.extra").glob("tf_serving*"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "image" / "model.weights.h5").unlink(), r"image/model.weights.h5: missing from the bundle"),
        (lambda run: (run / "statistics.npz").unlink(), r"statistics.npz: missing from the bundle"),
        (lambda run: shutil.rmtree(run / "conversion"), r"conversion/config.yaml: missing from the bundle"),
        (
            lambda run: (run / "wavenet" / "model.weights.h5").write_bytes(b"no"),
            r"wavenet/model.weights.h5: is damaged",
        ),
    ],
)
def test_a_bad_bundle_says_so_and_leaves_nothing(joint, tmp_path, damage, message: str) -> None:
    run = Path(shutil.copytree(joint.run, tmp_path / "run"))
    damage(run)
    with pytest.raises(BundleError, match=message):
        export_bundle(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_written(joint, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match=r"file/out: Not a directory\. Something else of that name is in the way"):
        export_bundle(joint.run, tmp_path / "file" / "out")
    with pytest.raises(OutputError, match=r"holds other things already \(file\)"):
        export_bundle(joint.run, tmp_path)


def test_a_disk_that_takes_no_graph(tmp_path) -> None:
    """TensorFlow's own error, in one line."""
    number = Feature("number", "float32", ("batch",), "", "")
    doubled = ServedFunction(Signature("double", "", (number,), (number,)), lambda x: {"number": 2 * x["number"]})
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ExportError, match=r"file/model: cannot be written \(.*\)\. Name a folder with room"):
        save_model(tmp_path / "file" / "model", [doubled], {}, [], [])
    save_model(tmp_path / "model", [doubled], {}, [], [])
    call = tf.saved_model.load(str(tmp_path / "model")).signatures["double"]
    assert call(number=tf.constant([3.0]))["number"].numpy().tolist() == [6.0]


@pytest.mark.slow
def test_what_a_killed_export_left_is_removed(make_run, tmp_path) -> None:
    """But not the folder of one that goes on."""
    run = make_run(tmp_path / "run", *AUDIO, networks=["conversion"])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, living = (tmp_path / "out" / f".export-{pid}.part" for pid in (gone.pid, os.getppid()))
    for folder in (left, living):
        (folder / "conversion").mkdir(parents=True)
    export_bundle(run, tmp_path / "out", warmup=False)
    assert not left.exists() and living.exists()


def test_a_consent_that_has_ended(make_run, tmp_path) -> None:
    ended = Consent(who="Mary", what_for=("tests",), until=datetime.date(2020, 2, 29))
    run = make_run(tmp_path / "run", *AUDIO, networks=["conversion"], consent=ended)
    with pytest.raises(ConsentError, match=r"ended on 2020-02-29"):
        export_bundle(run, tmp_path / "out")


@pytest.mark.parametrize("days", [pytest.param(0, marks=pytest.mark.slow), -1])
def test_a_served_model_refuses_after_the_last_day(make_run, tmp_path, monkeypatch, days: int) -> None:
    """Exported while the consent held; the graph itself looks at the clock."""
    last = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=days)
    consent = Consent(who="Mary", what_for=("tests",), until=last)
    run = make_run(tmp_path / "run", *AUDIO, networks=["conversion"], consent=consent)
    monkeypatch.setattr(Consent, "is_expired", lambda self, today=None: False)  # as it was on the day of the export
    folder = export_bundle(run, tmp_path / "out", warmup=False).folders["conversion"]
    card = (folder / "assets.extra" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"until {last}" in card and "every signature refuses" in card
    loaded = tf.saved_model.load(str(folder))
    inputs = {"mel": tf.zeros((1, 16, 80)), "lengths": tf.constant([2])}
    if days == 0:
        assert loaded.signatures["convert"](**inputs)["mel"].shape == (1, 16, 80)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"(?s)the consent of Mary ended on {last}"):
            loaded.signatures["convert"](**inputs)


@pytest.mark.slow
def test_the_tool(root, joint, make_run, tmp_path) -> None:
    """Prints what it wrote and what it left out; an error is one line."""
    run = make_run(tmp_path / "run", *AUDIO, networks=["conversion"])
    command = [sys.executable, root / "tools" / "export.py", "--bundle", run, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert f"conversion: {tmp_path / 'out' / 'conversion' / '1'}" in done.stdout
    assert "note: image left out: the run converts sound alone" in done.stdout
    assert "note: wavenet left out: the run holds no WaveNet" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert again.returncode == 2 and again.stderr.startswith("error: ") and again.stderr.count("\n") == 1
