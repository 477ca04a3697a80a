"""Colours as tagged: clips are built from the formulas of the standards and read back as RGB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from avsc_tf.core.errors import MediaError
from avsc_tf.media.video import picture_notes, read_frames

BT709, BT601, BT2020 = (0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)  # weights of red and blue in luma
# Left to right: red, green, blue, two skins, white, grey, black.
PATCHES = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [224, 172, 140], [92, 60, 46], [255, 255, 255], [118, 118, 118], [0, 0, 0]],
    np.float64,
)
PATCH_PX = 16
# Rows are X, Y, Z of the primaries; from the standards' own tables of luma, not computed as the package does.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087


def ycbcr(rgb: np.ndarray, weights: tuple[float, float], *, full: bool = False, bits: int = 8) -> np.ndarray:
    """R'G'B' of 0 to 1 [..., 3] -> code values [..., 3]."""
    red, blue = weights
    luma = rgb @ (red, 1 - red - blue, blue)
    cb, cr = (rgb[..., 2] - luma) / 2 / (1 - blue), (rgb[..., 0] - luma) / 2 / (1 - red)
    step, peak = 2 ** (bits - 8), 2**bits - 1
    scale = (peak, peak, peak) if full else (219 * step, 224 * step, 224 * step)
    offset = (0, 128 * step, 128 * step) if full else (16 * step, 128 * step, 128 * step)
    codes = np.stack([luma, cb, cr], axis=-1) * scale + offset
    return np.clip(np.round(codes), 0, peak).astype(np.uint16 if bits > 8 else np.uint8)


@pytest.fixture
def write_patches(tmp_path: Path) -> Callable[..., Path]:
    """Write columns of equal colour without loss: `codes` [n, planes], as wide as PATCH_PX; `tags` of the codec."""

    def write(
        codes: np.ndarray,
        pixel_format: str = "yuv420p",
        *,
        codec: str = "ffv1",
        name: str = "clip.mkv",
        size: tuple[int, int] | None = None,
        **tags: int,
    ) -> Path:
        width, height = size or (PATCH_PX * len(codes), 64)
        frame = av.VideoFrame(width, height, pixel_format)
        for number, plane in enumerate(frame.planes):
            row = np.full(plane.line_size // codes.itemsize, 255, codes.dtype)
            if number < codes.shape[1]:  # an alpha plane stays opaque
                row[: plane.width] = np.repeat(codes[:, number], -(-plane.width // len(codes)))[: plane.width]
            plane.update(np.tile(row, plane.height).tobytes())
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            stream.options = {"qp": "0"} if codec == "libx264" else {}
            for tag, value in tags.items():
                setattr(stream.codec_context, tag, value)
            for number in range(3):
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


def read_patches(path: Path) -> np.ndarray:
    """[n, 3] from the middle of each column."""
    frame = next(read_frames(path, fps=25))
    return frame[frame.shape[0] // 2, PATCH_PX // 2 :: PATCH_PX].astype(float)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuva420p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize(
    "weights, tags",
    [
        (BT709, {"colorspace": 1}),
        (BT709, {"colorspace": 1, "color_range": 2}),
        (BT601, {"colorspace": 5}),
        (BT601, {"colorspace": 6, "color_range": 1}),
        (BT601, {"color_range": 2}),
        (BT601, {}),
        (BT709, {"color_primaries": 1}),
        (BT2020, {"colorspace": 9, "color_primaries": 1}),
    ],
)
def test_matrix_and_range_are_those_of_the_tags(write_patches, weights, tags, pixel_format):
    bits = 10 if "10" in pixel_format else 8
    codes = ycbcr(PATCHES / 255, weights, full=tags.get("color_range") == 2, bits=bits)
    path = write_patches(codes, pixel_format, **tags)
    # swscale's fast conversions of 4:2:0 to 24 bit are off by up to 3.5 levels, others by rounding alone
    np.testing.assert_allclose(read_patches(path), PATCHES, atol=4)
    assert picture_notes(path) == ()


def test_red_of_a_camera(write_patches):
    """As cameras write it: H.264 in MP4, tagged BT.709."""
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    path = write_patches(ycbcr(PATCHES / 255, BT709), codec="libx264", name="clip.mp4", **tags)
    np.testing.assert_allclose(read_patches(path)[0], (255, 0, 0), atol=3)


@pytest.mark.parametrize(
    "size, weights",
    [((128, 576), BT601), ((576, 1024), BT601), ((1280, 64), BT709), ((64, 1280), BT709), ((578, 640), BT709)],
)
def test_untagged_pictures_by_their_size(write_patches, size, weights):
    path = write_patches(ycbcr(PATCHES[:1] / 255, weights), size=size)
    np.testing.assert_allclose(read_patches(path)[0], (255, 0, 0), atol=4)


@pytest.mark.parametrize("colour_range, black, white", [(0, 0, 255), (1, 16, 235), (2, 0, 255)])
def test_grey_pictures(write_patches, colour_range, black, white):
    path = write_patches(np.array([[black], [white]], np.uint8), "gray", color_range=colour_range)
    np.testing.assert_array_equal(read_patches(path), [[0, 0, 0], [255, 255, 255]])


def test_rgb_stays_as_it_is(write_patches):
    path = write_patches(PATCHES[:, [1, 2, 0]].astype(np.uint8), "gbrp", codec="utvideo", name="clip.avi")
    np.testing.assert_array_equal(read_patches(path), PATCHES)


@pytest.mark.parametrize("size", [(127, 65), (125, 63)])
def test_odd_sizes(write_patches, size):
    path = write_patches(ycbcr(PATCHES / 255, BT709), size=size, colorspace=1)
    frame = next(read_frames(path, fps=25))
    assert frame.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(frame[-1, PATCH_PX // 2 :: PATCH_PX], PATCHES, atol=4)
    assert frame[:, -1].max() < 4  # the last column is of the last patch


def test_an_unknown_matrix_is_refused(write_patches):
    path = write_patches(ycbcr(PATCHES / 255, BT709), colorspace=8)  # YCgCo
    with pytest.raises(MediaError, match=r"clip\.mkv: .*colour matrix 8 .*Export it as BT\.709"):
        list(read_frames(path, fps=25))


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(nits: np.ndarray) -> np.ndarray:
    """BT.2100 for a display of 1000 nits: from light [..., 3] back to the signal."""
    display = nits / 1000
    luminance = display @ (0.2627, 0.6780, 0.0593)
    scene = display * np.maximum(luminance, 1e-12)[..., None] ** (1 / 1.2 - 1)
    logarithmic = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-12)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithmic)


HDR = {"colorspace": 9, "color_primaries": 9}


@pytest.mark.parametrize("transfer, grey_card, white", [(16, 0.38, 0.58), (18, 0.38, 0.75)])
def test_the_levels_of_bt_2408(write_patches, transfer, grey_card, white):
    """Its table of signal levels: an 18 % grey card and diffuse white, each where standard range has it, too."""
    signal = np.repeat([[0.0], [grey_card], [white], [1.0]], 3, axis=1)
    codes = ycbcr(signal, BT2020, bits=10)
    black, grey, bright, peak = read_patches(write_patches(codes, "yuv420p10le", color_trc=transfer, **HDR))
    np.testing.assert_array_equal(black, 0)
    # 42.5 % of BT.709 are 108 of 255 (an 18 % card by its OETF: 104); the levels of the table are whole percents
    np.testing.assert_allclose(grey, 106, atol=4)
    assert ((bright >= 240) & (bright <= 247)).all()  # room for what is brighter
    np.testing.assert_array_equal(peak, 255)


@pytest.mark.parametrize("transfer, encode, name", [(16, pq, "PQ"), (18, hlg, "HLG")])
@pytest.mark.parametrize("tags", [HDR, {}], ids=["tagged", "transfer alone"])
def test_high_dynamic_range_gives_the_colours_of_standard_range(write_patches, transfer, encode, name, tags):
    """Colours of a BT.709 display, diffuse white at 203 nits: what is not bright comes back as it was."""
    colours = np.array([[180, 0, 0], [0, 180, 0], [0, 0, 180], [200, 160, 130], [92, 60, 46], [118, 118, 118]])
    light = 203 * (colours / 255) ** 2.4 @ TO_BT2020.T
    path = write_patches(ycbcr(encode(light), BT2020, bits=10), "yuv420p10le", color_trc=transfer, **tags)
    # 10 bit leave 2 levels of BT.709 undecided where it is dark, and what is 0 may come back as 10: 0.04 % of white
    found = read_patches(path)
    np.testing.assert_allclose(found[3:], colours[3:], atol=2)
    np.testing.assert_allclose(found[:3], colours[:3], atol=14)
    np.testing.assert_allclose((found[:3] / 255) ** 2.4, (colours[:3] / 255) ** 2.4, atol=0.01)
    assert picture_notes(path) == (f"HDR picture (BT.2020, {name}) tone-mapped to standard range",)


def test_highlights_keep_order_and_hue(write_patches):
    steps = np.linspace(50, 1000, 16)
    light = steps[:, None] * np.array([1.0, 0.6, 0.4]) @ TO_BT2020.T
    found = read_patches(write_patches(ycbcr(pq(light), BT2020, bits=10), "yuv444p10le", color_trc=16, **HDR))
    assert (np.diff(found[:, 0]) >= 0).all() and (np.diff(found[:4, 0]) >= 10).all() and found[-1, 0] == 255
    ratios = (found / found[:, :1]) ** 2.4  # in light
    np.testing.assert_allclose(ratios, np.tile([1.0, 0.6, 0.4], (16, 1)), atol=0.02)  # 8 bit


def test_wide_gamut_of_standard_range(write_patches):
    light = (PATCHES[3:] / 255) ** 2.4 @ TO_BT2020.T
    codes = ycbcr(light ** (1 / 2.4), BT2020, bits=10)
    path = write_patches(codes, "yuv420p10le", color_trc=14, **HDR)
    np.testing.assert_allclose(read_patches(path), PATCHES[3:], atol=2)  # 10 bit, and matrices of four digits
    assert picture_notes(path) == ("wide-gamut picture (BT.2020) converted to BT.709",)
