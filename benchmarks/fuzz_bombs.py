"""Small files that ask for much, and files that name others, for `fuzz_media.py` and the tests: name -> bytes.

None is a recording that should be converted; each must end in a refusal, within the limits.
"""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from typing import Any

import av


def one_packet_file(format_name: str, codec: str, *, width: int, height: int, pixels: str, packets: int = 1) -> bytes:
    """One grey picture, `packets` times in a hundredth of a second each."""
    out = io.BytesIO()
    with av.open(out, "w", format=format_name) as container:
        stream: Any = container.add_stream(codec, rate=100)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        frame = av.VideoFrame(width, height, pixels)
        for plane in frame.planes:
            plane.update(b"\x80" * plane.buffer_size)
        for number in range(packets):
            frame.pts, frame.time_base = number, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def _with(data: bytes, at: int, format_: str, *values: int) -> bytes:
    edited = bytearray(data)
    struct.pack_into(format_, edited, at, *values)
    return bytes(edited)


def box(name: bytes, content: bytes) -> bytes:
    """A box of MP4."""
    return struct.pack(">I4s", 8 + len(content), name) + content


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of RIFF."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(*, rate_hz: int = 48000, channels: int = 1, data: bytes = b"\0" * 48000, declared: int | None = None) -> bytes:
    """8-bit PCM; `declared` bytes of sound in the header."""
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * channels & 0xFFFFFFFF, channels & 0xFFFF, 8)
    body = b"WAVE" + chunk(b"fmt ", form) + b"data" + struct.pack("<I", declared or len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def a_million_frames() -> bytes:
    """An AVI of 2 x 2 pixels whose one picture is there a million times: 24 MB."""
    one = one_packet_file("avi", "rawvideo", width=2, height=2, pixels="bgr24")
    movi = one.index(b"movi")
    head, first = one[: movi - 8], one[movi + 4 :]
    (length,) = struct.unpack_from("<I", first, 4)
    pictures = (first[: 8 + length + length % 2]) * 1_000_000
    body = head[8:] + chunk(b"LIST", b"movi" + pictures)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def compressed_index(claimed: int = 0x7FFFFFFF) -> bytes:
    """QuickTime's zlib-compressed index: 100 kB that are 100 MB of zeros, and say that they are two gigabytes."""
    packer = zlib.compressobj(9)
    zeros = b"\0" * 10_000_000
    packed = b"".join([*(packer.compress(zeros) for _ in range(10)), packer.flush()])
    inner = box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", claimed) + packed)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"cmov", inner))


def many_tracks(mp4: bytes, times: int = 4000) -> bytes:
    """An MP4 whose first track is there thousands of times."""
    at = mp4.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", mp4, at)
    moov = mp4[at + 8 : at + size]
    track = moov.index(b"trak") - 4
    (track_size,) = struct.unpack_from(">I", moov, track)
    more = moov[track : track + track_size] * times
    return mp4[:at] + box(b"moov", moov + more) + mp4[at + size :]


def nested_boxes(depth: int = 100_000) -> bytes:
    """Boxes within boxes."""
    sizes = struct.pack(">I4s", 0, b"moov")
    return box(b"ftyp", b"isom\0\0\0\0isom") + b"".join(
        struct.pack(">I4s", 8 * (depth - k), b"moov" if k % 2 == 0 else b"trak") for k in range(depth)
    ) + sizes  # fmt: skip


def id3(size: int = 0x0FFFFFFF) -> bytes:
    """A tag that says it is 256 MB."""
    parts = bytes(size >> 21 - 7 * k & 0x7F for k in range(4))
    return b"ID3\x04\0\0" + parts + b"TIT2" + parts + b"\0\0\0" + b"x" * 1000


def bombs(seeds: dict[str, bytes]) -> dict[str, bytes]:
    """All of them, by name."""
    jpeg = one_packet_file("avi", "mjpeg", width=64, height=48, pixels="yuvj420p")
    png = one_packet_file("avi", "png", width=64, height=48, pixels="rgb24")
    vp8, flac = seeds["webm"], seeds["flac"]
    samples = flac.index(b"fLaC") + 8 + 10  # sample rate (20 bits), channels (3), bits (5)
    return {
        "picture of 8192 x 8192, as declared": one_packet_file(
            "matroska", "mjpeg", width=8192, height=8192, pixels="yuvj420p"
        ),
        "JPEG of 65500 x 65500 in 64 x 48": _with(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", 65500, 65500),
        "JPEG of 16000 x 16000 in 64 x 48": _with(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", 16000, 16000),
        "PNG of 16000 x 16000 in 64 x 48": _with(png, png.index(b"IHDR") + 4, ">II", 16000, 16000),
        "VP8 of 16383 x 16383 in 64 x 48": _with(vp8, vp8.index(b"\x9d\x01\x2a") + 3, "<HH", 16383, 16383),
        "a million frames": a_million_frames(),
        "7000 frames in 70 s": one_packet_file("avi", "mjpeg", width=16, height=16, pixels="yuvj420p", packets=7000),
        "4000 tracks": many_tracks(seeds["mp4"]),
        "compressed index": compressed_index(),
        "compressed index, honest": compressed_index(100_000_000),
        "boxes 100000 deep": nested_boxes(),
        "sound of 1 Hz": wav(rate_hz=1),
        "sound of 4 GHz": wav(rate_hz=0xFFFFFFFF),
        "sound of 65535 channels": wav(channels=65535),
        "4 GB of sound declared": wav(declared=0xFFFF0000),
        "FLAC of 16 Hz": _with(flac, samples, ">H", 1),
        "Opus of a wrong head": vp8.replace(b"OpusHead\x01\x01", b"OpusHead\x01\xff"),
        "tag of 256 MB": id3(),
        "zeros": bytes(1_000_000),
        "empty": b"",
    }


def pointers(clip: str, url: str) -> dict[str, bytes]:
    """Files that name others: a recording on this machine, an address, a secret."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{clip}"/><image href="{url}"/></svg>'
    mpd = (
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static' "
        "mediaPresentationDuration='PT1S'><Period>"
        "<AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'>"
        "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    texts = {
        "HLS of a file": hls.format(clip),
        "HLS of file:": hls.format(f"file://{clip}"),
        "HLS of a secret": hls.format("/etc/passwd"),
        "HLS of an address": hls.format(url),
        "HLS of concat:": hls.format(f"concat:{clip}|/etc/passwd"),
        "HLS with a key": hls.format(clip).replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF'),
        "ffconcat of a file": f"ffconcat version 1.0\nfile '{clip}'\n",
        "ffconcat of an address": f"ffconcat version 1.0\nfile '{url}'\n",
        "DASH of a file": mpd.format(f"file://{clip}"),
        "DASH of an address": mpd.format(url),
        "SVG": svg,
        "ASX": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "list of names": f"{clip}\n",
        "FFmetadata": f";FFMETADATA1\ntitle={clip}\n",
        "IMF": "<?xml version='1.0'?><CompositionPlaylist xmlns='http://www.smpte-ra.org/schemas/2067-3/2016'/>",
        "lavfi": "testsrc=size=64x48",
    }
    files = {name: text.encode() for name, text in texts.items()}
    return {
        **files,
        "MP4 that is a playlist behind its head": box(b"ftyp", b"isom\0\0\0\0isom") + files["HLS of a file"],
    }


def elsewhere(mp4: bytes, clip: str) -> bytes:
    """An MP4 without its media, whose tracks say they are in `clip` (an alias in `dref`)."""
    data = bytearray(mp4)
    mdat = data.index(b"mdat")
    (size,) = struct.unpack_from(">I", data, mdat - 4)
    data[mdat + 4 : mdat - 4 + size] = bytes(size - 8)
    name = clip.encode()
    path = name + b"\0" * (len(name) % 2)
    alias = bytes(10) + b"\x01v" + bytes(26 + 12) + b"\x01f" + bytes(62 + 16) + struct.pack(">hh", -1, -1) + bytes(16)
    alias += struct.pack(">hh", 18, len(path)) + path + struct.pack(">hh", 2, len(path)) + path
    alias += struct.pack(">hh", -1, 0)
    entry = box(b"alis", bytes(4) + alias)
    return bytes(_replaced(bytes(data), entry))


def _replaced(data: bytes, entry: bytes) -> bytes:
    """Boxes with each `dref` holding `entry` alone."""
    out, at = b"", 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + size]
        if name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            content = _replaced(content, entry)
        elif name == b"dref":
            content = struct.pack(">II", 0, 1) + entry
        out += box(name, content)
        at += max(8, size)
    return out
