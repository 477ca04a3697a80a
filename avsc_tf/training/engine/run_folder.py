"""Who may train in a run folder: a new training, an unfinished one going on, or nobody because it is done.

The resolved settings lie in the network's folder from the first step on, so that other settings are an error there and
not a surprise in the result.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from avsc_tf.core.config import Config, load_saved_config, save_config
from avsc_tf.core.errors import ConfigError
from avsc_tf.core.files import own_folder, write_atomically
from avsc_tf.core.runs import (
    CHECKPOINT_DIR_NAME,
    CONFIG_NAME,
    NETWORKS,
    STATISTICS_NAME,
    config_path,
    network_dir,
    statistics_path,
    weights_path,
)
from avsc_tf.training.engine.checkpoints import latest_checkpoint

ONLY_WRITTEN = ("checkpoint_seconds", "preview_epochs")  # no weight depends on them


class Claim(enum.Enum):
    """What a training may do in its folder."""

    START = "start"
    RESUME = "resume"
    FINISHED = "finished"


def claim_folder(run: Path, network: str, config: Config, *, resume: bool) -> Claim:
    """Check the folder of `network` in `run` against `config` and write the settings into a new one.

    Only settings that this network depends on are compared: those of the records, the seed and its own section.

    Raises:
        ConfigError: trained with other settings, or unfinished and `resume` not asked for.
    """
    folder = network_dir(run, network)
    checkpoint = latest_checkpoint(folder / CHECKPOINT_DIR_NAME)
    finished = weights_path(run, network).is_file()
    if finished or checkpoint:
        _check_settings(run, network, config)
    if finished:
        return Claim.FINISHED
    if checkpoint and not resume:
        raise ConfigError(f"{folder}: holds an unfinished training ({checkpoint.name}). Add --resume, or delete it.")
    if checkpoint:
        return Claim.RESUME
    save_config(config, config_path(run, network))
    return Claim.START


def own_run(run: Path, network: str) -> AbstractContextManager[None]:
    """Have the run folder for a training of `network`, until the block ends; other networks may be trained beside it.

    Raises:
        OutputError: `network` is being trained there, or the folder holds other things than a run.
    """
    signs = [STATISTICS_NAME, *(f"{name}.lock" for name in NETWORKS), *(f"{name}/{CONFIG_NAME}" for name in NETWORKS)]
    return own_folder(run, network, signs=signs, doing=f"training of the network `{network}`")


def keep_statistics(records: Path, run: Path) -> None:
    """Copy the records' statistics into the run; a run holds one set only.

    Raises:
        ConfigError: the run was trained on other records.
    """
    source, kept = statistics_path(records), statistics_path(run)
    content = source.read_bytes()
    if kept.is_file() and kept.read_bytes() != content:
        raise ConfigError(f"{kept}: this run was trained on other records than {records}. Name another --out.")
    write_atomically(kept, content)


def _relevant(config: Config, network: str) -> dict[str, Any]:
    own = {name: value for name, value in config.as_dict()[network].items() if name not in ONLY_WRITTEN}
    return _flat({**config.record_settings, network: own})


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(_flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def _check_settings(run: Path, network: str, config: Config) -> None:
    path = config_path(run, network)
    if not path.is_file():
        raise ConfigError(f"{path}: is missing beside a trained network. Delete {path.parent} and train again.")
    then, now = _relevant(load_saved_config(path), network), _relevant(config, network)
    changed = [name for name in now if then.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise ConfigError(
            f"{path.parent}: was trained with {name} = {then.get(name)}, now it is {now[name]}"
            f"{f' ({len(changed) - 1} more differ)' if len(changed) > 1 else ''}. "
            "Name another --out, go back to the old settings, or delete this folder."
        )
