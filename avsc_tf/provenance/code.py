"""What both marks share: symbols of eight bits, random numbers drawn from a key, and a bound on chance.

A bundle's payload is two symbols; sound carries both, and pictures, which hold less, the first. Each symbol picks one
of 256 rows of random signs (or phases); a detector takes the likeliest row of each.
It reports the probability that content which does not depend on the key correlates this well with ANY of the code words
at ANY of the places it looked at: a sum of independent random signs, or of cosines of independent random phases,
exceeds z of its deviations with probability at most exp(-z^2 / 2) (Hoeffding 1963), times the number of hypotheses.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PUBLIC_KEY = "avsc_tf public watermark 1"  # known to everybody, so that anybody can look for the mark
SYMBOL_BITS = 8
N_VALUES = 1 << SYMBOL_BITS
N_SYMBOLS = 2
PAYLOAD_BITS = N_SYMBOLS * SYMBOL_BITS
MAX_FALSE_ALARM = 1e-6  # of one stream of one file, all hypotheses counted
N_STAGES = 2  # a detector looks where a mark usually is, then everywhere: each takes half of the false alarms


@dataclass(frozen=True)
class Detection:
    """What a detector found in one stream.

    Attributes:
        found: whether `false_alarm` is at most `MAX_FALSE_ALARM`.
        payload: the likeliest payload, or its first `bits`; of meaning only where found.
        bits: how many bits of it the stream carries.
        score: correlation in deviations of chance, at the best place.
        false_alarm: bound on the probability that unmarked content scores as high, all hypotheses counted.
        seconds: of sound or picture that was looked at.
        place: where in time, speed or crop the mark fitted best; "" where it usually is.
    """

    found: bool
    payload: int
    bits: int
    score: float
    false_alarm: float
    seconds: float
    place: str = ""

    def is_of(self, payload: int) -> bool:
        """Whether it was found and is that of a bundle, as far as it can tell."""
        return self.found and self.payload == payload >> PAYLOAD_BITS - self.bits


@dataclass(frozen=True)
class Match:
    """The best score among all payloads at some places, and the symbols of that payload."""

    score: float
    symbols: tuple[int, ...] = ()
    place: str = ""


def verdict(best: Match, *, n_symbols: int, n_places: int, seconds: float) -> Detection:
    """Whether chance explains the best score that was found at `n_places` places."""
    bits = n_symbols * SYMBOL_BITS
    exponent = bits * math.log(2) + math.log(N_STAGES * max(1, n_places)) - max(0.0, best.score) ** 2 / 2
    chance = math.exp(min(0.0, max(exponent, -600.0)))
    payload = payload_from(best.symbols)
    return Detection(chance <= MAX_FALSE_ALARM, payload, bits, best.score, chance, seconds, best.place)


def best_of(matches: Sequence[Match]) -> Match:
    """The one of the highest score."""
    return max(matches, key=lambda match: match.score, default=Match(0.0))


def payload_of(digest: str) -> int:
    """The payload that stands for a bundle: the first 16 bits of the SHA-256 of its digest (any text)."""
    return int.from_bytes(hashlib.sha256(digest.encode()).digest()[: PAYLOAD_BITS // 8], "big")


def symbols_of(payload: int) -> list[int]:
    """The symbols of a payload, 0 to 255, high first. Raises ValueError outside of 16 bits."""
    if not 0 <= payload < 1 << PAYLOAD_BITS:
        raise ValueError(f"a payload has {PAYLOAD_BITS} bits, not {payload}")
    return list(payload.to_bytes(N_SYMBOLS, "big"))


def payload_from(symbols: Sequence[int]) -> int:
    """The inverse of `symbols_of`."""
    return int.from_bytes(bytes(symbols), "big")


def generator(key: str, purpose: str) -> np.random.Generator:
    """Random numbers that follow from the key alone, other ones for each purpose."""
    seed = int.from_bytes(hashlib.sha256(f"{purpose}\0{key}".encode()).digest(), "big")
    return np.random.Generator(np.random.PCG64(seed))


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Independent signs, +1 or -1."""
    return (2 * rng.integers(0, 2, shape) - 1).astype(np.float32)
