"""The command `avsc verify`."""

from avsc_tf.cli import main

if __name__ == "__main__":
    raise SystemExit(main("verify"))
