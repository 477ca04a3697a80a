"""`tools/train.py`, killed with -9 in the middle of an epoch and started again, ends as if it had never been killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from avsc_tf.core.config import Config, save_config
from avsc_tf.core.runs import CHECKPOINT_DIR_NAME, history_path, network_dir, weights_path
from avsc_tf.corpus.reader import Records

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240  # for a start on a busy machine


def command(network: str, config: Path, records: Records, run: Path) -> list[str]:
    tool = [sys.executable, str(ROOT / "tools" / "train.py"), network, "--config", str(config)]
    return [*tool, "--records", str(records.folder), "--out", str(run), "--resume"]


def kill_within_an_epoch(arguments: list[str], run: Path, network: str, *, after_step: int) -> None:
    checkpoints = network_dir(run, network) / CHECKPOINT_DIR_NAME
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    give_up = time.monotonic() + SECONDS
    while not any(int(path.stem.split("-")[1]) > after_step for path in checkpoints.glob("step-*.npz")):
        assert process.poll() is None, process.communicate()[0].decode()[-3000:]
        assert time.monotonic() < give_up, "no checkpoint"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not weights_path(run, network).exists(), "it had ended before it was killed"


def weights_in(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def figures_in(path: Path) -> list[list[str]]:
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [k for k, name in enumerate(rows[0]) if name != "seconds"]
    return [[row[k] for k in kept] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("network", ["conversion", "wavenet", "image"])
def test_killed_and_started_again_equals_uninterrupted(network, tiny_config: Config, tiny_records: Records, tmp_path):
    net = replace(getattr(tiny_config, network), epochs=3, checkpoint_seconds=0.0, ema_decay=0.9, batch_size=2)
    net = replace(net, preview_epochs=0)
    config = replace(tiny_config, **{network: net})
    save_config(config, tmp_path / "config.yaml")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(command(network, tmp_path / "config.yaml", tiny_records, whole), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    again = command(network, tmp_path / "config.yaml", tiny_records, killed)
    kill_within_an_epoch(again, killed, network, after_step=1)
    done = subprocess.run(again, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    ours, theirs = (weights_in(weights_path(run, network)) for run in (whole, killed))
    assert ours.keys() == theirs.keys() and len(ours) > 3
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert figures_in(history_path(whole, network)) == figures_in(history_path(killed, network))
