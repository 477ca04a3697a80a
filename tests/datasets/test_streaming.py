"""Held or streamed, from the start or from any batch on: the same batches. Damage is named, memory is flat."""

from __future__ import annotations

import dataclasses
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.errors import RecordError
from avsc_tf.core.schema import PAIR
from avsc_tf.corpus.manifest import read_frame
from avsc_tf.corpus.reader import Records, choose, open_records
from avsc_tf.corpus.tfrecord import data_of, feature_spans
from avsc_tf.datasets.batches import named_read_errors
from avsc_tf.datasets.conversion import NAMES, open_pairs, windows
from avsc_tf.datasets.faces import frames, plan_frames
from avsc_tf.datasets.rows import HeldRows, StreamedRows, decoded_bytes, open_rows
from avsc_tf.datasets.target_clips import StreamedClips, recordings_of_records
from avsc_tf.datasets.waveform import CropSampler, as_dataset
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator

LENGTHS = (31, 12, 20, 57, 26)
STREAMED = "records.memory_mb=0"


@pytest.fixture(scope="module")
def records(make_records) -> Records:
    return make_records(LENGTHS)


@pytest.fixture
def own(records, tmp_path) -> Records:
    """A copy that a test may damage."""
    shutil.copytree(records.folder, tmp_path / "records")
    return dataclasses.replace(records, folder=tmp_path / "records")


def flat(dataset) -> list[list[np.ndarray]]:
    return [[x.numpy() for x in tf.nest.flatten(batch)] for batch in dataset]


def assert_same(got, expected) -> None:
    assert len(got) == len(expected) > 0
    for some, others in zip(got, expected, strict=True):
        for a, b in zip(some, others, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def crops(records: Records, config, *, start_batch: int = 0) -> list:
    estimator = PitchEstimator.load(PACKAGED_PITCH)
    found = recordings_of_records(records, "train", config, estimator)
    assert isinstance(found, StreamedClips) == (config.records.memory_mb == 0)
    sampler = CropSampler(found, config, seed=3, standardise=lambda mel: mel / 2)
    return flat(as_dataset(sampler, 2, 4, start_batch=start_batch))


READERS = {
    "windows": lambda records, config, **k: flat(windows(records, "train", config, epoch=2, seed=3, **k)),
    "frames": lambda records, config, **k: flat(frames(records, "train", config, epoch=2, seed=3, **k)),
    "crops": crops,
}
# 80 mel bands and a crop that the second clip (0.48 s) is too short for.
VOICE = ("acoustic.n_mels=80", "wavenet.crop_seconds=0.5", "wavenet.batch_size=3", "wavenet.input_noise=0.1")


@pytest.fixture(scope="module")
def voice_records(make_records) -> Records:
    return make_records(LENGTHS, *VOICE)


def of_kind(kind: str, request) -> tuple[Records, tuple[str, ...]]:
    if kind == "crops":
        return request.getfixturevalue("voice_records"), VOICE
    return request.getfixturevalue("records"), ()


@pytest.mark.parametrize("kind", READERS)
def test_streamed_batches_are_the_held_ones(kind, request, with_settings):
    records, settings = of_kind(kind, request)
    held = READERS[kind](records, with_settings(*settings))
    assert_same(READERS[kind](records, with_settings(*settings, STREAMED)), held)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("kind", READERS)
def test_going_on_at_any_batch_gives_the_rest(kind, streamed, request, with_settings):
    records, settings = of_kind(kind, request)
    config = with_settings(*settings, *([STREAMED] if streamed else []))
    whole = READERS[kind](records, config)
    for start in (1, len(whole) - 1):
        assert_same(READERS[kind](records, config, start_batch=start), whole[start:])
    assert READERS[kind](records, config, start_batch=len(whole)) == []


def test_side_information_is_kept_as_far_as_memory_goes(voice_records, with_settings):
    computed = []
    estimator = PitchEstimator.load(PACKAGED_PITCH)

    def estimate(mel):
        computed.append(len(mel) // 8)
        return estimator(mel)

    # 576 bytes a video frame (8 mel frames, 16 coefficients and 2 values of pitch in float32): 0.04 MiB keep 72 frames.
    config = with_settings(*VOICE, "wavenet.prediction_order=16", "records.memory_mb=0.04")
    clips = StreamedClips(voice_records, "train", config, estimate)
    for k in (0, 1, 2, 0, 1, 2):  # 31, 12 and 20 frames
        np.testing.assert_array_equal(clips[k].pitch.f0_hz, estimator(clips[k].mel).f0_hz)
    assert computed == [31, 12, 20]
    clips[0], clips[3]  # 57 frames: the others must go
    clips[3], clips[1]  # 12 frames beside them fit
    assert computed == [31, 12, 20, 57, 12]
    clips[3], clips[0]
    assert computed == [31, 12, 20, 57, 12, 31]


def test_memory_setting_decides(records):
    features = choose(PAIR, NAMES)
    # A video frame: 8 mel frames of 3 bands in float32 and 144 facial values in float16, of both speakers.
    assert decoded_bytes(records, "pairs-train", features) == sum(LENGTHS) * 2 * (8 * 3 * 4 + 144 * 2)
    assert isinstance(open_rows(records, "pairs-train", features, memory_mb=1), HeldRows)
    assert isinstance(open_rows(records, "pairs-train", features, memory_mb=0), StreamedRows)


def test_only_the_rows_asked_for_are_read(records, monkeypatch):
    rows = StreamedRows(records, "pairs-train", choose(PAIR, NAMES))
    rows.read(3, 0, 1)  # the first time the whole record is checked
    sizes = []
    original = StreamedRows._piece
    monkeypatch.setattr(StreamedRows, "_piece", lambda self, r, a, n: sizes.append(n) or original(self, r, a, n))
    found = rows.read(3, 30, 20)
    assert sum(sizes) == 20 * 2 * (8 * 3 * 4 + 144 * 2)
    np.testing.assert_array_equal(found["source_mel"][:, 0], 3000 + 30 + np.arange(160) / 8)
    np.testing.assert_array_equal(found["target_facial"][:, 9], -np.arange(30, 50))


def test_every_frame_comes_once():
    plan = plan_frames(np.array([4, 1, 7]), epoch=3, seed=1)
    assert sorted(map(tuple, plan)) == [(c, f) for c, n in enumerate((4, 1, 7)) for f in range(n)]


def flip(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("place", ["header", "label", "mel", "facial", "footer"])
def test_flipped_bit_is_named_while_training(place, streamed, own, with_settings):
    shard = own.manifest.shards_of("pairs-train")[1]
    k = len(shard.utterances) - 1
    spans = feature_spans(data_of(read_frame(own.folder, shard, k)))
    first = sum(shard.frame_bytes[:k])
    inside = {"label": "utterance", "mel": "source_mel", "facial": "target_facial"}
    offset = {"header": 3, "footer": shard.frame_bytes[k] - 1}.get(place)
    flip(own.folder / shard.name, first + (12 + int(spans[inside[place]][0, 0]) if offset is None else offset))
    config = with_settings(*([STREAMED] if streamed else []))
    message = rf"{shard.name}: record {k}, utterance '{shard.utterances[k]}' .*checksum is not the manifest's"
    with pytest.raises(RecordError, match=message), named_read_errors():
        for epoch in range(9):  # a streamed record is met when its turn comes, at the latest in the second epoch
            list(windows(own, "train", config, epoch=epoch, seed=0))


@pytest.mark.parametrize("kind", ["frames", "crops"])
def test_damaged_clip_is_named_while_training(kind, make_records, with_settings):
    records = make_records((31, 26), *VOICE)
    config = with_settings(*VOICE, STREAMED)
    shard = records.manifest.shards_of("target-train")[0]
    flip(records.folder / shard.name, shard.frame_bytes[0] // 2)
    with pytest.raises(RecordError, match=f"{shard.name}: record 0, utterance 'u0'"), named_read_errors():
        READERS[kind](records, config)


def test_other_errors_stay_what_they_are():
    with pytest.raises(tf.errors.InvalidArgumentError), named_read_errors():
        tf.debugging.assert_equal(1, 2)


def test_shard_that_vanishes_while_training_is_named(own, with_settings):
    config = with_settings(STREAMED)
    list(windows(own, "train", config, epoch=0, seed=0))
    for shard in own.manifest.shards_of("pairs-train"):
        (own.folder / shard.name).unlink()
    message = r"pairs-train-0000\d.tfrecord: cannot be read \(No such file"
    with pytest.raises(RecordError, match=message), named_read_errors():
        list(windows(own, "train", config, epoch=1, seed=0))


def test_short_feature_is_named(own):
    shards = [dataclasses.replace(s, video_frames=tuple(n + 9 for n in s.video_frames)) for s in own.manifest.shards]
    longer = dataclasses.replace(own, manifest=dataclasses.replace(own.manifest, shards=tuple(shards)))
    with pytest.raises(RecordError, match=r"utterance 'u0': source_mel has 2976 bytes, too few for 40 video frames"):
        open_pairs(longer, "train", dataclasses.replace(own.config, records=streamed(own))).read(0, 20, 20)


def streamed(records: Records):
    return dataclasses.replace(records.config.records, memory_mb=0)


def peak_bytes(records: Records, config) -> int:
    """Largest memory of NumPy and Python over an epoch."""
    tracemalloc.start()
    for _ in windows(records, "train", config, epoch=0, seed=0):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_of_streaming_is_flat(make_records, with_settings):
    few, many = make_records((57,) * 6), make_records((57,) * 60)
    added = sum(shard.n_bytes for shard in many.manifest.shards_of("pairs-train")) * 9 // 10
    growth = {}
    for name, config in (("streamed", with_settings(STREAMED)), ("held", with_settings())):
        peak_bytes(few, config)  # the first one also loads code
        growth[name] = peak_bytes(many, config) - peak_bytes(few, config)
    # What stays of a streamed record is where its rows are: about 2 kB here, of 45 kB.
    assert growth["streamed"] < 0.1 * added
    assert growth["held"] > 0.9 * added


def test_opened_deep_it_is_whole(records):
    assert open_records(records.folder, records.config, deep=True).n_pairs("train") == len(LENGTHS)
