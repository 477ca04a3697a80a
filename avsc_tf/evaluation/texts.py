"""Figures as a reader sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MISSING = "\N{EN DASH}"


def number_text(value: float | None, decimals: int) -> str:
    """With a true minus sign; a dash where there is none."""
    return MISSING if value is None else f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def interval_text(entry: Mapping[str, Any], decimals: int) -> str:
    """The ends of an entry's interval; empty where there are none."""
    if entry.get("low") is None:
        return ""
    return f"{number_text(entry['low'], decimals)} … {number_text(entry['high'], decimals)}"
