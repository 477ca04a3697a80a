"""A run folder in, SavedModels for TensorFlow Serving out."""

from avsc_tf.export.bundles import export_bundle

__all__ = ["export_bundle"]
