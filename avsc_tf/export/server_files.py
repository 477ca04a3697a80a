"""`models.config` and `compose.yaml`: what TensorFlow Serving is started with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avsc_tf.core.files import write_atomically

SERVER_IMAGE = "tensorflow/serving:2.17.0"
MODELS_CONFIG_NAME = "models.config"
COMPOSE_NAME = "compose.yaml"
IN_CONTAINER = "/models"
GRPC_PORT, REST_PORT = 8500, 8501  # of the server's own image


def write_server_files(out: Path, names: Sequence[str]) -> None:
    """Beside the models, whole or not at all."""
    for name, text in ((MODELS_CONFIG_NAME, models_config(names)), (COMPOSE_NAME, compose())):
        write_atomically(out / name, text)


def models_config(names: Sequence[str]) -> str:
    """Text of a `tensorflow.serving.ModelServerConfig`."""
    blocks = [
        f'  config {{\n    name: "{name}"\n    base_path: "{IN_CONTAINER}/{name}"\n'
        '    model_platform: "tensorflow"\n  }\n'
        for name in names
    ]
    return "model_config_list {\n" + "".join(blocks) + "}\n"


def compose() -> str:
    """Reached from this machine alone; the models are mounted read-only."""
    return f"""\
# docker compose up: the models of this folder, gRPC on {GRPC_PORT}, REST on {REST_PORT}, from this machine alone.
services:
  serving:
    image: {SERVER_IMAGE}
    command:
      - --model_config_file={IN_CONTAINER}/{MODELS_CONFIG_NAME}
    ports:
      - "127.0.0.1:{GRPC_PORT}:{GRPC_PORT}"
      - "127.0.0.1:{REST_PORT}:{REST_PORT}"
    volumes:
      - type: bind
        source: .
        target: {IN_CONTAINER}
        read_only: true
    restart: unless-stopped
"""
