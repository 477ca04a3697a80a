"""A trained run as TensorFlow Serving folders: graphs of TensorFlow's own operations, in the units of the recordings."""

from avsc_tf.serving.export.bundles import export_bundle

__all__ = ["export_bundle"]
