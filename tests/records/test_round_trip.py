"""What is written is read again, by NumPy and by tf.data, and damage or other settings are noticed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.config import Config, load_config
from avsc_tf.errors import RecordError
from avsc_tf.features.clip import encode_frames
from avsc_tf.features.statistics import StatisticsFitter
from avsc_tf.records.manifest import Manifest, write_manifest
from avsc_tf.records.reader import decode_frames, open_records
from avsc_tf.records.writer import ShardWriter, encode_example, schema_symbols
from avsc_tf.schema import CLIP, PAIR

LENGTHS = {"u1": 5, "u2": 3}
OVERRIDES = ["acoustic.n_mels=6", "face.n_vgg=11", "image.size_px=32", "face.crop_px=48"]


@pytest.fixture(scope="module")
def config(root) -> Config:
    return load_config(root / "configs" / "demo.yaml", OVERRIDES)


def clip_example(config: Config, utterance: str, n: int) -> dict:
    rng = np.random.default_rng(n)
    crops = rng.integers(0, 256, (n, config.face.crop_px, config.face.crop_px, 3), np.uint8)
    return {
        "utterance": utterance,
        "emotion": "happiness",
        "sentence": "ame ga, furimasu ☂",
        "split": "train",
        "speaker": "F01",
        "mel": rng.standard_normal((8 * n, config.acoustic.n_mels)).astype(np.float32),
        "keypoints": rng.standard_normal((n, 70, 2)).astype(np.float32),
        "vgg": rng.standard_normal((n, config.face.n_vgg)).astype(np.float16),
        "frames": encode_frames(crops, size_px=config.image.size_px),
        "waveform": rng.integers(-32768, 32768, 1920 * n).astype(np.int16),
    }


def pair_example(config: Config, utterance: str, n: int) -> dict:
    rng = np.random.default_rng(100 + n)
    sides = {
        f"{speaker}_{feature}": rng.standard_normal(shape).astype(dtype)
        for speaker in ("source", "target")
        for feature, shape, dtype in (
            ("mel", (8 * n, config.acoustic.n_mels), np.float32),
            ("facial", (n, config.face.n_facial), np.float16),
        )
    }
    labels = {"utterance": utterance, "emotion": "", "sentence": "ame", "split": "train"}
    return {**labels, **sides, "path": np.array([[0, 0], [1, 0], [n, n]], np.int32), "cost": np.float32(0.5)}


@pytest.fixture
def folder(config, tmp_path) -> Path:
    """A records folder of two clips a speaker and two pairs, all in the training split."""
    shards = []
    for name, schema, example in (
        ("source-train", CLIP, clip_example),
        ("target-train", CLIP, clip_example),
        ("source-test", CLIP, None),
        ("target-test", CLIP, None),
        ("pairs-train", PAIR, pair_example),
        ("pairs-test", PAIR, None),
    ):
        with ShardWriter(tmp_path, f"{name}.tfrecord", schema, config=config) as writer:
            for utterance, n in LENGTHS.items() if example else ():
                writer.write(example(config, utterance, n), video_frames=n)
            shards.append(writer.finish())
    fitter = StatisticsFitter()
    for speaker in ("source", "target"):
        values = clip_example(config, "u1", 5)
        fitter.add(speaker, mel=values["mel"], vgg=values["vgg"], keypoints=values["keypoints"])
    fitter.finish().save(tmp_path / "statistics.npz")
    counts = {Path(s.name).stem: len(s.utterances) for s in shards}
    write_manifest(tmp_path, Manifest(config.fingerprint, config.record_settings, "digest", tuple(shards), counts))
    return tmp_path


def assert_same(got: dict, expected: dict) -> None:
    assert set(got) == set(expected)
    for name, value in expected.items():
        if isinstance(value, str):
            assert got[name] == value
        elif name == "frames":
            assert list(got[name]) == list(value)
        else:
            assert np.asarray(got[name]).dtype == value.dtype, name
            np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_numpy_reads_what_was_written(config, folder):
    records = open_records(folder, config, deep=True)
    clips, pairs = list(records.clips("target", "train")), list(records.pairs("train"))
    assert [c["utterance"] for c in clips] == [p["utterance"] for p in pairs] == ["u1", "u2"]
    for i, (utterance, n) in enumerate(LENGTHS.items()):
        assert_same(clips[i], clip_example(config, utterance, n))
        assert_same(pairs[i], pair_example(config, utterance, n))
    assert records.n_pairs("train") == 2
    assert records.n_clips("source", "test") == 0
    assert list(records.clips("source", "test")) == []


def test_tf_data_reads_the_same(config, folder):
    records = open_records(folder, config)
    for dataset, example in (
        (records.clip_dataset("source", "train"), clip_example),
        (records.pair_dataset("train"), pair_example),
    ):
        got = list(dataset.as_numpy_iterator())
        assert len(got) == 2
        for values, (utterance, n) in zip(got, LENGTHS.items(), strict=True):
            as_text = {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}
            assert_same(as_text, example(config, utterance, n))


def test_only_the_named_features_are_decoded(config, folder):
    records = open_records(folder, config)
    assert set(next(records.clips("source", "train", only=("mel", "utterance")))) == {"mel", "utterance"}
    with pytest.raises(ValueError, match=r"unknown features \['mels'\]"):
        next(records.clips("source", "train", only=("mels",)))


def test_frames_keep_their_colours(config):
    crops = np.zeros((2, 32, 32, 3), np.uint8)
    crops[0, ..., 0], crops[1, :, 16:, 2] = 200, 90  # red; right half blue
    np.testing.assert_array_equal(decode_frames(encode_frames(crops, size_px=32)), crops)


def test_smaller_frames_are_means(rng):
    crops = rng.integers(0, 256, (1, 48, 48, 3)).astype(np.uint8)
    small = decode_frames(encode_frames(crops, size_px=24))
    expected = crops.reshape(1, 24, 2, 24, 2, 3).mean(axis=(2, 4))
    assert np.abs(small - expected).max() <= 1  # rounding of the mean of four


def test_statistics_travel_with_the_records(config, folder):
    statistics = open_records(folder, config).statistics
    standard = statistics.standardise("source", "mel", clip_example(config, "u1", 5)["mel"])
    assert np.abs(standard.mean(axis=0)).max() < 1e-5  # float32 mean of 40 frames


def test_other_settings_are_named_one_by_one(folder, root):
    other = load_config(root / "configs" / "demo.yaml", [*OVERRIDES, "acoustic.n_mels=80", "alignment.smooth_frames=3"])
    with pytest.raises(
        RecordError, match=r"acoustic.n_mels: 6 there, 80 here; alignment.smooth_frames: [0-9]+ there, 3 here"
    ):
        open_records(folder, other)


def test_settings_of_the_networks_do_not_matter(folder, root):
    other = load_config(root / "configs" / "demo.yaml", [*OVERRIDES, "conversion.epochs=3", "image.batch_size=2"])
    assert open_records(folder, other).n_pairs("train") == 2


def test_unfinished_records_are_refused(config, folder, tmp_path):
    with pytest.raises(RecordError, match=r"no such records folder\. Make it with tools/prepare\.py"):
        open_records(tmp_path / "absent", config)
    (folder / "manifest.json").unlink()
    with pytest.raises(RecordError, match=r"holds no manifest\.json, so its records are unfinished"):
        open_records(folder, config)


def test_damage_is_noticed(config, folder):
    shard = folder / "pairs-train.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(RecordError, match=rf"pairs-train\.tfrecord: {len(whole) - 1} bytes, the manifest says"):
        open_records(folder, config)
    middle = len(whole) // 2
    shard.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(RecordError, match="its sha256 is not the manifest's"):
        open_records(folder, config, deep=True)
    with pytest.raises(RecordError, match=r"pairs-train\.tfrecord: damaged"):
        list(open_records(folder, config).pairs("train"))
    shard.unlink()
    with pytest.raises(RecordError, match=r"pairs-train\.tfrecord: missing"):
        open_records(folder, config)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ("[]", "damaged"), ('{"version": 99}', "format version 99, this program reads 1")],
)
def test_unreadable_manifest_is_refused(config, folder, text, message):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(RecordError, match=message):
        open_records(folder, config)


def test_manifest_is_plain_json(folder):
    tree = json.loads((folder / "manifest.json").read_text())
    assert tree["counts"]["pairs-train"] == 2
    assert tree["shards"][0]["video_frames"] == [5, 3]


def test_writer_holds_to_the_schema(config):
    symbols = schema_symbols(config)
    good = clip_example(config, "u1", 5)
    sizes = {**symbols, "video": 5, "mel": 40}
    encode_example(good, CLIP, sizes)
    for change, message in (
        ({"mel": good["mel"].astype(np.float64)}, "mel is float64, schema has float32"),
        ({"mel": good["mel"][:-1]}, "with mel = 40"),
        ({"vgg": good["vgg"][:, :-1]}, "with n_vgg = 11"),
        ({"frames": good["frames"][:-1]}, "with video = 5"),
    ):
        with pytest.raises(ValueError, match=message):
            encode_example({**good, **change}, CLIP, sizes)
    with pytest.raises(ValueError, match="example has"):
        encode_example({k: v for k, v in good.items() if k != "mel"}, CLIP, sizes)


def test_failed_writing_leaves_nothing(config, tmp_path):
    with pytest.raises(RuntimeError), ShardWriter(tmp_path, "x.tfrecord", CLIP, config=config) as writer:
        writer.write(clip_example(config, "u1", 5), video_frames=5)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_follows_the_record_settings(config):
    longer = dataclasses.replace(config, seed=config.seed + 1)
    assert longer.fingerprint != config.fingerprint
