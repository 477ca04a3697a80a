"""Helpers that the two web servers share: listening socket, headers, SQLite file."""
