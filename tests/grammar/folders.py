"""The folder around a clip: separate sound, a manifest, and what else lies in people's folders."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import soundfile
from recipes import Recipe, channels_of, draw_sound
from writing import write_clip

SOUND_FILE_MUXERS = {
    ".m4a": ("ipod", "aac"),
    ".mp3": ("mp3", "libmp3lame"),
    ".ogg": ("ogg", "libvorbis"),
    ".opus": ("opus", "libopus"),
    ".aac": ("adts", "aac"),
    ".ac3": ("ac3", "ac3"),
    ".wma": ("asf", "wmav2"),
    ".mka": ("matroska", "pcm_s24le"),
    ".caf": ("caf", "alac"),
    ".wv": ("wv", "wavpack"),
}
_SUBTYPES = {
    ".wav": "PCM_16",
    ".flac": "PCM_16",
    ".aiff": "PCM_16",
    ".aif": "PCM_24",
    ".w64": "PCM_24",
    ".au": "PCM_16",
}
_SUBTYPES |= {".rf64": "PCM_24"}
_NEIGHBOURS = {
    "notes": ("notes.txt", b"take two was better\n"),
    "thumbs": ("Thumbs.db", b"\xd0\xcf\x11\xe0" + bytes(64)),
    "fork": ("._{name}{suffix}", b"\x00\x05\x16\x07" + bytes(4092)),
    "store": (".DS_Store", bytes(64)),
    "subtitles": ("{name}.srt", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"),
    "part": ("{name}{suffix}.part", bytes(100)),
    "cover": ("{name}.jpg", b"\xff\xd8\xff\xe0" + bytes(64)),
    "folder": ("old/{name}{suffix}", b"not a clip"),
    "project": ("{name}.prproj", b"\x1f\x8b" + bytes(64)),
}


def write_folder(recipe: Recipe, folder: Path) -> Path:
    """Write the clip and all that the recipe puts beside it.

    Returns:
        The clip's path.
    Raises:
        av.error.FFmpegError: FFmpeg cannot write this combination.
    """
    folder.mkdir(parents=True)
    path = folder / recipe.file_name
    write_clip(recipe, path)
    for suffix in recipe.beside.split():
        write_sound_beside(recipe, path.with_name(recipe.name + suffix), suffix)
    for neighbour in recipe.neighbours:
        name, data = _NEIGHBOURS[neighbour]
        other = folder / name.format(name=recipe.name, suffix=recipe.suffix)
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(data)
    if recipe.manifest:
        _write_manifest(recipe, folder / "manifest.csv")
    return path


def write_sound_beside(recipe: Recipe, path: Path, suffix: str) -> None:
    """Sound from `beside_starts` before the first picture on, in the suffix's own format."""
    rate_hz = recipe.beside_rate_hz
    seconds = recipe.beside_starts + recipe.frame_seconds()[-1] + recipe.beside_ends
    mono = draw_sound(recipe, -float(recipe.beside_starts), round(seconds * rate_hz), rate_hz)
    mono *= 10 ** (recipe.beside_gain_db / 20)
    sound = channels_of(mono, recipe.beside_layout, recipe.beside_voice_in)
    if suffix.lower() in _SUBTYPES:
        subtype = "FLOAT" if recipe.beside_gain_db else _SUBTYPES[suffix.lower()]
        with path.open("wb") as file:
            kind = {".aif": "AIFF"}.get(suffix.lower(), suffix[1:].upper())
            soundfile.write(file, sound.T, rate_hz, subtype=subtype, format=kind)
        return
    muxer, codec = SOUND_FILE_MUXERS[suffix.lower()]
    with av.open(f"file:{path}", "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=recipe.beside_layout)
        stream.bit_rate = 160_000
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32), format="fltp", layout=recipe.beside_layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_manifest(recipe: Recipe, path: Path) -> None:
    encoding, separator = recipe.manifest.split(" ")
    separator = {"tab": "\t"}.get(separator, separator)
    columns = {"utterance": recipe.name, "video": recipe.file_name, "speaker": "anna"}
    if recipe.beside:
        columns["audio"] = recipe.name + recipe.beside.split()[0]
    rows = [separator.join(_quoted(cell, separator) for cell in row) for row in (columns.keys(), columns.values())]
    blank = [separator * (len(columns) - 1), "", separator]  # as spreadsheets leave them
    path.write_bytes(("\r\n".join([*rows, *blank]) + "\r\n").encode(encoding))


def _quoted(cell: str, separator: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in (separator, '"', "\n")) else cell
