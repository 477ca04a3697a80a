"""A run folder to a folder that TensorFlow Serving serves: `DIR/NAME/VERSION/`, `models.config`, `compose.yaml`."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.conversion.loading import load_bundle, modalities_of, networks_for
from avsc_tf.core.errors import ExportError
from avsc_tf.core.files import claim_folder
from avsc_tf.core.runs import network_dir
from avsc_tf.vocoder import Vocoder

DEFAULT_MAX_SECONDS = 10.0  # of speech in one call


@dataclass
class Exported:
    """What was written, and why the rest was not."""

    folders: dict[str, Path] = field(default_factory=dict)  # NAME -> out/NAME/VERSION
    left_out: dict[str, str] = field(default_factory=dict)  # NAME -> reason
    notes: list[str] = field(default_factory=list)


def export_bundle(
    run: Path,
    out: Path,
    *,
    version: int = 1,
    max_seconds: float = DEFAULT_MAX_SECONDS,
    jit_compile: bool = False,
    warmup: bool = True,
) -> Exported:
    """Write every model that a run holds; all of them, or none.

    Args:
        version: of the folders; one that exists is not overwritten.
        max_seconds: of speech that one call of the WaveNet may ask for, all utterances together.
        jit_compile: its loop by XLA: faster, but not on every server (docs/export.md).
        warmup: also write requests that TensorFlow Serving runs before it serves, where `tensorflow-serving-api` is
            installed.

    Raises:
        BundleError: a part of the run is missing or damaged.
        ConsentError: the target's consent has ended.
        ExportError: the version exists, or the folder cannot be written.
        OutputError: `out` holds other things than exported models.
    """
    if version < 1:
        raise ExportError(f"--model-version {version}: TensorFlow Serving counts versions from 1. Name a whole number.")
    if not 0 < max_seconds < math.inf:
        raise ExportError(f"--max-seconds {max_seconds}: must be above 0, and an end.")
    run, out = Path(run), Path(out)
    there = _networks(run)
    from avsc_tf.export.extras import DIGESTS_NAME, EXTRA_NAME
    from avsc_tf.export.models import MODEL_NAMES

    taken = [out / name / str(version) for name in MODEL_NAMES if (out / name / str(version)).exists()]
    if taken:
        raise ExportError(
            f"{taken[0]}: exists already, and a version that is served is never overwritten. "
            f"Name another --model-version or an empty --out."
        )
    vocoders: list[Vocoder] = ["wavenet"] if "wavenet" in there else ["griffin-lim"]
    beside, is_new = out / f".export-{os.getpid()}.part", not out.exists()
    try:
        claim_folder(out, (f"*/*/{EXTRA_NAME}/{DIGESTS_NAME}",))
        beside.mkdir(parents=True, exist_ok=False)
        _remove_left_behind(out)
        bundle = load_bundle(run, vocoders=vocoders, pictures="image" in there)
        exported = _write(bundle, run, beside, max_seconds=max_seconds, jit_compile=jit_compile, warmup=warmup)
        for name in exported.folders:
            (out / name).mkdir(exist_ok=True)
            os.rename(beside / name, out / name / str(version))
            exported.folders[name] = out / name / str(version)
        _write_server_files(out)
    except OSError as error:
        raise ExportError(f"{out}: cannot be written ({error.strerror}). Name a folder you may write.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if is_new and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    return exported


def _remove_left_behind(out: Path) -> None:
    """Half-written folders of exports that were killed; those that go on stay."""
    for folder in out.glob(".export-*.part"):
        try:
            os.kill(int(folder.name.removeprefix(".export-").removesuffix(".part")), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, PermissionError):
            continue  # somebody else's


def _networks(run: Path) -> list[str]:
    """Those that a run has a folder of, and a use for; a folder that is there must be whole."""
    wanted = networks_for(["wavenet"], modalities_of(run))
    return [network for network in wanted if network_dir(run, network).is_dir()]


def _write(bundle: Bundle, run: Path, folder: Path, *, max_seconds: float, jit_compile: bool, warmup: bool) -> Exported:
    from avsc_tf.export.extras import write_extras
    from avsc_tf.export.models import served_models
    from avsc_tf.export.saving import save_model
    from avsc_tf.export.signatures import sizes_of

    models, left_out = served_models(bundle, max_seconds=max_seconds, jit_compile=jit_compile)
    exported = Exported(left_out=left_out)
    for model in models:
        consents = bundle.origin.consents
        save_model(folder / model.name, model.functions, sizes_of(bundle.config), model.variables, consents)
        note = write_extras(folder / model.name, model, bundle, run, warmup=warmup)
        if note and note not in exported.notes:
            exported.notes.append(note)
        exported.folders[model.name] = folder / model.name
    return exported


def _write_server_files(out: Path) -> None:
    from avsc_tf.export.models import MODEL_NAMES
    from avsc_tf.export.server_files import write_server_files

    there = [name for name in MODEL_NAMES if any(p.name.isdecimal() for p in (out / name).glob("*"))]
    write_server_files(out, there)
