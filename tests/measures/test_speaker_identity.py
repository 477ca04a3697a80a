"""The speaker encoder against Resemblyzer run by PyTorch, and whether it tells real speakers apart."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from avsc_tf.core.errors import BundleError
from avsc_tf.measures import speaker_identity
from avsc_tf.measures.speaker_identity import SpeakerEncoder, speaker_similarity, unit

needs_encoder = pytest.mark.skipif(
    not speaker_identity.available(), reason=f"optional: {speaker_identity.INSTALL} (Resemblyzer and webrtcvad)"
)
RATE_HZ = 16_000


def syllables(seed: int, f0_hz: float, formant_hz: float) -> np.ndarray:
    """0.75 s of harmonics under one formant, loud three times, with a little noise; the same everywhere."""
    t = np.arange(RATE_HZ * 3 // 4) / RATE_HZ
    noise = np.random.RandomState(seed).standard_normal(len(t))
    harmonics = sum(
        np.sin(2 * np.pi * k * f0_hz * t + k * k) / (1 + ((k * f0_hz - formant_hz) / 300.0) ** 2) for k in range(1, 20)
    )
    return 0.2 * harmonics * np.sin(4 * np.pi * t) ** 2 + 0.002 * noise


def utterance(seed: int, f0_hz: float, formant_hz: float) -> np.ndarray:
    parts = [syllables(seed + i, f0_hz, formant_hz) for i in range(3)]
    return 0.5 * np.concatenate([parts[0], np.zeros(12_000), *parts[1:]]).astype(np.float32)


@needs_encoder
@pytest.mark.parametrize(
    ("voice", "largest"),
    [
        ((7, 110.0, 900.0), {246: 0.26500648, 122: 0.22192855, 169: 0.20939144, 213: 0.18486969, 243: 0.1797536}),
        ((8, 200.0, 1500.0), {34: 0.22958072, 235: 0.19432075, 36: 0.18874758, 144: 0.18783228, 243: 0.18534404}),
    ],
)
def test_embedding_is_resemblyzers(voice, largest):
    """Resemblyzer 0.1.4 on PyTorch 2.13: embed_utterance(preprocess_wav(x, 16000)); float32 sums differ at 1e-6."""
    embedding = SpeakerEncoder().embed(utterance(*voice), RATE_HZ)
    assert embedding.shape == (256,) and np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-6)
    assert {int(i): float(embedding[i]) for i in np.argsort(embedding)[-5:]} == pytest.approx(largest, abs=1e-5)


@needs_encoder
def test_loudness_changes_little_and_silence_has_no_speaker():
    encoder, x = SpeakerEncoder(), utterance(7, 110.0, 900.0)
    quieter = encoder.embed(x / 30, RATE_HZ)
    assert speaker_similarity(quieter, encoder.embed(x / 60, RATE_HZ)) > 0.999  # both raised to -30 dBFS
    assert np.isnan(encoder.embed(np.zeros(RATE_HZ, np.float32), RATE_HZ)).all()
    assert np.isnan(encoder.embed(np.zeros(100, np.float32), RATE_HZ)).all()


@needs_encoder
def test_real_speakers_are_told_apart(shared_data):
    """Four speakers of VCTK, three sentences each: every pair of one speaker above every pair of two."""
    encoder, embeddings, speakers = SpeakerEncoder(), [], []
    for speaker in ("p225", "p226", "p227", "p228"):
        for path in sorted((shared_data / "vctk").glob(f"{speaker}_*.wav"))[:3]:
            embeddings.append(encoder.embed(*soundfile.read(path, dtype="float32")))
            speakers.append(speaker)
    similarity = np.array([[speaker_similarity(a, b) for b in embeddings] for a in embeddings])
    same = np.array(speakers)[:, None] == np.array(speakers)
    others = similarity[~same]
    assert similarity[same & ~np.eye(len(same), dtype=bool)].min() > others.max()
    assert others.mean() < 0.75


def test_window_starts_by_hand():
    """160 frames of 10 ms, 77 apart; a last window less than three quarters sound goes."""
    starts = speaker_identity._window_starts
    assert list(starts(100)) == [0]
    assert list(starts(25_600)) == [0]
    assert list(starts(160 * (77 + 120))) == [0, 77]  # 120 of the second window's 160 frames
    assert list(starts(160 * (77 + 119))) == [0]


def test_lstm_by_its_equations(rng):
    """One step at a time, each gate from its own block of the weights, with the textbook sigmoid."""
    n, n_in, n_hidden = 3, 5, speaker_identity.N_HIDDEN
    x = rng.normal(size=(2, n, n_in))
    weight_ih, weight_hh = rng.normal(0, 0.1, (4 * n_hidden, n_in)), rng.normal(0, 0.1, (4 * n_hidden, n_hidden))
    bias_ih, bias_hh = rng.normal(size=(2, 4 * n_hidden))

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    h = c = np.zeros((2, n_hidden))
    for t in range(n):
        gates = x[:, t] @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh
        i, f, g, o = (gates[:, k * n_hidden : (k + 1) * n_hidden] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    found = speaker_identity._lstm(x, weight_ih, weight_hh, bias_ih, bias_hh)
    assert found[:, -1] == pytest.approx(h, abs=1e-5)  # the layer's states are float32


def test_similarity_is_the_cosine():
    assert speaker_similarity(np.array([3.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(np.sqrt(0.5))
    assert unit(np.array([3.0, 4.0])) == pytest.approx([0.6, 0.8])


@pytest.mark.skipif(speaker_identity.available(), reason="the encoder is installed")
def test_without_the_extra_the_message_says_what_to_install():
    with pytest.raises(BundleError, match=r"pip install avsc_tf\[identity\]"):
        SpeakerEncoder()
