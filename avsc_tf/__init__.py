"""Video of one person to video of another: voice and face.

Importing the package fixes what the order of sums, and so the last bits of records and weights, depends on:

- Linear algebra of NumPy and SciPy runs on one thread: OpenBLAS adds up in another order on two.
- Each TensorFlow session has threads of its own, as many as it asks for (see `features.appearance`). TensorFlow reads
  this when its first device starts, so import avsc_tf before TensorFlow computes anything.
"""

import os

from threadpoolctl import threadpool_limits

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of libraries that are not loaded yet, and of child processes
threadpool_limits(limits=1, user_api="blas")  # of those that are
os.environ["TF_OVERRIDE_GLOBAL_THREADPOOL"] = "1"
