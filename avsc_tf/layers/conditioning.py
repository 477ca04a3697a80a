"""What stands before the WaveNet's condition module: mel normalisation and the facial feature at mel rate."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from avsc_tf.layers.projection import Projection


@keras.saving.register_keras_serializable("avsc_tf")
class MelRestandardise(keras.layers.Layer):
    """Mel standardised by a run -> natural log -> mel standardised as in pretraining.

    A network pretrained on many voices must go on seeing what it was trained on, while a run standardises by its own
    speaker. Four fixed vectors stay with the weights: the run's mean and deviation (0 and 1 in pretraining, whose
    input is the natural-log mel itself) and the network's own.
    """

    def build(self, input_shape):
        bands = (input_shape[-1],)
        for name, start in (("run_mean", "zeros"), ("run_std", "ones"), ("mean", "zeros"), ("std", "ones")):
            setattr(self, name, self.add_weight(name=name, shape=bands, initializer=start, trainable=False))

    def call(self, mel):
        return (mel * self.run_std + self.run_mean - self.mean) / self.std

    def set_run_statistics(self, mean, std) -> None:
        """From now on the input is standardised by these ([n_mels] each)."""
        self.run_mean.assign(mean)
        self.run_std.assign(std)

    def set_statistics(self, mean, std) -> None:
        """What the network itself standardises by; fixed by the first training."""
        self.mean.assign(mean)
        self.std.assign(std)

    def natural_log(self, mel: np.ndarray) -> np.ndarray:
        """The run's standardised mel -> natural log, in NumPy."""
        run_std, run_mean = (np.asarray(ops.convert_to_numpy(w)) for w in (self.run_std, self.run_mean))
        return (mel * run_std + run_mean).astype(np.float32)


@keras.saving.register_keras_serializable("avsc_tf")
class FacialAtMelRate(keras.layers.Layer):
    """facial [batch, video, n_facial] -> [batch, video * mel_per_video, units]: projected, then repeated.

    The projection starts at zero: a network pretrained without video does not notice the facial feature until training
    finds a use for it.
    """

    def __init__(self, units: int, *, mel_per_video: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.mel_per_video = mel_per_video
        self.projection = Projection(units, gain=0.0, name="projection")

    def build(self, input_shape):
        self.projection.build(input_shape)

    def call(self, facial):
        return ops.repeat(self.projection(facial), self.mel_per_video, axis=1)

    def compute_output_shape(self, input_shape):
        batch, frames, _ = input_shape
        return batch, None if frames is None else frames * self.mel_per_video, self.units

    def get_config(self):
        return super().get_config() | {"units": self.units, "mel_per_video": self.mel_per_video}
