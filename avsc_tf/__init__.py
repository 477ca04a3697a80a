"""Audiovisual speaker conversion: a video of one person into a video of another, voice and face.

    import avsc_tf as avsc

    bundle = avsc.load("runs/demo/run")
    clip = bundle.convert("a.mp4", seed=0)  # clip.mel, clip.waveform, clip.frames, clip.keypoints
    clip.save("b.mp4")

`prepare`, `train` and `evaluate` do what the commands of the same names do; `load_config("demo")` reads settings.

The import fixes what the order of sums, and so the last bits of records and weights, depends on:

- Linear algebra of NumPy and SciPy runs on one thread: OpenBLAS adds in another order on two.
- Each TensorFlow session has threads of its own, as many as it asks for (see `features.appearance`). TensorFlow reads
  this when its first device starts, so import avsc_tf before TensorFlow computes anything.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from avsc_tf.api import evaluate, load, load_config, prepare, train
    from avsc_tf.conversion.bundle import Bundle
    from avsc_tf.conversion.converted import ConvertedClip
    from avsc_tf.core.config import Config
    from avsc_tf.core.errors import AvscError

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for libraries that are not loaded yet, and for child processes
threadpool_limits(limits=1, user_api="blas")  # for those that are
os.environ["TF_OVERRIDE_GLOBAL_THREADPOOL"] = "1"

__all__ = [
    "AvscError",
    "Bundle",
    "Config",
    "ConvertedClip",
    "evaluate",
    "load",
    "load_config",
    "prepare",
    "train",
]
_PLACES = {
    "AvscError": "core.errors",
    "Bundle": "conversion.bundle",
    "Config": "core.config",
    "ConvertedClip": "conversion.converted",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: TensorFlow loads when networks do."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
