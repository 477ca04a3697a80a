"""The command `avsc export`."""

from avsc_tf.cli import main

if __name__ == "__main__":
    raise SystemExit(main("export"))
