"""Names of the videos: one file, a folder, a folder a vocoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsc_tf.conversion.jobs import plan_jobs
from avsc_tf.core.errors import MediaError

A, B = Path("in/a.mp4"), Path("in/b.mpg")


def test_one_clip_one_file() -> None:
    (job,) = plan_jobs([A], Path("out/x.mp4"), ["wavenet"])
    assert job.outputs == {"wavenet": Path("out/x.mp4")}


def test_a_folder_keeps_names() -> None:
    jobs = plan_jobs([A, B], Path("out"), ["griffin-lim"])
    assert [job.outputs["griffin-lim"] for job in jobs] == [Path("out/a.mp4"), Path("out/b.mp4")]


def test_several_vocoders_have_a_folder_each() -> None:
    (job,) = plan_jobs([A], Path("out"), ["wavenet", "griffin-lim"])
    assert job.outputs == {"wavenet": Path("out/wavenet/a.mp4"), "griffin-lim": Path("out/griffin-lim/a.mp4")}


def test_several_clips_do_not_fit_one_file() -> None:
    with pytest.raises(MediaError, match=r"x.mp4: is one file, but 2 clips and 1 vocoders need a folder"):
        plan_jobs([A, B], Path("x.mp4"), ["wavenet"])


def test_two_clips_of_one_name() -> None:
    with pytest.raises(MediaError, match=r"would be written for .* and for .*\. Rename one"):
        plan_jobs([A, Path("other/a.mov")], Path("out"), ["wavenet"])


def test_sound_alone() -> None:
    (job,) = plan_jobs([A], Path("out"), ["wavenet"], suffix=".wav")
    assert job.outputs == {"wavenet": Path("out/a.wav")}
    with pytest.raises(MediaError, match=r"x.mp4: these networks make sound without picture, .* ends with .wav or"):
        plan_jobs([A], Path("x.mp4"), ["wavenet"], suffix=".wav")


@pytest.mark.parametrize("name", ["x.mp4", "x.MOV", "x.m4v"])
def test_the_suffix_names_the_format(name: str) -> None:
    (job,) = plan_jobs([A], Path(name), ["wavenet"])
    assert job.outputs == {"wavenet": Path(name)}


@pytest.mark.parametrize("name", ["x.wav", "x.mkv", "x.webm", "x.M2TS", "x.npz"])
def test_what_is_named_like_a_file_never_becomes_a_folder(name: str) -> None:
    with pytest.raises(MediaError, match=rf"{name}: these networks make pictures, .* ends with .mp4, .m4v or .mov, or"):
        plan_jobs([A], Path(name), ["wavenet"])


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    blocked = tmp_path / "out"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(MediaError, match=r"out is in the way"):
        plan_jobs([A, B], blocked, ["wavenet"])
