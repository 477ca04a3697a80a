"""The parts of the painted head that do not move by themselves: a shaded skin, hair, neck, shirt, background.

The skin is lit as a height field, once a speaker; frames only warp it and paint eyes, brows and lips on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from avsc_tf.demo.speakers.looks import Colour, Look, Points

Array = NDArray[Any]  # float32

CANVAS_PX = 512
CENTRE_X = 256.0
EYE_Y = 256.0
MOUTH_Y = 366.0
CHIN_Y = 438.0
LIGHT = np.array([-0.38, -0.48, 0.79])  # from the upper left front
MAX_DEPTH_PX = 130.0

_Y, _X = np.mgrid[0:CANVAS_PX, 0:CANVAS_PX].astype(np.float32)


@dataclass(frozen=True)
class HeadLayers:
    """Textures of one speaker on the canvas, [512, 512] and colours [512, 512, 3]."""

    backdrop: NDArray[np.uint8]  # what stays: background, back hair, neck, shirt
    head: NDArray[np.uint8]  # what moves with the head, without eyes, brows and lips
    alpha: Array  # where `head` covers `backdrop`, 0 to 1
    depth: Array  # 0 to 1: how far a point moves when the head turns
    jaw: Array  # 0 to 1: how far it drops with the jaw
    cheeks: Array  # 0 to 1: how far it rises with the cheeks


def build_head(look: Look) -> HeadLayers:
    """Paint what never changes. About a tenth of a second a speaker."""
    depth_px, inside = _height_field(look)
    face = _soft(inside.astype(np.float32), 1.5)
    ears = _ears(look)
    skin = _lit(_skin_colour(look), depth_px)
    behind = _over(_hair(look, brightness=0.8), _flat(look.skin) * np.float32(0.80), ears)
    head = _over(behind, skin, face)
    fringe = _soft(_filled(look.hair_front), 2.0)
    shadow = _soft(np.roll(fringe, 9, axis=0), 7.0) * (1.0 - fringe)
    head = head * (1.0 - np.float32(0.30) * shadow[..., None] * np.array([0.8, 1.0, 1.0], np.float32))
    head = _over(head, _hair(look, brightness=1.0), fringe)
    return HeadLayers(
        backdrop=_to_bytes(_backdrop(look)),
        head=_to_bytes(head),
        alpha=np.maximum(np.maximum(face, ears), fringe),
        depth=depth_px / np.float32(MAX_DEPTH_PX),
        jaw=np.clip((_Y - 345) / 75, 0, 1) * np.exp(-(((_X - CENTRE_X) / 120) ** 2)),
        cheeks=_bump(CENTRE_X - 60, 310, 34, 28) + _bump(CENTRE_X + 60, 310, 34, 28),
    )


def _bump(x: float, y: float, width: float, height: float) -> Array:
    return np.exp(-(((_X - x) / width) ** 2) - ((_Y - y) / height) ** 2)


def _pair(dx: float, y: float, width: float, height: float) -> Array:
    return _bump(CENTRE_X - dx, y, width, height) + _bump(CENTRE_X + dx, y, width, height)


def _soft(image: Array, sigma_px: float) -> Array:
    return cv2.GaussianBlur(image, (0, 0), sigma_px)


def _flat(colour: Colour) -> Array:
    return np.broadcast_to(np.array(colour, np.float32), (CANVAS_PX, CANVAS_PX, 3))


def _over(below: Array, above: Array, alpha: Array) -> Array:
    return below + (above - below) * alpha[..., None]


def _to_bytes(image: Array) -> NDArray[np.uint8]:
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _filled(outline: Points) -> Array:
    """A closed outline, its corners rounded by a periodic spline, as a mask."""
    points = np.array(outline, float)
    for _ in range(3):  # Chaikin's corner cutting
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1).reshape(-1, 2)
    mask = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], (1.0,), cv2.LINE_AA, 4)
    return mask


def _half_width(look: Look) -> Array:
    """Half the width of the face at each row, [512, 1]."""
    rows = [58, 80, 120, 180, 250, 300, 345, 385, 412, 430, CHIN_Y]
    jaw = look.jaw_width
    widths = np.array([1, 52, 94, 112, 117, 113, 103, 82 * jaw**0.7, 56 * jaw, 29 * jaw, 1])
    profile = PchipInterpolator(rows, widths * look.face_width)(np.clip(_Y[:, :1], 58, CHIN_Y))
    return profile.astype(np.float32)


def _height_field(look: Look) -> tuple[Array, NDArray[np.bool_]]:
    """How far the skin stands out in pixels, and where the face is."""
    across = (_X - CENTRE_X) / np.maximum(_half_width(look), 1.0)
    inside = (np.abs(across) < 1) & (_Y > 60) & (_Y < CHIN_Y)
    fade = np.sqrt(np.sin(0.5 * np.pi * np.clip(np.minimum((_Y - 50) / 110, (475 - _Y) / 125), 0, 1)))
    depth = 100 * np.sqrt(np.clip(1 - np.abs(across) ** 2.3, 0, 1)) * fade
    depth += _nose(look.nose_size)
    depth -= 12 * _pair(look.eye_distance, 256, 33, 18)
    depth += 6 * _bump(CENTRE_X, 216, 80, 20) + 7 * _pair(62, 306, 36, 30)
    depth += 10 * _bump(CENTRE_X, 370, 42, 26) + 9 * _bump(CENTRE_X, 418, 30, 18)
    depth -= 5 * _bump(CENTRE_X, 395, 28, 8) + 2.0 * _bump(CENTRE_X, 348, 6, 10)
    return _soft(depth.astype(np.float32), 2.5), inside


def _nose(size: float) -> Array:
    down = np.clip((_Y - 225) / 105, 0, 1)
    end = np.clip((357 - _Y) / 28, 0, 1)
    bridge = 27 * size * down**1.3 * end * np.exp(-(((_X - CENTRE_X) / (11 + 9 * down)) ** 2))
    tip = 7 * size * _bump(CENTRE_X, 331, 15 * size, 13)
    return bridge + tip + 8 * _pair(16 * size, 335, 10, 9)


def _skin_colour(look: Look) -> Array:
    """Skin before light: redder cheeks, nose and chin, darker lids and nostrils, fine grain."""
    red = 0.55 * _pair(66, 318, 36, 26) + 0.4 * _bump(CENTRE_X, 328, 20, 16) + 0.2 * _bump(CENTRE_X, 418, 26, 14)
    colour = _flat(look.skin) * (1 - red[..., None] * np.array([0.0, 0.17, 0.15], np.float32))
    lids = _pair(look.eye_distance, 252, 32, 16)
    colour = colour * (1 - lids[..., None] * np.array([0.10, 0.16, 0.15], np.float32))
    nostrils = _pair(10.5 * look.nose_size, 343.5, 5.0, 2.6)
    colour = colour * (1 - nostrils[..., None] * np.array([0.42, 0.55, 0.55], np.float32))
    rng = np.random.default_rng(7)
    grain = _soft(rng.normal(0, 1, (CANVAS_PX, CANVAS_PX)).astype(np.float32), 1.3)
    return colour * (1 + 0.016 * grain[..., None])


def _lit(colour: Array, depth_px: Array) -> Array:
    """Wrapped diffuse light with warm shadows, and a soft sheen."""
    slope_x = cv2.Sobel(depth_px, cv2.CV_32F, 1, 0) / 8
    slope_y = cv2.Sobel(depth_px, cv2.CV_32F, 0, 1) / 8
    norm = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = (-slope_x * LIGHT[0] - slope_y * LIGHT[1] + LIGHT[2]) / norm
    shade = np.clip((facing + 0.35) / 1.35, 0, 1)
    exponents = np.array([0.62, 0.80, 0.86], np.float32)  # shadows on skin lose blue first
    light = (0.16 + 0.90 * shade)[..., None] ** exponents
    half_way = (-slope_x * -0.2 - slope_y * -0.28 + 0.94) / norm
    sheen = np.clip(half_way, 0, 1) ** 36
    return colour * light * np.float32(1.02) + 16 * sheen[..., None]


def _ears(look: Look) -> Array:
    mask = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    for side in (-1, 1):
        centre = (round(CENTRE_X + side * 115 * look.face_width), 274)
        cv2.ellipse(mask, centre, (12, 29), side * 8, 0, 360, (1.0,), -1)
    return _soft(mask, 2.0)


def _hair(look: Look, *, brightness: float) -> Array:
    """Strands that spring from the parting: noise along the angle, with a gloss across them."""
    rng = np.random.default_rng(11)
    dx, dy = _X - look.parting[0], _Y - look.parting[1]
    angle = np.arctan2(dx, dy + 30.0)
    radius = np.hypot(dx, dy)
    fine = np.interp(angle, np.linspace(-np.pi, np.pi, 900), rng.normal(0, 1, 900))
    locks = np.interp(angle + 0.0006 * radius, np.linspace(-4, 4, 130), rng.normal(0, 1, 130))
    strands = 1 + 0.09 * fine + 0.13 * locks
    gloss = 0.38 * np.exp(-(((radius - 66) / 30) ** 2)) + 0.16 * np.exp(-(((radius - 150) / 40) ** 2))
    falloff = 1 - 0.25 * np.clip(np.abs(_X - CENTRE_X) / 160, 0, 1) ** 3
    shade = _soft((brightness * strands * falloff).astype(np.float32), 0.8)
    return np.clip(_flat(look.hair) * shade[..., None] + 70 * gloss[..., None] * shade[..., None], 0, 255).astype(
        np.float32
    )


def _backdrop(look: Look) -> Array:
    distance = ((_X - 256) ** 2 + (_Y - 220) ** 2) / 256**2
    picture = _flat(look.background) * (1.06 - 0.16 * distance)[..., None]
    picture = _over(picture, _hair(look, brightness=0.72), _soft(_filled(look.hair_back), 2.5))
    picture = _over(picture, _neck_colour(look), _soft(_neck_mask(), 2.5))
    return _over(picture, _shirt_colour(look), _soft(_shirt_mask(), 1.5))


def _neck_mask() -> Array:
    mask = _filled(((208, 370), (304, 370), (306, 440), (318, 470), (400, 505), (400, 530), (112, 530), (112, 505),
                    (194, 470), (206, 440)))  # fmt: skip
    return mask


def _neck_colour(look: Look) -> Array:
    round_off = 1 - 0.34 * (np.abs(_X - CENTRE_X) / 60).clip(0, 1) ** 2
    under_chin = 0.60 + 0.30 * np.clip((_Y - 446) / 50, 0, 1)
    light = (round_off * under_chin)[..., None] ** np.array([0.75, 1.0, 1.08], np.float32)
    return _flat(look.skin) * light


def _shirt_mask() -> Array:
    return _filled(((-30, 560), (-30, 500), (60, 468), (150, 446), (196, 440), (216, 474), (256, 506), (296, 474),
                    (316, 440), (362, 446), (452, 468), (542, 500), (542, 560)))  # fmt: skip


def _shirt_colour(look: Look) -> Array:
    rng = np.random.default_rng(13)
    folds = cv2.GaussianBlur(rng.normal(0, 1, (CANVAS_PX, CANVAS_PX)).astype(np.float32), (0, 0), 14, sigmaY=40)
    light = 0.94 + 2.2 * folds - 0.25 * (np.abs(_X - CENTRE_X) / 256) ** 2 + 0.1 * np.clip((470 - _Y) / 40, -1, 1)
    return _flat(look.shirt) * light[..., None]
