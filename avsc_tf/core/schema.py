"""Every stored feature once: name, type, shape, unit, meaning.

Writer, reader, network inputs and docs use these tables.

Symbols in shapes: `video` frames, `mel` frames (8 a video frame), `samples`, `n_mels`, `n_vgg`, `n_keypoints`.
Arrays are stored as raw little-endian bytes, uncompressed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One stored array (or text, where `dtype` is `str`, or a list of byte strings, `bytes`)."""

    name: str
    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    meaning: str


def _texts(*pairs: tuple[str, str]) -> tuple[Feature, ...]:
    return tuple(Feature(name, "str", (), "text", meaning) for name, meaning in pairs)


LABELS = _texts(
    ("utterance", "name of the clip; the two clips of a pair share it"),
    ("emotion", "one of the corpus' emotions, or empty"),
    ("sentence", "what is said, or the utterance where it is not known"),
    ("split", "train or test"),
)

CLIP = (
    *LABELS,
    Feature("speaker", "str", (), "text", "who speaks"),
    Feature("mel", "float32", ("mel", "n_mels"), "natural log", "mel spectrogram, not standardised"),
    Feature(
        "keypoints",
        "float32",
        ("video", "n_keypoints", 2),
        "pixels of the crop",
        "68 iBUG + 2 pupils, x y",
    ),
    Feature("crop_centres", "float32", ("video", 2), "pixels of the frame", "middle of the crop in the upright frame"),
    Feature("crop_side", "float32", (), "pixels of the frame", "side of the crop; crop_px pixels of the crop long"),
    Feature("frame_size", "int32", (2,), "pixels", "width and height of the upright frame"),
    Feature("vgg", "float16", ("video", "n_vgg"), "activation", "VGG-19 fc1 after its ReLU"),
    Feature("frames", "bytes", ("video",), "PNG, RGB", "face-centred crop, image.size_px square"),
    Feature("waveform", "int16", ("samples",), "1/32768", "speech at time.sample_rate_hz"),
)

PAIR = (
    *LABELS,
    Feature("source_mel", "float32", ("mel", "n_mels"), "standardised", "source, on the pair's timeline"),
    Feature("source_facial", "float16", ("video", "n_facial"), "standardised", "VGG then keypoints"),
    Feature("target_mel", "float32", ("mel", "n_mels"), "standardised", "target, on the pair's timeline"),
    Feature("target_facial", "float16", ("video", "n_facial"), "standardised", "VGG then keypoints"),
    Feature("path", "int32", ("steps", 2), "video frames", "warping path: source frame, target frame"),
    Feature("cost", "float32", (), "standardised", "mean cost of a step of the path"),
)

SPEAKERS = ("source", "target")
