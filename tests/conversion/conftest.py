"""A bundle of tiny networks with random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_runs import sealed, tiny_config, write_bundle

from avsc_tf.core.config import Config


@pytest.fixture(scope="session")
def small() -> Callable[..., Config]:
    """`tiny_config`."""
    return tiny_config


@pytest.fixture(scope="session")
def bundle() -> Callable[..., Path]:
    """`write_bundle`."""
    return write_bundle


@pytest.fixture(scope="session")
def seal_anew() -> Callable[[Path], Path]:
    """`sealed`."""
    return sealed


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle, not to be changed."""
    return write_bundle(tiny_config(), tmp_path_factory.mktemp("bundle") / "run")


@pytest.fixture
def run(complete: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(complete, tmp_path / "run"))
