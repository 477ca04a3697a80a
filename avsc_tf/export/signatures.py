"""What a served model takes and gives, once: the graph's inputs, the model card and the tests are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.core.consent import Consent
from avsc_tf.core.schema import Feature
from avsc_tf.export.ending import consent_rules

FREE_AXES = {
    "batch": "utterances of a call",
    "video": "video frames of the longest one",
    "mel": "mel frames: {mel_per_video} a video frame",
    "samples": "{samples_per_video} a video frame",
}
DEFAULT_KEY = "serving_default"

Tensors = dict[str, Any]
Function = Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class Signature:
    """A named function of a served model; shapes of its tensors in the words of `schema` and of `FREE_AXES`."""

    name: str
    meaning: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.inputs)


@dataclass(frozen=True)
class ServedFunction:
    """A signature with the graph that keeps it: tensors by name in, tensors by name out."""

    signature: Signature
    call: Function


def sizes_of(config: Config) -> dict[str, int]:
    """Length of each fixed axis, by its name in `schema`."""
    return {
        "n_mels": config.acoustic.n_mels,
        "n_vgg": config.face.n_vgg,
        "n_keypoints": config.face.n_keypoints,
        "size_px": config.image.size_px,
    }


def shape_of(feature: Feature, sizes: Mapping[str, int]) -> list[int | None]:
    """None for the axes that are free."""
    return [axis if isinstance(axis, int) else None if axis in FREE_AXES else sizes[axis] for axis in feature.shape]


def traced(function: ServedFunction, sizes: Mapping[str, int], consents: Sequence[Consent]) -> Any:
    """The concrete function of a signature; it refuses once one of the consents has ended."""
    signature = function.signature
    specs = {f.name: tf.TensorSpec(shape_of(f, sizes), f.dtype, name=f.name) for f in signature.inputs}

    def call(**inputs: Any) -> Tensors:
        with tf.control_dependencies(consent_rules(consents)):
            outputs = function.call({name: tf.identity(tensor) for name, tensor in inputs.items()})
        found, promised = sorted(outputs), sorted(f.name for f in signature.outputs)
        assert found == promised, f"{signature.name}: gives {found}, its signature says {promised}"
        return {f.name: tf.ensure_shape(outputs[f.name], shape_of(f, sizes)) for f in signature.outputs}

    call.__name__ = signature.name
    return tf.function(call, autograph=False).get_concrete_function(**specs)


LENGTHS = Feature(
    "lengths", "int32", ("batch",), "video frames", "of each utterance, 1 to `video`; what lies beyond is not looked at"
)


def features(prefix: str, *, mel: bool, face: bool) -> tuple[Feature, ...]:
    """Physical features of an utterance; `prefix` says whose."""
    found: Sequence[Feature] = ()
    if mel:
        found = (Feature("mel", "float32", ("batch", "mel", "n_mels"), "natural log", f"{prefix} mel spectrogram"),)
    if face:
        found = (
            *found,
            Feature(
                "keypoints",
                "float32",
                ("batch", "video", "n_keypoints", 2),
                "pixels of the crop",
                f"{prefix} 68 iBUG points and 2 pupils, x y",
            ),
            Feature("vgg", "float32", ("batch", "video", "n_vgg"), "activation", f"{prefix} VGG-19 fc1"),
        )
    return tuple(found)


FRAMES = Feature(
    "frames",
    "uint8",
    ("batch", "video", "size_px", "size_px", 3),
    "0 to 255, RGB",
    "pictures of the target; black beyond an utterance's length",
)
IS_UNFAMILIAR = Feature(
    "is_unfamiliar",
    "bool",
    ("batch",),
    "yes or no",
    "the face is not the source speaker's; the utterance was standardised by its own mean and deviation",
)
