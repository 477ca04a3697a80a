"""The warped closed-form path: its parts against plain NumPy, and what it paints of frames it was not fitted to."""

from __future__ import annotations

import dataclasses

import cv2
import keras
import numpy as np
import pytest

from avsc_tf.corpus.reader import decode_frames
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.training.image.appearance import start_in_closed_form
from avsc_tf.training.image.appearance_warp import (
    MeanShape,
    Textures,
    face_mask,
    gather_textures,
    nearest_clip,
    pixel_weights,
    principal_codes,
)


def warped(config, **image):
    settings = {"path_warp": True, "path_components": 9, "path_units": 40, "path_texture_scale": 1.25, **image}
    return dataclasses.replace(config, image=dataclasses.replace(config.image, **settings))


def some_textures(rng, lengths=(5, 8, 3)) -> Textures:
    pixels = rng.integers(0, 256, (sum(lengths), 50)).astype(np.uint8)
    starts = np.cumsum([0, *lengths[:-1]])
    return Textures(pixels, np.zeros((sum(lengths), 4), np.float32), starts, ("a", "b", "c"))


def test_centring_within_clips_by_hand(rng):
    textures = some_textures(rng, (2, 3, 1))
    values = np.array([[1.0], [3.0], [10.0], [10.0], [16.0], [5.0]], np.float32)
    np.testing.assert_allclose(textures.centred(values, within_clips=True)[:, 0], [-1, 1, -2, -2, 4, 0])
    np.testing.assert_allclose(textures.centred(values, within_clips=False)[:, 0], [-6.5, -4.5, 2.5, 2.5, 8.5, -2.5])


@pytest.mark.parametrize("within_clips", [True, False])
def test_components_against_a_singular_value_decomposition(rng, within_clips, monkeypatch):
    monkeypatch.setattr(
        "avsc_tf.training.image.appearance_warp.BLOCK_VALUES", 7
    )  # 50 values: several blocks, one broken
    textures = some_textures(rng)
    weights = rng.uniform(0.5, 2, 50).astype(np.float32)
    basis, codes = principal_codes(textures, weights, 4, within_clips=within_clips)
    centred = textures.centred(textures.pixels.astype(np.float64), within_clips=within_clips)
    u, s, vt = np.linalg.svd(centred * weights, full_matrices=False)
    expected = (u[:, :4] * s[:4]) @ vt[:4] / weights
    np.testing.assert_allclose(codes @ basis, expected, atol=2e-3)  # grey levels; float32
    np.testing.assert_allclose(np.linalg.norm(basis * weights, axis=1), 1.0, atol=1e-5)


def test_more_components_than_there_are(rng):
    basis, codes = principal_codes(some_textures(rng), np.ones(50, np.float32), 40, within_clips=False)
    assert basis.shape == (40, 50) and codes.shape == (16, 40)
    assert not basis[15:].any() and not codes[:, 15:].any()


def test_the_nearest_clip_is_the_one_in_the_middle(rng):
    textures = some_textures(rng)
    textures.pixels[:5], textures.pixels[5:13], textures.pixels[13:] = 20, 100, 140
    assert nearest_clip(textures) == 1


class DrawnFaces:
    """Records of three clips to train: a head that drifts, a mouth that opens, and a shirt that is another every day.

    What the fit asks of `Records`, and nothing else; `test` is a fourth clip, with the third one's shirt.
    """

    CROP_PX, SIZE_PX = 64, 48
    SHIRTS = (40, 90, 200, 200)
    LENGTHS = (31, 40, 26, 35)

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        angles = np.linspace(0, np.pi, 17)
        shape = np.concatenate([rng.uniform(22, 42, (70, 2))])
        shape[:17] = 32 + 16 * np.stack([-np.cos(angles), np.sin(angles)], axis=1)
        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        shape[48:60] = (32, 40) + 5 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        shape[60:68] = (32, 40) + 3 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        shape[17:48, 1] *= 0.8
        self.every = [self._clip(rng, shape, k) for k in range(4)]
        points = np.concatenate([c["keypoints"].reshape(len(c["keypoints"]), -1) for c in self.every[:3]])
        self._moments = points.mean(axis=0).astype(np.float32), points.std(axis=0).astype(np.float32)
        self.statistics = self.manifest = self

    def _clip(self, rng, shape, k: int) -> dict[str, object]:
        n = self.LENGTHS[k]
        drift = np.cumsum(rng.normal(0, 0.4, (n, 1, 2)), axis=0)
        drift -= drift.mean(axis=0)
        points = shape + drift
        opening = 1 + 0.5 * np.sin(np.arange(n) / 2)[:, None]
        for rows in (slice(48, 60), slice(60, 68)):
            points[:, rows, 1] = 40 + drift[..., 1] + (shape[rows, 1] - 40) * opening
        film = [self._picture(p * self.SIZE_PX / self.CROP_PX, self.SHIRTS[k]) for p in points]
        pngs = [cv2.imencode(".png", frame[..., ::-1])[1].tobytes() for frame in film]
        return {"utterance": f"u{k}", "keypoints": points.astype(np.float32), "frames": pngs}

    def _picture(self, points: np.ndarray, shirt: int) -> np.ndarray:
        frame = np.full((self.SIZE_PX, self.SIZE_PX, 3), (60, 120, 160), np.uint8)
        frame[42:] = shirt
        fine = 16  # fractions of a pixel
        for part, colour in (
            (points[:17], (210, 170, 150)),
            (points[48:60], (180, 80, 90)),
            (points[60:68], (40, 10, 10)),
        ):
            corners = np.rint((part - 0.5) * fine).astype(np.int32)
            cv2.fillPoly(frame, [corners], colour, lineType=cv2.LINE_AA, shift=4)
        return frame

    def get(self, speaker: str, feature: str):
        assert (speaker, feature) == ("target", "keypoints")
        return self._moments

    def video_frames_of(self, stem: str) -> list[int]:
        assert stem == "target-train"
        return list(self.LENGTHS[:3])

    def n_clips(self, speaker: str, split: str) -> int:
        return 3

    def clips(self, speaker: str, split: str, *, only=()):
        assert (speaker, split) == ("target", "train")
        yield from self.every[:3]


@pytest.fixture(scope="module")
def faces() -> DrawnFaces:
    return DrawnFaces()


@pytest.fixture(scope="module")
def face_config(tiny_config):
    config = warped(
        tiny_config, size_px=DrawnFaces.SIZE_PX, mouth_l1_weight=3.0, closed_form_ridge=1.0, closed_form_start=False
    )
    return dataclasses.replace(config, face=dataclasses.replace(config.face, crop_px=DrawnFaces.CROP_PX))


def test_frames_in_the_mean_shape_lie_on_each_other(face_config, faces):
    clip = faces.every[0]
    film = decode_frames(clip["frames"])
    shape = MeanShape(face_config, faces)
    assert shape.texture_px == 60
    textures = shape.textures(film, clip["keypoints"]).reshape(-1, 60, 60, 3).astype(float)
    mouth = slice(30, 45), slice(22, 38)  # lips and what is around them, of 60
    spread = textures[:, *mouth].std(axis=0).mean()
    before = film.astype(float)[:, 24:36, 18:30].std(axis=0).mean()
    assert spread < 0.4 * before


def test_mask_holds_the_face_and_fades(face_config, faces):
    mask = face_mask(MeanShape(face_config, faces))[..., 0]
    assert mask.shape == (60, 60) and mask.min() >= 0 and mask.max() <= 1
    assert mask[35, 30] > 0.99  # the mouth, at (32, 38) of 64
    assert mask[0, 0] == mask[-1, -1] == 0
    assert ((mask > 0.1) & (mask < 0.9)).any()


def test_mouth_weighs_more(face_config, faces):
    weights = pixel_weights(face_config, MeanShape(face_config, faces)).reshape(60, 60, 3)
    assert set(np.unique(weights)) == {np.float32(1), np.float32(2)}  # the square roots of 1 and of 1 + 3
    assert (weights[37, 30] == 2).all() and (weights[10, 30] == 1).all()


def fitted(config, faces, **image) -> keras.Model:
    config = warped(config, **{"path_texture_scale": 1.5, "path_components": 9, "path_units": 40, **image})
    keras.utils.set_random_seed(1)
    generator = build_image_generator(config)
    start_in_closed_form(generator, config, faces)
    return generator


def painted(generator: keras.Model, config, clip, faces) -> np.ndarray:
    """uint8 frames of a clip, from its keypoints; mel and VGG-19 are nothing to the path."""
    mean, deviation = faces.get("target", "keypoints")
    n = len(clip["keypoints"])
    facial = np.zeros((n, config.face.n_facial), np.float32)
    facial[:, -140:] = (clip["keypoints"].reshape(n, -1) - mean) / deviation
    mel = np.zeros((n, 8, config.acoustic.n_mels), np.float32)
    return np.rint((np.asarray(generator({"mel": mel, "facial": facial})) + 1) * 127.5)


def errors(frames: np.ndarray, clip) -> tuple[float, float]:
    """Mean absolute errors, grey levels: about the mouth, and in the shirt."""
    difference = np.abs(frames - decode_frames(clip["frames"]))
    return difference[:, 24:36, 18:30].mean(), difference[:, 45:].mean()


def test_path_paints_held_out_mouths(face_config, faces):
    clip = faces.every[3]
    mean = np.mean([decode_frames(c["frames"]).mean(axis=0) for c in faces.every[:3]], axis=0)
    still = errors(mean, clip)[0]
    every, one = (
        errors(painted(fitted(face_config, faces, path_reference=kind), face_config, clip, faces), clip)
        for kind in ("all", "one_take")
    )
    assert every[0] < 0.5 * still and one[0] < 0.5 * still


def test_nothing_of_the_path_is_trained(face_config, faces):
    trained = [v.path for v in fitted(face_config, faces).trainable_variables]
    assert trained and not [path for path in trained if "path" in path or "inside" in path]


def test_one_take_wears_one_shirt(face_config, faces):
    """The mean of all wears none of the three; of one take it is the middle one's, and steady."""
    clip = faces.every[3]
    of_all, of_one = (
        painted(fitted(face_config, faces, path_reference=kind), face_config, clip, faces)[:, 46:]
        for kind in ("all", "one_take")
    )
    assert np.abs(of_one - 90).max() <= 2
    assert np.abs(of_all - 90).mean() > 8


def test_fewer_frames_where_textures_are_large(tiny_config, tiny_records, monkeypatch):
    shape = MeanShape(warped(tiny_config), tiny_records)
    assert len(gather_textures(shape, tiny_records).pixels) == 61 + 75 + 58
    monkeypatch.setattr("avsc_tf.training.image.appearance_warp.MAX_FRAMES", 50)
    some = gather_textures(shape, tiny_records)
    assert len(some.pixels) == 49  # every fourth of 194
    assert some.utterances == ("u0", "u1", "u2") and list(some.starts) == [0, 16, 34]
