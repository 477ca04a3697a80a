"""Decoded frames to RGB of a standard display (BT.709): tagged matrix, range, transfer and primaries are honoured.

Standard range with BT.709's or BT.601's primaries is shown as it is coded. High dynamic range (PQ, HLG) and wider
primaries (BT.2020, P3) are computed in linear light: see `to_standard_range`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from avsc_tf.core.errors import MediaError

# Code points of ITU-T H.273, which FFmpeg and swscale use.
_NO_MATRIX, _BT709, _UNSPECIFIED, _BT601, _BT2020 = 0, 1, 2, 5, 9
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # tag -> the one swscale knows
_FULL_RANGE, _LIMITED_RANGE = 2, 1
_PQ, _HLG = 16, 18
_TRANSFER_NAMES = {_PQ: "PQ", _HLG: "HLG"}
_OTHER_TRANSFERS = {8: "linear", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE ST 428"}
_PRIMARIES_NAMES = {_BT709: "BT.709", _BT2020: "BT.2020", 12: "P3"}
_PRIMARIES = {  # x and y of red, green and blue; white is D65
    _BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    _BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_WHITE = (0.3127, 0.3290)

_DISPLAY_GAMMA = 2.4  # BT.1886
WHITE_NITS = 203.0  # diffuse white in high dynamic range, BT.2408
HLG_GAMMA = 1.2  # of the whole system, for a display of `PEAK_NITS`, BT.2100
PEAK_NITS = 1000.0  # what becomes the brightest white; also the display that HLG is shown on
KNEE = 0.75  # up to this share of diffuse white, brightness is kept
_ROWS_AT_ONCE = 64  # a strip stays in the cache, and memory does not grow with the picture


@dataclass(frozen=True)
class Colours:
    """How a frame is coded, with every tag that is missing filled in."""

    matrix: int  # as swscale counts them; 0 for grey and RGB
    is_full_range: bool
    transfer: int
    primaries: int

    @property
    def needs_linear_light(self) -> bool:
        """Whether the picture must be tone-mapped or its primaries converted."""
        return self.transfer in _TRANSFER_NAMES or self.primaries != _BT709

    @property
    def note(self) -> str | None:
        """What is done to the picture, if it is more than every video needs."""
        if self.transfer in _TRANSFER_NAMES:
            names = f"{_PRIMARIES_NAMES[self.primaries]}, {_TRANSFER_NAMES[self.transfer]}"
            return f"HDR picture ({names}) tone-mapped to standard range"
        if self.primaries != _BT709:
            return f"wide-gamut picture ({_PRIMARIES_NAMES[self.primaries]}) converted to BT.709"
        if self.transfer in _OTHER_TRANSFERS:
            return f"{_OTHER_TRANSFERS[self.transfer]} transfer of the picture not converted; read as BT.709"
        return None


def colours_of(frame: Any, codec: Any, path: Path) -> Colours:
    """The frame's tags; where there are none, those that are usual for its size and transfer.

    Untagged pictures are BT.709 from 1280 pixels on the longer or more than 576 on the shorter side, BT.601 below;
    luma and chroma are of limited range, grey and RGB of full range.

    Args:
        codec: the stream's codec context, which holds transfer and primaries.
    Raises:
        MediaError: a matrix that cannot be undone (YCgCo, ICtCp).
    """
    transfer, primaries = codec.color_trc, codec.color_primaries
    has_chroma = not frame.format.is_rgb and not frame.format.name.startswith(("gray", "ya", "mono", "pal"))
    matrix = _matrix(frame, transfer, primaries, path) if has_chroma else _NO_MATRIX
    if primaries not in _PRIMARIES:
        is_wide = primaries == _UNSPECIFIED and (transfer in _TRANSFER_NAMES or matrix == _BT2020)
        primaries = _BT2020 if is_wide else _BT709
    if has_chroma:
        is_full_range = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    else:  # as FFmpeg takes them
        is_full_range = frame.format.is_rgb or frame.color_range != _LIMITED_RANGE
    return Colours(matrix, is_full_range, transfer, primaries)


def _matrix(frame: Any, transfer: int, primaries: int, path: Path) -> int:
    """The matrix as swscale counts them."""
    tag = frame.colorspace
    if tag in _MATRICES:
        return _MATRICES[tag]
    if tag not in (_NO_MATRIX, _UNSPECIFIED, 3):
        raise MediaError(
            f"{path}: the picture is coded with colour matrix {tag} of ITU-T H.273, which cannot be read. "
            "Export it as BT.709."
        )
    if transfer in _TRANSFER_NAMES:
        return _BT2020
    if primaries in (_BT709, 5, 6, _BT2020):
        return _MATRICES[primaries]
    shorter, longer = sorted((frame.width, frame.height))
    return _BT709 if longer >= 1280 or shorter > 576 else _BT601


class RgbConverter:
    """Frames of one stream to RGB; swscale's tables are kept between frames.

    Args:
        codec: the stream's codec context.
    """

    def __init__(self, codec: Any, path: Path) -> None:
        self._codec, self._path = codec, path
        self._reformatters: dict[Colours, VideoReformatter] = {}

    def __call__(self, frame: Any, *, width: int | None = None) -> NDArray[np.uint8]:
        """uint8 [height, width, 3] of a decoded frame as it is stored, not turned.

        Raises:
            MediaError: a matrix that cannot be undone.
        """
        colours = colours_of(frame, self._codec, self._path)
        reformatter = self._reformatters.setdefault(colours, VideoReformatter())
        image: NDArray[Any] = reformatter.reformat(
            frame,
            width or frame.width,
            frame.height,
            "rgb48le" if colours.needs_linear_light else "rgb24",
            src_colorspace=colours.matrix or _BT601,
            dst_colorspace=_BT601,  # without meaning for RGB; where both are alike, swscale keeps its defaults
            src_color_range=_FULL_RANGE if colours.is_full_range else _LIMITED_RANGE,
            dst_color_range=_LIMITED_RANGE,
        ).to_ndarray()
        if colours.needs_linear_light:
            return to_standard_range(image, colours)
        if colours.matrix == _NO_MATRIX and not colours.is_full_range:
            return _stretched()[image]  # swscale keeps the range of grey
        return image


def to_standard_range(image: NDArray[np.uint16], colours: Colours) -> NDArray[np.uint8]:
    """RGB in any transfer and primaries -> RGB of a BT.709 display.

    1. To light, 1 being diffuse white: PQ by SMPTE ST 2084, HLG by BT.2100 with its system gamma on a display of
       `PEAK_NITS`, both divided by `WHITE_NITS` (BT.2408); standard range by BT.1886.
    2. To BT.709's primaries; what lies outside them is clipped.
    3. High dynamic range only: the Moebius curve of FFmpeg's `tonemap` on the largest of R, G and B, so that the hue
       stays. Brightness up to `KNEE` is kept, hence skin and greys; `PEAK_NITS` becomes 1.
    4. To code values of a BT.1886 display.

    Args:
        image: [height, width, 3] as swscale gives rgb48.
    Returns:
        uint8 [height, width, 3].
    """
    light_of_code = _light_of_code(colours.transfer, colours.is_full_range)
    out = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        light = np.stack([light_of_code[image[rows, :, channel]] for channel in range(3)])
        if colours.transfer == _HLG:
            (luminance,) = _mixed(light, _xyz_of_rgb(colours.primaries)[1:2])
            light *= luminance ** np.float32(HLG_GAMMA - 1) * np.float32(PEAK_NITS / WHITE_NITS)
        light = np.maximum(_mixed(light, _to_bt709(colours.primaries)), 0)
        if colours.transfer in _TRANSFER_NAMES:
            light *= _gain(light.max(axis=0))
        roots = np.sqrt(np.minimum(light, 1))
        out[rows] = np.moveaxis(_code_of_root()[(roots * 65535 + 0.5).astype(np.uint16)], 0, -1)
    return out


def _mixed(light: NDArray[np.float32], weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """Weighted sums of the channels, always in one order: [3, height, width] and [n, 3] -> [n, height, width]."""
    red, green, blue = light
    return np.stack([r * red + g * green + b * blue for r, g, b in weights.astype(np.float32)])


def _gain(brightest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Moebius transform that continues the identity smoothly at `KNEE` and reaches 1 at the peak."""
    j, peak = KNEE, PEAK_NITS / WHITE_NITS
    a = -j * j * (peak - 1) / (j * j - 2 * j + peak)
    b = (j * j - 2 * j * peak + peak) / (peak - 1)
    scale = (b * b + 2 * b * j + j * j) / (b - a)
    over = np.maximum(brightest, np.float32(j))
    return np.where(brightest > j, scale * (over + a) / ((over + b) * over), 1).astype(np.float32)


@lru_cache(maxsize=8)
def _light_of_code(transfer: int, is_full_range: bool) -> NDArray[np.float32]:
    """Light of each value of rgb48: PQ and standard range of the display, HLG of the scene."""
    white = 65535 if is_full_range else 65280  # swscale's white: 255 * 256 from limited range
    value = np.minimum(np.arange(65536) / white, 1)
    if transfer == _PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = value ** (1 / m2)
        light = 10000 / WHITE_NITS * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    elif transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
    else:
        light = value**_DISPLAY_GAMMA
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _code_of_root() -> NDArray[np.uint8]:
    """8-bit code of light by its square root, 65536 steps: even the darkest codes lie many steps apart."""
    return np.round(255 * (np.arange(65536) / 65535) ** (2 / _DISPLAY_GAMMA)).astype(np.uint8)


@lru_cache(maxsize=1)
def _stretched() -> NDArray[np.uint8]:
    """Full range of limited range."""
    return np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _to_bt709(primaries: int) -> NDArray[np.float64]:
    return np.linalg.inv(_xyz_of_rgb(_BT709)) @ _xyz_of_rgb(primaries)


def _xyz_of_rgb(primaries: int) -> NDArray[np.float64]:
    """Columns are the primaries in CIE XYZ, so scaled that equal R, G and B are white of luminance 1."""
    columns = np.stack([_xyz(x, y) for x, y in _PRIMARIES[primaries]], axis=1)
    return columns * np.linalg.solve(columns, _xyz(*_WHITE))


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1, (1 - x - y) / y], np.float64)
