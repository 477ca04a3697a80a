"""Run by `python -I`, so that nothing of this repository can be imported: served models by TensorFlow alone.

only_tensorflow.py (MODEL SIGNATURE FOLDER)...: FOLDER/NAME.npy in, FOLDER/NAME.fresh.npy out. Prints what was loaded
that is ours, and operations of the models that TensorFlow does not register itself.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

arguments = sys.argv[1:]
loaded = {model: tf.saved_model.load(model) for model in set(arguments[::3])}
for model, signature, place in zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True):
    function, folder = loaded[model].signatures[signature], Path(place)
    inputs = {name: tf.constant(np.load(folder / f"{name}.npy")) for name in function.structured_input_signature[1]}
    for name, value in function(**inputs).items():
        np.save(folder / f"{name}.fresh.npy", value.numpy())
own = [name for name in sys.modules if name.startswith(("avsc_tf", "tests"))]
custom = list(tf.keras.utils.get_custom_objects())
unknown = set()
for model in loaded:
    stored = saved_model_pb2.SavedModel.FromString((Path(model) / "saved_model.pb").read_bytes())
    library = stored.meta_graphs[0].graph_def.library.function
    nodes = [*stored.meta_graphs[0].graph_def.node, *(node for function in library for node in function.node_def)]
    unknown |= {node.op for node in nodes if not hasattr(tf.raw_ops, node.op)}
print(own, custom, sorted(unknown - {function.signature.name for function in library}))
