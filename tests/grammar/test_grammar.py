"""Clips built from a grammar of oddities: each is read as it was drawn, or refused in one line that helps.

A minute of what `benchmarks/fuzz_grammar.py` does without end. The examples are the same on every machine.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import folders
import laws
import numpy as np
import pytest
import writing
from clip_grammar import recipes
from hypothesis import HealthCheck, given, seed, settings
from laws import BrokenLawError, examine
from recipes import Recipe, draw_sound

RUNS, RECIPES = 8, 10  # Hypothesis varies the recipes of a run: several short ones differ more than a long one


@pytest.mark.parametrize("number", range(RUNS))
def test_every_clip_is_read_as_it_was_drawn_or_refused(tmp_path, number):
    @settings(
        max_examples=RECIPES,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @seed(number)
    @given(recipe=recipes())
    def run(recipe: Recipe) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            examine(recipe, Path(folder) / recipe.folder)

    run()


@pytest.mark.parametrize(
    "recipe",
    [
        # A length that FFmpeg guessed from the bit rate, or that counts from 0 or hidden packets, is no truncation.
        Recipe(suffix=".mkv", video_codec="ffv1", audio_codec="pcm_s16le", rate_hz=8000, layout="mono", written="live"),
        Recipe(suffix=".wmv", video_codec="wmv2", audio_codec="wmav2", starts_at=Fraction(7)),
        Recipe(suffix=".3gp", video_codec="mpeg4", sound_starts=Fraction(-3, 10), written="fragments"),
        Recipe(
            frame_rate=Fraction(25, 2), seconds=Fraction(13, 5), audio_codec="alac", rate_hz=16000, written="fragments"
        ),
        Recipe(
            frame_rate=Fraction(15),
            audio_codec="alac",
            rate_hz=8000,
            sound_starts=Fraction(3, 10),
            seconds=Fraction(9, 5),
        ),
        # Pictures were 40 ms late: FFmpeg delays H.264 in AVI, whether it is reordered or not.
        Recipe(suffix=".avi", audio_codec="pcm_s16le"),
        # The orientation in the bit stream was given up after each key frame.
        Recipe(suffix=".mkv", turn=1, key_frames=5),
        # One crackle of the decoder where pieces meet made the whole sound 3.4 dB quieter.
        Recipe(
            audio_codec="libopus",
            joins=((Fraction(9, 10), Fraction(3, 50)), (Fraction(7, 5), Fraction(3, 50))),
            seed=2,
        ),
    ],
    ids=repr,
)
def test_what_was_found_once(tmp_path, recipe):
    assert examine(recipe, tmp_path / "anna") == "read"


def _kind_of_fault(recipe: Recipe, folder: Path) -> str:
    with pytest.raises(BrokenLawError) as found:
        examine(recipe, folder)
    return found.value.kind


@pytest.mark.parametrize(
    "change, kind",
    [
        (lambda sound: np.roll(sound, 48 * 15), "sound's time"),  # 15 ms
        (lambda sound: 0.8 * sound, "level"),
        (lambda sound: 0 * sound, "silent"),
    ],
)
def test_the_laws_find_a_wrong_sound(tmp_path, monkeypatch, change, kind):
    monkeypatch.setattr(writing, "draw_sound", lambda *args: change(draw_sound(*args)))
    assert _kind_of_fault(Recipe(), tmp_path / "anna") == kind


def test_the_laws_find_a_wrong_picture(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_turn", lambda *args, **kwargs: None)
        assert _kind_of_fault(Recipe(turn=4), tmp_path / "mirrored") == "orientation"
        assert _kind_of_fault(Recipe(turn=1), tmp_path / "turned") == "size"
    with monkeypatch.context() as patch:
        patch.setattr(writing, "tag", lambda context, colour: None)
        assert _kind_of_fault(Recipe(colour="bt709 tv"), tmp_path / "coloured") == "colour"
    lit_frames = Recipe.lit_frames
    monkeypatch.setattr(Recipe, "lit_frames", lambda recipe: {number + 1 for number in lit_frames(recipe)})
    assert _kind_of_fault(Recipe(), tmp_path / "late") == "picture's time"


@pytest.mark.parametrize(
    "promised, written, kind",
    [
        (Recipe(beside=".wav .flac"), Recipe(beside=".wav"), "accepted"),
        (Recipe(), Recipe(beside=".wav .flac"), "refused"),
        (Recipe(), Recipe(name="another"), "clips found"),
    ],
)
def test_the_laws_find_a_wrong_folder(tmp_path, monkeypatch, promised, written, kind):
    """The folder holds one clip, and the recipe promises another."""
    monkeypatch.setattr(laws, "write_folder", lambda recipe, folder: folders.write_folder(written, folder))
    assert _kind_of_fault(promised, tmp_path / "anna") == kind
