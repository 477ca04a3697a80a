"""Names of the files in a run folder: training writes them, the bundle reads them.

A run folder holds the settings, the statistics of the records it was trained on, the target's consent record, the
digests of all that conversion reads, and one folder a network.
"""

from __future__ import annotations

from pathlib import Path

NETWORKS = ("conversion", "wavenet", "image")
CONFIG_NAME = "config.yaml"
STATISTICS_NAME = "statistics.npz"
WEIGHTS_NAME = "model.weights.h5"
CONSENT_NAME = "consent.yaml"
DIGESTS_NAME = "digests.json"
HISTORY_NAME = "history.csv"
CHECKPOINT_DIR_NAME = "checkpoints"
LOG_DIR_NAME = "logs"


def network_dir(run: Path, network: str) -> Path:
    return run / network


def weights_path(run: Path, network: str) -> Path:
    """Weights of a finished training; written only at its end."""
    return network_dir(run, network) / WEIGHTS_NAME


def config_path(run: Path, network: str) -> Path:
    """Resolved settings the network was trained with."""
    return network_dir(run, network) / CONFIG_NAME


def statistics_path(run: Path) -> Path:
    return run / STATISTICS_NAME


def history_path(run: Path, network: str) -> Path:
    """Losses by epoch, one row each."""
    return network_dir(run, network) / HISTORY_NAME


def consent_path(folder: Path) -> Path:
    """The target's consent record, in a folder of clips, of records, or of a run."""
    return folder / CONSENT_NAME


def digests_path(run: Path) -> Path:
    return run / DIGESTS_NAME
