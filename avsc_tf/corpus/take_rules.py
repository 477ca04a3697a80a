"""What may be wrong with one take, in words: its face, its sound, its synchronisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from avsc_tf.core.config import DoctorConfig

if TYPE_CHECKING:
    from avsc_tf.corpus.doctor import ClipCheck

Level = Literal["ok", "look", "record_again"]
LEVELS: tuple[Level, ...] = ("ok", "look", "record_again")  # the last is the worst


@dataclass(frozen=True)
class Reason:
    """One finding: what is wrong with whose take, and what to do about it."""

    rule: str
    level: Level
    speaker: str  # "source", "target", or "" where both or either
    finding: str
    remedy: str  # "" where the finding is an error's message, which ends with its own

    @property
    def text(self) -> str:
        """One line, beginning with the speaker where there is one."""
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.speaker + ': ' if self.speaker else ''}{self.finding}{remedy}"


def take_reasons(clip: ClipCheck, doctor: DoctorConfig, *, usual_loudness_lufs: float | None) -> list[Reason]:
    """Everything that speaks against a take; measures that are None are passed over.

    Args:
        usual_loudness_lufs: the speaker's median, or None where there are too few clips to know.
    """
    if clip.error is not None:
        return [Reason("left_out", "record_again", clip.speaker, f"left out. {clip.error}", "")]
    found = [
        *_face(clip, doctor),
        *_crop(clip, doctor),
        *_level(clip, doctor, usual_loudness_lufs),
        *_noise(clip, doctor),
        *_edges(clip, doctor),
        *_sync(clip, doctor),
        *(("note", "ok", note, "") for note in clip.notes),
    ]
    return [Reason(rule, level, clip.speaker, finding, remedy) for rule, level, finding, remedy in found]


_Found = Iterator[tuple[str, Level, str, str]]


def _face(clip: ClipCheck, doctor: DoctorConfig) -> _Found:
    gaps = clip.gaps or ()
    times = ", ".join(f"{begin:.2f}\N{EN DASH}{end:.2f} s" for begin, end in gaps[:4]) + (" …" if len(gaps) > 4 else "")
    share = clip.face_share if clip.face_share is not None else 1.0
    finding = f"face lost{times and ' '}{times} ({_percent(share)} of frames show one)"
    longest = max((end - begin for begin, end in gaps), default=0.0)
    if share < doctor.record_face_share or longest > doctor.record_gap_seconds + 1e-6:
        yield (
            "face",
            "record_again",
            finding,
            "record again, hands off the face",
        )
    elif share < doctor.look_face_share:
        yield (
            "face",
            "look",
            finding,
            "look whether the filled frames are right",
        )
    if (clip.n_faces or 1) > 1:
        yield "faces", "look", f"{clip.n_faces} faces in the picture", "check that the crop follows the speaker"


def _crop(clip: ClipCheck, doctor: DoctorConfig) -> _Found:
    if clip.crop_centres is None or clip.crop_side is None or len(clip.crop_centres) == 0:
        return
    centres, side = np.asarray(clip.crop_centres, float), float(clip.crop_side)
    if side < doctor.min_crop_px:
        yield (
            "small_face",
            "look",
            f"the crop is only {side:.0f} pixels wide",
            f"go nearer or use a larger picture ({doctor.min_crop_px:.0f} pixels)",
        )
    if clip.frame_size is not None:
        beyond = np.maximum(side / 2 - centres, centres + side / 2 - np.asarray(clip.frame_size, float))
        # A picture smaller than the crop cannot hold it; only what leaves on one side more than that must counts.
        needed = np.maximum(0, side - np.asarray(clip.frame_size, float)) / 2
        outside = float((beyond - needed).max()) / side
        if outside > doctor.look_outside_share:
            yield (
                "edge",
                "look",
                f"{_percent(outside)} of the crop lies outside the picture",
                "move the camera to the face",
            )
    travel = float(np.ptp(centres, axis=0).max()) / side
    if travel > doctor.look_travel_share:
        yield (
            "travel",
            "look",
            f"the head moves by {_percent(travel)} of the crop",
            "check that the crop follows the face",
        )


def _level(clip: ClipCheck, doctor: DoctorConfig, usual_loudness_lufs: float | None) -> _Found:
    sound = clip.sound
    if sound is None:
        return
    share = f"{_percent(sound.clipped_share, '.2g')} of the samples"
    if sound.clipped_share > doctor.record_clipped_share:
        yield "clipping", "record_again", f"sound clipped ({share})", "record again with less gain"
    elif sound.clipped_share > doctor.look_clipped_share:
        yield "clipping", "look", f"sound clipped ({share})", "listen to it; less gain next time"
    lufs = _signed(sound.loudness_lufs)
    if sound.loudness_lufs < doctor.record_loudness_lufs:
        yield "silent", "record_again", f"hardly any sound ({lufs} LUFS)", "check the microphone and record again"
    elif usual_loudness_lufs is not None:
        step = sound.loudness_lufs - usual_loudness_lufs
        if abs(step) > doctor.look_loudness_step_lu:
            word = "louder" if step > 0 else "quieter"
            yield (
                "loudness",
                "look",
                f"{abs(step):.0f} dB {word} than usual ({lufs} LUFS)",
                "check gain and distance to the microphone",
            )


def _noise(clip: ClipCheck, doctor: DoctorConfig) -> _Found:
    sound = clip.sound
    if sound is None or sound.loudness_lufs < doctor.record_loudness_lufs:
        return
    snr = f"speech only {max(0, sound.snr_db):.0f} dB above the pauses"
    if sound.snr_db < doctor.record_snr_db:
        yield "noise", "record_again", snr, "record again in a quieter place"
    elif sound.snr_db < doctor.look_snr_db:
        yield "noise", "look", snr, "listen for noise"
    if sound.hum_hz is not None and sound.hum_dbfs is not None and sound.hum_dbfs > doctor.look_hum_dbfs:
        yield (
            "hum",
            "look",
            f"mains hum at {sound.hum_hz:.0f} Hz ({_signed(sound.hum_dbfs)} dBFS)",
            "check cables and power supply",
        )
    if abs(sound.dc_offset) > doctor.look_dc_offset:
        yield "dc", "look", f"DC offset of {_signed(sound.dc_offset, 3)}", "check the sound card"


def _edges(clip: ClipCheck, doctor: DoctorConfig) -> _Found:
    sound = clip.sound
    if sound is None or sound.loudness_lufs < doctor.record_loudness_lufs or sound.snr_db < doctor.record_snr_db:
        return
    for name, seconds in (("start", sound.leading_silence_seconds), ("end", sound.trailing_silence_seconds)):
        if seconds < doctor.min_edge_silence_seconds:
            yield f"cut_{name}", "look", f"no pause at the {name}", "listen whether the sentence is cut off"
        elif seconds > doctor.max_edge_silence_seconds:
            yield f"long_{name}", "look", f"{seconds:.1f} s of silence at the {name}", "trim the clip"


def _sync(clip: ClipCheck, doctor: DoctorConfig) -> _Found:
    if clip.sync_offset_seconds is None:
        return
    if clip.sync_confidence is not None and clip.sync_confidence < doctor.min_sync_confidence:
        yield (
            "sync",
            "record_again",
            f"the separate sound does not match the camera's (confidence {clip.sync_confidence:.2f})",
            "check that both files are of this take, or record again",
        )
    if clip.sync_drift_ppm is not None and abs(clip.sync_drift_ppm) > doctor.max_sync_drift_ppm:
        yield "drift", "look", f"sound drifts by {_signed(clip.sync_drift_ppm)} ppm", "check the recorder's sample rate"


def _signed(value: float, decimals: int = 0) -> str:
    return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _percent(share: float, how: str = ".0f") -> str:
    return f"{100 * share:{how}}\N{NO-BREAK SPACE}%"
