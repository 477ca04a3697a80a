"""The end of a consent, in the graph: a served model refuses after the last day, wherever it is served."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from avsc_tf.core.consent import Consent


def consent_rules(consents: Sequence[Consent]) -> list[Any]:
    """Assertions by the server's clock, one for each consent that ends."""
    return [
        tf.debugging.Assert(
            tf.timestamp() < _end_seconds(consent.until),
            [f"the consent of {consent.who} ended on {consent.until}. Ask for a new one and export again."],
        )
        for consent in consents
        if consent.until is not None
    ]


def _end_seconds(last_day: datetime.date) -> float:
    """The end of a day of UTC, in seconds since 1970."""
    after = datetime.datetime.combine(last_day, datetime.time(), datetime.UTC) + datetime.timedelta(days=1)
    return after.timestamp()
