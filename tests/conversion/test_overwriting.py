"""A conversion writes over what a conversion made, and over nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.conversion.converted import ConvertedClip
from avsc_tf.conversion.jobs import ClipJob, features_path, plan_jobs
from avsc_tf.conversion.overwriting import check_outputs, was_made_here
from avsc_tf.core.errors import OutputError
from avsc_tf.media.mux import write_sound, write_video
from avsc_tf.provenance.marking import Provenance

SILENCE = np.zeros(4 * 1920, np.float32)
GREY = np.full((4, 16, 32, 3), 128, np.uint8)


def record(path: Path) -> Path:
    """What a camera or a recorder leaves: no conversion."""
    if path.suffix == ".wav":
        write_sound(path, SILENCE, sample_rate_hz=48000)
    else:
        write_video(path, GREY, SILENCE, fps=25, sample_rate_hz=48000)
    return path


def convert(path: Path, provenance: Provenance | None = Provenance()) -> None:  # noqa: B008
    """Write a converted clip and its features."""
    frames = None if path.suffix in (".wav", ".flac") else GREY
    converted = ConvertedClip(None, None, None, SILENCE, frames, "griffin-lim")
    converted.save(path, provenance=provenance)
    converted.save_features(features_path(path))


def refused(jobs: list[ClipJob], match: str, **how: bool) -> None:
    with pytest.raises(OutputError, match=match):
        check_outputs(jobs, **how)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("name", ["a.mp4", "a.m4v", "a.mov", "a.wav", "a.flac"])
def test_what_a_conversion_made_is_known(tmp_path: Path, name: str, signed: bool) -> None:
    """Whatever its format, with and without credentials."""
    convert(tmp_path / name, Provenance() if signed else None)
    assert was_made_here(tmp_path / name) and was_made_here(tmp_path / "a.npz")
    check_outputs([ClipJob(tmp_path / "b.mp4", {"griffin-lim": tmp_path / name})], keep_features=True)


def test_the_cameras_own_picture_stays(tmp_path: Path) -> None:
    """Sound taken out of a video lies beside it: its conversion would have the video's name."""
    record(tmp_path / "take.mp4")
    jobs = plan_jobs([record(tmp_path / "take.wav")], tmp_path, ["wavenet"])
    refused(jobs, r"take.mp4: would overwrite the recording beside .*take.wav\. Name another --out")
    refused(jobs, "would overwrite the recording", overwrite=True)


def test_somebody_elses_file_asks_for_overwrite(tmp_path: Path) -> None:
    clip = record(tmp_path / "in.mp4")
    (job,) = jobs = plan_jobs([clip], record(tmp_path / "film.mp4"), ["wavenet"])
    refused(jobs, r"film.mp4: is there already, and was not made by a conversion\. .*--overwrite")
    check_outputs(jobs, overwrite=True)
    job.outputs["wavenet"].unlink()
    np.savez(tmp_path / "film.npz", measurements=np.zeros(3))
    check_outputs(jobs)
    refused(jobs, r"film.npz: is there already", keep_features=True)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_input_is_known_by_all_its_names(tmp_path: Path, link) -> None:
    """Even one that a conversion made, and even where one insists."""
    clip = tmp_path / "in" / "a.mp4"
    convert(clip)
    refused(plan_jobs([clip], tmp_path / "in", ["wavenet"]), "a.mp4: would overwrite a clip to convert", overwrite=True)
    (tmp_path / "out").mkdir()
    link(clip, tmp_path / "out" / "b.mp4")
    refused(plan_jobs([clip], tmp_path / "out" / "b.mp4", ["wavenet"]), "would overwrite a clip", overwrite=True)


def test_the_sound_of_a_clip_is_an_input(tmp_path: Path) -> None:
    clip = record(tmp_path / "a.mp4")
    convert(tmp_path / "a.wav")
    refused(plan_jobs([clip], tmp_path, ["wavenet"], suffix=".wav"), "a.wav: would overwrite a clip to convert, or its")
