"""Speech is detected by a clip's own levels."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.signal.speech import audible_frames, speech_activity, speech_span, utterance_frames

RATES = {"mel_per_video": 8, "video_fps": 25}
MARGIN_FRAMES = 3  # 0.12 s at 25 fps


def clip(rng, *, before: int, speech: int, after: int, n_mels: int = 11, floor: float = -7.0) -> np.ndarray:
    """Noise of 0.5 nepers about `floor`; speech stands 4 to 6 above it and dips every 0.2 s. Video frames."""
    mel = floor + 0.5 * rng.standard_normal((8 * (before + speech + after), n_mels))
    times = np.arange(8 * speech)
    mel[8 * before : 8 * (before + speech)] += (4 + 2 * np.cos(times / 40 * 2 * np.pi))[:, None]
    return mel.astype(np.float32)


@pytest.mark.parametrize(("before", "speech", "after"), [(20, 31, 14), (3, 50, 40), (9, 12, 5)])
def test_span_is_the_speech_and_its_margin(rng, before, speech, after):
    first, end = speech_span(clip(rng, before=before, speech=speech, after=after), **RATES)
    # 1: the level is smoothed over 5 mel frames, which may reach into the next video frame
    assert abs(first - max(0, before - MARGIN_FRAMES)) <= 1
    assert abs(end - min(before + speech + after, before + speech + MARGIN_FRAMES)) <= 1


def test_neither_gain_nor_hum_moves_the_span(rng):
    mel = clip(rng, before=18, speech=30, after=22)
    expected = speech_span(mel, **RATES)
    assert speech_span(mel + 3.0, **RATES) == expected
    humming = mel.copy()
    humming[:, 2] = 2.0  # a mains hum louder than the speech, in one band
    assert speech_span(humming, **RATES) == expected


def test_a_click_is_no_speech(rng):
    mel = clip(rng, before=30, speech=30, after=20)
    mel[40:44] += 7.0  # 20 ms
    assert speech_span(mel, **RATES)[0] >= 30 - MARGIN_FRAMES - 1


def test_digital_silence_does_not_make_the_noise_speech(rng):
    mel = clip(rng, before=30, speech=30, after=20)
    mel[: 8 * 15] = np.log(1e-4)  # padded: no sound at all, far below the noise
    assert speech_span(mel, **RATES)[0] >= 30 - MARGIN_FRAMES - 1


def test_clip_without_contrast_is_speech_throughout(rng):
    noise = clip(rng, before=25, speech=0, after=0)
    assert speech_activity(noise, mel_fps=200).min() == 1
    assert speech_span(noise, **RATES) == (0, 25)
    assert speech_span(np.full((8 * 7, 4), -9.2, np.float32), **RATES) == (0, 7)  # all digital silence


def test_activity_lies_between_silence_and_speech(rng):
    activity = speech_activity(clip(rng, before=20, speech=25, after=20), mel_fps=200)
    assert activity.shape == (8 * 65,)
    assert activity.min() == 0 and activity.max() == 1
    assert activity[: 8 * 19].mean() < 0.15 < 0.5 < activity[8 * 20 : 8 * 45].mean()


def test_speech_begins_and_ends_with_its_loud_frames() -> None:
    mel = np.full((60, 4), -6.0)
    mel[20:30] = mel[35:40] = -2.0
    expected = list(range(15, 45))  # 5 frames, 0.2 s, on each side; the pause counts
    assert np.flatnonzero(utterance_frames(mel, fps=25)).tolist() == expected
    mel[:10] = -9.2  # digital silence
    assert np.flatnonzero(utterance_frames(mel, fps=25)).tolist() == expected


def test_audible_frames_come_within_43_db_of_the_loudest() -> None:
    log_mel = np.full((3, 7), -20.0)
    log_mel[0, 4], log_mel[1, 2], log_mel[2, 0] = -1.0, -5.9, -6.1  # the peak, 4.9 and 5.1 nepers below it
    assert audible_frames(log_mel).tolist() == [True, True, False]
