"""Finished videos, of whatever tool, judged by what is seen and heard in them (issue 6)."""
