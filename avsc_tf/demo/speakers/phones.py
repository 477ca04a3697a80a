"""The phone inventory: what each phone does to the vocal tract, to the noise sources and to the mouth.

One table serves the synthesiser (`speech.py`) and the painted head (`motion.py`), so that sound and
lips can never disagree about what a phone is. Formants are those of a middle-sized vocal tract; a
voice scales them. Vowels after Peterson & Barney (1952), loci after Klatt (1980), rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["vowel", "sonorant", "plosive", "fricative", "pause"]

PAUSE = "_"


@dataclass(frozen=True)
class Mouth:
    """Where a phone wants the lips: opening 0 (shut) to 1 (wide), width -1 (pursed) to 1 (spread)."""

    opening: float
    width: float
    strength: float  # how firmly the phone insists on it against its neighbours


@dataclass(frozen=True)
class Articulation:
    """One phone: formant targets, source amplitudes (0 to 1), noise band, length, mouth."""

    kind: Kind
    formants_hz: tuple[float, float, float]
    seconds: float
    mouth: Mouth
    voicing: float = 0.0
    aspiration: float = 0.0
    frication: float = 0.0
    noise_band: str | None = None  # key of NOISE_BANDS_HZ, for frication and burst
    release_seconds: float = 0.0  # plosives: burst and what follows it
    coarticulation: float = 0.25  # share of the following vowel's formants in the target
    nasal: bool = False


@dataclass(frozen=True)
class Phone:
    """A phone to be spoken. `seconds` overrides the table; `tone` is the wanted pitch, -1 to 1."""

    symbol: str
    seconds: float | None = None
    tone: float = 0.0


@dataclass(frozen=True)
class TimedPhone:
    """A phone that was spoken, with its true times."""

    symbol: str
    start_s: float
    end_s: float


# band edges in Hz and level of the noise sources
NOISE_BANDS_HZ: dict[str, tuple[float, float, float]] = {
    "s": (4800.0, 10500.0, 1.0),
    "sh": (2500.0, 7000.0, 1.0),
    "f": (1200.0, 9000.0, 0.40),
    "th": (1600.0, 8500.0, 0.30),
    "k": (1300.0, 3400.0, 0.80),
    "p": (500.0, 2200.0, 0.60),
    "t": (3200.0, 8500.0, 0.90),
}


def _vowel(f1: float, f2: float, f3: float, opening: float, width: float, *, seconds: float = 0.095) -> Articulation:
    mouth = Mouth(opening, width, 1.0)
    return Articulation("vowel", (f1, f2, f3), seconds, mouth, voicing=1.0, coarticulation=0.0)


def _sonorant(
    formants_hz: tuple[float, float, float],
    seconds: float,
    mouth: Mouth,
    *,
    voicing: float = 0.75,
    coarticulation: float = 0.3,
    nasal: bool = False,
) -> Articulation:
    return Articulation(
        "sonorant",
        formants_hz,
        seconds,
        mouth,
        voicing=voicing,
        coarticulation=coarticulation,
        nasal=nasal,
    )


def _plosive(
    f2: float,
    seconds: float,
    mouth: Mouth,
    *,
    band: str,
    release_seconds: float,
    voicing: float = 0.0,
    aspiration: float = 0.0,
    frication: float = 0.0,
    coarticulation: float = 0.4,
) -> Articulation:
    return Articulation(
        "plosive",
        (300.0, f2, 2600.0),
        seconds,
        mouth,
        voicing=voicing,
        aspiration=aspiration,
        frication=frication,
        noise_band=band,
        release_seconds=release_seconds,
        coarticulation=coarticulation,
    )


def _fricative(
    formants_hz: tuple[float, float, float],
    seconds: float,
    mouth: Mouth,
    *,
    band: str,
    frication: float,
    voicing: float = 0.0,
    aspiration: float = 0.0,
    coarticulation: float = 0.25,
) -> Articulation:
    return Articulation(
        "fricative",
        formants_hz,
        seconds,
        mouth,
        voicing=voicing,
        aspiration=aspiration,
        frication=frication,
        noise_band=band,
        coarticulation=coarticulation,
    )


_LIPS_SHUT = Mouth(-0.05, 0.0, 3.0)
_TEETH_CLOSE = Mouth(0.14, 0.25, 0.9)
_POUT = Mouth(0.20, -0.35, 0.9)
_TONGUE = Mouth(0.24, 0.10, 0.5)
_LIP_TO_TEETH = Mouth(0.07, 0.05, 1.6)
_ROUND = Mouth(0.20, -0.60, 1.2)

ARTICULATIONS: dict[str, Articulation] = {
    PAUSE: Articulation("pause", (500.0, 1500.0, 2550.0), 0.28, Mouth(0.02, 0.0, 0.6)),
    # the five vowels of Japanese
    "a": _vowel(800, 1300, 2650, 1.00, 0.10),
    "i": _vowel(320, 2450, 3150, 0.32, 0.55, seconds=0.085),
    "u": _vowel(370, 1350, 2500, 0.25, -0.55, seconds=0.085),
    "e": _vowel(520, 2050, 2750, 0.60, 0.40),
    "o": _vowel(500, 900, 2600, 0.55, -0.60),
    # vowels of English; diphthongs are pairs of these
    "iy": _vowel(310, 2500, 3100, 0.30, 0.60, seconds=0.12),
    "ih": _vowel(410, 2200, 2850, 0.38, 0.35, seconds=0.075),
    "eh": _vowel(580, 2050, 2780, 0.60, 0.30, seconds=0.10),
    "ae": _vowel(780, 1850, 2650, 0.85, 0.35, seconds=0.12),
    "aa": _vowel(790, 1180, 2600, 1.00, 0.05, seconds=0.11),
    "ao": _vowel(560, 880, 2500, 0.70, -0.50, seconds=0.12),
    "uh": _vowel(440, 1080, 2500, 0.35, -0.45, seconds=0.075),
    "uw": _vowel(340, 1000, 2450, 0.24, -0.75, seconds=0.13),
    "ah": _vowel(690, 1320, 2600, 0.70, 0.00, seconds=0.09),
    "ax": _vowel(520, 1500, 2550, 0.40, 0.00, seconds=0.06),
    "er": _vowel(480, 1480, 1900, 0.42, -0.25, seconds=0.12),
    # nasals, liquids, glides
    "m": _sonorant((280, 1100, 2400), 0.065, _LIPS_SHUT, coarticulation=0.4, nasal=True),
    "n": _sonorant((280, 1700, 2600), 0.060, _TONGUE, nasal=True),
    "N": _sonorant((290, 1400, 2500), 0.090, Mouth(0.12, 0.0, 0.6), coarticulation=0.2, nasal=True),
    "r": _sonorant((380, 1500, 2400), 0.035, _TONGUE),
    "rr": _sonorant((330, 1150, 1600), 0.070, Mouth(0.25, -0.45, 1.0), voicing=0.85),
    "l": _sonorant((370, 1150, 2750), 0.065, _TONGUE, voicing=0.85),
    "y": _sonorant((300, 2300, 3000), 0.055, Mouth(0.28, 0.50, 0.7), voicing=0.9, coarticulation=0),
    "w": _sonorant((330, 800, 2300), 0.060, _ROUND, voicing=0.85, coarticulation=0.1),
    # plosives and affricates
    "p": _plosive(1000, 0.085, _LIPS_SHUT, band="p", release_seconds=0.030, aspiration=0.35),
    "t": _plosive(1750, 0.080, _TONGUE, band="t", release_seconds=0.030, aspiration=0.30),
    "k": _plosive(1700, 0.085, _TONGUE, band="k", release_seconds=0.035, aspiration=0.32, coarticulation=0.6),
    "b": _plosive(1000, 0.060, _LIPS_SHUT, band="p", release_seconds=0.008, voicing=0.45),
    "d": _plosive(1750, 0.055, _TONGUE, band="t", release_seconds=0.010, voicing=0.45),
    "g": _plosive(1700, 0.062, _TONGUE, band="k", release_seconds=0.014, voicing=0.45, coarticulation=0.6),
    "ts": _plosive(1500, 0.105, _TEETH_CLOSE, band="s", release_seconds=0.065, frication=0.45),
    "ch": _plosive(2000, 0.110, _POUT, band="sh", release_seconds=0.070, frication=0.50),
    "j": _plosive(2000, 0.080, _POUT, band="sh", release_seconds=0.045, frication=0.28, voicing=0.45),
    "q": Articulation("plosive", (350, 1500, 2500), 0.095, Mouth(0.10, 0.0, 0.4)),
    # fricatives
    "s": _fricative((350, 1500, 2600), 0.095, _TEETH_CLOSE, band="s", frication=0.50),
    "sh": _fricative((320, 2000, 2700), 0.100, _POUT, band="sh", frication=0.55),
    "z": _fricative((300, 1500, 2600), 0.075, _TEETH_CLOSE, band="s", frication=0.26, voicing=0.45),
    "f": _fricative((350, 1200, 2500), 0.080, _LIP_TO_TEETH, band="f", frication=0.45),
    "fu": _fricative((350, 1200, 2500), 0.070, Mouth(0.12, -0.4, 1.2), band="f", frication=0.35, aspiration=0.2),
    "v": _fricative((320, 1200, 2500), 0.060, _LIP_TO_TEETH, band="f", frication=0.2, voicing=0.5),
    "th": _fricative((350, 1450, 2600), 0.085, _TONGUE, band="th", frication=0.45),
    "dh": _fricative((310, 1450, 2600), 0.055, _TONGUE, band="th", frication=0.2, voicing=0.55),
    "h": _fricative(
        (500, 1500, 2600),
        0.065,
        Mouth(0.35, 0.0, 0.2),
        band="f",
        frication=0.04,
        aspiration=0.45,
        coarticulation=1.0,
    ),
}
