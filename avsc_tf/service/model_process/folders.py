"""Which models a folder holds: NAME/VERSION/saved_model.pb, or what its models.config says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avsc_tf.errors import BundleError

CONFIG_BYTES = 1 << 20
GRAPH_FILE = "saved_model.pb"


@dataclass
class ModelFolder:
    """Versions of one model that are to be served, and names for some of them."""

    name: str
    versions: dict[int, Path]
    labels: dict[str, int] = field(default_factory=dict)


def find_models(folder: Path) -> list[ModelFolder]:
    """The models of a folder; without models.config the newest version of each.

    Raises:
        BundleError: no folder, no model in it, or a models.config that cannot be read.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder. tools/export.py makes one of a trained run.")
    config = folder / "models.config"
    models = _configured(config) if config.is_file() else _found(folder)
    if not models:
        raise BundleError(f"{folder}: no model in it; expected NAME/1/{GRAPH_FILE}. tools/export.py makes them.")
    return models


def _found(folder: Path) -> list[ModelFolder]:
    models = []
    for base in sorted(path for path in folder.iterdir() if path.is_dir()):
        versions = _versions(base)
        if versions:
            newest = max(versions)
            models.append(ModelFolder(base.name, {newest: versions[newest]}))
    return models


def _versions(base: Path) -> dict[int, Path]:
    """Numbered folders with a SavedModel."""
    numbered = {int(p.name): p for p in base.iterdir() if p.name.isascii() and p.name.isdigit() and len(p.name) < 19}
    return {number: path for number, path in numbered.items() if (path / GRAPH_FILE).is_file()}


def _configured(config: Path) -> list[ModelFolder]:
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    if config.stat().st_size > CONFIG_BYTES:
        raise BundleError(f"{config}: larger than {CONFIG_BYTES} bytes: no list of models.")
    try:
        settings = text_format.Parse(config.read_text(encoding="utf-8"), ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise BundleError(f"{config}: not a ModelServerConfig: {error}") from error
    return [_wanted(entry, config.parent) for entry in settings.model_config_list.config]


def _wanted(entry: Any, folder: Path) -> ModelFolder:
    """One entry; a base path of another computer (a container's) means the folder of that name beside the file."""
    place = f"{folder / 'models.config'}: model {entry.name!r}"
    base = next((p for p in (folder / entry.base_path, folder / Path(entry.base_path).name) if p.is_dir()), None)
    if not entry.name or base is None:
        raise BundleError(f"{place}: needs a name and a base_path that is a folder; {entry.base_path!r} is none.")
    found = _versions(base)
    if not found:
        raise BundleError(f"{place}: no version in {base}; expected 1/{GRAPH_FILE}.")
    policy = entry.model_version_policy
    if policy.WhichOneof("policy_choice") == "all":
        chosen = sorted(found)
    elif policy.WhichOneof("policy_choice") == "specific":
        chosen = sorted(policy.specific.versions)
    else:
        chosen = sorted(found)[-(policy.latest.num_versions or 1) :]
    if missing := sorted({*chosen, *entry.version_labels.values()} - set(found)):
        raise BundleError(f"{place}: no version {missing[0]} in {base}; there are {sorted(found)}.")
    return ModelFolder(entry.name, {number: found[number] for number in chosen}, dict(entry.version_labels))
