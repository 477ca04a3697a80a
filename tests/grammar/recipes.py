"""What a clip folder of the grammar holds: one `Recipe` names every oddity of a clip and draws what lies in it.

Time 0 is the moment the first picture is shown. Flashes and clicks lie at the same moments on that clock.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.signal import butter, sosfiltfilt

CLICK_HZ, CLICK_SIGMA_SECONDS, CLICK_LEVEL = 1000.0, 0.004, 0.6
QUIET_SECONDS = 0.07  # the voice pauses this long on both sides of a click
VOICE_BAND_HZ = (200.0, 3000.0)  # below the edge of 8 kHz sound
VOICE_RMS = 0.08
VOICE_BEFORE_SECONDS, VOICE_SECONDS = 2, 10  # before the first picture, and in all
FLASH_SECONDS = Fraction(11, 100)  # at 25 frames per second, at least two frames show it

# Colours of the quadrants, R'G'B'. A wrong matrix moves one of them by 20 at least, a wrong range by 10.
UPPER_LEFT, UPPER_RIGHT, LOWER_LEFT = (200, 40, 50), (40, 180, 70), (50, 60, 210)
DARK, BRIGHT = (24, 24, 24), (235, 235, 235)  # lower right

# Stored picture -> upright picture, as 2 x 2 matrices in the order of the MP4 header: x' = a x + c y, y' = b x + d y.
TURNS = (
    (1, 0, 0, 1),
    (0, 1, -1, 0),
    (-1, 0, 0, -1),
    (0, -1, 1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
)


@dataclass(frozen=True)
class Recipe:
    """One clip and its folder; the defaults are a plain mp4."""

    suffix: str = ".mp4"
    video_codec: str = "libx264"
    pixels: str = "yuv420p"
    colour: str = ""  # "", or matrix and range: "bt709 tv", "bt601 pc", "bt2020 tv", "pq tv"
    size: tuple[int, int] = (96, 64)  # stored width and height
    pixel_aspect: Fraction = Fraction(1)
    turn: int = 0  # index of TURNS; in the bit stream (H.264) where the container has no place for it
    frame_rate: Fraction | None = Fraction(25)  # None: variable, from `seed`
    ticks: int = 0  # of the picture's time base; 0: the frame rate's own
    key_frames: int = 25
    b_frames: int = 0
    interlaced: bool = False
    hidden_frames: int = 0  # before the first one shown: cut off by an edit list
    seconds: Fraction = Fraction(2)  # of picture
    audio_codec: str = "aac"  # "": no sound in the file
    rate_hz: int = 48000
    layout: str = "stereo"
    voice_in: str = "all"  # all, left, hiss (left, and noise at -60 dB right), inverted, centre
    starts_at: Fraction = Fraction(0)  # both streams, on the file's clock
    sound_starts: Fraction = Fraction(0)  # the sound, on the picture's clock
    sound_ends: Fraction = Fraction(0)  # after the picture (+) or before it (-)
    sound_first: bool = False  # in the order of the file's tracks
    joins: tuple[tuple[Fraction, Fraction], ...] = ()  # at, and how much sound is missing (+) or there twice (-)
    second_track: str = ""  # "", "default" (the voice in the second track, flagged), "other" (in the first, flagged)
    written: str = ""  # "", faststart, fragments, live
    timecode: bool = False  # a third track, of a film camera
    name: str = "clip"
    beside: str = ""  # separate sound of the clip's name: suffix
    beside_gain_db: float = 0.0
    beside_starts: Fraction = Fraction(0)  # time of the first picture in it
    beside_ends: Fraction = Fraction(0)  # after the picture
    beside_rate_hz: int = 48000
    beside_layout: str = "mono"
    beside_voice_in: str = "all"
    folder: str = "anna"
    neighbours: tuple[str, ...] = ()
    manifest: str = ""  # "", or encoding and separator: "cp1252 ;"
    seed: int = 0

    def __repr__(self) -> str:
        """Only what differs from the plain clip."""
        odd = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"Recipe({', '.join(odd)})"

    @property
    def file_name(self) -> str:
        return self.name + self.suffix

    @property
    def container(self) -> str:
        """FFmpeg's muxer."""
        return MUXERS[self.suffix.lower()]

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in square pixels, upright."""
        width, height = round(self.size[0] * self.pixel_aspect), self.size[1]
        return (height, width) if TURNS[self.turn][0] == 0 else (width, height)

    @property
    def picture_tick(self) -> Fraction:
        """Seconds of one tick of the picture's time base."""
        return Fraction(1, self.ticks) if self.ticks else 1 / (self.frame_rate or Fraction(30))

    @property
    def first_picture(self) -> Fraction:
        """`starts_at` in whole ticks: when the first picture is shown, on the file's clock."""
        return round(self.starts_at / self.picture_tick) * self.picture_tick

    def frame_seconds(self) -> list[Fraction]:
        """When each frame appears, and when the last one ends; the first appears at 0."""
        if self.frame_rate is not None:
            return [k / self.frame_rate for k in range(int(self.seconds * self.frame_rate) + 1)]
        rng = np.random.default_rng(self.seed)
        at, seconds = Fraction(0), []
        while at < self.seconds:
            seconds.append(at)
            at += Fraction(int(rng.choice([9, 17, 33, 34, 40, 41, 83, 150])), 1000)
        return [*seconds, seconds[-1] + (seconds[-1] / (len(seconds) - 1))]  # writers guess the last one's end

    def flashes(self) -> list[int]:
        """Numbers of the frames that begin a flash: their distances differ, and joins are not near."""
        times = self.frame_seconds()
        rng = np.random.default_rng(self.seed + 1)
        first = max(Fraction(1, 4), self.sound_starts + Fraction(1, 5))
        chosen: list[int] = []
        for number, second in enumerate(times[:-1]):
            is_far = all(abs(second - at) > Fraction(1, 4) + abs(jump) for at, jump in self.joins)
            if second >= first and second <= times[-1] - Fraction(1, 4) and is_far:
                chosen.append(number)
                first = second + Fraction(int(rng.integers(300, 520)), 1000)
        return chosen

    def crackles(self) -> list[float]:
        """Ends of the pieces of sound: decoders may crackle there."""
        return [float(second) for at, jump in self.joins for second in (at, at + jump)]

    def lit_frames(self) -> set[int]:
        times = self.frame_seconds()
        lit = set()
        for number in self.flashes():
            lit |= {k for k in range(number, len(times) - 1) if times[k] < times[number] + FLASH_SECONDS}
        return lit


MUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".3gp": "3gp",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".flv": "flv",
    ".wmv": "asf",
}


def upright_picture(recipe: Recipe, *, lit: bool) -> np.ndarray:
    """uint8 [height, width, 3]: a colour per quadrant, the lower right one bright in a flash."""
    width, height = recipe.shown_size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = UPPER_LEFT
    picture[: height // 2, width // 2 :] = UPPER_RIGHT
    picture[height // 2 :, : width // 2] = LOWER_LEFT
    picture[height // 2 :, width // 2 :] = BRIGHT if lit else DARK
    return picture


def quadrants(picture: np.ndarray) -> dict[str, np.ndarray]:
    """Mean colour of each quadrant's middle, where no edge blurs it."""
    height, width = picture.shape[:2]
    middle = {"upper": slice(height // 8, 3 * height // 8), "lower": slice(5 * height // 8, 7 * height // 8)}
    across = {"left": slice(width // 8, 3 * width // 8), "right": slice(5 * width // 8, 7 * width // 8)}
    return {
        f"{row} {column}": picture[middle[row], across[column]].reshape(-1, 3).mean(axis=0)
        for row in middle
        for column in across
    }


def draw_sound(recipe: Recipe, start_seconds: float, n_samples: int, rate_hz: int) -> np.ndarray:
    """Voice and clicks, float64 [samples], from a time on the picture's clock: the same wherever it is entered."""
    times = recipe.frame_seconds()
    t = start_seconds + np.arange(n_samples) / rate_hz
    sound = _voice(t, recipe.seed)
    for number in recipe.flashes():
        distance = t - float(times[number])
        sound *= np.clip((np.abs(distance) - QUIET_SECONDS) / 0.01, 0.0, 1.0)
        sound += (
            CLICK_LEVEL * np.exp(-0.5 * (distance / CLICK_SIGMA_SECONDS) ** 2) * np.cos(2 * np.pi * CLICK_HZ * distance)
        )
    return sound


def _voice(t: np.ndarray, seed: int) -> np.ndarray:
    """Straight lines between the values at 48 kHz: 0.05 dB less at 3 kHz, in the worst case."""
    return np.interp(t, np.arange(VOICE_SECONDS * 48000) / 48000 - VOICE_BEFORE_SECONDS, _voice_at_48_khz(seed))


@lru_cache(maxsize=8)
def _voice_at_48_khz(seed: int) -> np.ndarray:
    """Noise in the band of a voice, with syllables: one file is told from another by it, and its level is known."""
    noise = np.random.default_rng(seed + 2).standard_normal(VOICE_SECONDS * 48000)
    noise = sosfiltfilt(butter(4, VOICE_BAND_HZ, "bandpass", fs=48000, output="sos"), noise)
    t = np.arange(len(noise)) / 48000
    noise *= 1.0 + 0.6 * np.sin(2 * np.pi * 3.1 * t + 2 * np.sin(2 * np.pi * 0.7 * t))
    return noise * (VOICE_RMS / np.sqrt(np.mean(noise**2)))


CHANNELS = {"mono": 1, "stereo": 2, "quad": 4, "5.1": 6}


def channels_of(mono: np.ndarray, layout: str, voice_in: str) -> np.ndarray:
    """float64 [channels, samples]: the voice in the channels that `voice_in` names."""
    n_channels = CHANNELS[layout]
    channels = np.zeros((n_channels, len(mono)))
    if voice_in == "all":
        channels[[k for k in range(n_channels) if k != 3 or n_channels == 4]] = mono  # 3: low frequencies alone
    elif voice_in == "centre":
        channels[2] = mono
    else:
        channels[0] = mono
    if voice_in == "inverted":
        channels[1] = -mono
    elif voice_in == "hiss":
        channels[1] = 1e-3 * np.random.default_rng(len(mono)).standard_normal(len(mono))
    return channels
