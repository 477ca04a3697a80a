"""Who is seen, and with what face: the looks and expressions of the demo speakers.

Lengths are pixels of a 512 canvas.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float]  # RGB, 0 to 255
Points = tuple[tuple[float, float], ...]  # (x, y) on the canvas


@dataclass(frozen=True)
class Look:
    """A face at rest."""

    skin: Colour
    lip: Colour
    hair: Colour
    brow: Colour
    iris: Colour
    shirt: Colour
    background: Colour
    face_width: float  # 1 = 116 half a width at the cheekbones
    jaw_width: float
    nose_size: float
    eye_size: float
    eye_distance: float  # from the middle line
    brow_thickness: float
    lip_half_width: float
    lip_fullness: float
    parting: tuple[float, float]  # where the strands of hair spring from
    hair_back: Points  # outline behind the head, closed and smoothed
    hair_front: Points  # outline over the forehead, closed and smoothed


@dataclass(frozen=True)
class Expression:
    """What a mood does to a face; 0 is neutral everywhere but `eye_opening`."""

    mouth_corners: float = 0.0  # up, -1 to 1
    brow_raise: float = 0.0
    inner_brow: float = 0.0  # raised in sadness, drawn down in anger
    eye_opening: float = 1.0
    cheek_raise: float = 0.0
    head_pitch: float = 0.0
    mouth_scale: float = 1.0  # of the opening while speaking


LOOKS: dict[str, Look] = {
    "source": Look(
        skin=(231, 187, 160),
        lip=(186, 92, 94),
        hair=(52, 37, 31),
        brow=(58, 40, 34),
        iris=(84, 56, 36),
        shirt=(62, 88, 142),
        background=(168, 178, 190),
        face_width=0.98,
        jaw_width=0.95,
        nose_size=0.95,
        eye_size=1.04,
        eye_distance=54,
        brow_thickness=8.0,
        lip_half_width=43,
        lip_fullness=1.0,
        parting=(226, 66),
        hair_back=(
            (256, 24), (168, 42), (118, 104), (106, 190), (102, 290), (94, 390), (88, 470), (130, 500),
            (256, 500), (382, 500), (424, 470), (418, 390), (410, 290), (406, 190), (394, 104), (344, 42),
        ),
        hair_front=(
            (256, 28), (174, 46), (128, 100), (118, 170), (116, 250), (122, 310), (134, 262), (142, 206),
            (166, 164), (204, 136), (226, 104), (262, 132), (316, 154), (356, 186), (374, 240), (386, 310),
            (396, 250), (392, 170), (384, 100), (338, 46),
        ),
    ),
    "target": Look(
        skin=(205, 150, 116),
        lip=(166, 78, 78),
        hair=(150, 96, 50),
        brow=(112, 72, 40),
        iris=(66, 104, 98),
        shirt=(150, 66, 60),
        background=(186, 176, 160),
        face_width=1.07,
        jaw_width=1.14,
        nose_size=1.15,
        eye_size=0.95,
        eye_distance=58,
        brow_thickness=11.0,
        lip_half_width=48,
        lip_fullness=1.18,
        parting=(300, 74),
        hair_back=(
            (256, 30), (166, 44), (108, 100), (90, 180), (86, 260), (92, 330), (118, 366), (160, 372),
            (256, 360), (352, 372), (394, 366), (420, 330), (426, 260), (420, 180), (404, 100), (346, 44),
        ),
        hair_front=(
            (256, 34), (172, 48), (116, 100), (104, 170), (102, 240), (108, 300), (122, 250), (130, 204),
            (156, 178), (204, 166), (262, 146), (300, 112), (330, 150), (364, 186), (384, 222), (394, 250),
            (406, 300), (412, 240), (406, 170), (396, 100), (340, 48),
        ),
    ),
}  # fmt: skip

# Keyed as `voices.EMOTIONS`.
EXPRESSIONS: dict[str, Expression] = {
    "neutral": Expression(),
    "happiness": Expression(0.55, 0.2, 0.0, 0.88, 0.5, 0.0, 1.08),
    "happiness_strong": Expression(1.0, 0.45, 0.05, 0.74, 1.0, 0.1, 1.15),
    "sadness": Expression(-0.4, 0.05, 0.6, 0.80, 0.0, -0.2, 0.88),
    "sadness_strong": Expression(-0.75, 0.1, 1.0, 0.62, 0.0, -0.4, 0.75),
    "anger": Expression(-0.25, -0.3, -0.65, 1.0, 0.1, -0.1, 1.10),
    "anger_strong": Expression(-0.5, -0.4, -1.0, 1.16, 0.2, -0.15, 1.20),
}
