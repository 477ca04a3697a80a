"""The command `avsc doctor`."""

from avsc_tf.cli import main

if __name__ == "__main__":
    raise SystemExit(main("doctor"))
