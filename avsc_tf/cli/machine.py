"""Checks of `avsc doctor`: what this machine has, and what each finding means for the commands."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

LEAST_MEMORY_GB, LEAST_DISK_GB = 8, 5
PYTHONS = ((3, 11), (3, 12))
EXTRAS = {  # extra: a module of it, what it adds
    "evaluation": ("speechmos", "predicted opinion (DNSMOS) and intelligibility (STOI) in evaluations"),
    "identity": ("dlib", "speaker similarity and face identity in evaluations"),
    "serving": ("fastapi", "avsc serve"),
    "export": ("tensorflow_serving", "warm-up requests in avsc export"),
    "listening": ("statsmodels", "avsc listen serve and analyse"),
    "ray": ("ray", "--ray: preparation, training and serving on a cluster"),
}
VGG_FILE = Path("~/.keras/models/vgg19_weights_tf_dim_ordering_tf_kernels.h5")
VGG_ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/" + VGG_FILE.name


@dataclass(frozen=True)
class Finding:
    """One result of the check."""

    subject: str
    level: Literal["ok", "note", "fault"]
    text: str


def check_machine() -> Iterator[Finding]:
    """Yield the findings; a check that fails unexpectedly is a finding, too."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        *(check_python, check_packages, check_processor, check_memory, check_gpu, check_codecs, check_weights),
        *(check_disk, check_extras),
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Finding(check.__name__.removeprefix("check_"), "fault", f"the check failed: {error!r}")


def check_python() -> Iterator[Finding]:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] in PYTHONS:
        yield Finding("Python", "ok", text)
    else:
        yield Finding("Python", "fault", f"{text}; install Python 3.11 or 3.12 (TensorFlow 2.17 needs one of them)")


def check_packages() -> Iterator[Finding]:
    """Compare the installed versions with the requirements of the installed avsc_tf."""
    wrong = []
    try:
        requirements = [Requirement(text) for text in requires("avsc_tf") or ()]
    except PackageNotFoundError:
        yield Finding("packages", "note", "avsc_tf itself is not installed (run from a checkout): pip install -e .")
        return
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    for requirement in needed:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} is {installed}, must be {requirement.specifier}")
    if wrong:
        yield Finding("packages", "fault", f"{'; '.join(wrong)}. Reinstall: pip install avsc_tf")
    else:
        main = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "mediapipe", "av"))
        yield Finding("packages", "ok", f"{len(needed)} requirements satisfied; {main}")


def check_processor() -> Iterator[Finding]:
    """Report the vector units and the WaveNet kernel that follows from them."""
    from joblib import cpu_count

    from avsc_tf.features.appearance import computes_bfloat16
    from avsc_tf.vocoder.sampler_kernels.vectors import VARIABLE, vectors_of_this_machine

    vectors = vectors_of_this_machine()
    forced = f" (set by {VARIABLE})" if os.environ.get(VARIABLE) else ""
    yield Finding("processor", "ok", f"{cpu_count()} usable cores; the WaveNet is sampled with {vectors.name}{forced}")
    if vectors.width < 16:
        text = "no AVX-512: VGG-19, training and WaveNet sampling are slower; avsc train --dry-run reports the time"
        yield Finding("processor", "note", text)
    if not computes_bfloat16():
        text = "no bfloat16 arithmetic: keep face.vgg_dtype and wavenet.sampler_weights at float32"
        yield Finding("processor", "note", text)


def check_memory() -> Iterator[Finding]:
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if total_gb < LEAST_MEMORY_GB - 0.5:
        text = f"{total_gb:.1f} GB; prepare with --workers 1 and --set face.vgg_px=64 --set face.vgg_weights=untrained"
        yield Finding("memory", "note", text)
    else:
        yield Finding("memory", "ok", f"{total_gb:.1f} GB")


def check_gpu() -> Iterator[Finding]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    if names:
        yield Finding("GPU", "ok", f"{', '.join(names)}; training uses it, --devices N uses several")
    else:
        yield Finding("GPU", "ok", "none: networks train on the processor, by small settings such as --config demo")


def check_codecs() -> Iterator[Finding]:
    import av

    missing = [name for name in ("libx264", "aac") if not _has_codec(name, "w")]
    missing += [] if _has_codec("h264", "r") else ["h264"]
    if missing:
        text = f"PyAV {av.__version__} lacks {', '.join(missing)}: pip install --force-reinstall --only-binary av av"
        yield Finding("codecs", "fault", text)
    else:
        yield Finding("codecs", "ok", f"PyAV {av.__version__} writes H.264 and AAC")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    import av

    try:
        av.Codec(name, mode)
    except ValueError:  # av.codec.codec.UnknownCodecError
        return False
    return True


def check_weights() -> Iterator[Finding]:
    packaged = Path(__file__).parents[1] / "pretrained"
    missing = [name for name in ("wavenet_small.weights.h5", "pitch.npz") if not (packaged / name).is_file()]
    if missing:
        yield Finding("weights", "fault", f"{packaged} lacks {', '.join(missing)}: reinstall avsc_tf")
    else:
        yield Finding("weights", "ok", "the packaged WaveNet and pitch estimator are present")
    if VGG_FILE.expanduser().is_file():
        yield Finding("weights", "ok", f"VGG-19 (ImageNet) at {VGG_FILE}")
    else:
        text = (
            f"VGG-19 (ImageNet) is downloaded at the first use (575 MB); without a network copy {VGG_ADDRESS} to "
            f"{VGG_FILE}, or set face.vgg_weights to the file, or to untrained as --config demo does"
        )
        yield Finding("weights", "note", text)


def check_disk() -> Iterator[Finding]:
    free_gb = shutil.disk_usage(Path.cwd()).free / 2**30
    if free_gb < LEAST_DISK_GB:
        text = f"{free_gb:.1f} GB free in {Path.cwd()}; a demo needs 1 GB, ten minutes of speech {LEAST_DISK_GB} GB"
        yield Finding("disk", "note", text)
    else:
        yield Finding("disk", "ok", f"{free_gb:.0f} GB free in {Path.cwd()}")


def check_extras() -> Iterator[Finding]:
    present = [name for name, (module, _) in EXTRAS.items() if find_spec(module)]
    if present:
        yield Finding("extras", "ok", f"installed: {', '.join(present)}")
    for name, (_, use) in EXTRAS.items():
        if name not in present:
            yield Finding("extras", "note", f"{name} is not installed; it adds {use}: pip install 'avsc_tf[{name}]'")
