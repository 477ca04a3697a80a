"""How a decoded picture is turned and mirrored to be shown: the display matrix of the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_EXACT_DEGREES = 0.5  # rounded matrices of quarter turns stay below it


@dataclass(frozen=True)
class Orientation:
    """Mirrored left to right first if at all, then turned counterclockwise, as numpy.rot90 turns."""

    quarter_turns: int = 0  # 0 to 3
    is_mirrored: bool = False
    asked_degrees: float = 0.0  # the turn that the file asks for, counterclockwise, -180 to 180

    @property
    def is_upright(self) -> bool:
        """Whether the picture is shown as it is stored."""
        return not self.quarter_turns and not self.is_mirrored

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown."""
        return (height, width) if self.quarter_turns % 2 else (width, height)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The picture as shown: [height, width, ...], contiguous."""
        image = image[:, ::-1] if self.is_mirrored else image
        return np.ascontiguousarray(np.rot90(image, self.quarter_turns))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not just a quarter turn."""
        notes = ["mirrored picture shown as its display matrix asks"] if self.is_mirrored else []
        error = (self.asked_degrees - 90 * self.quarter_turns + 180) % 360 - 180
        if abs(error) > _EXACT_DEGREES:
            sense = "counterclockwise" if self.asked_degrees > 0 else "clockwise"
            asked = f"picture rotated by {abs(self.asked_degrees):.0f} degrees {sense}"
            notes.append(f"{asked}: taken at the nearest quarter turn")
        return tuple(notes)


_UPRIGHT = Orientation()


def orientation_of(frame: Any, before: Orientation = _UPRIGHT) -> Orientation:
    """Orientation of a decoded frame, at the nearest quarter turn.

    Args:
        before: of the frame before it, which lasts where this one bears no display matrix: in the bit stream of H.264
            and HEVC only key frames do.

    The matrix (nine int32: a b u c d v x y w, 16.16 fixed point) moves a stored point (p right, q down) to
    (a p + c q, b p + d q).
    """
    try:
        words = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32)
        a, b, c, d = (float(words[i]) for i in (0, 1, 3, 4))
    except KeyError:
        return before
    except ValueError:  # side data beside it of a kind that PyAV has no name for
        return Orientation(round(frame.rotation / 90) % 4, False, frame.rotation)
    determinant = a * d - b * c
    if determinant == 0:
        return Orientation()
    is_mirrored = determinant < 0
    if is_mirrored:
        a, b = -a, -b
    degrees = math.degrees(math.atan2(c - b, a + d))
    return Orientation(round(degrees / 90) % 4, is_mirrored, degrees)
