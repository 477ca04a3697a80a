"""The WaveNet's training data with converted features: the run's own conversion network speaks first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from avsc_tf.core.config import Config, load_saved_config
from avsc_tf.core.errors import ConfigError
from avsc_tf.core.runs import config_path, network_dir, weights_path
from avsc_tf.corpus.reader import Records
from avsc_tf.datasets.recordings import Floats, Recording
from avsc_tf.features.pitch import PitchEstimator
from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.wavenet.converted_clips import Convert, ConvertedClips

CONVERSION = "conversion"


def converted_recordings(
    natural: Sequence[Recording],
    records: Records,
    split: str,
    run: Path,
    config: Config,
    estimator: PitchEstimator | None,
) -> Sequence[Recording]:
    """The target's clips of `split` as `ConvertedClips`, converted by the conversion network of `run`.

    Raises:
        ConfigError: the run has no trained conversion network, or no clip of the split has a pair.
    """
    convert = conversion_of_run(run, records)
    clips = ConvertedClips(natural, records, split, convert, config, estimator)
    if not clips.n_paired:
        raise ConfigError(
            f"wavenet.train_features is {config.wavenet.train_features}, but no {split} clip of {records.folder} has a "
            "pair to convert. Set it to natural, or prepare parallel clips."
        )
    held = clips.held_where_it_fits()
    if held is not clips:
        return held
    digest = hashlib.sha256(weights_path(run, CONVERSION).read_bytes() + records.manifest.inputs.encode())
    cache = network_dir(run, "wavenet") / "converted" / f"{split}-{digest.hexdigest()[:16]}"
    return ConvertedClips(natural, records, split, convert, config, estimator, cache=cache)


def conversion_of_run(run: Path, records: Records) -> Convert:
    """The trained conversion network of a run, as a function of one utterance.

    Raises:
        ConfigError: it has not been trained yet.
    """
    path = weights_path(run, CONVERSION)
    if not path.is_file():
        raise ConfigError(
            f"{path}: is missing, and wavenet.train_features asks for converted features. Train it first: "
            f"avsc train conversion --config CONFIG --records {records.folder} --out {run}, "
            "or set wavenet.train_features to natural."
        )
    model = build_conversion_net(load_saved_config(config_path(run, CONVERSION)))
    load_weights(model, path)
    return utterance_converter(model)


def utterance_converter(model: keras.Model) -> Convert:
    """A conversion network as a function of one whole utterance: mel [frames, n_mels], facial [frames, n_facial]."""

    def convert(mel: Floats, facial: Floats) -> tuple[Floats, Floats]:
        outputs = model({"mel": mel[None], "facial": facial[None]}, training=False)
        moved = np.asarray(outputs["facial"])[0] if "facial" in outputs else np.zeros_like(facial)  # the audio baseline
        return np.asarray(outputs["mel"])[0], moved

    return convert
