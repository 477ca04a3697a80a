"""Measures of a voice: spectrum, pitch, voicing, predicted opinion."""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
import soxr
from scipy.fft import dct

N_CEPSTRA = 24  # c1 to c24; c0 is loudness, which the distance leaves out
DECIBEL = 10 / np.log(10) * np.sqrt(2)

PITCH_RATE_HZ = 16_000
PITCH_HOP_SECONDS = 0.01
PITCH_RANGE_HZ = (65.0, 450.0)
PITCH_FRAME_SAMPLES = 1024  # four periods of the lowest pitch

MOS_RATE_HZ = 16_000
MOS_SECONDS = 9.01  # the window DNSMOS was trained on


def mel_cepstrum(log_mel: np.ndarray) -> np.ndarray:
    """c1 to c24 of a natural-log mel spectrogram, [frames, n_mels] -> [frames, 24].

    Scaled so that log S(k) = c0 + sum c_n cos(pi n (k + 1/2) / n_mels).
    """
    return dct(np.asarray(log_mel, np.float64), norm="ortho", axis=1)[:, 1 : N_CEPSTRA + 1] / np.sqrt(
        log_mel.shape[1] / 2
    )


def mel_cepstral_distortion_db(log_mel: np.ndarray, reference: np.ndarray) -> float:
    """Mean over frames of 10/ln 10 * sqrt(2 * sum (c_n - c'_n)^2), n = 1..24 (Kubichek 1993).

    That is the root mean square difference of the two smoothed log spectra in decibels, loudness apart. The two are
    compared frame by frame: bring them to one timeline, and keep speech only, before the call.
    """
    difference = mel_cepstrum(log_mel) - mel_cepstrum(reference)
    return float((DECIBEL * np.sqrt((difference**2).sum(axis=1))).mean()) if len(difference) else float("nan")


def log_mel_l1(log_mel: np.ndarray, reference: np.ndarray) -> float:
    """Mean absolute difference of two natural-log mel spectrograms, in nepers."""
    return float(np.abs(np.asarray(log_mel, np.float64) - reference).mean()) if len(log_mel) else float("nan")


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


def resampled(waveform: np.ndarray, rate_hz: int, to_hz: int) -> np.ndarray:
    """float32 samples at another rate."""
    waveform = np.asarray(waveform, np.float32)
    return waveform if rate_hz == to_hz else soxr.resample(waveform, rate_hz, to_hz, quality="HQ")
