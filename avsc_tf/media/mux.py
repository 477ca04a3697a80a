"""Arrays to mp4: H.264 and AAC for viewers, H.264 and ALAC (bit-exact sound) for corpus clips; sound alone to WAV.

Picture `i` is shown at exactly `i / fps` and sample `k` is heard at `k / sample_rate_hz`: all presentation times come
from counts, and the priming samples of AAC are declared in the file, so that players skip them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from avsc_tf.core.errors import MediaError
from avsc_tf.core.files import written_whole

AudioCodec = Literal["aac", "alac"]

SAMPLE_FORMATS: dict[str, str] = {"aac": "fltp", "alac": "s16p"}
AAC_BITS_PER_SECOND = 160_000
CHUNK_SAMPLES = 4096
VIDEO_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}  # FFmpeg's name by suffix; any other suffix gets an mp4
SOUND_FORMATS = {".wav": "WAV", ".flac": "FLAC"}  # libsndfile's; any other suffix gets a WAV
# x264's macroblock tree reads memory that nothing has written, so two encodings of the same pictures differ; one
# thread and no tree make them equal (measured with core 165: 3000 of 3000, against 60 % with the tree at 360 x 288).
DETERMINISTIC_X264 = "no-mbtree=1"
# BT.601 as tagged and as converted, at every size: readers that honour tags give the colours back.
COLOUR_TAGS = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}


def write_video(
    path: Path | str,
    frames: Iterable[NDArray[np.uint8]],
    waveform: NDArray[np.floating] | None,
    *,
    fps: Fraction | float,
    sample_rate_hz: int,
    audio_codec: AudioCodec = "aac",
    crf: int = 16,
    preset: str = "veryfast",
    comment: str = "",
    finish: Callable[[Path], None] | None = None,
) -> None:
    """Write pictures and sound as one mp4 (or what `VIDEO_FORMATS` says of the suffix); PATH appears only when whole.

    Encoding runs on one thread and without x264's macroblock tree, so the same arrays give the same bytes.

    Args:
        frames: RGB pictures, uint8 [height, width, 3], all of one even size; read one at a time.
        waveform: mono, float [samples], full scale is -1 to 1 (what lies outside is clipped); None: a silent film.
        crf: quality of H.264, 0 (lossless) to 51; 16 is visually lossless.
        comment: of the file's metadata.
        finish: called with the finished file before it gets its name, to sign it.

    Raises:
        OutputError: PATH cannot be written.
        MediaError: no frames, frames of odd or changing size, a waveform that is not [samples] and finite.
    """
    path = Path(path)
    samples = None if waveform is None else _checked_waveform(path, waveform)
    frame_rate = Fraction(fps).limit_denominator(100_000)
    file_format = VIDEO_FORMATS.get(path.suffix.lower(), "mp4")
    with written_whole(path) as part:
        with av.open(str(part), "w", format=file_format, options={"movflags": "+faststart"}) as container:
            if comment:
                container.metadata["comment"] = comment
            pictures = _checked_frames(path, frames)
            first = next(pictures)
            video = _video_stream(container, first.shape, frame_rate, crf, preset)
            audio = None if samples is None else audio_stream(container, audio_codec, sample_rate_hz)
            _encode(container, video, audio, first, pictures, samples)
        if finish is not None:
            finish(part)


def write_sound(
    path: Path | str,
    waveform: NDArray[np.floating],
    *,
    sample_rate_hz: int,
    comment: str = "",
    finish: Callable[[Path], None] | None = None,
) -> None:
    """Write mono sound as a WAV (or what `SOUND_FORMATS` says of the suffix) of 16 bit, as `write_video` does."""
    path = Path(path)
    samples = _checked_waveform(path, waveform)
    buffer = io.BytesIO()  # libsndfile does not report a full disk
    file_format = SOUND_FORMATS.get(path.suffix.lower(), "WAV")
    with soundfile.SoundFile(buffer, "w", sample_rate_hz, channels=1, subtype="PCM_16", format=file_format) as file:
        if comment:
            file.comment = comment
        file.write(samples)
    with written_whole(path) as part:
        part.write_bytes(buffer.getbuffer())
        if finish is not None:
            finish(part)


def _checked_waveform(path: Path, waveform: NDArray[np.floating]) -> NDArray[np.float32]:
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
        raise MediaError(
            f"{path}: cannot write a waveform of shape {samples.shape}; "
            "it must be mono, [samples], not empty and finite"
        )
    return np.clip(samples, -1.0, 1.0)


def _checked_frames(path: Path, frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    shape: tuple[int, ...] | None = None
    for number, frame in enumerate(frames):
        shape = shape or frame.shape
        sound = frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 and frame.shape == shape
        if not sound or frame.shape[0] % 2 or frame.shape[1] % 2:
            raise MediaError(
                f"{path}: frame {number} is {frame.dtype} {frame.shape}; H.264 needs uint8 RGB [height, width, 3] "
                "of one even size: resize the frames"
            )
        yield frame
    if shape is None:
        raise MediaError(f"{path}: there are no frames to write; give at least one")


def _video_stream(container: Any, shape: tuple[int, ...], frame_rate: Fraction, crf: int, preset: str) -> Any:
    stream = container.add_stream("libx264", rate=frame_rate)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": str(crf), "preset": preset, "x264-params": DETERMINISTIC_X264}
    stream.thread_count = 1
    for tag, value in COLOUR_TAGS.items():
        setattr(stream.codec_context, tag, value)
    return stream


def audio_stream(container: Any, codec: AudioCodec, sample_rate_hz: int) -> Any:
    """A new stream of mono sound in an open container, for `encode_sound`."""
    stream = container.add_stream(codec, rate=sample_rate_hz)
    stream.layout = "mono"
    stream.format = SAMPLE_FORMATS[codec]
    if codec == "aac":
        stream.bit_rate = AAC_BITS_PER_SECOND
    return stream


def _encode(
    container: Any,
    video: Any,
    audio: Any,
    first: NDArray[np.uint8],
    rest: Iterator[NDArray[np.uint8]],
    samples: NDArray[np.float32] | None,
) -> None:
    """Interleave: after each picture the sound up to its end, then whatever sound is left."""
    n_written = 0
    for number, picture in enumerate(_chain(first, rest)):
        container.mux(video.encode(_video_frame(picture, number, video.average_rate)))
        if samples is not None:
            due = int((number + 1) * Fraction(audio.rate) / video.average_rate)
            n_written = encode_sound(container, audio, samples, n_written, due)
    container.mux(video.encode())
    if samples is None:
        return
    encode_sound(container, audio, samples, n_written, len(samples))
    container.mux(audio.encode())


def _chain(first: NDArray[np.uint8], rest: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    yield first
    yield from rest


def _video_frame(picture: NDArray[np.uint8], number: int, frame_rate: Fraction) -> av.VideoFrame:
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame = rgb.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
    frame.pts = number
    frame.time_base = 1 / frame_rate
    return frame


def encode_sound(container: Any, audio: Any, samples: NDArray[np.float32], start: int, end: int) -> int:
    """Encode `samples[start:end]` (float32, full scale 1) and mux it; returns how many samples are written so far."""
    end = min(end, len(samples))
    for at in range(start, end, CHUNK_SAMPLES):
        chunk = samples[at : min(at + CHUNK_SAMPLES, end)]
        container.mux(audio.encode(_audio_frame(chunk, at, audio)))
    return max(start, end)


def _audio_frame(chunk: NDArray[np.float32], at_sample: int, audio: Any) -> av.AudioFrame:
    sample_format = audio.format.name
    if sample_format == "s16p":
        values: NDArray[Any] = np.clip(np.round(chunk * 32768.0), -32768, 32767).astype(np.int16)
    else:
        values = chunk
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values[None]), format=sample_format, layout="mono")
    frame.sample_rate = audio.rate
    frame.pts = at_sample
    frame.time_base = Fraction(1, audio.rate)
    return frame
