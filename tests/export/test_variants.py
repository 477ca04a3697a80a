"""Runs that are not the demo's: baselines of one modality, parts that are missing, other networks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.features.partial_clip import PartialClip

AUDIO = ("conversion.modalities=audio", "conversion.modality_dropout=0")
VISUAL = ("conversion.modalities=visual", "conversion.modality_dropout=0", "image.mel_input=false")


@pytest.mark.slow
def test_the_audio_baseline(serve, make_clips, make_batch, same) -> None:
    served = serve(*AUDIO, networks=["conversion", "wavenet"])
    assert list(served.exported.folders) == ["conversion", "wavenet"]
    assert set(served.exported.left_out) == {"image", "end_to_end"}
    assert "converts sound alone" in served.exported.left_out["image"]
    found = make_clips(served.bundle, [3, 5])
    outputs = served.signature("conversion")(**make_batch(found, "mel"))
    assert list(outputs) == ["mel"]
    for k, clip in enumerate(found):
        same.row(outputs, k, same.expected(served, PartialClip(clip.n_frames, clip.mel)))


@pytest.mark.slow
def test_the_visual_baseline(serve, make_clips, make_batch, same) -> None:
    served = serve(*VISUAL, networks=["conversion", "image"])
    assert list(served.exported.folders) == ["conversion", "image", "end_to_end"]
    assert "converts the face alone" in served.exported.left_out["wavenet"]
    found = make_clips(served.bundle, [3, 5])
    outputs = served.signature("end_to_end")(**make_batch(found, "keypoints", "vgg"))
    assert sorted(outputs) == ["frames", "is_unfamiliar", "keypoints", "vgg"]
    for k, clip in enumerate(found):
        alone = PartialClip(clip.n_frames, None, clip.keypoints, clip.vgg)
        same.row(outputs, k, same.expected(served, alone))


@pytest.mark.slow
def test_a_joint_run_with_the_conversion_network_alone(serve, make_clips, make_batch, same) -> None:
    served = serve(networks=["conversion"])
    assert list(served.exported.folders) == ["conversion"]
    assert "no image network" in served.exported.left_out["image"]
    assert "no WaveNet" in served.exported.left_out["wavenet"]
    (clip,) = make_clips(served.bundle, [4])
    same.row(served.signature("conversion")(**make_batch([clip])), 0, same.expected(served, clip))


@pytest.mark.slow
def test_pictures_from_the_face_alone(serve, make_clips, make_batch, same) -> None:
    """A joint run whose image network has no mel input, unsteadied, its picture laid on the keypoints by a warp."""
    served = serve(
        "image.mel_input=false",
        "image.path_warp=true",
        "image.steady_head_seconds=0",
        "image.steady_face_seconds=0",
        networks=["conversion", "image"],
    )
    (clip,) = make_clips(served.bundle, [4])
    outputs = served.signature("end_to_end")(**make_batch([clip]))
    same.row(outputs, 0, same.expected(served, clip))
    paint = served.exported.folders["image"]
    assert "mel" not in tf.saved_model.load(str(paint)).signatures["paint"].structured_input_signature[1]


PAPER = ("wavenet.pitch_input=none", "wavenet.prediction_order=0", "wavenet.input_features=companded")
WAVENETS = {
    "face and BLSTM, as in the paper": (*PAPER, "wavenet.facial_channels=3", "wavenet.condition_rnn_units=4"),
    "mixture of logistics": ("wavenet.n_mixtures=2",),
    "F0 alone, pauses, no pre-emphasis": (
        "wavenet.pitch_input=f0",
        "wavenet.pre_emphasis=0",
        "wavenet.voiced_temperature=0",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(WAVENETS))
def test_other_wavenets(serve, same, kind: str) -> None:
    served = (
        serve(*AUDIO, *WAVENETS[kind], networks=["conversion", "wavenet"])
        if "BLSTM" not in kind
        else serve(*WAVENETS[kind], networks=["conversion", "wavenet"])
    )
    same.speech(served)
    same.scores(served)


@pytest.mark.slow
def test_by_xla_and_a_larger_bound(serve, same, make_clips, make_batch) -> None:
    """The same sound from the loop that XLA compiles, here where TensorFlow has it."""
    served = serve(*AUDIO, networks=["conversion", "wavenet"], jit_compile=True, max_seconds=0.5)
    same.speech(served, jit_compile=True)
    (clip,) = make_clips(served.bundle, [13], speaker="target")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)may ask for 8000 samples at most.*8320"):
        served.signature("wavenet")(**make_batch([clip], "mel"), seed=np.zeros(1, np.int32))
