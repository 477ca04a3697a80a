"""Conversion network, image generator, and both in one, as graphs that give what `conversion.bundle` gives."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.conversion.painting import FRAMES_PER_BATCH
from avsc_tf.export.signatures import (
    FRAMES,
    IS_UNFAMILIAR,
    LENGTHS,
    ServedFunction,
    Signature,
    Tensors,
    features,
    sizes_of,
)
from avsc_tf.export.smoothing import smooth_keypoints
from avsc_tf.export.standardising import Standardising, flat, split
from avsc_tf.export.utterances import checked, each

Tensor = Any


class Networks:
    """What a bundle's networks compute at frame rate.

    Args:
        bundle: with its generator, or without one where no pictures are wanted.
    """

    def __init__(self, bundle: Bundle, standardising: Standardising):
        self.bundle, self.standardising = bundle, standardising
        self.config = bundle.config
        self.per = bundle.config.timebase.mel_per_video
        self.rates = {"mel": self.per, "keypoints": 1, "vgg": 1}
        sizes = sizes_of(self.config)
        self.n_keypoints = sizes["n_keypoints"]
        of_utterance = {
            "mel": ((None, sizes["n_mels"]), tf.float32, self.per),
            "keypoints": ((None, self.n_keypoints, 2), tf.float32, 1),
            "vgg": ((None, sizes["n_vgg"]), tf.float32, 1),
            "frames": ((None, sizes["size_px"], sizes["size_px"], 3), tf.uint8, 1),
            "is_unfamiliar": ((), tf.bool, 0),
        }
        self.shapes = {name: (tf.TensorSpec(shape, dtype), rate) for name, (shape, dtype, rate) in of_utterance.items()}

    def conversion(self) -> ServedFunction:
        """Features of the source -> features of the target."""
        return self._of_source("convert", "features of the source speaker to those of the target", paints=False)

    def end_to_end(self) -> ServedFunction:
        """Features of the source -> features and pictures of the target."""
        meaning = "features of the source speaker to features and pictures of the target"
        return self._of_source("convert_and_paint", meaning, paints=True)

    def painting(self) -> ServedFunction:
        """Features of the target -> its pictures."""
        meaning = "features of the target speaker to pictures" + (
            "; its keypoints are steadied before (image.steady_...)" if self.steadies else ""
        )
        inputs = features("the target's", mel=self.config.image.mel_input, face=True)
        signature = Signature("paint", meaning, (*inputs, LENGTHS), (FRAMES,))

        def one(utterance: Tensors, n_frames: Tensor) -> Tensors:
            facial = self.standardising.target_facial(utterance["keypoints"], utterance["vgg"])
            mel = self.standardising.target_mel(utterance["mel"]) if "mel" in utterance else None
            return {"frames": self.paint(mel, facial)}

        return ServedFunction(signature, self._by_utterance(signature, one, optional=False))

    def _of_source(self, name: str, meaning: str, *, paints: bool) -> ServedFunction:
        voice, face = self.bundle.has_voice, self.bundle.has_face
        outputs = (
            *features("the target's", mel=voice, face=face),
            *((FRAMES,) if paints else ()),
            *((IS_UNFAMILIAR,) if face else ()),
        )
        inputs = (*features("the source's", mel=voice, face=face), LENGTHS)
        signature = Signature(name, meaning, inputs, outputs)

        def one(utterance: Tensors, n_frames: Tensor) -> Tensors:
            ready, unfamiliar = self.standardising.source(utterance, n_frames, self.per)
            standardised = self.converted(ready)
            found = self.standardising.restored(standardised, self.n_keypoints)
            if paints:
                found["frames"] = self.paint(standardised.get("mel"), standardised["facial"])
            return {**found, "is_unfamiliar": unfamiliar} if face else found

        return ServedFunction(signature, self._by_utterance(signature, one, optional=True))

    def _by_utterance(self, signature: Signature, one: Any, *, optional: bool) -> Any:
        names = [feature.name for feature in signature.outputs]

        def call(inputs: Tensors) -> Tensors:
            lengths = inputs["lengths"]
            streams = {name: inputs[name] for name in signature.input_names if name != "lengths"}
            streams, n_video = checked(streams, lengths, self.rates, optional=optional)
            outputs = {name: self.shapes[name] for name in names}
            return each(one, streams, lengths, self.rates, n_video, outputs)

        return call

    def converted(self, ready: Tensors) -> Tensors:
        """Standardised streams of one utterance through the conversion network."""
        outputs = self.bundle.conversion_net({k: v[None] for k, v in ready.items()}, training=False)
        return {name: output[0] for name, output in outputs.items()}

    @property
    def steadies(self) -> bool:
        return bool(self.config.image.steady_head_seconds or self.config.image.steady_face_seconds)

    def paint(self, mel: Tensor | None, facial: Tensor) -> Tensor:
        """Standardised features of one utterance -> uint8 [T, size_px, size_px, 3], a few frames at a time."""
        facial = self._steady(facial) if self.steadies else facial
        inputs = {"facial": facial}
        if mel is not None and self.config.image.mel_input:
            inputs["mel"] = tf.reshape(mel, (-1, self.per, mel.shape[-1]))
        n_frames = tf.shape(facial)[0]
        n_parts = (n_frames + FRAMES_PER_BATCH - 1) // FRAMES_PER_BATCH
        px = self.config.image.size_px
        parts = tf.TensorArray(tf.uint8, n_parts, infer_shape=False, element_shape=(None, px, px, 3))

        def body(k: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
            part = {name: x[k * FRAMES_PER_BATCH : (k + 1) * FRAMES_PER_BATCH] for name, x in inputs.items()}
            images = self.bundle.generator(part, training=False)
            return k + 1, parts.write(k, tf.cast(tf.clip_by_value(tf.round((images + 1) * 127.5), 0, 255), tf.uint8))

        _, parts = tf.while_loop(lambda k, _: k < n_parts, body, (0, parts), parallel_iterations=1)
        return parts.concat()

    def _steady(self, facial: Tensor) -> Tensor:
        image, fps = self.config.image, self.config.time.video_fps
        vgg, _ = split(facial, self.n_keypoints)
        keypoints = self.standardising.restored({"facial": facial}, self.n_keypoints)["keypoints"]
        steady = smooth_keypoints(
            keypoints, head_frames=image.steady_head_seconds * fps, face_frames=image.steady_face_seconds * fps
        )
        mean, std = self.standardising.of("target", "keypoints")
        return tf.concat([vgg, (flat(steady) - mean) / std], axis=-1)
