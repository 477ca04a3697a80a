"""docs/serve_models.md: its client runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.service.grpc_predict import GrpcServer
from avsc_tf.service.models import ModelHost


class Conversion(tf.Module):
    """Something with the inputs of a conversion."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 80], tf.float32, name="mel"),
            tf.TensorSpec([None, None, 70, 2], tf.float32, name="keypoints"),
            tf.TensorSpec([None, None, 4096], tf.float32, name="vgg"),
            tf.TensorSpec([None], tf.int32, name="lengths"),
        ]
    )
    def convert(self, mel, keypoints, vgg, lengths):
        return {"mel": mel + 1, "keypoints": keypoints, "vgg": vgg, "same": lengths}


@pytest.mark.slow
def test_the_client(root: Path, tmp_path: Path) -> None:
    model = Conversion()
    tf.saved_model.save(model, str(tmp_path / "served" / "conversion" / "1"), signatures=model.convert)
    np.savez(
        tmp_path / "clip.npz",
        mel=np.zeros((24, 80), np.float32),
        keypoints=np.zeros((3, 70, 2), np.float32),
        vgg=np.zeros((3, 4096), np.float32),
    )
    (code,) = re.findall(
        r"```python\n# predict\.py\n(.*?)```",
        (root / "docs" / "serve_models.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    with ModelHost(tmp_path / "served") as host:
        server = GrpcServer(host)
        server.start()
        try:
            done = subprocess.run(
                [sys.executable, "-c", code.replace(":8500", f":{server.port}")],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                timeout=120,
            )
        finally:
            server.stop(0)
    assert done.stdout == "mel (1, 24, 80)\n", done.stderr
