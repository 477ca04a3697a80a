"""The public API: its names, its examples, a converted clip in a notebook."""

from __future__ import annotations

import base64
import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import tiny_config, write_bundle

import avsc_tf as avsc
from avsc_tf.conversion import notebook
from avsc_tf.media.container import has_sound
from avsc_tf.media.video import read_frames

MODULES = ("avsc_tf.api", "avsc_tf.signal.speech", "avsc_tf.signal.similarity")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of tiny networks."""
    return write_bundle(tiny_config("face.vgg_px=32"), tmp_path_factory.mktemp("api") / "run")


def test_every_public_name_is_there() -> None:
    assert all(getattr(avsc, name).__doc__ for name in avsc.__all__) and set(avsc.__all__) <= set(dir(avsc))
    with pytest.raises(AttributeError, match="no attribute 'convert'"):
        avsc.convert  # noqa: B018
    assert avsc.load_config("demo", ["seed=3"]).seed == 3


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, run: Path) -> None:
    import importlib

    result = doctest.testmod(importlib.import_module(module), extraglobs={"run": run})
    assert result.attempted > 0 and result.failed == 0


def test_unknown_inputs_of_an_evaluation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes no bundel"):
        avsc.evaluate(tmp_path, bundel=["x"])


@pytest.fixture
def clip(rng) -> avsc.ConvertedClip:
    frames = np.full((5, 32, 32, 3), 90, np.uint8)
    return avsc.ConvertedClip(None, None, None, (0.1 * rng.normal(size=9600)).astype(np.float32), frames, "griffin-lim")


def test_a_clip_plays_in_a_notebook(clip, tmp_path: Path, monkeypatch) -> None:
    html = clip._repr_html_()
    (data,) = re.findall(r'^<video controls loop src="data:video/mp4;base64,([^"]+)"></video>$', html)
    (tmp_path / "a.mp4").write_bytes(base64.b64decode(data))
    assert len(list(read_frames(tmp_path / "a.mp4", fps=25))) == 5 and has_sound(tmp_path / "a.mp4")
    monkeypatch.setattr(notebook, "MAX_EMBEDDED_BYTES", 100)
    assert "save it with" in clip._repr_html_()


def test_an_evaluation_takes_paths_as_text(tmp_path: Path) -> None:
    with pytest.raises(avsc.AvscError, match=r"nowhere: no such run folder"):
        avsc.evaluate(str(tmp_path / "out"), bundle=str(tmp_path / "nowhere"), records=str(tmp_path))
