"""Records in, batches of training examples (tf.data) out; the batch depends on seed and epoch alone."""
