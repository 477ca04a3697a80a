"""Warps, interpolation, and what an aligned pair is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avsc_tf.alignment.distances import SoundFeatures
from avsc_tf.alignment.matching import PairMatch
from avsc_tf.alignment.pairs import align_frames, align_pair, interpolate, interpolate_mel, pair_positions, smooth_warp
from avsc_tf.core.config import AlignmentConfig
from avsc_tf.core.errors import AlignmentError
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.clip import ClipFeatures
from avsc_tf.features.statistics import Statistics, StatisticsFitter

TIMEBASE = Timebase(video_fps=25, sample_rate_hz=48000, hop_samples=240)
ALIGNMENT = AlignmentConfig(
    distance="standardised", timeline="source", silence="keep", smooth_frames=5, max_cost=1.25, cohort=8
)
N_MELS, N_VGG = 12, 9


def scene(seconds_of_scene: np.ndarray, *, face_shift: float = 0.0, seed: int = 1) -> ClipFeatures:
    """A clip whose frame i shows the moment `seconds_of_scene[i]` of one smooth, random scene."""
    rng = np.random.default_rng(seed)
    n = len(seconds_of_scene)

    def signal(times: np.ndarray, width: int) -> np.ndarray:
        rates, phases = rng.uniform(1, 6, (2, width)), rng.uniform(0, 7, (2, width))
        return sum(np.sin(times[:, None] * r + p) for r, p in zip(rates, phases, strict=True))

    centres = np.arange(n) + 0.5
    mel_times = np.interp(np.arange(8 * n) / 8, centres, seconds_of_scene)
    keypoints = np.random.default_rng(7).uniform(80, 170, (1, 70, 2)) + np.zeros((n, 1, 1))
    keypoints[:, 36], keypoints[:, 45] = (90, 100), (160, 100)
    keypoints[:, 48:68] += 4 * signal(seconds_of_scene, 40).reshape(n, 20, 2)
    return ClipFeatures(
        mel=signal(mel_times, N_MELS).astype(np.float32),
        keypoints=(keypoints + face_shift).astype(np.float32),
        vgg=signal(seconds_of_scene, N_VGG).astype(np.float16),
        frames=(b"",) * n,
        waveform=np.zeros(1920 * n, np.int16),
    )


def fitted(source: ClipFeatures, target: ClipFeatures):
    fitter = StatisticsFitter()
    for speaker, clip in pair_of(source, target):
        fitter.add(speaker, mel=clip.mel, vgg=clip.vgg, keypoints=clip.keypoints)
    return fitter.finish()


@pytest.fixture(scope="module")
def pair():
    """40 and 53 frames of one scene; the target's clock runs unevenly."""
    source_times = np.linspace(0, 1.6, 40)
    target_times = 1.6 * np.linspace(0, 1, 53) ** 1.3
    return source_times, target_times, scene(source_times), scene(target_times, face_shift=20)


def pair_of(source: ClipFeatures, target: ClipFeatures):
    return ("source", source), ("target", target)


@pytest.mark.parametrize("distance", ["literal", "standardised"])
def test_path_finds_the_true_warp(pair, distance):
    source_times, target_times, source, target = pair
    alignment = dataclasses.replace(ALIGNMENT, distance=distance)
    path, _ = align_frames(source, target, fitted(source, target), alignment=alignment, timebase=TIMEBASE)
    error_s = np.abs(source_times[path[:, 0]] - target_times[path[:, 1]])
    # A path of whole frames cannot do better than half a frame of scene (0.02 s); 0.03 leaves room for flat stretches.
    assert error_s.mean() < 0.03


@pytest.mark.parametrize(("timeline", "n"), [("source", 40), ("target", 53), ("path", None)])
def test_aligned_features_agree_on_every_timeline(pair, timeline, n):
    _, _, source, target = pair
    statistics = fitted(source, target)
    alignment = dataclasses.replace(ALIGNMENT, timeline=timeline)
    aligned = align_pair(source, target, statistics, alignment=alignment, timebase=TIMEBASE)
    n = len(aligned.path) if n is None else n
    assert aligned.source_mel.shape == aligned.target_mel.shape == (8 * n, N_MELS)
    assert aligned.source_facial.shape == aligned.target_facial.shape == (n, N_VGG + 140)
    assert aligned.source_mel.dtype == aligned.target_facial.dtype == np.float32
    raw = [statistics.standardise(name, "mel", clip.mel)[:320].ravel() for name, clip in pair_of(source, target)]
    before = np.corrcoef(*raw)[0, 1]
    after = np.corrcoef(aligned.source_mel.ravel(), aligned.target_mel.ravel())[0, 1]
    assert after > 0.97  # the same scene but for the sampling
    assert after > before + 0.1


def test_clips_of_other_scenes_are_no_pair(pair):
    _, target_times, source, _ = pair
    other = scene(target_times, seed=2)
    with pytest.raises(AlignmentError, match=r"sentence_07: source and target do not match .*max_cost"):
        align_pair(source, other, fitted(source, other), alignment=ALIGNMENT, timebase=TIMEBASE, name="sentence_07")


def test_own_timeline_is_left_as_it_is(pair):
    _, _, source, target = pair
    statistics = fitted(source, target)
    aligned = align_pair(source, target, statistics, alignment=ALIGNMENT, timebase=TIMEBASE)
    # 1e-5: float32 interpolation at whole positions
    np.testing.assert_allclose(aligned.source_mel, statistics.standardise("source", "mel", source.mel), atol=1e-5)


def test_diagonal_path_warps_nothing():
    path = np.stack([np.arange(13)] * 2, axis=1)
    np.testing.assert_allclose(smooth_warp(path, 13, smooth_frames=5), np.arange(13) + 0.5, atol=1e-12)


def test_warp_takes_the_mean_of_steps_that_share_a_frame():
    path = np.array([[0, 0], [0, 1], [1, 2], [2, 2], [2, 3], [2, 4]])
    assert smooth_warp(path, 3, smooth_frames=1).tolist() == [1.0, 2.5, 3.5]
    assert smooth_warp(path, 5, axis=1, smooth_frames=1).tolist() == [0.5, 0.5, 2.0, 2.5, 2.5]


@pytest.mark.parametrize("smooth_frames", [1, 3, 9, 99])
def test_warp_never_falls_and_keeps_its_ends(rng, smooth_frames):
    steps = rng.choice([[0, 1], [1, 0], [1, 1]], size=60)
    path = np.concatenate([[[0, 0]], np.cumsum(steps, axis=0)])
    n = path[-1, 0] + 1
    raw, smooth = smooth_warp(path, n, smooth_frames=1), smooth_warp(path, n, smooth_frames=smooth_frames)
    assert np.diff(smooth).min() >= -1e-9
    assert smooth[[0, -1]] == pytest.approx(raw[[0, -1]])


def test_path_timeline_visits_both_clips():
    path = np.array([[0, 0], [1, 0], [2, 1], [2, 2]])
    alignment = dataclasses.replace(ALIGNMENT, timeline="path", smooth_frames=1)
    source, target = pair_positions(path, 3, 3, alignment=alignment)
    assert source.tolist() == [0.5, 1.5, 2.5, 2.5]
    assert target.tolist() == [0.5, 0.5, 1.5, 2.5]


def test_interpolation_by_hand_and_held_at_the_ends():
    x = np.array([[0.0, 10.0], [1.0, 20.0], [3.0, 0.0]], np.float32)
    rows = interpolate(x, np.array([-1.0, 0.25, 1.5, 2.0, 9.0]))
    assert rows.tolist() == [[0, 10], [0.25, 12.5], [2, 10], [3, 0], [3, 0]]
    assert rows.dtype == np.float32
    assert interpolate(x[:1], np.array([0.0, 5.0])).tolist() == [[0, 10], [0, 10]]


def test_mel_is_read_on_its_own_clock():
    """Mel frame k stands at k / 8 video frames: a clip at half speed reads every half frame."""
    mel = np.arange(8 * 6, dtype=np.float32)[:, None]  # value = its own frame number
    positions = (np.arange(12) + 0.5) / 2  # 12 frames over the same 6
    got = interpolate_mel(mel, positions, mel_per_video=8)[:, 0]
    inside = slice(4, -4)  # the outermost half frames run on at the clip's own speed
    np.testing.assert_allclose(got[inside], np.arange(96)[inside] / 2, atol=1e-4)


def test_standing_clip_reads_one_moment():
    mel = np.arange(24, dtype=np.float32)[:, None]
    got = interpolate_mel(mel, np.full(5, 1.5), mel_per_video=8)[:, 0]
    assert got[4:-4] == pytest.approx(12.0)  # 1.5 video frames = mel frame 12


def sound_of(clip: ClipFeatures) -> SoundFeatures:
    return SoundFeatures(clip.mel)


@pytest.mark.parametrize("distance", ["literal", "standardised"])
@pytest.mark.parametrize("timeline", ["source", "target", "path"])
def test_sound_alone_is_aligned_by_the_same_functions(pair, distance, timeline):
    source_times, target_times, source, target = pair
    statistics = fitted(source, target)
    alignment = dataclasses.replace(ALIGNMENT, distance=distance, timeline=timeline)
    aligned = align_pair(sound_of(source), sound_of(target), statistics, alignment=alignment, timebase=TIMEBASE)
    error_s = np.abs(source_times[aligned.path[:, 0]] - target_times[aligned.path[:, 1]])
    assert error_s.mean() < 0.03  # as with faces
    n = {"source": 40, "target": 53, "path": len(aligned.path)}[timeline]
    assert aligned.source_facial.shape == aligned.target_facial.shape == (n, 0)
    assert aligned.source_mel.shape == (8 * n, N_MELS)


def test_a_face_on_one_side_alone_is_refused(pair):
    _, _, source, target = pair
    with pytest.raises(AlignmentError, match="one clip of the pair has a picture and the other has none"):
        align_pair(source, sound_of(target), fitted(source, target), alignment=ALIGNMENT, timebase=TIMEBASE)


def between_silences(clip: ClipFeatures, before: int, after: int) -> SoundFeatures:
    """The clip's sound, louder, between frames of noise far below it."""
    noise = np.random.default_rng(before).normal(-20, 0.3, (8 * (before + clip.n_frames + after), N_MELS))
    noise[8 * before : 8 * (before + clip.n_frames)] = clip.mel
    return SoundFeatures(noise.astype(np.float32))


@pytest.mark.parametrize(("timeline", "n"), [("source", 48), ("target", 61), ("path", None)])
def test_trimmed_pair_is_the_speech_and_its_margins(pair, timeline, n):
    _, _, clip_a, clip_b = (
        pair  # 40 and 53 frames of speech; 3 of margin and 1 that the smoothing reaches stay on each side
    )
    source, target = between_silences(clip_a, 20, 9), between_silences(clip_b, 11, 30)
    statistics = fitted(clip_a, clip_b)
    alignment = dataclasses.replace(ALIGNMENT, timeline=timeline, silence="trim", max_cost=99.0)
    aligned = align_pair(source, target, statistics, alignment=alignment, timebase=TIMEBASE)
    assert aligned.path[0].tolist() == [0, 0] and aligned.path[-1].tolist() == [68, 93]  # of the whole clips
    inside = (aligned.path[:, 0] >= 16) & (aligned.path[:, 0] < 64)
    assert len(aligned.source_facial) == (inside.sum() if n is None else n)
    assert aligned.source_mel.shape == aligned.target_mel.shape == (8 * len(aligned.target_facial), N_MELS)
    loud = [mel[:, 0] > mel[:, 0].min() + 3 for mel in (aligned.source_mel, aligned.target_mel)]
    assert loud[0].mean() > 0.8 and loud[1].mean() > 0.8
    if timeline == "source":
        expected = statistics.standardise("source", "mel", source.mel)[8 * 16 : 8 * 64]
        np.testing.assert_allclose(aligned.source_mel, expected, atol=1e-4)  # float32 at whole positions


def test_matched_silence_keeps_every_frame(pair):
    _, _, clip_a, clip_b = pair
    source, target = between_silences(clip_a, 20, 9), between_silences(clip_b, 11, 30)
    alignment = dataclasses.replace(ALIGNMENT, silence="match", max_cost=99.0)
    aligned = align_pair(source, target, fitted(clip_a, clip_b), alignment=alignment, timebase=TIMEBASE)
    assert len(aligned.source_facial) == 69
    steps = aligned.path.tolist()
    assert [16, 7] in steps and [63, 67] in steps  # four frames before the speech, and four after it


def test_a_refused_match_is_an_error_that_says_why(pair):
    _, _, source, target = pair
    match = PairMatch(0.9, 1.0, -0.1, 0.9, 1.3, "", "no pair", "margin -0.1 to other sentences, limit -3.0")
    with pytest.raises(AlignmentError, match=r"sentence_07: .* do not match \(margin -0.1 .*leave the pair out"):
        align_pair(
            source,
            target,
            fitted(source, target),
            alignment=ALIGNMENT,
            timebase=TIMEBASE,
            name="sentence_07",
            match=match,
        )
    doubtful = dataclasses.replace(match, verdict="doubtful")
    align_pair(source, target, fitted(source, target), alignment=ALIGNMENT, timebase=TIMEBASE, match=doubtful)


def test_what_was_compared_is_not_judged_by_its_cost(pair):
    """A real pair of GRID cost 1.252 and matched as the others did: no threshold on the cost holds for all corpora."""
    _, target_times, source, _ = pair
    other = scene(target_times, seed=2)
    settings = {"alignment": ALIGNMENT, "timebase": TIMEBASE}
    match = PairMatch(0.9, 1.0, -3.1, 0.9, 1.3, "", "pair", "margin -3.1 to other sentences, limit -1.5")
    assert align_pair(source, other, fitted(source, other), match=match, **settings).cost > ALIGNMENT.max_cost
    with pytest.raises(AlignmentError, match="max_cost"):
        align_pair(
            source, other, fitted(source, other), match=dataclasses.replace(match, verdict="not compared"), **settings
        )


def test_hours_are_refused_before_the_memory_is_asked_for():
    long = SoundFeatures(np.zeros((8 * 15_000, 2), np.float32))  # ten minutes
    statistics = Statistics(
        {s: {"mel": (np.zeros(2, np.float32), np.ones(2, np.float32))} for s in ("source", "target")}
    )
    with pytest.raises(AlignmentError, match=r"session_1: clips of 15000 and 15000 video frames are too long"):
        align_pair(long, long, statistics, alignment=ALIGNMENT, timebase=TIMEBASE, name="session_1")
