"""Requests that TensorFlow Serving runs before it serves, so that the first caller does not wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.export.models import ServedModel
from avsc_tf.export.signatures import Signature, sizes_of

WARMUP_NAME = "tf_serving_warmup_requests"
WARMUP_VIDEO_FRAMES = 2
MISSING = (
    "tensorflow-serving-api is not installed: no warm-up requests were written (pip install tensorflow-serving-api)"
)


def write_warmup(extra: Path, model: ServedModel, bundle: Bundle) -> str:
    """One request a signature, as a TFRecord of PredictionLog; returns a note where the package is missing."""
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return MISSING
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(extra / WARMUP_NAME)) as writer:
        for function in model.functions:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model.name
            request.model_spec.signature_name = function.signature.name
            for name, array in example_inputs(function.signature, bundle).items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return ""


def example_inputs(
    signature: Signature, bundle: Bundle, *, batch: int = 1, n_video: int = WARMUP_VIDEO_FRAMES
) -> dict[str, np.ndarray]:
    """Mean features, silence: inputs of the right shapes that every signature takes."""
    per = bundle.config.timebase.mel_per_video
    sizes = {"batch": batch, "video": n_video, "mel": per * n_video, **sizes_of(bundle.config)}
    if bundle.sampler is not None:
        sizes["samples"] = per * bundle.sampler.hop_samples * n_video
    inputs: dict[str, Any] = {}
    for feature in signature.inputs:
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in feature.shape]
        inputs[feature.name] = np.full(shape, n_video if feature.name == "lengths" else 0, feature.dtype)
        if feature.name in ("mel", "vgg", "keypoints"):
            speaker = "target" if feature.meaning.startswith("the target's") else "source"
            mean, _ = bundle.statistics.get(speaker, feature.name)
            inputs[feature.name] += mean.reshape(shape[2:])
    return inputs
