"""One process of a training on several devices, for test_devices.py: trains all three networks on small records.

python devices_worker.py RECORDS OUT DEVICES [section.key=value ...]; TF_CONFIG names the other processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
SETTINGS = [
    # all that devices share: batch norm, clipping by a common norm, averaged weights, a schedule, many steps a call
    *("conversion.batch_size=4", "conversion.epochs=6", "conversion.clip_norm=1.0", "conversion.ema_decay=0.9"),
    *("conversion.lr_schedule=cosine", "conversion.warmup_steps=2", "conversion.window_seconds=1.0"),
    *("image.batch_size=32", "image.epochs=1", "image.clip_norm=1.0", "image.ema_decay=0.9"),
    *("image.steps_per_execution=4", "image.lr_schedule=cosine", "image.warmup_steps=2"),
    *("image.generator_learning_rate=5.0e-5", "image.discriminator_learning_rate=5.0e-5"),
    *("wavenet.batch_size=4", "wavenet.epochs=2", "wavenet.steps_per_epoch=5", "wavenet.steps_per_execution=3"),
    *("wavenet.learning_rate=1.0e-3", "wavenet.warmup_steps=2", "wavenet.ema_decay=0.5"),
    # where a pixel equals its closed form but for rounding, the slope of |x| is chance
    *("image.path_components=0", "image.closed_form_start=false"),
    # these draw other numbers on every device
    *("conversion.input_noise=0", "conversion.dropout=0", "image.feature_noise=0"),
]


def main(records_folder: str, out: str, n_devices: str, *overrides: str) -> None:
    from conftest import small_config

    from avsc_tf.records.reader import open_records
    from avsc_tf.training.conversion import train_conversion
    from avsc_tf.training.devices import choose_devices
    from avsc_tf.training.image import train_image
    from avsc_tf.training.wavenet import train_wavenet

    devices = choose_devices(int(n_devices))
    config = small_config(ROOT, *SETTINGS, *overrides)
    records = open_records(Path(records_folder), config)
    for train in (train_conversion, train_image, train_wavenet):
        network, history = train(config, records, Path(out), devices=devices)
        print(train.__name__, devices.process, len(history), float(sum(abs(w).sum() for w in network.get_weights())))


if __name__ == "__main__":
    main(*sys.argv[1:])
