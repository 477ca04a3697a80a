"""A converted clip as a player in a notebook."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avsc_tf.conversion.converted import ConvertedClip

MAX_EMBEDDED_BYTES = 20_000_000  # a notebook file grows by 4/3 of it


def player_html(clip: ConvertedClip) -> str:
    """HTML of a video (without a face: sound) element that contains the file as a data URI, or of a remark."""
    kind, suffix = ("video/mp4", ".mp4") if clip.frames is not None else ("audio/wav", ".wav")
    with tempfile.TemporaryDirectory(prefix="avsc_tf-") as folder:
        path = Path(folder, f"clip{suffix}")
        clip.save(path)
        content = path.read_bytes()
    if len(content) > MAX_EMBEDDED_BYTES:
        return f"<p>A converted clip of {len(content) / 1e6:.0f} MB; save it with <code>clip.save(path)</code>.</p>"
    element = kind.partition("/")[0]
    data = base64.b64encode(content).decode("ascii")
    return f'<{element} controls loop src="data:{kind};base64,{data}"></{element}>'
