"""Every rule of the corpus doctor fires on its bad take, and none on a good corpus."""

# ruff: noqa: RUF001 (dashes and minus signs as a reader sees them)

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import DoctorConfig, load_config
from avsc_tf.core.errors import ConfigError
from avsc_tf.corpus.doctor import ClipCheck, PairCheck, Verdict, judge, longest_stall, thinned
from avsc_tf.features.health import SoundHealth

N_PAIRS = 12
GOOD_SOUND = SoundHealth(
    seconds=3.0,
    loudness_lufs=-23.0,
    peak_dbfs=-3.0,
    true_peak_dbfs=-2.9,
    clipped_share=0.0,
    snr_db=40.0,
    dc_offset=0.001,
    hum_hz=None,
    hum_dbfs=None,
    leading_silence_seconds=0.25,
    trailing_silence_seconds=0.3,
)


@pytest.fixture(scope="module")
def doctor() -> DoctorConfig:
    return load_config(Path(__file__).resolve().parents[2] / "configs/paper.yaml").doctor


def good_clip(speaker: str, number: int) -> ClipCheck:
    """A take of 3 s and some frames; measures differ a little from take to take."""
    n_frames = 75 + number + (5 if speaker == "target" else 0)
    return ClipCheck(
        speaker=speaker,
        utterance=f"u{number:02d}",
        file=f"{speaker}/u{number:02d}.mp4",
        seconds=n_frames / 25,
        n_frames=n_frames,
        face_share=1.0,
        gaps=(),
        n_faces=1,
        crop_centres=np.stack([np.linspace(310, 330, 40), np.linspace(230, 226, 40)], axis=1),
        crop_side=300.0 + number,
        frame_size=(640, 480),
        sound=replace(GOOD_SOUND, loudness_lufs=-23.0 + 0.3 * (number % 5)),
        sync_offset_seconds=0.012,
        sync_drift_ppm=15.0,
        sync_confidence=0.8,
    )


def good_pair(number: int) -> PairCheck:
    n_source, n_target = 75 + number, 80 + number
    steps = np.arange(n_target)
    path = np.stack([steps * (n_source - 1) // (n_target - 1), steps], axis=1)
    cost = 0.8 + 0.01 * (number % 7)
    return PairCheck(
        utterance=f"u{number:02d}",
        sentence=f"sentence {number}",
        emotion="anger" if number % 2 else "neutral",
        split="train",
        duration_ratio=n_target / n_source,
        cost=cost,
        cohort_cost=1.3,
        margin=1.3 - cost,
        is_pair=True,
        path=path,
    )


def corpus() -> tuple[dict[tuple[str, str], ClipCheck], dict[str, PairCheck]]:
    clips = {(s, f"u{i:02d}"): good_clip(s, i) for i in range(N_PAIRS) for s in ("source", "target")}
    return clips, {f"u{i:02d}": good_pair(i) for i in range(N_PAIRS)}


def verdict_of(
    utterance: str, clips: dict[tuple[str, str], ClipCheck], pairs: dict[str, PairCheck], doctor: DoctorConfig
) -> Verdict:
    """That of `utterance`; every other one must be ok."""
    verdicts = {v.utterance: v for v in judge(clips.values(), pairs.values(), doctor)}
    assert {name for name, v in verdicts.items() if v.level != "ok"} <= {utterance}
    return verdicts[utterance]


def test_good_corpus_is_ok(doctor: DoctorConfig) -> None:
    clips, pairs = corpus()
    verdicts = judge(clips.values(), pairs.values(), doctor)
    assert [v.utterance for v in verdicts] == sorted(pairs)
    assert all(v.level == "ok" and v.reasons == () and v.kind == "pair" and v.to_blame == () for v in verdicts)


def sound(**changes: float | None) -> Callable[[ClipCheck], ClipCheck]:
    return lambda clip: replace(clip, sound=replace(GOOD_SOUND, **changes))


def clip(**changes: object) -> Callable[[ClipCheck], ClipCheck]:
    return lambda old: replace(old, **changes)


BAD_TAKES = [
    ("face", "record_again", clip(gaps=((0.6, 0.9),), face_share=0.92), "face lost 0.60–0.90 s (92 % of frames"),
    ("face", "record_again", clip(gaps=((0.6, 0.7), (1, 1.1), (2, 2.12)), face_share=0.89), "0.60–0.70 s, 1.00–1.10 s"),
    ("face", "look", clip(gaps=((0.6, 0.8),), face_share=0.93), "face lost 0.60–0.80 s"),
    ("faces", "look", clip(n_faces=2), "2 faces in the picture"),
    ("small_face", "look", clip(crop_side=150.0), "the crop is only 150 pixels wide"),
    ("edge", "look", clip(crop_centres=((560.0, 240.0), (562.0, 240.0))), "24 % of the crop lies outside"),
    (
        "travel",
        "look",
        clip(crop_centres=((200.0, 240.0), (400.0, 240.0)), crop_side=303.0),
        "the head moves by 66 % of the crop",
    ),
    ("clipping", "record_again", sound(clipped_share=0.0034), "sound clipped (0.34 % of the samples)"),
    ("clipping", "look", sound(clipped_share=0.0004), "sound clipped (0.04 % of the samples)"),
    ("silent", "record_again", sound(loudness_lufs=-70.0, snr_db=1.0), "hardly any sound (−70 LUFS)"),
    ("loudness", "look", sound(loudness_lufs=-33.0), "10 dB quieter than usual (−33 LUFS)"),
    ("loudness", "look", sound(loudness_lufs=-12.0), "11 dB louder than usual (−12 LUFS)"),
    ("noise", "record_again", sound(snr_db=6.0), "speech only 6 dB above the pauses"),
    ("noise", "look", sound(snr_db=15.0), "speech only 15 dB above the pauses"),
    ("hum", "look", sound(hum_hz=50.0, hum_dbfs=-48.0), "mains hum at 50 Hz (−48 dBFS)"),
    ("dc", "look", sound(dc_offset=-0.05), "DC offset of −0.050"),
    ("cut_start", "look", sound(leading_silence_seconds=0.0), "no pause at the start"),
    ("cut_end", "look", sound(trailing_silence_seconds=0.02), "no pause at the end"),
    ("long_end", "look", sound(trailing_silence_seconds=3.1), "3.1 s of silence at the end"),
    ("sync", "record_again", clip(sync_confidence=0.1), "does not match the camera's (confidence 0.10)"),
    ("drift", "look", clip(sync_drift_ppm=-450.0), "sound drifts by −450 ppm"),
    ("left_out", "record_again", clip(error="x.mp4: no face at 0.6 s. Record it again."), "left out. x.mp4: no face"),
]


@pytest.mark.parametrize(("rule", "level", "spoil", "words"), BAD_TAKES, ids=[f"{b[0]}-{b[1]}" for b in BAD_TAKES])
@pytest.mark.parametrize("speaker", ["source", "target"])
def test_bad_take(doctor, speaker: str, rule: str, level: str, spoil, words: str) -> None:
    clips, pairs = corpus()
    clips[speaker, "u03"] = spoil(clips[speaker, "u03"])
    verdict = verdict_of("u03", clips, pairs, doctor)
    assert [reason.rule for reason in verdict.reasons] == [rule]
    assert (verdict.level, verdict.to_blame) == (level, (speaker,))
    text = verdict.reasons[0].text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith(f"{speaker}: ") and words in text and text.count(": ") >= 2  # who: what: what to do


def test_the_example_of_the_design(doctor: DoctorConfig) -> None:
    clips, pairs = corpus()
    clips["target", "u03"] = replace(clips["target", "u03"], gaps=((0.6, 0.9),), face_share=0.9)
    reason = verdict_of("u03", clips, pairs, doctor).reasons[0]
    assert reason.text == (
        "target: face lost 0.60–0.90 s (90\N{NO-BREAK SPACE}% of frames show one): record again, hands off the face"
    )


STALLED = np.array(
    [(i, i) for i in range(30)] + [(29, j) for j in range(30, 62)] + [(30 + i, 62 + i) for i in range(20)]
)
BAD_PAIRS = [
    (
        "no_pair",
        "record_again",
        {"is_pair": False, "cost": 1.31},
        "different sentences (cost 1.31, other sentences 1.30)",
    ),
    ("doubtful", "look", {"doubt": "u07 matches better"}, "hardly closer than other sentences (u07 matches better)"),
    ("cost", "look", {"cost": 1.1}, "the takes match worse than the corpus (cost 1.10)"),
    ("margin", "look", {"margin": 0.05}, "hardly closer than other sentences (margin 0.05)"),
    ("duration", "look", {"duration_ratio": 1.6}, "target 1.60 times as long as the source, longer than usual (1.06)"),
    ("duration", "look", {"duration_ratio": 0.7}, "target 0.70 times as long as the source, shorter than usual"),
    ("duration", "record_again", {"duration_ratio": 2.2}, "words are missing or added"),
    ("left_out", "record_again", {"error": "u03: no common path."}, "left out. u03: no common path."),
]


@pytest.mark.parametrize(("rule", "level", "changes", "words"), BAD_PAIRS, ids=[f"{b[0]}-{b[1]}" for b in BAD_PAIRS])
def test_bad_pair(doctor: DoctorConfig, rule: str, level: str, changes: dict, words: str) -> None:
    clips, pairs = corpus()
    pairs["u03"] = replace(pairs["u03"], **changes)
    verdict = verdict_of("u03", clips, pairs, doctor)
    assert [reason.rule for reason in verdict.reasons] == [rule]
    assert (verdict.level, verdict.to_blame) == (level, ("source", "target"))  # who is wrong cannot be known
    assert words in verdict.reasons[0].text
    assert verdict.kind == ("left_out" if rule == "left_out" else "pair")


@pytest.mark.parametrize("speaker", ["source", "target"])
def test_a_take_that_goes_on_alone(doctor: DoctorConfig, speaker: str) -> None:
    clips, pairs = corpus()
    pairs["u03"] = replace(pairs["u03"], path=STALLED if speaker == "target" else STALLED[:, ::-1])
    verdict = verdict_of("u03", clips, pairs, doctor)
    assert (verdict.level, verdict.to_blame) == ("look", (speaker,))
    assert verdict.reasons[0].finding.startswith("goes on at 1.2–2.4 s")  # frames 29 to 61 of 25 a second


def test_silence_at_the_ends_of_a_path_is_no_stall() -> None:
    before = np.array(
        [(0, j) for j in range(40)] + [(i, 39 + i) for i in range(1, 20)] + [(20 + i, 58) for i in range(40)]
    )
    assert longest_stall(before, waiting=0)[1] - longest_stall(before, waiting=0)[0] <= 1
    assert longest_stall(before, waiting=1)[1] - longest_stall(before, waiting=1)[0] <= 1
    assert longest_stall(STALLED, waiting=0) == (29, 61)
    assert longest_stall(STALLED[:1], waiting=1) == (0, 0)


def test_takes_without_partner_and_left_out(doctor: DoctorConfig) -> None:
    clips, pairs = corpus()
    del clips["target", "u03"], pairs["u03"]
    alone = verdict_of("u03", clips, pairs, doctor)
    assert (alone.kind, alone.level, alone.to_blame) == ("alone", "look", ("target",))
    assert alone.reasons[0].text == "target: no take of this utterance: record it, or check the file's name"

    clips, pairs = corpus()
    clips["source", "u03"] = ClipCheck("source", "u03", "u03.mp4", error="u03.mp4: truncated. Copy it again.")
    for pair in (replace(pairs["u03"], error="the source cannot be used"), None):
        if pair is None:
            del pairs["u03"]
        else:
            pairs["u03"] = pair
        left_out = verdict_of("u03", clips, pairs, doctor)
        assert (left_out.kind, left_out.level, left_out.to_blame) == ("left_out", "record_again", ("source",))
        assert len(left_out.reasons) == 1  # once, not again for the pair


def test_gravest_reason_first_and_alone_to_blame(doctor: DoctorConfig) -> None:
    clips, pairs = corpus()
    clips["source", "u03"] = replace(clips["source", "u03"], n_faces=3)
    clips["target", "u03"] = sound(clipped_share=0.01)(clips["target", "u03"])
    verdict = verdict_of("u03", clips, pairs, doctor)
    assert [reason.rule for reason in verdict.reasons] == ["clipping", "faces"]
    assert (verdict.level, verdict.to_blame) == ("record_again", ("target",))


def test_loudness_is_compared_within_the_emotion(doctor: DoctorConfig) -> None:
    clips, pairs = corpus()
    for (speaker, name), take in clips.items():
        louder = 8.0 if pairs[name].emotion == "anger" else 0.0
        clips[speaker, name] = replace(take, sound=replace(GOOD_SOUND, loudness_lufs=-25.0 + louder))
    assert all(v.level == "ok" for v in judge(clips.values(), pairs.values(), doctor))
    clips["source", "u02"] = sound(loudness_lufs=-17.0)(clips["source", "u02"])  # as loud as anger, but neutral
    assert verdict_of("u02", clips, pairs, doctor).reasons[0].rule == "loudness"


def test_a_slow_target_is_no_fault(doctor: DoctorConfig) -> None:
    clips, pairs = corpus()
    pairs = {name: replace(pair, duration_ratio=2.5) for name, pair in pairs.items()}
    assert all(v.level == "ok" for v in judge(clips.values(), pairs.values(), doctor))


def test_few_pairs_are_not_judged_against_each_other(doctor: DoctorConfig) -> None:
    clips = [good_clip(s, i) for i in range(2) for s in ("source", "target")]
    pairs = [good_pair(0), replace(good_pair(1), duration_ratio=4.0, cost=3.0)]
    assert [v.level for v in judge(clips, pairs, doctor)] == ["ok", "ok"]
    assert judge([], [], doctor) == []


def test_measures_that_are_missing_are_passed_over(doctor: DoctorConfig) -> None:
    clips = [ClipCheck(s, f"u{i}", f"u{i}.mp4") for i in range(6) for s in ("source", "target")]
    pairs = [PairCheck(f"u{i}") for i in range(6)]
    assert all(v.level == "ok" for v in judge(clips, pairs, doctor))


def test_named_twice_is_refused(doctor: DoctorConfig) -> None:
    with pytest.raises(ValueError, match="is named twice"):
        judge([good_clip("source", 1), good_clip("source", 1)], [], doctor)


def test_thinned_keeps_both_ends() -> None:
    points = np.arange(514).reshape(257, 2)
    few = thinned(points, 100)
    assert few.shape == (100, 2) and (few[0] == points[0]).all() and (few[-1] == points[-1]).all()
    assert thinned(points[:7], 100).shape == (7, 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("doctor.record_snr_db=30", "doctor.record_snr_db must not pass doctor.look_snr_db"),
        ("doctor.look_duration_factor=0.9", "doctor.look_duration_factor must lie above 1"),
        ("doctor.look_clipped_share=0.5", "doctor.look_clipped_share must not pass"),
        ("doctor.look_face_share=0.5", "doctor.record_face_share must not pass"),
        ("doctor.look_snr=3", "unknown setting doctor.look_snr. The nearest known one is doctor.look_snr_db"),
    ],
)
def test_contradicting_thresholds_are_named(root: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(root / "configs/paper.yaml", [override])


def test_thresholds_do_not_change_the_records(root: Path) -> None:
    plain, other = (load_config(root / "configs/paper.yaml", o) for o in ([], ["doctor.look_snr_db=33"]))
    assert plain.fingerprint == other.fingerprint and plain.doctor != other.doctor
