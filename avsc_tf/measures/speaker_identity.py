"""Whether two recordings are of one speaker, by an encoder trained on thousands of them.

The encoder is Resemblyzer's (github.com/resemble-ai/Resemblyzer, Apache 2.0): a network of three LSTM layers trained
with the generalised end-to-end loss (Wan et al. 2018). Its weights ship in its wheel; they are read from there and run
in NumPy, so that PyTorch is never loaded. What comes before the network is done step by step as there.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import librosa
import numpy as np
from scipy.ndimage import binary_dilation, uniform_filter1d

from avsc_tf.core.errors import BundleError
from avsc_tf.measures.torch_weights import read_torch_tensors
from avsc_tf.measures.voice import resampled

RATE_HZ = 16_000
EMBEDDING_SIZE = 256
N_LAYERS, N_HIDDEN = 3, 256
N_MELS, WINDOW_SAMPLES, HOP_SAMPLES = 40, 400, 160
TARGET_RMS_DBFS = -30.0  # quieter recordings are raised to it
PARTIAL_FRAMES, STEP_FRAMES = 160, 77  # windows of 1.6 s, 1.3 of them a second
LEAST_COVERAGE = 0.75  # of the last window by sound
VAD_SAMPLES, VAD_MODE = 480, 3  # 30 ms, the strictest mode
VAD_AVERAGE, VAD_DILATION = 8, 7  # windows of 30 ms
INT16_MAX = 2**15 - 1
WEIGHTS = "pretrained.pt"
INSTALL = "pip install avsc_tf[identity]"


def available() -> bool:
    """Whether Resemblyzer and the voice detector that it uses are installed."""
    return find_spec("resemblyzer") is not None and find_spec("_webrtcvad") is not None


class SpeakerEncoder:
    """Recordings to points on a sphere that lie near each other for one speaker.

    Raises:
        BundleError: the extra is not installed.
    """

    def __init__(self) -> None:
        self._weights = _packaged_weights()

    def embed(self, waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """float32 [256] of length 1, none below zero; NaN where there is no speech."""
        speech = _speech(_raised(resampled(waveform, sample_rate_hz, RATE_HZ)))
        if not speech.any():
            return np.full(EMBEDDING_SIZE, np.nan, np.float32)
        starts = _window_starts(len(speech))
        needed = (starts[-1] + PARTIAL_FRAMES) * HOP_SAMPLES
        mel = _mel(np.pad(speech, (0, max(0, needed - len(speech)))))
        return unit(self._partials(np.stack([mel[s : s + PARTIAL_FRAMES] for s in starts])).mean(axis=0))

    def _partials(self, mels: np.ndarray) -> np.ndarray:
        """[windows, 160, 40] -> [windows, 256], each of length 1."""
        w, x = self._weights, mels
        for layer in range(N_LAYERS):
            x = _lstm(x, *(w[f"lstm.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
        found = np.maximum(x[:, -1] @ w["linear.weight"].T + w["linear.bias"], 0.0)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def speaker_similarity(embedding: np.ndarray, reference: np.ndarray) -> float:
    """Cosine of two embeddings, at most 1; of a speaker take the `unit` of the mean over recordings."""
    return float(np.dot(unit(embedding), unit(reference)))


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1."""
    return vector / np.linalg.norm(vector)


@cache
def _packaged_weights() -> dict[str, np.ndarray]:
    if not available():
        raise BundleError(f"speaker similarity needs Resemblyzer and webrtcvad, which are not installed: {INSTALL}")
    spec = find_spec("resemblyzer")
    assert spec is not None and spec.submodule_search_locations
    return read_torch_tensors(Path(next(iter(spec.submodule_search_locations))) / WEIGHTS, "model_state")


def _raised(waveform: np.ndarray) -> np.ndarray:
    rms = np.sqrt(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    target = 10 ** (TARGET_RMS_DBFS / 20)
    return waveform * np.float32(target / rms) if 0 < rms < target else waveform


def _speech(waveform: np.ndarray) -> np.ndarray:
    """The waveform without silences longer than about 0.2 s, by WebRTC's voice detector."""
    import _webrtcvad  # its Python wrapper warns about setuptools when it is imported

    n_windows = len(waveform) // VAD_SAMPLES
    if not n_windows:
        return waveform[:0]
    waveform = waveform[: n_windows * VAD_SAMPLES]
    pcm = np.round(np.clip(waveform, -1, 1) * INT16_MAX).astype("<i2").reshape(n_windows, VAD_SAMPLES)
    detector = _webrtcvad.create()
    _webrtcvad.init(detector)
    _webrtcvad.set_mode(detector, VAD_MODE)
    flags = [_webrtcvad.process(detector, RATE_HZ, window.tobytes(), VAD_SAMPLES) for window in pcm]
    # three windows before to four after, zeros beyond the ends; exactly half counts as silence
    voiced = uniform_filter1d(np.asarray(flags, np.float64), VAD_AVERAGE, mode="constant", origin=-1) > 0.5 + 1e-9
    return waveform[np.repeat(binary_dilation(voiced, np.ones(VAD_DILATION, bool)), VAD_SAMPLES)]


def _window_starts(n_samples: int) -> range:
    """First frame of each window; a last one that sound covers too little is left out."""
    n_frames = -(-(n_samples + 1) // HOP_SAMPLES)
    starts = range(0, max(1, n_frames - PARTIAL_FRAMES + STEP_FRAMES + 1), STEP_FRAMES)
    coverage = (n_samples - starts[-1] * HOP_SAMPLES) / (PARTIAL_FRAMES * HOP_SAMPLES)
    return starts[:-1] if coverage < LEAST_COVERAGE and len(starts) > 1 else starts


def _mel(waveform: np.ndarray) -> np.ndarray:
    """Mel power, no logarithm: float32 [frames, 40]."""
    return librosa.feature.melspectrogram(
        y=waveform, sr=RATE_HZ, n_fft=WINDOW_SAMPLES, hop_length=HOP_SAMPLES, n_mels=N_MELS
    ).T.astype(np.float32)


def _lstm(
    x: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: np.ndarray, bias_hh: np.ndarray
) -> np.ndarray:
    """One layer from a state of zeros: [batch, time, in] -> [batch, time, hidden]; gates in PyTorch's order."""
    driven = x @ weight_ih.T + (bias_ih + bias_hh)
    hidden = cell = np.zeros((len(x), N_HIDDEN), np.float32)
    states = np.empty((*x.shape[:2], N_HIDDEN), np.float32)
    for t in range(x.shape[1]):
        into, keep, new, out = np.split(driven[:, t] + hidden @ weight_hh.T, 4, axis=1)
        cell = _sigmoid(keep) * cell + _sigmoid(into) * np.tanh(new)
        hidden = _sigmoid(out) * np.tanh(cell)
        states[:, t] = hidden
    return states


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # no overflow
