"""Which codecs, pixel formats and rates belong to which container, and what each container can say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from recipes import Recipe

_MPEG_RATES = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60),
)
RATES = (
    Fraction(25),
    Fraction(30),
    Fraction(30000, 1001),
    Fraction(24000, 1001),
    Fraction(60),
    Fraction(50),
    Fraction(15),
    Fraction(25, 2),
    Fraction(60000, 1001),
    Fraction(120),
)


@dataclass(frozen=True)
class Container:
    video: tuple[str, ...]
    audio: tuple[str, ...]
    rates: tuple[Fraction, ...] = RATES
    keeps_times: bool = True  # variable rates, gaps, and streams that begin apart
    turns: bool = False
    tags: tuple[str, ...] = ("libx264", "libx265")  # codecs whose colour tags survive
    tracks: bool = False
    written: tuple[str, ...] = ("",)


_MP4 = Container(
    ("libx264", "libx265", "mpeg4", "libvpx-vp9", "libaom-av1"),
    ("aac", "libmp3lame", "alac", "flac", "libopus", "ac3"),
    turns=True,
    tags=("libx264", "libx265", "libvpx-vp9"),
    tracks=True,
    written=("", "faststart", "fragments"),
)
CONTAINERS = {
    ".mp4": _MP4,
    ".mov": replace(
        _MP4,
        video=("libx264", "libx265", "prores_ks", "mjpeg", "mpeg4"),
        audio=("aac", "pcm_s16le", "pcm_s24le", "pcm_f32le", "alac"),
        tags=("libx264", "libx265", "prores_ks"),
    ),
    ".m4v": replace(_MP4, video=("libx264", "libx265"), audio=("aac", "ac3", "alac")),
    ".3gp": replace(_MP4, video=("libx264", "mpeg4"), audio=("aac",), tags=(), tracks=False),
    ".mkv": Container(
        ("libx264", "libx265", "mpeg4", "vp8", "libvpx-vp9", "ffv1", "mjpeg", "mpeg2video"),
        (
            "aac",
            "libmp3lame",
            "libopus",
            "libvorbis",
            "pcm_s16le",
            "pcm_s24le",
            "pcm_f32le",
            "flac",
            "ac3",
            "eac3",
            "alac",
        ),
        tags=("libx264", "libx265", "ffv1", "libvpx-vp9"),
        tracks=True,
        written=("", "live"),
    ),
    ".webm": Container(
        ("libvpx-vp9", "vp8", "libaom-av1"),
        ("libopus", "libvorbis"),
        tags=("libvpx-vp9",),
        tracks=True,
        written=("", "live"),
    ),
    ".avi": Container(
        ("mpeg4", "mjpeg", "ffv1", "libx264"),
        ("pcm_s16le", "libmp3lame", "pcm_s24le", "ac3", "pcm_u8"),
        keeps_times=False,
        tags=(),
    ),
    ".mpg": Container(("mpeg1video", "mpeg2video"), ("mp2", "ac3"), rates=_MPEG_RATES, keeps_times=False, tags=()),
    ".mts": Container(("libx264", "libx265"), ("ac3", "aac", "mp2")),
    ".ts": Container(("libx264", "libx265", "mpeg2video"), ("aac", "mp2", "libmp3lame", "ac3", "libopus")),
    ".flv": Container(("libx264", "flv"), ("aac", "libmp3lame"), tags=("libx264",)),
    ".wmv": Container(("wmv2", "msmpeg4"), ("wmav2",), tags=()),
}
PIXELS = {
    "libx264": ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le"),
    "libx265": ("yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p"),
    "libvpx-vp9": ("yuv420p", "yuv444p"),
    "ffv1": ("yuv420p", "yuv444p", "yuv422p10le", "bgr0"),
    "prores_ks": ("yuv422p10le", "yuv444p10le"),
    "mjpeg": ("yuvj420p", "yuvj422p", "yuvj444p"),
    "mpeg2video": ("yuv420p", "yuv422p"),
}
_SOUND_RATES = {
    "aac": (48000, 44100, 32000, 22050, 16000, 8000, 96000),
    "libmp3lame": (48000, 44100, 32000, 22050, 16000),
    "mp2": (48000, 44100, 32000),
    "ac3": (48000, 44100, 32000),
    "eac3": (48000, 44100),
    "libopus": (48000, 16000),
    "libvorbis": (48000, 44100, 22050),
    "wmav2": (48000, 44100),
}
_PCM_RATES = (48000, 44100, 96000, 16000, 8000, 11025)
SURROUND = ("aac", "ac3", "eac3", "flac", "pcm_s16le", "pcm_s24le", "pcm_f32le", "libvorbis", "libopus")


def rates_of(recipe: Recipe) -> tuple[int, ...]:
    if recipe.suffix == ".flv":
        return (44100, 22050)
    if recipe.suffix == ".avi" and recipe.audio_codec == "libmp3lame":
        return (48000, 44100)  # others FFmpeg stamps twice as long
    return _SOUND_RATES.get(recipe.audio_codec, _PCM_RATES)


def is_plain_enough(recipe: Recipe) -> bool:
    """Whether container and codecs belong together; the other parts are free."""
    container = CONTAINERS[recipe.suffix.lower()]
    return (
        recipe.video_codec in container.video
        and recipe.audio_codec in (*container.audio, "")
        and recipe.rate_hz in (48000, *rates_of(recipe))
        and recipe.pixels in PIXELS.get(recipe.video_codec, ("yuv420p",))
    )
