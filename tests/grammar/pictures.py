"""The two pictures of a clip as frames of its pixel format, converted by the standards' equations alone."""

from __future__ import annotations

from typing import Any

import av
import av.video.reformatter
import numpy as np
from recipes import TURNS, Recipe, upright_picture

# Kr, Kb: ITU-R BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4.
_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593), "pq": (0.2627, 0.0593)}
# Matrix, primaries, transfer: ITU-T H.273 tables 2 to 4.
_CODES = {"bt601": (6, 6, 6), "bt709": (1, 1, 1), "bt2020": (9, 9, 14), "pq": (9, 9, 16)}
# Linear light, BT.709 primaries to BT.2020 (ITU-R BT.2087-0, section 4).
_TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
REFERENCE_WHITE_NITS = 203.0  # ITU-R BT.2408


def tag(context: Any, colour: str) -> None:
    """Set matrix, primaries, transfer and range of an encoder."""
    if colour:
        standard, spread = colour.split()
        context.colorspace, context.color_primaries, context.color_trc = _CODES[standard]
        context.color_range = {"tv": 1, "pc": 2}[spread]


def frames_of(recipe: Recipe) -> dict[bool, Any]:
    """The dark and the lit picture, stored as the recipe turns and colours them."""
    return {lit: _frame(recipe, _stored(upright_picture(recipe, lit=lit), recipe)) for lit in (False, True)}


def _stored(upright: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The picture that the display matrix turns upright, in stored pixels."""
    a, b, c, d = TURNS[recipe.turn]
    stored = upright[::d, ::a] if a else upright.transpose(1, 0, 2)[:: (c or 1), :: (b or 1)]
    columns = (np.arange(recipe.size[0]) + 0.5) * stored.shape[1] / recipe.size[0]
    return stored[:, columns.astype(int)]


def _frame(recipe: Recipe, rgb: np.ndarray) -> Any:
    colour = recipe.colour or ("bt601 pc" if recipe.pixels.startswith("yuvj") else "bt601 tv")
    standard, spread = colour.split()
    if recipe.pixels in ("rgb24", "bgr0", "gbrp", "rgba"):
        return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=recipe.pixels)
    signal = _encoded_light(rgb / 255.0, standard)
    frame = av.VideoFrame(recipe.size[0], recipe.size[1], recipe.pixels)
    if recipe.colour:
        frame.colorspace, frame.color_range = _CODES[standard][0], {"tv": 1, "pc": 2}[spread]
    elif recipe.pixels.startswith("yuvj"):
        frame.color_range = 2
    for plane, values in zip(frame.planes, _planes(signal, standard, spread, recipe.pixels), strict=True):
        rows = np.zeros((plane.height, plane.line_size // values.dtype.itemsize), values.dtype)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    return frame


def _encoded_light(signal: np.ndarray, standard: str) -> np.ndarray:
    """R'G'B' of BT.709 to that of the standard: the same light on the display (BT.1886)."""
    if standard in ("bt601", "bt709"):
        return signal
    light = signal**2.4 @ _TO_2020.T
    if standard == "bt2020":
        return light ** (1 / 2.4)
    power = (light * REFERENCE_WHITE_NITS / 10000.0) ** 0.1593017578125  # SMPTE ST 2084
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _planes(signal: np.ndarray, standard: str, spread: str, pixels: str) -> list[np.ndarray]:
    red, green, blue = np.moveaxis(signal, -1, 0)
    kr, kb = _LUMA[standard]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    bits = 10 if "10" in pixels else 8
    step = 2 ** (bits - 8)
    if spread == "tv":
        levels = [16 * step + 219 * step * luma, *(128 * step + 224 * step * c for c in chroma)]
    else:
        top = 2**bits - 1
        levels = [top * luma, *(128 * step + top * c for c in chroma)]
    across, down = (2, 2) if "420" in pixels else (2, 1) if "422" in pixels else (1, 1)
    levels[1:] = [_halved(values, across, down) for values in levels[1:]]
    dtype = np.uint8 if bits == 8 else np.dtype("<u2")
    return [np.clip(np.round(values), 0, 2**bits - 1).astype(dtype) for values in levels]


def _halved(values: np.ndarray, across: int, down: int) -> np.ndarray:
    height, width = values.shape
    return values.reshape(height // down, down, width // across, across).mean(axis=(1, 3))
