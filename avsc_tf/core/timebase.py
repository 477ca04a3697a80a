"""The only owner of time: seconds, video frames, mel frames and samples.

Video frame `i` covers the time [i, i+1) / fps and its centre is at (i + 0.5) / fps. Mel frame `k` is centred on sample
`k * hop_samples`; the frames of video frame `i` are `mel_per_video * i` to `mel_per_video * (i+1) - 1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avsc_tf.core.config import TimeConfig


@dataclass(frozen=True)
class Timebase:
    """Whole-number relations between the rates of a run."""

    video_fps: int
    sample_rate_hz: int
    hop_samples: int

    @classmethod
    def from_config(cls, time: TimeConfig) -> Timebase:
        """Of the settings `time`; `Config.timebase` holds it."""
        return cls(time.video_fps, time.sample_rate_hz, round(time.sample_rate_hz * time.hop_ms / 1000))

    @property
    def samples_per_video_frame(self) -> int:
        return self.sample_rate_hz // self.video_fps

    @property
    def mel_per_video(self) -> int:
        """Mel frames in one video frame (8 in the paper, section 3.1)."""
        return self.samples_per_video_frame // self.hop_samples

    @property
    def mel_fps(self) -> int:
        return self.video_fps * self.mel_per_video

    def video_frames_in(self, n_samples: int) -> int:
        """Whole video frames in `n_samples`."""
        return n_samples // self.samples_per_video_frame

    def samples_in(self, n_video_frames: int) -> int:
        return n_video_frames * self.samples_per_video_frame

    def mel_frames_in(self, n_video_frames: int) -> int:
        return n_video_frames * self.mel_per_video

    def seconds_in(self, n_video_frames: int) -> float:
        return n_video_frames / self.video_fps

    def video_centre_seconds(self, frame: int) -> Fraction:
        return Fraction(2 * frame + 1, 2 * self.video_fps)

    def at_rate(self, sample_rate_hz: int) -> Timebase:
        """The same frames over a waveform of another rate (the WaveNet's)."""
        hop = Fraction(self.hop_samples * sample_rate_hz, self.sample_rate_hz)
        if hop.denominator != 1:
            raise ValueError(f"{sample_rate_hz} Hz gives {float(hop)} samples a hop; it must be whole")
        return Timebase(self.video_fps, sample_rate_hz, int(hop))
