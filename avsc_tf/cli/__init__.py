"""Command lines in, calls of the other rooms out: the `avsc` command."""

from avsc_tf.cli.commands import main

__all__ = ["main"]
