"""Matching sentences are told from others, the same way every time, and the verdict says why."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from avsc_tf.alignment.matching import (
    DOUBT,
    LOOSEST,
    POOL_CLIPS,
    STRICTEST,
    USUAL,
    Cohort,
    PairMatch,
    describe,
    judge,
    judge_corpus,
    margin_limit,
    match_pair,
)
from avsc_tf.core.config import load_config
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.statistics import RunningMoments, Statistics
from avsc_tf.media.audio import read_audio

TIMEBASE = Timebase(video_fps=25, sample_rate_hz=48000, hop_samples=240)
N_MELS = 42
NAN = float("nan")


def sentence_mel(number: int, speaker: str, *, n_frames: int) -> np.ndarray:
    """Twelve random spectra (the phones of sentence `number`) one after another, with silence at both ends."""
    rng = np.random.default_rng([number, 7])
    phones = rng.normal(0, 1.5, (12, N_MELS)) - 2
    voice = np.random.default_rng([len(speaker), 3]).normal(0, 0.7, N_MELS)  # the speaker's mean spectrum
    noise = np.random.default_rng([number, len(speaker)])
    times = np.linspace(-1, 13, 8 * n_frames)
    bent = times + (0.6 * np.sin(times / 2) if speaker == "target" else 0)
    speech = np.stack([np.interp(bent, np.arange(12) + 0.5, band) for band in phones.T], axis=1) + voice
    silent = (bent < 0) | (bent > 12)
    return (np.where(silent[:, None], -8.0, speech) + noise.normal(0, 0.5, speech.shape)).astype(np.float32)


def described(n_sentences: int = 8):
    mels = {
        speaker: {f"s{k}": sentence_mel(k, speaker, n_frames=n + 3 * (k % 4)) for k in range(n_sentences)}
        for speaker, n in (("source", 44), ("target", 53))
    }
    statistics = fitted(**mels)
    return {
        speaker: {name: describe(mel, statistics, speaker, name=name, timebase=TIMEBASE) for name, mel in bank.items()}
        for speaker, bank in mels.items()
    }


def fitted(**mels) -> Statistics:
    moments = {}
    for speaker, bank in mels.items():
        running = RunningMoments()
        for mel in bank.values():
            running.add(mel)
        moments[speaker] = {"mel": running.moments()}
    return Statistics(moments)


@pytest.fixture(scope="module")
def clips():
    return described()


def matches(clips, pairs, *, cohort=5):
    cohorts = {"sources": Cohort(clips["source"].values()), "targets": Cohort(clips["target"].values())}
    return {(a, b): match_pair(clips["source"][a], clips["target"][b], cohort=cohort, **cohorts) for a, b in pairs}


def test_pairs_stand_below_all_others(clips):
    names = sorted(clips["source"])
    found = matches(clips, itertools.product(names, names))
    true = [found[a, b].margin for a, b in found if a == b]
    wrong = [found[a, b].margin for a, b in found if a != b]
    assert max(true) < min(wrong)
    judged = judge_corpus({a: found[a, a] for a in names})
    assert {match.verdict for match in judged.values()} == {"pair"}
    assert all(match.better == "" and match.straightness > 0.8 for match in judged.values())


def test_swapped_sentences_are_refused_and_the_better_partner_named(clips):
    names = sorted(clips["source"])
    swapped = {**dict(zip(names, names, strict=True)), "s1": "s2", "s2": "s1"}
    # the corpus as it would be named: the target's s1 says s2
    targets = {a: describe_as(clips["target"][b], a) for a, b in swapped.items()}
    found = matches({"source": clips["source"], "target": targets}, [(a, a) for a in names], cohort=7)
    judged = judge_corpus({a: found[a, a] for a in names})
    assert {a for a, match in judged.items() if match.verdict != "pair"} == {"s1", "s2"}
    assert judged["s1"].better in ("source s2", "target s2")  # target s2 says s1, and source s2 what target s1 says
    assert not judged["s1"].is_pair and f"{judged['s1'].better} matches better" in judged["s1"].reason


def describe_as(clip, name):
    return dataclasses.replace(clip, name=name, sentence=name)


def test_descriptor_is_small_and_of_the_video_rate(clips):
    clip = clips["source"]["s1"]
    assert clip.mel.shape == (47, 80) and clip.activity.shape == (47,)
    assert clip.mel.nbytes + clip.activity.nbytes == 47 * 162  # 50 s of speech are 200 kB
    assert 0 < clip.speech_frames < 47


def test_descriptor_of_few_bands_and_another_hop():
    timebase = Timebase(video_fps=25, sample_rate_hz=48000, hop_samples=640)  # 3 mel frames a video frame
    mel = np.random.default_rng(1).normal(size=(3 * 9, 6)).astype(np.float32)
    statistics = fitted(source={"a": mel})
    clip = describe(mel, statistics, "source", name="a", timebase=timebase)
    assert clip.mel.shape == (9, 6)
    # 2e-3: float16
    np.testing.assert_allclose(
        clip.mel, statistics.standardise("source", "mel", mel).reshape(9, 3, 6).mean(axis=1), atol=2e-3
    )


def test_cohort_is_the_same_in_any_order_and_bounded(clips):
    many = [describe_as(clips["source"]["s0"], f"n{k:03d}") for k in range(POOL_CLIPS + 30)]
    chosen = [
        [clip.name for clip in Cohort(order).nearest(many[0], 9, apart_from=(many[0],))] for order in (many, many[::-1])
    ]
    assert chosen[0] == chosen[1] and len(chosen[0]) == 9
    assert len(Cohort(many).nearest(many[0], 1000, apart_from=())) == POOL_CLIPS


def test_cohort_leaves_out_the_same_sentence_and_takes_the_nearest_in_length(clips):
    bank = clips["target"]
    again = dataclasses.replace(bank["s1"], name="second_take")  # still says s1
    found = Cohort([*bank.values(), again]).nearest(bank["s1"], 3, apart_from=(bank["s1"],))
    assert not {"s1", "second_take"} & {clip.name for clip in found}
    distances = {n: abs(np.log((c.speech_frames + 1) / (bank["s1"].speech_frames + 1))) for n, c in bank.items()}
    assert [clip.name for clip in found] == sorted(distances, key=distances.__getitem__)[1:4]


def test_without_others_nothing_is_compared(clips):
    pair = clips["source"]["s1"], clips["target"]["s1"]
    for cohort, bank in ((0, clips["target"]), (8, {"s1": clips["target"]["s1"], "s2": clips["target"]["s2"]})):
        match = match_pair(*pair, sources=Cohort(), targets=Cohort(bank.values()), cohort=cohort)
        assert match.verdict == "not compared" and match.is_pair
        assert np.isnan(match.margin) and match.cost > 0


def test_one_side_alone_may_be_the_cohort(clips):
    """A single recording of a new source speaker against a target's corpus."""
    pair = clips["source"]["s1"], clips["target"]["s1"]
    match = match_pair(*pair, sources=Cohort(), targets=Cohort(clips["target"].values()), cohort=6)
    assert match.margin < STRICTEST


def figures(margin: float, ratio: float = 1.2) -> PairMatch:
    return PairMatch(0.8, 1.0, margin, 0.9, ratio, "", "not compared", "")


@pytest.mark.parametrize(
    ("margin", "ratio", "verdict", "reason"),
    [
        (-2.5, 1.0, "pair", r"margin -2.5 to other sentences, limit -2.5"),
        (-2.4, 1.0, "doubtful", r"margin -2.4"),
        (-2.5 + DOUBT, 1.0, "doubtful", r"margin -1.3"),
        (0.3, 1.0, "no pair", r"margin 0.3"),
        (-7.0, 3.2, "no pair", r"speaks 3.2 times as long"),
        (-7.0, 1 / 3.2, "no pair", r"speaks 3.2 times as long"),
        (NAN, 1.0, "not compared", r"fewer than 3 other sentences"),
    ],
)
def test_verdicts(margin, ratio, verdict, reason):
    match = judge(figures(margin, ratio), limit=-2.5)
    assert match.verdict == verdict
    assert reason in match.reason
    assert match.is_pair == (verdict != "no pair")


def test_limit_is_half_the_median_within_bounds():
    assert margin_limit([-6.0, -5.0, -7.0, 0.1, -6.2]) == pytest.approx(-3.0)
    assert margin_limit([-20.0] * 5) == STRICTEST
    assert margin_limit([-0.3] * 5) == LOOSEST
    assert margin_limit([-6.0, NAN, -6.0]) == USUAL  # too few to say
    judged = judge_corpus({str(k): figures(m) for k, m in enumerate([-6.0, -5.0, -7.0, 0.1, -6.2, -2.0])})
    assert [match.verdict for match in judged.values()] == ["pair"] * 3 + ["no pair", "pair", "doubtful"]


def test_real_sentences_of_two_speakers(shared_data, root):
    config = load_config(root / "configs" / "demo.yaml")
    timebase = config.timebase
    paths = {s: sorted((shared_data / "vctk").glob(f"{s}_*.wav")) for s in ("p225", "p226")}
    if not all(paths.values()):
        pytest.skip("shared/data/vctk is absent")
    mels = {
        role: {
            path.stem[5:]: mel_spectrogram(read_audio(path, sample_rate_hz=48000), config.acoustic, timebase)
            for path in paths[speaker]
        }
        for role, speaker in (("source", "p225"), ("target", "p226"))
    }
    statistics = fitted(**mels)
    clips = {
        role: {n: describe(mel, statistics, role, name=n, timebase=timebase) for n, mel in bank.items()}
        for role, bank in mels.items()
    }
    shared = sorted(clips["source"].keys() & clips["target"].keys())
    assert len(shared) == 9
    found = matches(clips, [(a, b) for a in shared for b in shared[:3]], cohort=config.alignment.cohort)
    assert [min((found[a, b].cost, a) for a in shared)[1] for b in shared[:3]] == shared[:3]
    verdicts = {judge(m, limit=USUAL).verdict for (a, b), m in found.items() if a != b}
    assert "pair" not in verdicts
    assert all(judge(found[b, b], limit=USUAL).verdict == "pair" for b in shared[:3])
