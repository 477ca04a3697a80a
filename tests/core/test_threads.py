"""The same bytes on one thread and on two: what is stored must not depend on the cores of the machine that made it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# NumPy is loaded before avsc_tf, and TensorFlow's own device has started: the least favourable order.
DIGESTS = """
import hashlib, sys
import numpy as np
from avsc_tf.alignment.dtw import euclidean_matrix
from avsc_tf.core.config import load_config
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.appearance import Vgg19Features
from avsc_tf.core.timebase import Timebase
import cv2
import tensorflow as tf
n_threads = int(sys.argv[1])
cv2.setNumThreads(n_threads)
tf.config.threading.set_intra_op_parallelism_threads(n_threads)
tf.ones(3) + 1

def show(name, array):
    print(name, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())

rng = np.random.default_rng(0)
sizes = ["face.vgg_px=32", "face.vgg_batch=4"]
config = load_config("configs/demo.yaml", sizes)
mel = mel_spectrogram(rng.normal(0, 0.1, 40_000), config.acoustic, config.timebase)
show("mel", mel)
show("cost", euclidean_matrix(mel, mel[::-1]))
show("matmul", rng.normal(size=(256, 1025)).astype(np.float32) @ rng.normal(size=(1025, 80)).astype(np.float32))
crops = rng.integers(0, 255, (9, 6, 6, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)  # smooth ones
for dtype in ("float32", "bfloat16"):
    face = load_config("configs/demo.yaml", [*sizes, f"face.vgg_dtype={dtype}"]).face
    show(dtype, Vgg19Features(face, 5)(crops))
"""
KINDS_OF_MACHINE = {
    "this": {},
    # TensorFlow takes oneDNN where the processor has AVX-512 VNNI or better, else Eigen.
    "without AVX-512": {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}


@pytest.mark.parametrize("kind", KINDS_OF_MACHINE)
def test_one_thread_and_two_give_the_same_bytes(kind: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DIGESTS, str(n)],
            cwd=ROOT,
            env={**os.environ, **KINDS_OF_MACHINE[kind], "OPENBLAS_NUM_THREADS": str(n)},
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for n in (1, 2)
    ]
    one, two = (process.communicate(timeout=300)[0].splitlines() for process in processes)
    assert [line.split()[0] for line in one] == ["mel", "cost", "matmul", "float32", "bfloat16"]
    assert one == two
