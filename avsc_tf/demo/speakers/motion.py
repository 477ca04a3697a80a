"""What moves when: lips that follow the phones, blinks, and a head that is never quite still."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avsc_tf.demo.speakers.face import FacePose
from avsc_tf.demo.speakers.looks import Expression
from avsc_tf.demo.speakers.phones import ARTICULATIONS, TimedPhone
from avsc_tf.demo.speakers.prosody import smooth

Array = NDArray[np.float64]

GRID_S = 0.005
COARTICULATION_S = 0.125  # Hann window over which neighbouring phones share the lips; symmetric, so no lag
BLINK_PERIOD_S = 3.1
BLINK_HALF_S = 0.10

# Head motion: (frequency in Hz, amplitude) of slow sines. Small, because it is independent between takes
# and would drown what a keypoint error should measure.
SWAY: dict[str, tuple[tuple[float, float], ...]] = {
    "yaw": ((0.31, 0.16), (0.73, 0.06)),
    "pitch": ((0.43, 0.10), (1.10, 0.04)),
    "roll_degrees": ((0.27, 0.9),),
    "shift_x": ((0.23, 2.2),),
    "shift_y": ((0.37, 1.4),),
}


def mouth_track(phones: list[TimedPhone], times_s: Array, *, opening_scale: float = 1.0) -> tuple[Array, Array]:
    """Mouth opening and width at `times_s`, both [times].

    Each phone asks for a mouth and insists on it with its strength; what is seen is the weighted mean over
    `COARTICULATION_S`, so that shut lips of m, b, p stay shut and weak consonants give way to vowels.
    """
    grid_s = (np.arange(int(np.ceil(phones[-1].end_s / GRID_S))) + 0.5) * GRID_S
    ends_s = [phone.end_s for phone in phones]
    index = np.clip(np.searchsorted(ends_s, grid_s, side="right"), 0, len(phones) - 1)
    mouths = [ARTICULATIONS[phone.symbol].mouth for phone in phones]
    strength = np.array([m.strength for m in mouths])[index]
    wanted = np.array([[m.opening * (opening_scale if m.opening > 0 else 1.0), m.width] for m in mouths])[index]
    total = smooth(strength[:, None] * np.c_[wanted, np.ones(len(grid_s))], grid_s, window_s=COARTICULATION_S)
    shape = total[:, :2] / total[:, 2:]
    return np.interp(times_s, grid_s, shape[:, 0]), np.interp(times_s, grid_s, shape[:, 1])


def face_poses(
    phones: list[TimedPhone], expression: Expression, *, n_frames: int, fps: float, rng: np.random.Generator
) -> list[FacePose]:
    """A pose for each video frame, taken at the frame's centre, (i + 0.5) / fps seconds."""
    times_s = (np.arange(n_frames) + 0.5) / fps
    opening, width = mouth_track(phones, times_s, opening_scale=expression.mouth_scale)
    tracks = {name: _sway(times_s, sines, rng) for name, sines in SWAY.items()}
    tracks |= {"mouth_opening": opening, "mouth_width": width, "blink": _blinks(times_s, rng)}
    return [FacePose(**{name: float(track[i]) for name, track in tracks.items()}) for i in range(n_frames)]


def _sway(times_s: Array, sines: tuple[tuple[float, float], ...], rng: np.random.Generator) -> Array:
    track = np.zeros_like(times_s)
    for frequency_hz, amplitude in sines:
        track += amplitude * np.sin(2 * np.pi * (frequency_hz * times_s + rng.random()))
    return track


def _blinks(times_s: Array, rng: np.random.Generator) -> Array:
    """1 at the middle of a blink, 0 between blinks."""
    centres_s = rng.uniform(0.3, 2.0) + np.cumsum(rng.uniform(0.7, 1.3, 40) * BLINK_PERIOD_S) - BLINK_PERIOD_S
    distance_s = np.abs(times_s[:, None] - centres_s[None, :]).min(axis=1)
    return np.clip(1.0 - distance_s / BLINK_HALF_S, 0.0, 1.0)
