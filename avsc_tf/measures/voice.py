"""Measures of a voice: pitch, voicing, predicted opinion. `measures.spectrum` has those of its spectrum."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import librosa
import numpy as np
import soxr

from avsc_tf.signal.speech import frames_with_voice_level

PITCH_RATE_HZ = 16_000
PITCH_HOP_SECONDS = 0.01
PITCH_RANGE_HZ = (65.0, 450.0)
PITCH_FRAME_SAMPLES = 1024  # four periods of the lowest pitch

STOI_RATE_HZ = 10_000  # the measure's own rate

MOS_RATE_HZ = 16_000
MOS_SECONDS = 9.01  # the window DNSMOS was trained on


@dataclass(frozen=True)
class PitchTrack:
    """Pitch every 10 ms; frame k is centred on time k * 10 ms."""

    f0_hz: np.ndarray  # [frames]; NaN where unvoiced

    @property
    def voiced(self) -> np.ndarray:
        return np.isfinite(self.f0_hz)

    @property
    def seconds(self) -> np.ndarray:
        """Centres of the frames."""
        return np.arange(len(self.f0_hz)) * PITCH_HOP_SECONDS

    def at(self, seconds: np.ndarray) -> PitchTrack:
        """The track on another timeline: the nearest frame to each of `seconds`, in this track's own time."""
        index = np.clip(np.round(np.asarray(seconds) / PITCH_HOP_SECONDS).astype(int), 0, len(self.f0_hz) - 1)
        return PitchTrack(self.f0_hz[index])

    def where(self, kept: np.ndarray) -> PitchTrack:
        """The track with the frames outside `kept` (bool, one a frame) counted as unvoiced."""
        return PitchTrack(np.where(kept, self.f0_hz, np.nan))


def track_pitch(waveform: np.ndarray, sample_rate_hz: int) -> PitchTrack:
    """Probabilistic YIN (Mauch and Dixon 2014) between 65 and 450 Hz."""
    low, high = PITCH_RANGE_HZ
    f0_hz, _, _ = librosa.pyin(
        resampled(waveform, sample_rate_hz, PITCH_RATE_HZ),
        fmin=low,
        fmax=high,
        sr=PITCH_RATE_HZ,
        frame_length=PITCH_FRAME_SAMPLES,
        hop_length=round(PITCH_RATE_HZ * PITCH_HOP_SECONDS),
    )
    return PitchTrack(f0_hz)


def pitch_error_cents(pitch: PitchTrack, reference: PitchTrack) -> float:
    """Median distance in cents (hundredths of a semitone) over frames voiced in both; NaN where there are none."""
    n = min(len(pitch.f0_hz), len(reference.f0_hz))
    both = pitch.voiced[:n] & reference.voiced[:n]
    if not both.any():
        return float("nan")
    return float(np.median(np.abs(1200 * np.log2(pitch.f0_hz[:n][both] / reference.f0_hz[:n][both]))))


def voicing_error(pitch: PitchTrack, reference: PitchTrack) -> float:
    """Share of frames voiced in one and unvoiced in the other."""
    n = min(len(pitch.f0_hz), len(reference.f0_hz))
    return float((pitch.voiced[:n] != reference.voiced[:n]).mean()) if n else float("nan")


def audible_voice(track: PitchTrack, log_mel: np.ndarray, reference: np.ndarray, mel_fps: float) -> PitchTrack:
    """The track with all frames unvoiced that are more than 24 dB below the loud frames of the REFERENCE.

    A tracker hears pitch in the room noise of pauses: of mains hum, of fans, of noise itself. Two renderings of that
    noise differ by chance, which says nothing of a voice. A rendering is held against the same absolute level as the
    recording, so that a voice sounding in a pause still counts as an error.

    Args:
        log_mel: natural-log mel of what the track was read from, [frames, n_mels].
        reference: that of the natural recording; its 98th percentile (strongest band a frame) is "loud".
    """
    nearest = np.clip(np.round(track.seconds * mel_fps).astype(int), 0, len(log_mel) - 1)
    return track.where(frames_with_voice_level(log_mel, reference)[nearest])


def predicted_mos(waveform: np.ndarray, sample_rate_hz: int) -> float | None:
    """DNSMOS overall quality, 1 to 5 (Reddy and others 2022), or None where `speechmos` is not installed.

    A shorter recording is repeated to the model's window of 9.01 s, as the model's own code does.
    """
    try:
        from speechmos import dnsmos
    except ImportError:
        return None
    audio = np.clip(resampled(waveform, sample_rate_hz, MOS_RATE_HZ), -1.0, 1.0)
    if not len(audio):
        return float("nan")
    n_samples = int(MOS_SECONDS * MOS_RATE_HZ)
    if len(audio) < n_samples:
        audio = np.resize(audio, n_samples)  # np.resize repeats
    return float(dnsmos.run(audio, sr=MOS_RATE_HZ)["ovrl_mos"])


def intelligibility(waveform: np.ndarray, natural: np.ndarray, sample_rate_hz: int) -> float | None:
    """STOI against the natural recording, about 0 to 1 (Taal and others 2011), or None where `pystoi` is not installed.

    NaN where there is less than half a second of speech: the measure works on windows of 0.4 s.
    """
    try:
        from pystoi import stoi
    except ImportError:
        return None
    rendered, clean = (resampled(w, sample_rate_hz, STOI_RATE_HZ) for w in (waveform, natural))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning, message="Not enough STFT frames")
        try:
            return float(stoi(clean, rendered, STOI_RATE_HZ))
        except RuntimeWarning:
            return float("nan")


def resampled(waveform: np.ndarray, rate_hz: int, to_hz: int) -> np.ndarray:
    """float32 samples at another rate."""
    waveform = np.asarray(waveform, np.float32)
    return waveform if rate_hz == to_hz else soxr.resample(waveform, rate_hz, to_hz, quality="HQ")
