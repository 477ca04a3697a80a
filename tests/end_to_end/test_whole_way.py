"""The whole way on a tiny corpus, by the commands a user types: files, lengths, sync, reuse, and bad input.

One run of `tools/demo.py run` with tests/end_to_end/tiny.yaml feeds all tests here.
"""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.core.consent import Consent, read_consent, write_consent
from avsc_tf.core.digests import read_digests, seal
from avsc_tf.core.runs import NETWORKS
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import find_clips
from avsc_tf.media.mux import write_sound, write_video
from avsc_tf.media.video import probe_video, read_frames

Done = subprocess.CompletedProcess[str]
ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("tiny.yaml")
DROPOUT = load_config(CONFIG).conversion.modality_dropout
pytestmark = pytest.mark.slow
EMOTIONS = ("neutral", "anger_strong")
STAGES = (
    "corpus",
    "prepare",
    "train conversion",
    "train wavenet",
    "train image",
    "convert",
    "judge vocoders",
    "side by side",
    "evaluate",
)


@pytest.fixture
def convert(tool: Callable[..., Done]) -> Callable[..., Done]:
    """tools/convert.py with the quick voice."""
    return lambda *arguments: tool("convert", *arguments, "--vocoder", "griffin-lim")


@pytest.fixture
def clip(demo: Path) -> Path:
    return demo / "corpus" / "source" / "neutral_00.mp4"


def stream_seconds(path: Path, kind: str) -> float:
    """From the first packet's presentation to the last one's end; priming samples of AAC do not count."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return float(stream.duration * Fraction(stream.time_base))


def assert_one_error_line(done: Done, *parts: str) -> None:
    """Exit code 2, one line that begins with `error:` and holds all parts, and no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


def test_the_demos_files(demo: Path) -> None:
    assert {path.name for path in (demo / "converted").iterdir()} == {f"{emotion}.mp4" for emotion in EMOTIONS}
    for name in (
        "side_by_side.mp4",
        "side_by_side.png",
        "report.html",
        "figures.json",
        "copy_synthesis.json",
        "vocoder.json",
    ):
        assert (demo / name).stat().st_size > 0, name
    for vocoder in ("wavenet", "griffin-lim"):
        kinds = sorted(path.suffix for path in (demo / "held_out" / vocoder).iterdir())
        assert kinds == [".mp4"] * len(EMOTIONS) + [".npz"] * len(EMOTIONS)
    assert not [path for path in demo.rglob("*") if "part" in path.suffix or path.name.startswith(".")]


def test_the_consent_travels_to_the_run(demo: Path) -> None:
    """From the target's clips to records and run folder, whose every part is sealed."""
    contents = {(demo / folder / "consent.yaml").read_bytes() for folder in ("corpus/target", "records", "run")}
    assert len(contents) == 1 and b"no living person" in contents.pop()
    parts = {f"{network}/{part}" for network in NETWORKS for part in ("config.yaml", "model.weights.h5")}
    assert set(read_digests(demo / "run")) == {*parts, "statistics.npz", "consent.yaml"}


def test_no_conversion_after_the_last_day(
    demo: Path, clip: Path, tmp_path: Path, tool: Callable[..., Done], convert: Callable[..., Done]
) -> None:
    """Refused; renewed by the command that trained the run, without training."""
    run = tmp_path / "run"
    shutil.copytree(demo / "run", run, ignore=shutil.ignore_patterns("logs", "checkpoints"))
    who = read_consent(run / "consent.yaml").who
    write_consent(run / "consent.yaml", Consent(who, ("tests",), datetime.date(2020, 2, 29)))
    seal(run)
    done = convert(clip, "--bundle", run, "--out", tmp_path / "out.mp4")
    assert_one_error_line(done, "run/consent.yaml: the consent of", "ended on 2020-02-29", "--consent FILE")
    train = ("train", "conversion", "--config", demo / "demo.yaml", "--records", demo / "records", "--out", run)
    write_consent(tmp_path / "renewed.yaml", Consent(who, ("tests",), datetime.date.max))
    before = (run / "conversion" / "model.weights.h5").stat().st_mtime
    done = tool(*train, "--consent", tmp_path / "renewed.yaml")
    assert done.returncode == 0 and "trained before, reused" in done.stdout, done.stderr
    assert (run / "conversion" / "model.weights.h5").stat().st_mtime == before
    assert convert(clip, "--bundle", run, "--out", tmp_path / "out.mp4").returncode == 0


def test_every_stage_left_its_time_and_memory(demo: Path) -> None:
    stamps = json.loads((demo / "stages.json").read_text(encoding="utf-8"))
    assert tuple(stamps) == STAGES
    for stamp in stamps.values():
        assert stamp["state"] == "finished"
        assert stamp["seconds"] > 0
        assert stamp["peak_memory_bytes"] > 10 << 20 or not Path("/proc").exists()


def test_converted_videos_are_as_long_as_their_source(demo: Path) -> None:
    for source in find_clips(demo / "corpus" / "source"):
        if source.split != "test":
            continue
        n_frames = probe_video(source.video).n_frames
        for vocoder in ("wavenet", "griffin-lim"):
            video = demo / "held_out" / vocoder / f"{source.utterance}.mp4"
            assert abs(probe_video(video).n_frames - n_frames) <= 1
            assert stream_seconds(video, "video") == pytest.approx(n_frames / 25, abs=1 / 25)
            assert stream_seconds(video, "audio") == pytest.approx(n_frames / 25, abs=1 / 25)
            with av.open(str(video)) as container:
                names = [stream.codec_context.name for stream in container.streams]
            assert names == ["h264", "aac"]


def test_sound_in_the_file_is_in_step_with_what_was_predicted(demo: Path) -> None:
    """AAC and the container move nothing: the decoded sound lies on the kept waveform to a fraction of a mel frame."""
    video = demo / "held_out" / "griffin-lim" / "anger_strong_00.mp4"
    with np.load(video.with_suffix(".npz")) as kept:
        waveform, frames = kept["waveform"], kept["frames"]
    heard = read_audio(video, sample_rate_hz=48000)
    n = min(len(heard), len(waveform))
    cross = np.fft.irfft(np.fft.rfft(heard[:n], 2 * n) * np.conj(np.fft.rfft(waveform[:n], 2 * n)))
    lag = int(np.argmax(cross))
    assert min(lag, 2 * n - lag) <= 24  # half a millisecond
    seen = np.stack(list(read_frames(video, fps=25))).astype(float)
    assert seen.shape == frames.shape
    assert np.abs(seen - frames).mean() < 4  # of 255: H.264 at crf 16 with halved colour


def test_side_by_side_plays_every_clip_in_turn(demo: Path) -> None:
    seconds = 0.0
    vocoder = json.loads((demo / "vocoder.json").read_text(encoding="utf-8"))["vocoder"]
    for emotion in EMOTIONS:
        name = f"{emotion}_00.mp4"
        for folder in (demo / "corpus" / "source", demo / "held_out" / vocoder, demo / "corpus" / "target"):
            seconds += probe_video(folder / name).n_frames / 25 + 0.4
    assert stream_seconds(demo / "side_by_side.mp4", "video") == pytest.approx(seconds, abs=1 / 25)
    assert stream_seconds(demo / "side_by_side.mp4", "audio") == pytest.approx(seconds, abs=1 / 25)


def test_a_vocoder_that_fails_the_gate_is_not_chosen(demo: Path) -> None:
    """A WaveNet of four steps cannot pass; the choice and its reasons are written down."""
    choice = json.loads((demo / "vocoder.json").read_text(encoding="utf-8"))
    assert choice["vocoder"] == "griffin-lim"
    assert not choice["passed"]
    assert "has not passed the gate" in choice["text"]


def test_second_run_reuses_everything(demo: Path, tool: Callable[..., Done]) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*.mp4")}
    done = tool("demo", "run", "--config", CONFIG, "--out", demo)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": reused") == len(STAGES)
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*.mp4")} == before


def test_good_clips_are_converted_beside_bad_ones(
    demo: Path, clip: Path, tmp_path: Path, convert: Callable[..., Done]
) -> None:
    """Every kind of bad clip of the issue in one call; each gets its line, and the good clip its video."""
    bad = {
        "missing": (tmp_path / "missing.mp4", "no such file"),
        "cut": (truncated(clip, tmp_path / "cut.mp4"), "truncated"),
        "empty": (painted(clip, tmp_path / "empty.mp4", lambda frame: np.full_like(frame, 90)), "no face"),
    }
    out = tmp_path / "out"
    done = convert(*(path for path, _ in bad.values()), clip, "--bundle", demo / "run", "--out", out)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("error:")]
    assert len(lines) == len(bad), done.stderr
    for (path, words), line in zip(bad.values(), lines, strict=True):
        assert line.startswith(f"error: {path}"), line
        assert words in line
    assert [path.name for path in out.iterdir()] == [clip.name]
    assert abs(probe_video(out / clip.name).n_frames - probe_video(clip).n_frames) <= 1


def test_one_stream_is_enough(demo: Path, clip: Path, tmp_path: Path, convert: Callable[..., Done]) -> None:
    """A silent video and a sound alone give voice and face, of their own length, and a word about what was missing."""
    silent, blind = (without(clip, kind, tmp_path / f"no_{kind}.mp4") for kind in ("audio", "video"))
    waveform = read_audio(clip, sample_rate_hz=48000)[:50000]  # 26.04 frames
    write_sound(tmp_path / "voice.wav", waveform, sample_rate_hz=48000)
    out = tmp_path / "out"
    done = convert(silent, blind, tmp_path / "voice.wav", "--bundle", demo / "run", "--out", out)
    assert done.returncode == 0, done.stderr
    for path, n_frames in ((silent, probe_video(clip).n_frames), (blind, probe_video(clip).n_frames)):
        assert abs(probe_video(out / path.name).n_frames - n_frames) <= 1
        assert stream_seconds(out / path.name, "audio") == pytest.approx(n_frames / 25, abs=1 / 25)
    assert probe_video(out / "voice.mp4").n_frames == 26
    notes = [line for line in done.stdout.splitlines() if line.startswith("note:")]
    assert len(notes) == 2  # those two of one kind in one line
    assert "no_audio.mp4: has no sound; voice and face were converted from the picture alone" in notes[0]
    assert "no_video.mp4, " in notes[1]
    assert "voice.wav: has no picture; voice and face were converted from the sound alone" in notes[1]
    assert all("was not trained for that" in note for note in notes) is (not DROPOUT)


def test_the_probe(demo: Path, tmp_path: Path, tool: Callable[..., Done]) -> None:
    folders = ("--bundle", demo / "run", "--records", demo / "records")
    done = tool("probe", *folders, "--corpus", demo / "corpus", "--out", tmp_path / "probe")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[1:4]] == [
        "sound and picture",
        "sound alone",
        "picture alone",
    ]
    found = json.loads((tmp_path / "probe" / "probe.json").read_text(encoding="utf-8"))
    assert found["about"]["sentences"] == len(EMOTIONS) and found["about"]["times"] == "phone times"
    done = tool("probe", *folders, "--out", tmp_path / "other")  # no clips named: by the warping path
    assert json.loads((tmp_path / "other" / "probe.json").read_text(encoding="utf-8"))["about"]["times"] == "DTW path"


def test_the_evaluation_of_a_run(demo: Path, tmp_path: Path, tool: Callable[..., Done]) -> None:
    """A second call makes nothing again, and measures a changed video alone."""
    out = tmp_path / "evaluation"
    arguments = ("--bundle", demo / "run", "--records", demo / "records", "--out", out)
    arguments += ("--corpus", demo / "corpus", "--vocoder", "griffin-lim")
    done = tool("evaluate", *arguments)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))
    rows = {"converted", "source", "mean", "ridge", "target_dtw", "second_take", "target"}
    assert set(found["tables"]["voice"]) == set(found["tables"]["face"]) == rows
    assert found["about"]["sentences"] == len(EMOTIONS)
    assert set(found["by_emotion"]) == set(EMOTIONS)
    mcd = {row: figures["mcd_db"]["mean"] for row, figures in found["tables"]["voice"].items()}
    assert mcd["target"] == 0 and mcd["second_take"] < mcd["source"]
    assert "phone times" in " ".join(found["about"]["notes"])
    for name in ("report.html", "sentences.csv", "summary.csv"):
        assert (out / name).stat().st_size > 200
    assert found["versus"] == {} and not (out / "versus.csv").exists()
    times = {path: path.stat().st_mtime_ns for path in (out / "measured").rglob("*.json")}
    made = {path: path.stat().st_mtime_ns for path in (out / "videos").rglob("*.mp4")}
    assert len(times) == len(rows) * len(EMOTIONS) and len(made) == (len(rows) - 1) * len(EMOTIONS)
    shutil.copy(out / "videos" / "ridge" / "neutral_00.mp4", out / "videos" / "mean" / "neutral_00.mp4")
    assert tool("evaluate", *arguments).returncode == 0
    changed = [path for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert changed == [out / "measured" / "mean" / "neutral_00.json"]


def test_the_evaluation_of_anybodys_videos(demo: Path, tmp_path: Path, tool: Callable[..., Done]) -> None:
    out, videos = tmp_path / "evaluation", demo / "held_out" / "griffin-lim"
    folders = ("--reference", demo / "corpus" / "target", "--source", demo / "corpus" / "source", "--out", out)
    done = tool("evaluate", "--videos", videos, "--versus", videos, *folders)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert set(found["tables"]["voice"]) == {
        *("converted", "versus", "source", "mean", "ridge", "target_dtw", "target"),
    }
    assert "Canonical correlation was not measured" in " ".join(found["about"]["notes"])  # two sentences are too few
    assert found["tables"]["sync"]["converted"]["offset_frames"]["n"] <= len(EMOTIONS)
    mcd = found["versus"]["voice"]["mcd_db"]  # beside itself nothing differs
    assert mcd | {"mean": 0.0, "p": 1.0, "better": ""} == mcd
    assert (out / "versus.csv").stat().st_size > 200
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(videos / "neutral_00.mp4", other / "stranger.mp4")
    done = tool("evaluate", "--videos", other, *folders)
    assert_one_error_line(done, "no video has a recording", "stranger", "Rename them")


def test_evaluations_that_cannot_be_made(demo: Path, tmp_path: Path, tool: Callable[..., Done]) -> None:
    bundle = ("--bundle", demo / "run", "--out", tmp_path / "out")
    assert_one_error_line(tool("evaluate", *bundle), "--records", "held-out sentences")
    assert_one_error_line(tool("evaluate", *bundle, "--records", tmp_path), "config.yaml: no such file", "avsc prepare")
    run = tmp_path / "run"
    shutil.copytree(demo / "run", run, ignore=shutil.ignore_patterns("checkpoints", "logs"))
    (run / "statistics.npz").write_bytes(b"others")
    done = tool("evaluate", "--bundle", run, "--records", demo / "records", "--out", tmp_path / "out")
    assert_one_error_line(done, "run/statistics.npz", "other records")
    done = tool("evaluate", "--drift", demo / "side_by_side.mp4", "--out", tmp_path / "out")
    assert_one_error_line(done, "side_by_side.mp4", "Name a longer video")


def test_a_failed_conversion_keeps_the_old_video(
    demo: Path, clip: Path, tmp_path: Path, convert: Callable[..., Done]
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"older")
    cut = truncated(clip, tmp_path / "cut.mp4")
    done = convert(cut, "--bundle", demo / "run", "--out", out, "--overwrite")
    assert_one_error_line(done, "cut.mp4", "truncated")
    assert out.read_bytes() == b"older"


def test_a_bundle_with_a_missing_part(demo: Path, clip: Path, tmp_path: Path, convert: Callable[..., Done]) -> None:
    run = tmp_path / "run"
    shutil.copytree(demo / "run", run, ignore=shutil.ignore_patterns("checkpoints", "logs"))
    (run / "image" / "model.weights.h5").unlink()
    done = convert(clip, "--bundle", run, "--out", tmp_path / "out.mp4")
    assert_one_error_line(done, "image/model.weights.h5: missing from the bundle", "avsc train image")
    assert not (tmp_path / "out.mp4").exists()


def test_records_of_other_settings(demo: Path, tmp_path: Path, tool: Callable[..., Done]) -> None:
    arguments = ("--config", CONFIG, "--set", "acoustic.fmin_hz=50", "--records", demo / "records")
    done = tool("train", "conversion", *arguments, "--out", tmp_path / "run")
    assert_one_error_line(done, "records", "made with other settings", "acoustic.fmin_hz")
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["conversion.lock"]


def test_a_folder_without_pairs(demo: Path, clip: Path, tmp_path: Path, tool: Callable[..., Done]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(clip, source / "other.mp4")
    arguments = ("--source", source, "--target", demo / "corpus" / "target", "--out", tmp_path / "records")
    done = tool("prepare", "--config", CONFIG, *arguments)
    assert_one_error_line(done, str(source), "pair")


def without(clip: Path, kind: str, path: Path) -> Path:
    """The clip without its sound or its picture, the other stream copied."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as copy:
        streams = [stream for stream in source.streams if stream.type != kind]
        copies = {stream.index: copy.add_stream_from_template(stream) for stream in streams}
        for packet in source.demux(streams):
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                copy.mux(packet)
    return path


def truncated(clip: Path, path: Path) -> Path:
    """The clip's first two thirds; with the index in front (faststart) it opens all the same."""
    content = clip.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])
    return path


def painted(clip: Path, path: Path, change) -> Path:
    """The first half second of the clip with changed pictures."""
    frames = [change(frame) for frame in list(read_frames(clip, fps=25))[:13]]
    waveform = read_audio(clip, sample_rate_hz=48000)[: 13 * 1920]
    write_video(path, frames, waveform, fps=25, sample_rate_hz=48000)
    return path
