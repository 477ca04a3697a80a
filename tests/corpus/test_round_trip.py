"""What is written is read again, by NumPy and by tf.data, and damage or other settings are noticed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.errors import ConfigError, RecordError
from avsc_tf.core.schema import CLIP, PAIR
from avsc_tf.corpus.manifest import Manifest, Shard, count_records, remove_stale, write_manifest
from avsc_tf.corpus.reader import Records, decode_example, decode_frames, open_records
from avsc_tf.corpus.tfrecord import feature_spans, frame_sizes
from avsc_tf.corpus.writer import ShardWriter, encode_example, schema_symbols
from avsc_tf.features.clip import encode_frames
from avsc_tf.features.statistics import StatisticsFitter

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
        "crop_centres": rng.uniform(0, 300, (n, 2)).astype(np.float32),
        "crop_side": np.float32(123.5),
        "frame_size": np.array([360, 288], np.int32),
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
        with ShardWriter(tmp_path, name, schema, config=config) as writer:
            for utterance, n in LENGTHS.items() if example else ():
                writer.write(example(config, utterance, n), video_frames=n)
            shards += writer.finish()
    fitter = StatisticsFitter()
    for speaker in ("source", "target"):
        values = clip_example(config, "u1", 5)
        fitter.add(speaker, mel=values["mel"], vgg=values["vgg"], keypoints=values["keypoints"])
    fitter.finish().save(tmp_path / "statistics.npz")
    counts = count_records(shards)
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
    with pytest.raises(RecordError, match=r"no such records folder\. Make it with avsc prepare"):
        open_records(tmp_path / "absent", config)
    (folder / "manifest.json").unlink()
    with pytest.raises(RecordError, match=r"holds no manifest\.json, so its records are unfinished"):
        open_records(folder, config)


def test_missing_and_cut_shards_are_noticed(config, folder):
    shard = folder / "pairs-train-00000.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(RecordError, match=rf"pairs-train-00000\.tfrecord: {len(whole) - 1} bytes, the manifest says"):
        open_records(folder, config)
    shard.unlink()
    with pytest.raises(RecordError, match=r"pairs-train-00000\.tfrecord: missing"):
        open_records(folder, config)


def test_flipped_bit_anywhere_in_a_shard_is_named_with_its_record(config, folder):
    records = open_records(folder, config)
    (shard,) = records.manifest.shards_of("pairs-train")
    path = folder / shard.name
    whole, second = path.read_bytes(), shard.frame_bytes[0]
    ends = [0, 8, 11, 12, second - 5, second - 1, second, second + 7, second + 12, len(whole) - 1]
    for byte in {*ends, *range(0, len(whole), len(whole) // 40)}:
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1 << byte % 8]) + whole[byte + 1 :])
        k, utterance = (0, "u1") if byte < second else (1, "u2")
        message = rf"pairs-train-00000\.tfrecord: record {k}, utterance '{utterance}' \(bytes [0-9]+ to [0-9]+\)"
        with pytest.raises(RecordError, match=message):
            open_records(folder, config, deep=True)
        with pytest.raises(RecordError, match=message):
            list(records.pairs("train"))


def test_shard_of_another_run_is_named(config, folder):
    path = folder / "source-train-00000.tfrecord"
    n_bytes = path.stat().st_size
    with ShardWriter(folder, "source-train", CLIP, config=config) as writer:
        for utterance, n in LENGTHS.items():  # other takes of the same lengths
            writer.write(clip_example(config, utterance.replace("u", "v"), n), video_frames=n)
        writer.finish()
    assert path.stat().st_size == n_bytes
    records = open_records(folder, config)  # sizes tell nothing
    with pytest.raises(RecordError, match=r"source-train-00000\.tfrecord: record 0, utterance 'u1' .* of another file"):
        next(records.clips("source", "train"))
    with pytest.raises(RecordError, match=r"source-train-00000\.tfrecord: record 0"):
        open_records(folder, config, deep=True)


def test_flipped_bit_in_the_other_files_is_named(config, folder):
    for name in ("statistics.npz", "manifest.json"):
        whole = (folder / name).read_bytes()
        for byte in range(0, len(whole), len(whole) // 60):
            (folder / name).write_bytes(whole[:byte] + bytes([whole[byte] ^ 1 << byte % 7]) + whole[byte + 1 :])
            if name.endswith("json") and same_json(whole, (folder / name).read_bytes()):
                continue  # white space
            with pytest.raises(RecordError, match=name):
                open_records(folder, config)
        (folder / name).write_bytes(whole)
    open_records(folder, config, deep=True)


def same_json(a: bytes, b: bytes) -> bool:
    try:
        return json.loads(a) == json.loads(b)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ("[]", "damaged"), ('{"version": 99}', "format version 99, this program reads 2")],
)
def test_unreadable_manifest_is_refused(config, folder, text, message):
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        open_records(folder, config)


def test_manifest_is_plain_json(folder):
    tree = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
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


def test_failed_writing_leaves_nothing(small_shards, tmp_path):
    with pytest.raises(RuntimeError), ShardWriter(tmp_path, "x", CLIP, config=small_shards) as writer:
        for _ in range(3):
            writer.write(clip_example(small_shards, "u1", 5), video_frames=5)
        assert len(list(tmp_path.iterdir())) == 3
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def small_shards(root) -> Config:
    return load_config(root / "configs" / "demo.yaml", [*OVERRIDES, "records.shard_mb=0.01"])


def write_pairs(config: Config, folder: Path, n_pairs: int) -> tuple[Shard, ...]:
    with ShardWriter(folder, "pairs-train", PAIR, config=config) as writer:
        for k in range(n_pairs):
            writer.write(pair_example(config, f"u{k}", 2 + k), video_frames=2 + k)
        return tuple(writer.finish())


def test_shards_roll_over_and_are_read_in_order(small_shards, tmp_path):
    shards = write_pairs(small_shards, tmp_path, 7)
    names = [f"pairs-train-{k:05d}.tfrecord" for k in range(len(shards))]
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard.name for shard in shards] == names
    limit = 0.01 * 2**20
    for shard in shards[:-1]:  # passed by its last record, not before
        assert shard.n_bytes >= limit > shard.n_bytes - shard.frame_bytes[-1]
    manifest = Manifest("", {}, "", shards, count_records(shards))
    assert manifest.counts == {"pairs-train": 7}
    assert manifest.shards_of("pairs-train") == shards
    assert manifest.video_frames_of("pairs-train") == tuple(range(2, 9))
    records = Records(tmp_path, small_shards, manifest)
    assert [pair["utterance"] for pair in records.pairs("train")] == [f"u{k}" for k in range(7)]
    assert [p["utterance"] for p in records.pair_dataset("train").as_numpy_iterator()] == [b"u%d" % k for k in range(7)]
    with pytest.raises(RecordError, match="pairs-test: the manifest names no such shard"):
        records.n_pairs("test")


def test_bytes_depend_on_the_examples_alone(small_shards, tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    assert write_pairs(small_shards, folders[0], 5) == write_pairs(small_shards, folders[1], 5)
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()
    # The order of a map is free in protocol buffers and may change with the process: here it is that of the names.
    names = list(feature_spans(encode_example(pair_example(small_shards, "u", 3), PAIR, schema_symbols(small_shards))))
    assert names == sorted(names) == sorted(feature.name for feature in PAIR)


def test_stale_shards_are_removed(small_shards, tmp_path):
    write_pairs(small_shards, tmp_path, 7)
    (tmp_path / "pairs-train.tfrecord").write_bytes(b"of the first format")
    (tmp_path / "pairs-train-00009.tfrecord.part").write_bytes(b"half")
    (tmp_path / "statistics.npz").write_bytes(b"stays")
    shards = write_pairs(small_shards, tmp_path, 3)
    remove_stale(tmp_path, shards)
    assert {path.name for path in tmp_path.iterdir()} == {"statistics.npz", *(shard.name for shard in shards)}
    assert len(shards) == 1


def test_spans_are_where_protocol_buffers_put_the_bytes(config):
    example = clip_example(config, "u1", 5)
    serialized = encode_example(example, CLIP, schema_symbols(config))
    spans = feature_spans(serialized)
    parsed = tf.train.Example.FromString(serialized).features.feature
    assert set(spans) == set(parsed)
    for name, places in spans.items():
        assert [serialized[a : a + n] for a, n in places] == list(parsed[name].bytes_list.value)
    for broken in (serialized[:-1], serialized[1:], b"\xff"):
        with pytest.raises(ValueError):
            feature_spans(broken)


def test_cut_file_has_no_frames(small_shards, tmp_path):
    (shard,) = write_pairs(small_shards, tmp_path, 2)
    path = tmp_path / shard.name
    assert frame_sizes(path) == list(shard.frame_bytes)
    whole = path.read_bytes()
    for n in (len(whole) - 1, shard.frame_bytes[0] + 5):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=f"cut off at byte {n}"):
            frame_sizes(path)


def test_record_without_a_feature_is_named(config):
    serialized = encode_example(pair_example(config, "u1", 5), PAIR, schema_symbols(config))
    with pytest.raises(RecordError, match="a record holds no 'speaker', only cost, emotion, path"):
        decode_example(serialized, CLIP, schema_symbols(config))


def test_size_of_shards_and_of_memory_do_not_matter(config, folder, root):
    other = load_config(root / "configs" / "demo.yaml", [*OVERRIDES, "records.shard_mb=1", "records.memory_mb=0"])
    assert open_records(folder, other).n_pairs("train") == 2


@pytest.mark.parametrize("override", ["records.shard_mb=0", "records.memory_mb=-1"])
def test_impossible_sizes_are_refused(root, override):
    name = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"{name} must"):
        load_config(root / "configs" / "demo.yaml", [override])


def test_fingerprint_follows_the_record_settings(config):
    longer = dataclasses.replace(config, seed=config.seed + 1)
    assert longer.fingerprint != config.fingerprint
