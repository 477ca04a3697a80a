"""How a file's sound is read: where its pieces lie, which channels count and how loud it is, found in one pass.

Every way of reading (whole, a stretch from anywhere, at a low rate) follows the same plan and gives the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from avsc_tf.core.errors import MediaError
from avsc_tf.media.channels import ChannelChoice, ChannelSums
from avsc_tf.media.container import check_track, decode_stream, first_stream, open_container, track_note
from avsc_tf.media.placement import NO_TIMESTAMP, Placement, check_placement, place_pieces
from avsc_tf.media.sound_pieces import Piece, full_scale_one, open_soundfile, pieces_of_frames, pieces_of_soundfile
from avsc_tf.media.video import first_frame_seconds

# Coding and resampling overshoot full scale by a little; what passes it further was recorded in floating point.
_OVERSHOOT = 10 ** (1 / 20)
_SEAM_SECONDS = 0.002  # rounded timestamps of pieces that follow one another stay within 1 ms
_PIECES_TO_SETTLE = 2  # packets until a decoder is right again after a seam
_HEADROOM = 10 ** (-1 / 20)  # sound that is scaled down has this peak, so that resampling does not overshoot again


@dataclass(frozen=True)
class SoundPlan:
    """`picture_start` is on the file's clock; None where there is no picture."""

    rate_hz: int
    end_sample: int  # where the sound ends, on the clock that begins with the first picture
    choices: dict[tuple[str, ...], ChannelChoice]  # by the names of a piece's channels
    peak: float  # of the channels that count
    is_float_pcm: bool
    picture_start: Fraction | None = None
    placement: Placement | None = None  # None: WAV and FLAC, whose samples lie where they are counted
    notes: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """Factor of every sample: sound far above full scale is scaled down as a whole."""
        return _HEADROOM / self.peak if self.peak > _OVERSHOOT else 1.0

    @property
    def recorded_gain(self) -> float:
        """Factor from samples that are read to those that were recorded, but floating point never above full scale."""
        if self.is_float_pcm:
            return 1.0 / self.peak if self.gain == 1.0 and self.peak > 1.0 else 1.0
        return 1.0 / self.gain

    def mono(self, piece: Piece) -> np.ndarray:
        """Mean of the piece's channels that count, float32 [samples]."""
        choice = self.choices.get(piece.names, ChannelChoice(tuple(range(len(piece.names)))))
        samples = piece.samples
        if len(choice.channels) < len(samples):
            samples = samples[list(choice.channels)]
        mono = full_scale_one(samples).mean(axis=0).astype(np.float32)
        return mono if self.gain == 1.0 else mono * np.float32(self.gain)


def sound_plan(path: Path, track: int = 0) -> SoundPlan:
    """The plan of a file's sound, made once as long as the file stays the same.

    Args:
        track: which sound track, counted from 1; 0: the default one.
    Raises:
        MediaError: no such track, no sound, nothing that can be decoded, or timestamps that cannot be right. Damage
            further on is left to whoever reads up to it.
    """
    facts = path.stat()
    plan = _planned(path, facts.st_size, facts.st_mtime_ns, track)
    if isinstance(plan, str):
        raise MediaError(plan)
    return plan


@lru_cache(maxsize=64)
def _planned(path: Path, size_bytes: int, modified_ns: int, track: int) -> SoundPlan | str:
    """The message of the error where there is one, so that a session's cues do not all look for it again."""
    try:
        file = open_soundfile(path)
        if file is None:
            return _plan_of_container(path, track)
        with file:
            check_track(path, 1, track)
            is_float = file.subtype in ("FLOAT", "DOUBLE")
            pass_ = _Pass()
            if is_float or file.channels > 1:
                pass_.follow(pieces_of_soundfile(file, path))
            return replace(pass_.plan(is_float), rate_hz=file.samplerate, end_sample=file.frames)
    except MediaError as error:
        return str(error)


def _plan_of_container(path: Path, track: int) -> SoundPlan:
    picture_start = first_frame_seconds(path)
    pass_ = _Pass()
    with open_container(path) as container:
        stream = first_stream(container, "audio", path, track)
        is_float = stream.codec_context.name.startswith(("pcm_f32", "pcm_f64"))
        notes = track_note(container, stream, track)
        is_coded = not stream.codec_context.name.startswith("pcm_")
        pass_.follow(pieces_of_frames(decode_stream(container, stream, path), path), crackles_at_seams=is_coded)
    if not pass_.lengths:
        raise MediaError(pass_.error or f"{path}: the sound has no samples. Record or export it again.")
    placement = pass_.placement(picture_start)
    check_placement(placement, pass_.lengths, pass_.rate_hz, path)
    plan = pass_.plan(is_float)
    return replace(
        plan,
        end_sample=int(placement.reached[-1]),
        picture_start=picture_start,
        placement=placement,
        notes=(*notes, *plan.notes),
    )


class _Pass:
    """What is gathered while all pieces go by."""

    def __init__(self) -> None:
        self.rate_hz, self.tick_seconds, self.error = 0, Fraction(0), ""
        self.timestamps: list[int | None] = []
        self.lengths: list[int] = []
        self._sums: dict[tuple[str, ...], ChannelSums] = {}

    def follow(self, pieces: Iterable[Piece], *, crackles_at_seams: bool = False) -> None:
        """Take in the pieces up to the end or to the first damage.

        Args:
            crackles_at_seams: a decoder whose state breaks off where pieces do not follow one another may burst there
                far above full scale (Opus does), which is not how loud the sound is.
        """
        n_to_settle, expected = 0, None
        try:
            for piece in pieces:
                seconds = piece.seconds
                if seconds is not None:
                    if expected is not None and abs(seconds - expected) > _SEAM_SECONDS:
                        n_to_settle = _PIECES_TO_SETTLE
                    expected = seconds + Fraction(piece.samples.shape[1], piece.rate_hz)
                self.rate_hz, self.tick_seconds = piece.rate_hz, piece.tick_seconds
                self.timestamps.append(piece.timestamp)
                self.lengths.append(piece.samples.shape[1])
                sums = self._sums.setdefault(piece.names, ChannelSums(piece.names))
                sums.add(full_scale_one(piece.samples), is_loudness=not (crackles_at_seams and n_to_settle))
                n_to_settle = max(0, n_to_settle - 1)
        except MediaError as error:
            self.error = str(error)

    def placement(self, picture_start: Fraction | None) -> Placement:
        start = picture_start
        if start is None:
            start = next((t * self.tick_seconds for t in self.timestamps if t is not None), Fraction(0))
        due = [None if t is None else round((t * self.tick_seconds - start) * self.rate_hz) for t in self.timestamps]
        timestamps = [NO_TIMESTAMP if t is None else t for t in self.timestamps]
        return place_pieces(timestamps, due, self.lengths, rate_hz=self.rate_hz, tick_seconds=self.tick_seconds)

    def plan(self, is_float_pcm: bool) -> SoundPlan:
        choices = {names: sums.choose() for names, sums in self._sums.items()}
        peak = max((float(s.peaks[list(choices[n].channels)].max()) for n, s in self._sums.items()), default=0.0)
        plan = SoundPlan(self.rate_hz, sum(self.lengths), choices, peak, is_float_pcm)
        notes = [choice.note for choice in choices.values() if choice.note]
        if plan.gain != 1.0:
            notes.append(
                f"the sound passes full scale by {20 * math.log10(peak):.1f} dB; all of it is made "
                f"{-20 * math.log10(plan.gain):.1f} dB quieter"
            )
        return replace(plan, notes=tuple(notes))
