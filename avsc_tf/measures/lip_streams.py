"""Sound and lips of a video on one clock: a mel frame and the lip points of every video frame."""

from __future__ import annotations

import numpy as np

from avsc_tf.core.config import AcousticConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.keypoints import LIPS, stabilise_by_eyes

N_MELS = 80  # paper 3.1
FMAX_HZ = 8000.0  # as in configs/paper.yaml
LOG_FLOOR = 1e-4  # smallest mel magnitude, the same


def sync_streams(
    waveform: np.ndarray, sample_rate_hz: int, keypoints: np.ndarray, fps: int, *, found: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mel spectrum with window and hop of one video frame (40 ms at 25 fps, paper 4.5), and the lips beside it.

    The window of mel frame `t` is the time of video frame `t`, [t, t + 1) / fps, so that both have the same centre. The
    lips are the 20 lip points with shift, tilt and size of the head taken out by the eye corners (`stabilise_by_eyes`).

    Args:
        waveform: float [samples], mono, full scale 1.
        keypoints: [T, 70, 2] in any pixels; NaN where there is no face.
        found: bool [T]; the lips of the other frames become NaN, which every measure leaves out.
    Returns:
        float64 [T, 80], natural log of mel magnitudes, and float64 [T, 40], x and y in turn, in eye distances; T of the
        shorter one of sound and picture.
    Raises:
        MediaError: a video frame is no whole number of samples, or there is not one frame of both.
    """
    if sample_rate_hz % fps:
        raise MediaError(f"{sample_rate_hz} Hz is no whole number of samples a frame at {fps} fps; resample the sound")
    per_frame = sample_rate_hz // fps
    n = min(len(waveform) // per_frame, len(keypoints))
    if n == 0:
        raise MediaError(f"{len(waveform)} samples and {len(keypoints)} pictures: give at least one frame of both")
    seen = np.isfinite(keypoints[:n]).all(axis=(1, 2))
    if found is not None:
        seen &= np.asarray(found[:n], bool)
    lips = np.full((n, 2 * (LIPS.stop - LIPS.start)), np.nan)
    lips[seen] = stabilise_by_eyes(np.asarray(keypoints[:n][seen], np.float64))[:, LIPS].reshape(-1, lips.shape[1])
    return _mel_of_frames(np.asarray(waveform)[: n * per_frame], sample_rate_hz, fps), lips


def _mel_of_frames(waveform: np.ndarray, sample_rate_hz: int, fps: int) -> np.ndarray:
    """[samples of T frames] -> [T, 80]."""
    per_frame = sample_rate_hz // fps
    acoustic = AcousticConfig(
        n_mels=N_MELS,
        window_ms=1000 * per_frame / sample_rate_hz,
        fft_length=1 << (per_frame - 1).bit_length(),
        fmin_hz=0.0,
        fmax_hz=min(FMAX_HZ, sample_rate_hz / 2),
        log_floor=LOG_FLOOR,
    )
    half = per_frame // 2  # of silence: frame k is centred on sample k * per_frame, which is the end of frame k - 1
    padded = np.pad(waveform, (half, per_frame - half))
    return mel_spectrogram(padded, acoustic, Timebase(fps, sample_rate_hz, per_frame))[1:].astype(np.float64)
