"""Sound in blocks from any place of a file, so that an hour's recording is never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avsc_tf.media.container import decode_from, decode_stream, first_stream, open_container, require_file
from avsc_tf.media.sound_pieces import Piece, open_soundfile, pieces_of_frames, pieces_of_soundfile
from avsc_tf.media.sound_plan import SoundPlan, sound_plan

_PREROLL_SECONDS = Fraction(1, 2)  # a lossy codec entered in the middle is right again after a few packets


class SoundBlock(NamedTuple):
    """Mono sound; sample 0 of the file's clock belongs to its first picture, or is its own first without a picture."""

    rate_hz: int
    first_sample: int  # may be negative: sound before the first picture
    samples: np.ndarray  # float32, full scale 1


def sound_notes(path: Path, *, track: int = 0) -> tuple[str, ...]:
    """What a user should know of the sound that is read from a file: a phrase for each choice made.

    Raises:
        MediaError: as `sound_blocks`.
    """
    path = Path(path)
    require_file(path)
    return sound_plan(path, track).notes


def sound_blocks(path: Path, *, start_seconds: Fraction = Fraction(0), track: int = 0) -> Iterator[SoundBlock]:
    """Blocks in order of time, of one rate, without gaps; the first begins at or before `start_seconds` if it can.

    Sound lies where its timestamps place it (see `placement`): lost sound is silence, of overlapping sound the earlier
    is kept. Several channels are mixed to one as `channels` describes, and sound far above full scale is scaled down.

    Args:
        track: which sound track, counted from 1; 0: the default one.
    Raises:
        MediaError: missing, without sound, truncated or damaged file, no such track, timestamps that cannot be right.
    """
    path = Path(path)
    require_file(path)
    plan = sound_plan(path, track)
    file = open_soundfile(path)
    if file is None:
        yield from _container_blocks(path, plan, start_seconds, track)
        return
    with file:
        first = min(max(0, int(start_seconds * file.samplerate)), file.frames)
        for piece in pieces_of_soundfile(file, path, first):
            yield SoundBlock(piece.rate_hz, piece.timestamp or 0, plan.mono(piece))


def _container_blocks(path: Path, plan: SoundPlan, start_seconds: Fraction, track: int) -> Iterator[SoundBlock]:
    if plan.picture_start is not None and start_seconds > 2 * _PREROLL_SECONDS:
        with open_container(path) as container:
            stream = first_stream(container, "audio", path, track)
            frames = decode_from(container, stream, path, plan.picture_start + start_seconds - _PREROLL_SECONDS)
            pieces = iter(()) if frames is None else pieces_of_frames(frames, path)
            entered = _enter(pieces, plan, int(start_seconds * plan.rate_hz))
            if entered is not None:
                number, piece = entered
                yield from _laid(piece, pieces, plan, number)
                return
    with open_container(path) as container:
        stream = first_stream(container, "audio", path, track)
        pieces = pieces_of_frames(decode_stream(container, stream, path), path)
        first = next(pieces, None)
        if first is not None:
            yield from _laid(first, pieces, plan, 0)


def _enter(pieces: Iterator[Piece], plan: SoundPlan, start_sample: int) -> tuple[int, Piece] | None:
    """The first piece whose number is certain, where it lies at or before the start."""
    assert plan.placement is not None
    for piece in pieces:
        number = plan.placement.number_of(piece.timestamp)
        if number is not None:
            return (number, piece) if plan.placement.firsts[number] <= start_sample else None
    return None


def _laid(first: Piece, rest: Iterator[Piece], plan: SoundPlan, number: int) -> Iterator[SoundBlock]:
    """Blocks of the pieces from a number on, each where the plan places it."""
    placement, rate_hz = plan.placement, plan.rate_hz
    assert placement is not None
    position = int(placement.reached[number])
    piece: Piece | None = first
    while piece is not None:
        due = int(placement.firsts[number]) if number < len(placement) else position
        for begin in range(position, due, rate_hz):  # a second at a time
            yield SoundBlock(rate_hz, begin, np.zeros(min(rate_hz, due - begin), np.float32))
        position = max(position, due)
        samples = plan.mono(piece)[position - due :]
        if len(samples):
            yield SoundBlock(rate_hz, position, samples)
        position += len(samples)
        number, piece = number + 1, next(rest, None)
