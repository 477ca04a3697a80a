"""What a file tells of where it comes from: credentials, and marks in its sound and in its picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from avsc_tf.core.errors import MediaError
from avsc_tf.media.colours import RgbConverter
from avsc_tf.media.container import decode_stream, first_stream, has_picture, has_sound, open_container
from avsc_tf.media.sound import sound_blocks
from avsc_tf.provenance.code import PUBLIC_KEY, Detection, payload_of
from avsc_tf.provenance.credentials import Credentials, read_credentials
from avsc_tf.provenance.picture_search import PictureSearch
from avsc_tf.provenance.sound_mark import DETECTION_RATE_HZ, detect_sound

EXIT_FOUND, EXIT_NOTHING, EXIT_CONTRADICTION = 0, 1, 3
MAX_SECONDS = 600  # of a file that are looked at
DAMAGED = ("tampered", "unreadable")


@dataclass(frozen=True)
class Finding:
    """Of one file; `sound` and `picture` are None where it has none, or none that lasts."""

    path: Path
    credentials: Credentials
    sound: Detection | None
    picture: Detection | None

    @property
    def contradictions(self) -> list[str]:
        """Why what was found does not fit together."""
        found = []
        if self.credentials.state in DAMAGED:
            found.append(f"the credentials are {self.credentials.state}: the file was changed after it was signed")
        marks = [mark for mark in (self.sound, self.picture) if mark is not None and mark.found]
        if len(marks) == 2 and not self._marks_agree():
            found.append("sound and picture are marked by different bundles")
        bundle = self.credentials.conversion.get("bundle")
        if isinstance(bundle, str) and not all(mark.is_of(payload_of(bundle)) for mark in marks):
            found.append("a mark is of another bundle than the credentials name")
        return found

    def _marks_agree(self) -> bool:
        assert self.sound is not None and self.picture is not None
        return self.picture.payload == self.sound.payload >> self.sound.bits - self.picture.bits

    @property
    def exit_code(self) -> int:
        """`EXIT_CONTRADICTION`, `EXIT_FOUND` or `EXIT_NOTHING`."""
        if self.contradictions:
            return EXIT_CONTRADICTION
        marked = any(d is not None and d.found for d in (self.sound, self.picture))
        return EXIT_FOUND if marked or self.credentials.state != "absent" else EXIT_NOTHING

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "file": str(self.path),
            "credentials": dataclasses.asdict(self.credentials),
            "sound_mark": None if self.sound is None else dataclasses.asdict(self.sound),
            "picture_mark": None if self.picture is None else dataclasses.asdict(self.picture),
            "contradictions": self.contradictions,
        }


def verify(path: Path, *, trusted: str = "", key: str = PUBLIC_KEY) -> Finding:
    """Look for everything there may be in a file with sound, picture or both.

    Args:
        trusted: certificates (PEM) of roots whose signers are to be trusted.
        key: of the marks.

    Raises:
        MediaError: missing, or neither sound nor picture can be decoded.
    """
    picture = detect_in_picture(path, key=key) if has_picture(path) else None
    sound = detect_in_sound(path, key=key) if has_sound(path) else None
    if picture is None and sound is None:
        raise MediaError(f"{path}: holds neither sound nor picture. Name a recording.")
    return Finding(path, read_credentials(path, trusted=trusted), sound, picture)


def detect_in_sound(path: Path, *, key: str = PUBLIC_KEY) -> Detection | None:
    """The mark in the first ten minutes of sound; None where no sample is heard."""
    parts: list[np.ndarray] = []
    resampler, rate_hz, n_samples = None, DETECTION_RATE_HZ, 0
    for block in sound_blocks(path):
        if resampler is None and block.rate_hz > DETECTION_RATE_HZ:
            resampler = soxr.ResampleStream(block.rate_hz, DETECTION_RATE_HZ, 1, dtype="float32", quality="HQ")
        elif resampler is None:
            rate_hz = block.rate_hz
        samples = np.nan_to_num(block.samples)
        parts.append(resampler.resample_chunk(samples) if resampler else samples)
        n_samples += len(parts[-1])
        if n_samples > MAX_SECONDS * rate_hz:
            break
    if resampler is not None:
        parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    waveform = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return detect_sound(waveform, sample_rate_hz=rate_hz, key=key) if len(waveform) else None


def detect_in_picture(path: Path, *, key: str = PUBLIC_KEY) -> Detection | None:
    """The mark in the first ten minutes of picture; None where no frame is shown."""
    search, seconds = PictureSearch(), None
    for frame, seconds in _frames(path):
        search.add(frame, seconds)
    return None if seconds is None else search.detect(seconds=seconds, key=key)


def _frames(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Decoded frames as they are stored, and the seconds since the first one's beginning."""
    with open_container(path) as container:
        stream = first_stream(container, "video", path)
        rate, converter = float(stream.average_rate or 25), RgbConverter(stream.codec_context, path)
        for number, frame in enumerate(decode_stream(container, stream, path)):
            seconds = number / rate
            if seconds > MAX_SECONDS:
                return
            yield converter(frame), seconds
