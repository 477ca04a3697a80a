"""A trained run as folders for TensorFlow Serving: graphs of TensorFlow's own operations, in recorded units."""

from avsc_tf.serving.export.bundles import export_bundle

__all__ = ["export_bundle"]
