"""One process of a training on several devices, for test_devices.py; `TF_CONFIG` names the other processes.

python devices_worker.py networks RECORDS OUT DEVICES NETWORK...   trains networks on small records
python devices_worker.py tool STEP SIGNAL ARGUMENTS...   tools/train.py with a checkpoint every step; after STEP steps
                                                         (0: never) it sends itself a signal
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [
    # all that devices share: batch norm, clipping by a common norm, averaged weights, a schedule, many steps a call
    *("conversion.batch_size=4", "conversion.epochs=6", "conversion.clip_norm=1.0", "conversion.ema_decay=0.9"),
    *("conversion.lr_schedule=cosine", "conversion.warmup_steps=2", "conversion.window_seconds=1.0"),
    *("image.batch_size=32", "image.epochs=1", "image.clip_norm=1.0", "image.ema_decay=0.9"),
    *("image.steps_per_execution=4", "image.lr_schedule=cosine", "image.warmup_steps=2"),
    *("image.generator_learning_rate=5.0e-5", "image.discriminator_learning_rate=5.0e-5"),
    *("conversion.preview_epochs=0", "image.preview_epochs=0", "wavenet.preview_epochs=0"),
    "wavenet.n_layers=2",  # tracing is what takes long
    *("wavenet.batch_size=4", "wavenet.epochs=2", "wavenet.steps_per_epoch=5", "wavenet.steps_per_execution=3"),
    *("wavenet.learning_rate=2.0e-4", "wavenet.warmup_steps=2", "wavenet.ema_decay=0.5"),
    # where a pixel equals its closed form but for rounding, the slope of |x| is chance
    *("image.path_components=0", "image.closed_form_start=false"),
    # these draw other numbers on every device
    *("conversion.input_noise=0", "conversion.dropout=0", "conversion.modality_dropout=0", "image.feature_noise=0"),
]


def train_networks(records_folder: str, out: str, n_devices: str, *networks: str) -> None:
    from conftest import small_config

    from avsc_tf.corpus.reader import open_records
    from avsc_tf.training.conversion.train import train_conversion
    from avsc_tf.training.engine.devices import choose_devices
    from avsc_tf.training.image.train import train_image
    from avsc_tf.training.wavenet.train import train_wavenet

    devices = choose_devices(int(n_devices))
    config = small_config(ROOT, *SETTINGS)
    records = open_records(Path(records_folder), config)
    trainings = {"conversion": train_conversion, "image": train_image, "wavenet": train_wavenet}
    for name in networks:
        network, history = trainings[name](config, records, Path(out), devices=devices)
        weights = sum(float(abs(w).sum()) for w in network.get_weights())
        print("trained", name, devices.process, len(history), weights)


def run_tool(step: str, name: str, *arguments: str) -> None:
    from avsc_tf.training.engine import loop

    original = loop._Training._check

    def check(self: Any, figures: Any) -> None:
        if self.progress.steps_before(self.steps_per_epoch) == int(step) > 0:
            os.kill(os.getpid(), signal.Signals[name])
        original(self, figures)

    loop._Training._check = check  # type: ignore[method-assign]
    sys.argv = ["train.py", *arguments, "--set", "conversion.checkpoint_seconds=0"]
    runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    {"networks": train_networks, "tool": run_tool}[sys.argv[1]](*sys.argv[2:])
