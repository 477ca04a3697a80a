"""Writes a recipe's clip with PyAV, packet by packet, so that every timestamp is where the recipe puts it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.stream
import numpy as np
from pictures import frames_of, tag
from recipes import CHANNELS, TURNS, Recipe, channels_of, draw_sound

TIMELESS = ("avi",)  # no timestamps: sound lies where its samples do
CAMERA_GAIN = 0.5  # of the camera's own sound where another lies beside it: the level tells which was taken
HEADER_TURNS = ("mp4", "mov", "3gp")
GLOBAL_HEADER = ("mp4", "mov", "3gp", "matroska", "webm", "flv", "asf")
_OPTIONS = {
    "libx264": {"qp": "8", "preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "qp=10:log-level=none:pools=none:frame-threads=1"},
    "vp8": {"crf": "4", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0", "lag-in-frames": "0"},
    "libvpx-vp9": {"crf": "4", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "8"},
    "libaom-av1": {"crf": "10", "usage": "realtime", "cpu-used": "8", "lag-in-frames": "0", "row-mt": "0"},
    "prores_ks": {"qscale": "4"},
}
_BY_QUANTISER = ("mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "flv", "wmv2", "msmpeg4", "h263")


def write_clip(recipe: Recipe, path: Path) -> None:
    """Write the video file; the muxer sees packets in order of decoding time.

    Raises:
        av.error.FFmpegError: FFmpeg cannot write this combination.
    """
    with av.open(f"file:{path}", "w", format=recipe.container, options=_muxer_options(recipe)) as container:
        video = None if recipe.sound_first else _video_stream(container, recipe)
        tracks = [_audio_stream(container, recipe) for _ in range(_n_tracks(recipe))]
        video = video or _video_stream(container, recipe)
        pictures = _picture_packets(video, recipe)
        if recipe.turn and recipe.container not in HEADER_TURNS:
            pictures = _turn_in_bit_stream(pictures, recipe.turn)
        packets = list(pictures)
        for number, track in enumerate(tracks):
            packets += _sound_packets(track, recipe, is_voice=_is_voice(recipe, number))
            if len(tracks) > 1:
                flag = av.stream.Disposition.default if number == _default_track(recipe) else av.stream.Disposition(0)
                track.disposition = flag.value
        for packet in sorted(packets, key=lambda p: p.dts * Fraction(p.time_base)):
            container.mux_one(packet)
    if recipe.turn and recipe.container in HEADER_TURNS:
        _turn(path, recipe.turn, track=_n_tracks(recipe) if recipe.sound_first else 0)


def _muxer_options(recipe: Recipe) -> dict[str, str]:
    if recipe.container == "mpeg":  # small pictures: two of them in one packet would share a timestamp
        return {"packetsize": "100"}
    return {
        "": {},
        "faststart": {"movflags": "faststart"},
        "fragments": {"movflags": "frag_keyframe+delay_moov+default_base_moof"},
        "live": {"live": "1"},  # no duration and no index, as a browser's recorder leaves it
    }[recipe.written]


def _n_tracks(recipe: Recipe) -> int:
    return 0 if not recipe.audio_codec else 2 if recipe.second_track else 1


def _default_track(recipe: Recipe) -> int:
    return 1 if recipe.second_track == "default" else 0


def _is_voice(recipe: Recipe, track: int) -> bool:
    return track == _default_track(recipe)


def _video_stream(container: Any, recipe: Recipe) -> Any:
    rate = recipe.frame_rate or Fraction(30)
    stream = container.add_stream(recipe.video_codec, rate=rate)
    stream.width, stream.height = recipe.size
    stream.pix_fmt = recipe.pixels
    stream.time_base = stream.codec_context.time_base = recipe.picture_tick
    if recipe.pixel_aspect != 1:
        stream.codec_context.sample_aspect_ratio = recipe.pixel_aspect
    stream.codec_context.thread_count = 1
    options = dict(_OPTIONS.get(recipe.video_codec, {}))
    if recipe.video_codec in _BY_QUANTISER:
        options |= {"qmin": "1", "qmax": "2", "b": "8000000"}
        if recipe.video_codec == "mjpeg":
            options["strict"] = "unofficial"
    if recipe.video_codec in ("libvpx-vp9", "vp8", "libaom-av1"):
        options["b"] = "3000000"
    if recipe.video_codec in ("libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video"):
        options["bf"] = str(recipe.b_frames)
    if recipe.interlaced:
        options |= {"x264-params": "tff=1"} if recipe.video_codec == "libx264" else {"flags": "+ildct+ilme"}
    stream.codec_context.gop_size = recipe.key_frames
    stream.options = options
    tag(stream.codec_context, recipe.colour)
    if recipe.timecode:
        stream.metadata["timecode"] = "01:00:00:00"
    return stream


def _picture_packets(stream: Any, recipe: Recipe) -> Iterator[Any]:
    time_base = stream.codec_context.time_base
    times = recipe.frame_seconds()
    lit = recipe.lit_frames()
    frames = frames_of(recipe)
    durations: dict[int, int] = {}
    ticks = [round((recipe.first_picture + second) / time_base) for second in times]
    step = max(1, ticks[1] - ticks[0])
    before = [ticks[0] - step * k for k in range(recipe.hidden_frames, 0, -1)]
    for number, pts in enumerate([*before, *ticks[:-1]], -len(before)):
        frame = frames[number < 0 or number in lit]  # hidden ones would be a flash
        frame.pts, frame.time_base = pts, time_base
        durations[pts] = step if number < 0 else ticks[number + 1] - pts
        yield from _with_durations(stream.encode(frame), durations)
    yield from _with_durations(stream.encode(None), durations)


def _with_durations(packets: list[Any], durations: dict[int, int]) -> Iterator[Any]:
    for packet in packets:
        packet.duration = durations.get(packet.pts, packet.duration)
        yield packet


def _audio_stream(container: Any, recipe: Recipe) -> Any:
    stream = container.add_stream(recipe.audio_codec, rate=recipe.rate_hz, layout=recipe.layout)
    _set_sound_coding(stream.codec_context, recipe)
    stream.time_base = Fraction(1, recipe.rate_hz)
    return stream


def _set_sound_coding(context: Any, recipe: Recipe) -> None:
    context.time_base = Fraction(1, recipe.rate_hz)
    if recipe.audio_codec in ("aac", "mp3", "libmp3lame", "libopus", "mp2", "ac3", "eac3", "wmav2"):
        per_channel = 160_000 if recipe.rate_hz >= 32000 else 64_000
        context.options = {"aac_coder": "fast"} if recipe.audio_codec == "aac" else {}
        context.bit_rate = min(per_channel * min(4, CHANNELS[recipe.layout]), 320_000)
    if recipe.audio_codec == "libvorbis":
        context.options = {"global_quality": str(8 * 118), "flags": "+qscale"}


def sound_segments(recipe: Recipe) -> list[tuple[Fraction, Fraction]]:
    """Begin and end of each stretch of sound between joins, on the picture's clock."""
    segments, begin = [], recipe.sound_starts
    for at, jump in recipe.joins:
        segments.append((begin, at))
        begin = at + jump
    end = recipe.frame_seconds()[-1] + recipe.sound_ends
    return [*segments, (begin, end if begin < end else begin + 1)]


def _sound_packets(stream: Any, recipe: Recipe, *, is_voice: bool) -> list[Any]:
    """Each stretch is encoded anew, as concatenation leaves it, and its packets are moved to its own time."""
    packets: list[Any] = []
    last_dts = None
    for number, (begin, end) in enumerate(sound_segments(recipe)):
        context = stream.codec_context if number == 0 else _fresh_context(stream, recipe)
        for packet in _encoded(context, recipe, begin, end, is_voice=is_voice):
            packet.stream = stream
            if last_dts is not None and packet.dts <= last_dts:  # as `ffmpeg -c copy` mends what goes back in time
                packet.dts = packet.pts = last_dts + -(-recipe.rate_hz // 1000)  # a tick of every container
            last_dts = packet.dts
            packets.append(packet)
    return packets


def _fresh_context(stream: Any, recipe: Recipe) -> Any:
    context = av.CodecContext.create(recipe.audio_codec, "w")
    context.sample_rate, context.layout, context.format = recipe.rate_hz, recipe.layout, stream.codec_context.format
    _set_sound_coding(context, recipe)
    if recipe.container in GLOBAL_HEADER:
        context.flags |= av.codec.context.Flags.global_header
    return context


def _encoded(context: Any, recipe: Recipe, begin: Fraction, end: Fraction, *, is_voice: bool) -> list[Any]:
    rate_hz = recipe.rate_hz
    first, n_samples = round(begin * rate_hz), round((end - begin) * rate_hz)
    if not context.is_open:
        context.open(strict=False)
    lead = _delay_samples(recipe) if recipe.container in TIMELESS else 0
    sound = draw_sound(recipe, first / rate_hz + lead / rate_hz, n_samples, rate_hz)
    if recipe.beside:
        sound *= CAMERA_GAIN
    if not is_voice:
        sound = 0.05 * np.random.default_rng(recipe.seed + 5).standard_normal(n_samples)
    packets = []
    fifo = av.AudioFifo()
    for part in _in_format(context, channels_of(sound, recipe.layout, recipe.voice_in), rate_hz):
        fifo.write(part)
    position = first + lead + round(recipe.first_picture * rate_hz)
    size = context.frame_size or 1024
    while (piece := fifo.read(size, partial=True)) is not None:
        piece.pts, piece.time_base = position, Fraction(1, rate_hz)
        position += piece.samples
        packets += context.encode(piece)
    packets += context.encode(None)
    return [packet for packet in packets if packet.size]


def _delay_samples(recipe: Recipe) -> int:
    """Samples that the codec puts before the first one."""
    context = av.CodecContext.create(recipe.audio_codec, "w")
    context.sample_rate, context.layout = recipe.rate_hz, recipe.layout
    context.format = context.codec.audio_formats[0]
    _set_sound_coding(context, recipe)
    silence = np.zeros((context.layout.nb_channels, 1 << 14))
    for part in _in_format(context, silence, recipe.rate_hz):
        part.pts, part.time_base = 0, Fraction(1, recipe.rate_hz)
        for packet in context.encode(part):
            return max(0, -round(packet.pts * Fraction(packet.time_base) * recipe.rate_hz))
    return 0


def _in_format(context: Any, channels: np.ndarray, rate_hz: int) -> list[Any]:
    """Frames of the encoder's sample format; floats are the way in, so that 24 bit stay 24 bit."""
    frame = av.AudioFrame.from_ndarray(channels.astype(np.float32), format="fltp", layout=context.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=rate_hz)
    return [*resampler.resample(frame), *resampler.resample(None)]


def _turn(path: Path, turn: int, *, track: int) -> None:
    """Exchange the display matrix in a track's header (ISO 14496-12, 8.3.2)."""
    data = path.read_bytes()
    header = -1
    for _ in range(track + 1):
        header = data.index(b"tkhd", header + 1)
    path.write_bytes(data[:header] + data[header:].replace(_matrix(0), _matrix(turn), 1))


def _turn_in_bit_stream(packets: Iterator[Any], turn: int) -> Iterator[Any]:
    """Put the display orientation message (ITU-T H.264, D.2.17) before each key frame."""
    flip, quarter_turns = ((0, 0), (0, 3), (0, 2), (0, 1), (2, 0), (1, 0), (2, 1), (2, 3))[turn]
    # Not cancelled, horizontal and vertical flip, 16 bit anticlockwise, repetition 1 as ue(v), no extension, alignment.
    bits = flip << 21 | quarter_turns << 19 | 0b0100_1
    message = b"\0\0\0\1\x06\x2f\x03" + bits.to_bytes(3, "big") + b"\x80"
    for packet in packets:
        if not packet.is_keyframe:
            yield packet
            continue
        turned = av.Packet(message + bytes(packet))
        turned.pts, turned.dts, turned.time_base = packet.pts, packet.dts, packet.time_base
        turned.duration, turned.stream, turned.is_keyframe = packet.duration, packet.stream, True
        yield turned


def _matrix(turn: int) -> bytes:
    a, b, c, d = ((value % 2**16) << 16 for value in TURNS[turn])
    return b"".join((word % 2**32).to_bytes(4, "big") for word in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
