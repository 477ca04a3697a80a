"""Run by `python -I`, so that nothing of this repository can be imported: served models by TensorFlow alone.

only_tensorflow.py (MODEL SIGNATURE FOLDER)...: FOLDER/NAME.npy in, FOLDER/NAME.fresh.npy out.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

arguments = sys.argv[1:]
for model, signature, place in zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True):
    loaded, folder = tf.saved_model.load(model), Path(place)
    function = loaded.signatures[signature]
    inputs = {name: tf.constant(np.load(folder / f"{name}.npy")) for name in function.structured_input_signature[1]}
    for name, value in function(**inputs).items():
        np.save(folder / f"{name}.fresh.npy", value.numpy())
own = [name for name in sys.modules if name.startswith(("avsc_tf", "tests"))]
custom = list(tf.keras.utils.get_custom_objects())
print(own, custom)
