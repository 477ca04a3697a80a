"""Where speech is in a clip, by the levels of its mel frames. Every threshold of the package is here.

- `speech_activity`, `speech_runs` and `speech_span` separate speech from silence whatever the gain and the noise floor
  of the clip: the level is the mean height of the bands above their own floors, and the thresholds are shares of the
  clip's own range.
- `audible_frames` selects the frames of a comparison of spectra: strongest band less than 43 dB below the peak.
- `frames_with_voice_level` selects the frames that may be voiced: strongest band less than 24 dB below the 98th
  percentile of the reference.
- `utterance_frames` spans the first to the last loud frame: mean of the log bands less than 22 dB below the 95th
  percentile.
- `pause_runs` finds where an utterance can be cut: log of the mean band 30 dB below the 95th percentile.

Log levels are natural logarithms of amplitudes (nepers): 1 neper is 8.7 dB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

# Chosen on 198 clips of GRID s1, the demo speaker's 198 GRID sentences and 168 demo clips (docs/alignment.md).
FLOOR_PERCENTILE = 20  # of a band, over the frames that are not digital silence
LOWEST_PERCENTILE, HIGHEST_PERCENTILE = 5, 95  # of the level: activity 0 and 1
SMOOTHING_SECONDS = 0.025  # the window of a mel frame
QUIET, LOUD = 0.2, 0.5  # speech is a run above QUIET ...
LOUD_SECONDS = 0.06  # ... that is LOUD for so long: a click or a breath is not
MIN_CONTRAST = 1.0  # nepers between the two percentiles: below, the levels do not separate speech from noise
MARGIN_SECONDS = 0.12  # kept on each side: weak beginnings, and silence for the networks to learn
DIGITAL_SILENCE = 0.1  # nepers: frames so near the clip's lowest value hold no sound

AUDIBLE_DROP = 5.0  # nepers below the peak
VOICE_PERCENTILE, VOICE_DROP = 98.0, 2.8
UTTERANCE_PERCENTILE, UTTERANCE_DROP, UTTERANCE_MARGIN_SECONDS = 95.0, 2.5, 0.2
PAUSE_PERCENTILE, PAUSE_DROP = 95.0, 3.5  # vowels and fricatives lie within 25 dB of the loud frames

Span = tuple[int, int]  # first frame, and the one after the last


def true_runs(mask: np.ndarray) -> list[Span]:
    """Runs of True in a mask.

    Args:
        mask: bool [n].

    Examples:
        >>> true_runs(np.array([True, False, True, True]))
        [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def loud_frames(
    level: np.ndarray, *, drop: float, percentile: float = 100.0, reference: np.ndarray | None = None
) -> NDArray[np.bool_]:
    """Frames whose level is less than `drop` below a percentile of the reference's levels (the frames' own by default).

    Args:
        level: [frames], logarithmic.
        drop: in the unit of `level`.

    Returns:
        bool [frames].
    """
    return level > np.percentile(level if reference is None else reference, percentile) - drop


def speech_activity(mel: np.ndarray, *, mel_fps: int) -> np.ndarray:
    """Level of each mel frame between the clip's own silence (0) and speech (1).

    The level is the mean height of the bands above their own floors. Each band has its own floor, so a hum or coloured
    noise counts once; the floors are percentiles of the clip, so neither gain nor noise floor needs a setting.

    Args:
        mel: [frames, n_mels], natural log, not standardised.
        mel_fps: mel frames per second.

    Returns:
        float64 [frames]; all 1 where the clip has no contrast: every frame then counts as speech.
    """
    mel = np.asarray(mel, np.float64)
    has_sound = mel.max(axis=1) > mel.min() + DIGITAL_SILENCE
    floor = np.percentile(mel[has_sound] if has_sound.any() else mel, FLOOR_PERCENTILE, axis=0)
    smoothing_frames = max(1, round(SMOOTHING_SECONDS * mel_fps))
    level = uniform_filter1d(np.maximum(mel - floor, 0.0).mean(axis=1), smoothing_frames, mode="nearest")
    lowest, highest = np.percentile(level, [LOWEST_PERCENTILE, HIGHEST_PERCENTILE])
    if highest - lowest < MIN_CONTRAST:
        return np.ones(len(level))
    return np.clip((level - lowest) / (highest - lowest), 0.0, 1.0)


def speech_runs(activity: np.ndarray, *, mel_fps: int) -> list[Span]:
    """Runs of speech in mel frames: activity (`speech_activity`) above QUIET, and above LOUD for LOUD_SECONDS."""
    return [(a, b) for a, b in true_runs(activity > QUIET) if (activity[a:b] > LOUD).sum() >= LOUD_SECONDS * mel_fps]


def speech_span(mel: np.ndarray, *, mel_per_video: int, video_fps: int) -> Span:
    """Video frames from the first speech to the last, MARGIN_SECONDS wider on each side.

    Returns:
        The whole clip where its levels do not separate speech from noise.
    """
    mel_fps = mel_per_video * video_fps
    runs = speech_runs(speech_activity(mel, mel_fps=mel_fps), mel_fps=mel_fps)
    n_frames = len(mel) // mel_per_video
    if not runs:
        return 0, n_frames
    margin = round(MARGIN_SECONDS * video_fps)
    first = runs[0][0] // mel_per_video - margin
    end = -(-runs[-1][1] // mel_per_video) + margin
    return max(0, first), min(n_frames, end)


def audible_frames(log_mel: np.ndarray) -> NDArray[np.bool_]:
    """Frames [frames, n_mels] whose strongest band is less than 43 dB below that of the clip: bool [frames]."""
    return loud_frames(log_mel.max(axis=1), drop=AUDIBLE_DROP)


def frames_with_voice_level(log_mel: np.ndarray, reference: np.ndarray | None = None) -> NDArray[np.bool_]:
    """Frames less than 24 dB below the loud frames (98th percentile) of the reference, by the strongest band.

    Pitch trackers report pitch in the noise of pauses: mains hum, fans, the noise itself. Frames below this level are
    not voiced.

    Args:
        log_mel, reference: [frames, n_mels], natural log. The reference is the clip itself by default.

    Returns:
        bool [frames].
    """
    levels = None if reference is None else reference.max(axis=1)
    return loud_frames(log_mel.max(axis=1), drop=VOICE_DROP, percentile=VOICE_PERCENTILE, reference=levels)


def utterance_frames(log_mel: np.ndarray, *, fps: float) -> NDArray[np.bool_]:
    """Frames from UTTERANCE_MARGIN_SECONDS before the first loud frame to as long after the last one: bool [frames]."""
    loud = np.flatnonzero(loud_frames(log_mel.mean(axis=1), drop=UTTERANCE_DROP, percentile=UTTERANCE_PERCENTILE))
    margin = round(UTTERANCE_MARGIN_SECONDS * fps)
    inside = np.zeros(len(log_mel), bool)
    inside[max(0, loud[0] - margin) : loud[-1] + 1 + margin] = True
    return inside


def pause_runs(log_mel: np.ndarray) -> list[Span]:
    """Runs of frames [frames, n_mels] that are 30 dB or more below the utterance's loud frames (95th percentile)."""
    level = np.log(np.exp(log_mel.astype(np.float64)).mean(axis=1))
    return true_runs(~loud_frames(level, drop=PAUSE_DROP, percentile=PAUSE_PERCENTILE))
