"""docs/metrics.md explains every figure of the catalogue, and names only modules that exist."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from avsc_tf.evaluation.videos.catalogue import FIGURES


@pytest.fixture(scope="module")
def page(root) -> str:
    return (root / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_figure_has_its_row(page):
    firsts = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = {name for first in firsts for name in re.findall(r"`(\w+)`", first)}
    assert set(FIGURES) - explained == set()


def test_modules_exist(page):
    modules = set(re.findall(r"`((?:measures|evaluation)\.\w+)`", page))
    assert len(modules) > 8
    assert [name for name in modules if find_spec(f"avsc_tf.{name}") is None] == []
