"""Command lines in, calls of the other rooms out: the `avsc` command."""
