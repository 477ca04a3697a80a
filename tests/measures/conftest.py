"""Fixtures of the measures of synchrony."""

from talkers import fitted, talker, talker_of  # noqa: F401
