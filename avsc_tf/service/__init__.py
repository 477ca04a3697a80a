"""Uploads over HTTP in, converted videos out: each upload decoded in a process of its own, jobs in SQLite."""
