"""Folders of speech: which files are recordings."""

from __future__ import annotations

import pytest

from avsc_tf.core.errors import MediaError
from avsc_tf.datasets.recordings import find_recordings


def test_sound_recorded_apart_stands_for_its_video(tmp_path):
    below = tmp_path / "below"
    below.mkdir()
    for name in ("a.MTS", "a.WAV", "b.webm", "c.m4a", "notes.txt", "._c.m4a", "below/a.mp4", "below/d.opus"):
        (tmp_path / name).write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in find_recordings([tmp_path])]
    assert found == ["a.WAV", "b.webm", "below/a.mp4", "below/d.opus", "c.m4a"]


def test_folders_without_recordings(tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"x")
    with pytest.raises(MediaError, match="holds no recordings"):
        find_recordings([tmp_path])
