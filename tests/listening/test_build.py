"""What a rater gets: the three versions of a clip, nothing that tells which system made it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from avsc_tf.core.errors import ListeningError
from avsc_tf.features.health import loudness_lufs
from avsc_tf.listening import checks
from avsc_tf.listening.build import RATE_HZ, build_test
from avsc_tf.listening.design import MODALITIES, media_name, read_design
from avsc_tf.media.audio import read_audio
from avsc_tf.media.mux import write_video
from avsc_tf.media.video import read_frames

UTTERANCES = ("happiness_strong_01", "neutral_03")  # of the fixtures
SECONDS = 0.6
MakeFolder = Callable[..., Path]


def media_of(built: Path, clip: str, modality: str) -> Path:
    return built / "site" / "media" / media_name(clip, modality)


def streams(path: Path) -> set[str]:
    with av.open(str(path)) as container:
        return {stream.type for stream in container.streams}


def test_clips_in_three_modalities(built: Path) -> None:
    design = read_design(built)
    assert len(design.clips) == 6 and len(list((built / "site" / "media").iterdir())) == 6 * 3 + 5 * 2
    for name, clip in design.clips.items():
        kinds = {modality: streams(media_of(built, name, modality)) for modality in MODALITIES}
        assert kinds == {"audio": {"audio"}, "visual": {"video"}, "audiovisual": {"audio", "video"}}
        assert clip.seconds == pytest.approx(SECONDS, abs=0.001)
    labels = {(clip.utterance, clip.emotion) for clip in design.clips.values()}
    assert labels == {("happiness_strong_01", "happiness_strong"), ("neutral_03", "neutral")}


def test_pictures_are_the_converted_ones(built: Path, folders: dict[str, Path]) -> None:
    """Copied packets decode to the same pixels, with and without sound."""
    for name, clip in read_design(built).clips.items():
        wanted = np.stack(list(read_frames(folders[clip.system] / f"{clip.utterance}.mp4", fps=25)))
        for modality in ("visual", "audiovisual"):
            np.testing.assert_array_equal(np.stack(list(read_frames(media_of(built, name, modality), fps=25))), wanted)


def test_loudness_is_the_same_for_all(built: Path) -> None:
    """Systems recorded 20 dB apart come out alike; AAC moves a tone by less than 0.2 LU."""
    design = read_design(built)
    for name in design.clips:
        for modality in ("audio", "audiovisual"):
            sound = read_audio(media_of(built, name, modality), sample_rate_hz=RATE_HZ)
            assert loudness_lufs(sound, RATE_HZ) == pytest.approx(design.loudness_lufs, abs=0.2)
    assert design.loudness_lufs == -23.0


def test_level_gives_way_to_peaks(folders: dict[str, Path], make_folder: MakeFolder, tmp_path: Path) -> None:
    """A click 50 dB above its ground could not be played at -23 LUFS: all clips are set lower, none clips."""
    peaky = tmp_path / "peaky"
    make_folder(peaky, hz=300, gain=0.001)
    t = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    sound = 0.003 * np.sin(2 * np.pi * 300 * t)
    sound[9000:9003] = 0.9
    frames = [np.full((64, 48, 3), 90, np.uint8)] * 15
    write_video(peaky / f"{UTTERANCES[0]}.mp4", frames, sound, fps=25, sample_rate_hz=RATE_HZ)
    build_test(tmp_path / "out", systems={"peaky": peaky}, reference=folders["target"])
    design = read_design(tmp_path / "out")
    assert design.loudness_lufs < -25
    for name in design.clips:
        sound = read_audio(media_of(tmp_path / "out", name, "audio"), sample_rate_hz=RATE_HZ)
        assert np.abs(sound).max() < 1.0  # 1 dB is left for AAC


def test_nothing_tells_the_system(built: Path) -> None:
    """Neither the page nor a name, time or metadata of a file; names do not sort by system or utterance."""
    design = read_design(built)
    page = (built / "site" / "index.html").read_text(encoding="utf-8")
    for word in (*design.systems, *UTTERANCES, *design.clips, *design.checks):
        assert word not in page
    files = list((built / "site" / "media").iterdir())
    assert all(re.fullmatch(r"[0-9a-f]{16}-(a\.m4a|v\.mp4|av\.mp4)", file.name) for file in files)
    assert len({file.stat().st_mtime for file in files}) == 1
    for file in files:
        content = file.read_bytes()
        assert not any(word.encode() in content for word in (*design.systems, *UTTERANCES))
    assert not (built / "site" / "key.json").exists() and (built / "key.json").stat().st_mode & 0o077 == 0


def test_page_needs_no_other_place(built: Path) -> None:
    page = (built / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)|https?://(?!www\.w3\.org/2000/svg)|@import|url\(""", page)
    assert "A test &lt;of clips&gt;" in page and "A test <of" not in page.split("</main>")[0]


def test_checks_can_be_counted(built: Path) -> None:
    """Beeps and flashes of every check, counted in the finished files."""
    design = read_design(built)
    seen = set()
    for name, check in design.checks.items():
        sound = read_audio(media_of(built, name, "audio"), sample_rate_hz=RATE_HZ)
        loud = np.convolve(np.abs(sound), np.ones(960) / 960, "same") > 0.2 * np.abs(sound).max()
        light = np.array([frame[120, 120, 0] > 160 for frame in read_frames(media_of(built, name, "visual"), fps=25)])
        found = tuple(int(np.sum(np.diff(on.astype(int)) == 1)) for on in (loud, light))
        assert found == (check.beeps, check.flashes)
        seen.add(found)
        assert len(light) == checks.N_FRAMES
    assert len({beeps for beeps, _ in seen}) == 5 and all(beeps != flashes for beeps, flashes in seen)


def test_emotions_from_a_table(folders: dict[str, Path], tmp_path: Path) -> None:
    table = tmp_path / "emotions.csv"
    table.write_text(
        "utterance;emotion;sentence\nneutral_03;calm;hello\nhappiness_strong_01;glad;hello\n;;\n", encoding="utf-16"
    )
    systems = {"joint": folders["joint"]}
    build_test(tmp_path / "out", systems=systems, reference=folders["target"], source=folders["baseline"], labels=table)
    design = read_design(tmp_path / "out")
    assert design.anchors == ("target", "source") and not design.pairs
    assert {(c.emotion, c.sentence) for c in design.clips.values()} == {("calm", "hello"), ("glad", "hello")}


def test_pictures_browsers_do_not_show_are_encoded_anew(folders: dict[str, Path], tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for name in UTTERANCES:
        with av.open(str(old / f"{name}.mp4"), "w") as container:
            video = container.add_stream("mpeg4", rate=25)
            video.width, video.height, video.pix_fmt = 48, 64, "yuv420p"
            audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
            for i in range(15):
                frame = av.VideoFrame.from_ndarray(np.full((64, 48, 3), 40 + 10 * i, np.uint8), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode())
            tone = (0.2 * np.sin(np.arange(28672) / 30)).astype(np.float32)
            for at in range(0, len(tone), 1024):
                sound = av.AudioFrame.from_ndarray(tone[None, at : at + 1024], format="fltp", layout="mono")
                sound.sample_rate, sound.pts = RATE_HZ, at
                container.mux(audio.encode(sound))
            container.mux(audio.encode())
    told = build_test(tmp_path / "out", systems={"old": old}, reference=folders["target"])
    assert "pictures of 2 clips copied as they were, of 2 encoded anew" in told
    design = read_design(tmp_path / "out")
    with av.open(str(media_of(tmp_path / "out", design.by_utterance["neutral_03"]["old"], "visual"))) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].frames == 15


def test_refusals(folders: dict[str, Path], built: Path, make_folder: MakeFolder, tmp_path: Path) -> None:
    reference, joint = folders["target"], {"joint": folders["joint"]}
    short = make_folder(tmp_path / "short", hz=200, gain=0.1, names=UTTERANCES[:1])
    silent = make_folder(tmp_path / "silent", hz=200, gain=0.0)
    table = tmp_path / "t.csv"
    table.write_text("utterance,emotion\nneutral_03,neutral\n", encoding="utf-8")
    wrong = [
        (dict(systems={}), "no system"),
        (dict(systems={"target": folders["joint"]}), "--system target"),
        (dict(systems={**joint, "b": short}), "lacks neutral_03.mp4"),
        (dict(systems={"b": short, **joint}), "short: lacks neutral_03.mp4"),
        (dict(systems=joint, reference=short), "lacks neutral_03.mp4, said by the target"),
        (dict(systems={"a": tmp_path / "none"}), "no such folder"),
        (dict(systems={"a": silent}), "silent"),
        (dict(systems=joint, n_pages=1), "--pages 1"),
        (dict(systems=joint, labels=table), "no line for happiness_strong_01"),
    ]
    for arguments, message in wrong:
        with pytest.raises(ListeningError, match=message):
            build_test(tmp_path / "out", **{"reference": reference, **arguments})
        assert not (tmp_path / "out" / "key.json").exists()
    with pytest.raises(ListeningError, match="holds a test already"):
        build_test(built, systems=joint, reference=reference)


def test_damaged_keys(tmp_path: Path, built: Path) -> None:
    with pytest.raises(ListeningError, match=r"key\.json: no such file"):
        read_design(tmp_path)
    tree = json.loads((built / "key.json").read_text(encoding="utf-8"))
    for text, message in (
        ("{", "is not the key"),
        (json.dumps({**tree, "version": 99}), "another version"),
        (json.dumps({"version": 1}), "is not the key"),
    ):
        (tmp_path / "key.json").write_text(text, encoding="utf-8")
        with pytest.raises(ListeningError, match=message):
            read_design(tmp_path)
