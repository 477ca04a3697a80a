"""Where the pieces of a sound lie: by their timestamps, as far as these mean it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.ndimage import median_filter

from avsc_tf.core.errors import MediaError

# Timestamps are rounded (Matroska and FLV: 1 ms), and some recorders' jitter; a piece whose timestamp lies this near
# to the end of the one before it follows it without a seam. Deviations add up, so sound is never further off.
TOLERANCE_SECONDS = 0.005
_MEDIAN_PIECES = 5  # one or two timestamps that stand out from their neighbours move nothing
_FREE_SILENCE_SECONDS = 60  # silence that timestamps may claim of any sound
_SILENCE_SHARE = 10  # and beyond, times the sound that is there
_FAR = 2**52  # samples: beyond any file, and small enough for sums of int64


@dataclass(frozen=True)
class Placement:
    """Sample numbers on the file's clock, per piece [n], int64."""

    timestamps: np.ndarray  # in the stream's own ticks; -2**63 where a piece has none
    firsts: np.ndarray  # where each piece belongs
    reached: np.ndarray  # where the sound before it ends: what lies before that is left out of a piece

    def __len__(self) -> int:
        return len(self.firsts)

    def number_of(self, timestamp: int | None) -> int | None:
        """Which piece bears this timestamp; None where none does, or several."""
        if timestamp is None:
            return None
        found = np.flatnonzero(self.timestamps == timestamp)
        return int(found[0]) if len(found) == 1 else None


NO_TIMESTAMP = -(2**63)


def place_pieces(
    timestamps: list[int], due: list[int | None], lengths: list[int], *, rate_hz: int, tick_seconds: Fraction
) -> Placement:
    """Lay pieces of sound one after the other; where their timestamps leave that, the timestamps are followed.

    Lost sound leaves a gap. Of sound that overlaps the earlier is kept, so that what follows lies where it belongs:
    where two AAC files were joined, the later one's first piece is the encoder's priming and no sound.

    Args:
        timestamps: in the stream's ticks, `NO_TIMESTAMP` where there is none.
        due: the same as sample numbers on the file's clock.
        lengths: samples of each piece.
        tick_seconds: the step of the timestamps.
    """
    counted = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    offsets = _offsets(due, counted[:-1])
    smooth = median_filter(offsets, size=_MEDIAN_PIECES, mode="nearest")
    tolerance = round(max(TOLERANCE_SECONDS, float(tick_seconds)) * rate_hz)
    base = int(offsets[0]) if abs(int(offsets[0]) - int(smooth[0])) <= tolerance else int(smooth[0])
    bases = np.empty_like(offsets)
    for number, offset in enumerate(smooth.tolist()):
        if abs(offset - base) > tolerance:
            base = offset
        bases[number] = base
    firsts = counted[:-1] + bases
    ends = np.maximum.accumulate(firsts + np.asarray(lengths, np.int64))
    return Placement(np.array(timestamps, np.int64), firsts, np.concatenate([firsts[:1], ends]))


def _offsets(due: list[int | None], counted: np.ndarray) -> np.ndarray:
    """Due minus counted samples; a piece without a timestamp has those of its neighbour."""
    found = [None if d is None else min(max(d, -_FAR), _FAR) - c for d, c in zip(due, counted.tolist(), strict=True)]
    last = next((offset for offset in found if offset is not None), 0)
    return np.array([last := last if offset is None else offset for offset in found], np.int64)


def check_placement(placement: Placement, lengths: list[int], rate_hz: int, path: Path) -> None:
    """Refuse sound whose timestamps claim far more silence than the file holds sound, before memory is taken for it.

    Raises:
        MediaError: a lead or gaps out of proportion, or all of the sound before the first picture.
    """
    held = sum(lengths)
    allowed = max(_FREE_SILENCE_SECONDS * rate_hz, _SILENCE_SHARE * held)
    gaps = np.maximum(placement.firsts - placement.reached[:-1], 0)
    lead, widest = int(placement.firsts[0]), int(gaps.argmax())
    found = ""
    if lead > allowed:
        found = f"begins {lead / rate_hz:.0f} s after the first picture"
    elif int(gaps.sum()) > allowed:
        at = placement.reached[widest] / rate_hz
        found = f"is interrupted for {gaps[widest] / rate_hz:.0f} s at {at:.2f} s"
    elif placement.reached[-1] <= 0:
        found = f"ends {-placement.reached[-1] / rate_hz:.0f} s before the first picture"
    if found:
        raise MediaError(
            f"{path}: by its timestamps the sound, {held / rate_hz:.2f} s of it, {found}; they cannot be right. "
            "Export the recording again, or put its sound beside it as NAME.wav."
        )
