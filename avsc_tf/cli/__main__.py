"""`python -m avsc_tf.cli` is the `avsc` command."""

from avsc_tf.cli.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
