"""TensorFlow Serving's protocol as descriptors, for gRPC reflection in a process without TensorFlow.

The package's own modules of the two services do not load with the protobuf that TensorFlow needs; what they say is
made again here of the messages, which do.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

SERVICES: dict[str, dict[str, tuple[Any, Any]]] = {
    "PredictionService": {
        "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
        "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
        "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
        "GetModelMetadata": (
            get_model_metadata_pb2.GetModelMetadataRequest,
            get_model_metadata_pb2.GetModelMetadataResponse,
        ),
    },
    "ModelService": {
        "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse),
        "HandleReloadConfigRequest": (
            model_management_pb2.ReloadConfigRequest,
            model_management_pb2.ReloadConfigResponse,
        ),
    },
}
FILES = {"PredictionService": "prediction_service.proto", "ModelService": "model_service.proto"}


def descriptor_set() -> bytes:
    """A FileDescriptorSet of both services and all they use, each file after those it imports."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for service, methods in SERVICES.items():
        file = descriptor_pb2.FileDescriptorProto(
            name=f"tensorflow_serving/apis/{FILES[service]}", package="tensorflow.serving", syntax="proto3"
        )
        made = file.service.add(name=service)
        for method, (request, response) in methods.items():
            types = [message.DESCRIPTOR.full_name for message in (request, response)]
            made.method.add(name=method, input_type=f".{types[0]}", output_type=f".{types[1]}")
            for message in (request, response):
                _add(message.DESCRIPTOR.file, found)
        imports = {message.DESCRIPTOR.file.name for pair in methods.values() for message in pair}
        file.dependency.extend(sorted(imports))
        found[file.name] = file
    return descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString()


def _add(file: Any, found: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    if file.name in found:
        return
    for other in file.dependencies:
        _add(other, found)
    found[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)
