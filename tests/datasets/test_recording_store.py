"""Recordings on disk: what was read is kept, what was half-written is read again, held equals streamed."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from avsc_tf.core.config import load_config
from avsc_tf.core.errors import MediaError
from avsc_tf.datasets import recording_store as store
from avsc_tf.datasets.recordings import find_recordings, read_recording
from avsc_tf.datasets.waveform import CropSampler, as_dataset
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator

SAMPLES = (48000, 61234, 30000, 53000)


@pytest.fixture(scope="module")
def config():
    overrides = ["face.n_vgg=9", "wavenet.crop_seconds=0.13", "wavenet.batch_size=3"]
    return load_config(store.__file__.replace("avsc_tf/datasets/recording_store.py", "configs/demo.yaml"), overrides)


@pytest.fixture
def speech(tmp_path):
    folder, rng = tmp_path / "speech", np.random.default_rng(4)
    folder.mkdir()
    for i, n in enumerate(SAMPLES):
        soundfile.write(folder / f"v_{i}.wav", 0.1 * (i + 1) * rng.uniform(-1, 1, n), 48000)
    np.savetxt(folder / "v_1.f0.txt", np.full(250, 123.0))  # a few values short
    return folder


def stored(config, folder, speech, **options):
    paths = find_recordings([speech])
    entries = store.store_recordings(paths, config, folder, **options)
    return store.StoredRecordings(folder, entries, np.ones(len(paths), bool), config)


def assert_as_read(found, paths, config):
    assert len(found) == len(paths)
    for recording, path in zip(found, paths, strict=True):
        read = read_recording(path, config)
        assert recording.name == path.stem
        np.testing.assert_array_equal(recording.waveform, read.waveform)
        np.testing.assert_array_equal(recording.mel, read.mel)


def test_stored_recordings_are_those_read(config, speech, tmp_path):
    found = stored(config, tmp_path / "store", speech)
    assert_as_read(found, find_recordings([speech]), config)
    assert found[0].f0_hz is None and (found[1].f0_hz[:250] == 123).all() and not found[1].f0_hz[250:].any()
    frames = np.concatenate([r.mel for r in found]).astype(np.float64)
    mean, std = found.mel_moments()
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-6)  # float32 of float64 sums
    np.testing.assert_allclose(std, np.maximum(frames.std(0), 0.05 * frames.std(0).mean()), rtol=1e-5)


def test_second_time_nothing_is_read(config, speech, tmp_path, monkeypatch):
    first = list(stored(config, tmp_path / "store", speech))
    monkeypatch.setattr(store, "read_recording", lambda *_: pytest.fail("read again"))
    for a, b in zip(first, stored(config, tmp_path / "store", speech), strict=True):
        np.testing.assert_array_equal(a.waveform, b.waveform)
    monkeypatch.undo()
    soundfile.write(speech / "v_2.wav", np.zeros(40000), 48000)  # another file: all anew
    assert_as_read(stored(config, tmp_path / "store", speech), find_recordings([speech]), config)


@pytest.mark.parametrize("damage", ["none", "samples beyond the index", "half a line", "index beyond the samples"])
def test_stopped_store_goes_on(damage, config, speech, tmp_path, monkeypatch):
    folder, paths, read = tmp_path / "store", find_recordings([speech]), []

    def stopping(path, _config):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(path)
        return read_recording(path, config)

    monkeypatch.setattr(store, "read_recording", stopping)
    with pytest.raises(KeyboardInterrupt):
        stored(config, folder, speech)
    if damage == "samples beyond the index":
        with (folder / "waveform.f32").open("ab") as file:
            file.write(b"abcdefgh")
    elif damage == "half a line":
        with (folder / store.INDEX_NAME).open("a", encoding="utf-8") as file:
            file.write('{"name": "v_')
    elif damage == "index beyond the samples":
        os.truncate(folder / "mel.f32", (folder / "mel.f32").stat().st_size - 4)
    monkeypatch.setattr(store, "read_recording", lambda path, _: read.append(path) or read_recording(path, config))
    assert_as_read(stored(config, folder, speech), paths, config)
    assert read[2:] == (paths[1:] if damage == "index beyond the samples" else paths[2:])


def test_unreadable_files_are_named_and_skipped(config, speech, tmp_path, capsys):
    (speech / "v_0b.wav").write_bytes(b"no sound")
    with pytest.raises(MediaError, match=r"v_0b\.wav.*--skip-bad leaves such files out"):
        stored(config, tmp_path / "store", speech)
    found = stored(config, tmp_path / "store", speech, skip_bad=True)
    assert "left out" in (printed := "".join(capsys.readouterr())) and "v_0b.wav" in printed
    good = [path for path in find_recordings([speech]) if path.stem != "v_0b"]
    assert_as_read(found, good, config)
    only = tmp_path / "only"
    only.mkdir()
    (only / "a.wav").write_bytes(b"no sound")
    with pytest.raises(MediaError, match="all 1 recordings"):
        stored(config, tmp_path / "none", only, skip_bad=True)


def test_chosen_recordings_are_read_from_their_place(config, speech, tmp_path):
    paths = find_recordings([speech])
    entries = store.store_recordings(paths, config, tmp_path / "store")
    found = store.StoredRecordings(tmp_path / "store", entries, np.array([False, True, False, True]), config)
    assert_as_read(found, [paths[1], paths[3]], config)


def test_crops_are_the_same_held_or_streamed(config, speech, tmp_path):
    estimator = PitchEstimator.load(PACKAGED_PITCH)
    drawn = []
    for memory_mb in (100, 0):
        records = dataclasses.replace(config.records, memory_mb=memory_mb)
        own = dataclasses.replace(config, records=records)
        found = stored(own, tmp_path / "store", speech).with_estimator(estimator).held_where_it_fits()
        assert isinstance(found, list) == (memory_mb > 0)
        sampler = CropSampler(found, own, seed=3, vary_level=True)
        drawn.append([x.numpy() for batch in as_dataset(sampler, 2, 4) for x in tf.nest.flatten(batch)])
    assert len(drawn[0]) > 12
    for a, b in zip(*drawn, strict=True):
        np.testing.assert_array_equal(a, b)
