"""Exported models give what the bundle gives, for every utterance of a padded batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.features.partial_clip import PartialClip

LENGTHS = [5, 9, 2]


def test_end_to_end_is_the_converter(joint, make_clips, make_batch, same) -> None:
    found = make_clips(joint.bundle, LENGTHS)
    outputs = joint.signature("end_to_end")(**make_batch(found))
    assert not outputs["is_unfamiliar"].any()
    for k, clip in enumerate(found):
        same.row(outputs, k, same.expected(joint, clip))


def test_steadying_is_in_the_graph(joint, make_clips, make_batch, same) -> None:
    """With it left out of the bundle, the pictures are others."""
    clip = make_clips(joint.bundle, [9])[0]
    frames = joint.signature("end_to_end")(**make_batch([clip]))["frames"][0]
    target = joint.bundle.convert_features(clip)
    bare = [
        np.asarray(
            joint.bundle.generator({"mel": target.mel.reshape(9, 8, -1), "facial": target.facial}, training=False)
        )
    ]
    bare_frames = np.clip(np.rint((bare[0] + 1) * 127.5), 0, 255)
    assert np.abs(bare_frames - frames).mean() > 0.05
    same.frames(frames, joint.bundle.paint(target))


def test_conversion_alone(joint, make_clips, make_batch, same) -> None:
    found = make_clips(joint.bundle, LENGTHS, seed=1)
    outputs = joint.signature("conversion")(**make_batch(found))
    assert sorted(outputs) == ["is_unfamiliar", "keypoints", "mel", "vgg"]
    for k, clip in enumerate(found):
        wanted = same.expected(joint, clip)
        del wanted["frames"]
        same.row(outputs, k, wanted)


def test_a_stranger_is_standardised_by_their_own_moments(joint, make_clips, make_batch, same) -> None:
    own, stranger = make_clips(joint.bundle, [6, 7])
    stranger = PartialClip(7, stranger.mel, stranger.keypoints + 40, stranger.vgg)
    assert joint.bundle.is_unfamiliar(stranger)
    outputs = joint.signature("end_to_end")(**make_batch([own, stranger]))
    assert outputs["is_unfamiliar"].tolist() == [False, True]
    for k, clip in enumerate([own, stranger]):
        same.row(outputs, k, same.expected(joint, clip))


@pytest.mark.parametrize("missing", ["sound", "picture"])
def test_a_missing_stream_has_no_frames(joint, make_clips, make_batch, same, missing: str) -> None:
    found = make_clips(joint.bundle, [4, 6])
    inputs = make_batch(found)
    gone = ("mel",) if missing == "sound" else ("keypoints", "vgg")
    for name in gone:
        inputs[name] = inputs[name][:, :0]
    outputs = joint.signature("end_to_end")(**inputs)
    for k, clip in enumerate(found):
        left = {name: None if name in gone else getattr(clip, name) for name in ("mel", "keypoints", "vgg")}
        same.row(outputs, k, same.expected(joint, PartialClip(clip.n_frames, **left)))


def test_painting_alone(joint, make_clips, make_batch, same) -> None:
    from avsc_tf.conversion.converted import TargetFeatures
    from avsc_tf.features.statistics import join_facial

    found = make_clips(joint.bundle, [35, 3], speaker="target")  # more than are painted at a time
    frames = joint.signature("image", "paint")(**make_batch(found))["frames"]
    for row, clip in zip(frames, found, strict=True):
        facial = joint.bundle.statistics.standardise("target", "facial", join_facial(clip.vgg, clip.keypoints))
        mel = joint.bundle.statistics.standardise("target", "mel", clip.mel)
        same.frames(row[: clip.n_frames], joint.bundle.paint(TargetFeatures(mel, facial)))
        assert not row[clip.n_frames :].any()


def test_padding_and_company_change_nothing(joint, make_clips, make_batch) -> None:
    """Alone, or padded beside a longer one: to the bit, since each utterance is computed alone."""
    call = joint.signature("end_to_end")
    short, long = make_clips(joint.bundle, [3, 8])
    alone = call(**make_batch([short]))
    for padding in (7.0, -1000.0):
        together = call(**make_batch([long, short], padding=padding))
        for name in ("mel", "keypoints", "vgg", "frames"):
            np.testing.assert_array_equal(together[name][1][: alone[name].shape[1]], alone[name][0], err_msg=name)


REFUSED = {
    "mel too short": ({"mel": np.zeros((2, 39, 80))}, r"mel: must have 8 for each video frame.*\[39\] \[5\]"),
    "other pictures": ({"keypoints": np.zeros((2, 4, 70, 2))}, r"keypoints: must have 1 for each video frame"),
    "one mel": ({"mel": np.zeros((1, 40, 80))}, r"mel and lengths: must be of as many utterances"),
    "not a number": ({"vgg": np.full((2, 5, 9), np.nan)}, r"vgg: holds values that are not finite"),
    "longer than it is": (
        {"lengths": np.array([6, 2])},
        r"lengths: each must lie between 1 and the video frames.*\[6 2\] \[5\]",
    ),
    "of nothing": ({"lengths": np.array([0, 2])}, r"lengths: each must lie between 1 and the video frames"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_no_batch_of_utterances_is_refused(joint, make_clips, make_batch, case: str) -> None:
    wrong, message = REFUSED[case]
    inputs = make_batch(make_clips(joint.bundle, [5, 2]))
    inputs |= {name: array.astype(inputs[name].dtype) for name, array in wrong.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){message}"):
        joint.signature("conversion")(**inputs)
