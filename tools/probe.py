"""The command `avsc probe`."""

from avsc_tf.cli import main

if __name__ == "__main__":
    raise SystemExit(main("probe"))
