from __future__ import annotations

import math

import numpy as np
import pytest

from avsc_tf.provenance import code
from avsc_tf.provenance.code import Match, payload_from, payload_of, symbols_of, verdict


@pytest.mark.parametrize("payload", [0, 1, 0x00FF, 0xFF00, 0xFFFF, 0x1234])
def test_symbols_are_the_bytes_of_a_payload(payload) -> None:
    assert symbols_of(payload) == [payload >> 8, payload & 255]
    assert payload_from(symbols_of(payload)) == payload


@pytest.mark.parametrize("payload", [-1, 1 << 16])
def test_other_payloads_are_refused(payload) -> None:
    with pytest.raises(ValueError, match="16 bits"):
        symbols_of(payload)


def test_payload_of_a_digest_is_the_beginning_of_its_sha256() -> None:
    assert payload_of("abc") == 0xBA78  # FIPS 180-2, appendix B.1: SHA-256 of "abc" is ba7816bf...


def test_the_bound_counts_payloads_places_and_stages() -> None:
    found = verdict(Match(7.5, (0, 5)), n_symbols=2, n_places=120, seconds=3.0)
    assert found.false_alarm == pytest.approx(2**16 * 120 * 2 * math.exp(-28.125), rel=1e-9)  # 1e-5
    assert not found.found and found.payload == 5 and found.bits == 16
    assert verdict(Match(6.4, (5,)), n_symbols=1, n_places=1, seconds=3.0).found  # half the payload, a lower hurdle
    assert verdict(Match(8.5, (1, 2)), n_symbols=2, n_places=1, seconds=3.0).found
    assert verdict(Match(0.0), n_symbols=2, n_places=0, seconds=0.0).false_alarm == 1.0
    assert verdict(Match(1e3), n_symbols=1, n_places=1, seconds=1.0).false_alarm > 0  # no underflow to "impossible"


def test_the_bound_holds_for_random_signs_and_phases(rng) -> None:
    """Hoeffding's bound, by simulation: weights as uneven as those of real spectra."""
    weights = rng.exponential(size=(1, 60)) ** 2
    deviation = np.sqrt((weights**2).sum())
    signs = code.signs(rng, (200_000, 60))
    cosines = np.cos(2 * np.pi * rng.random((200_000, 60)))
    for sums in ((signs * weights).sum(axis=1) / deviation, (cosines * weights).sum(axis=1) / deviation * np.sqrt(2)):
        for z in (2.0, 3.0, 3.5):
            assert np.mean(sums > z) <= math.exp(-(z**2) / 2)


def test_a_key_gives_the_same_numbers_everywhere() -> None:
    """A file of today must be recognised by tomorrow's version: the generator's stream is part of the format."""
    assert code.generator(code.PUBLIC_KEY, "sound").integers(0, 1 << 16, 4).tolist() == FIRST_OF_PUBLIC_KEY
    assert code.generator("other", "sound").integers(0, 1 << 16, 4).tolist() != FIRST_OF_PUBLIC_KEY


FIRST_OF_PUBLIC_KEY = [27458, 30806, 52332, 7301]


def test_a_stream_of_fewer_bits_is_compared_by_those() -> None:
    first = verdict(Match(9.0, (0x12,)), n_symbols=1, n_places=1, seconds=1.0)
    assert first.is_of(0x1234) and first.is_of(0x12FF) and not first.is_of(0x1334)
    assert not verdict(Match(1.0, (0x12,)), n_symbols=1, n_places=1, seconds=1.0).is_of(0x1234)  # not found
