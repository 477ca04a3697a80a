"""The builder is right by itself: plain PyAV, each frame at its own timestamp, finds what the recipe draws."""

from __future__ import annotations

from clip_grammar import recipes
from hypothesis import HealthCheck, given, settings
from measuring import click_seconds, flash_onsets
from plain_reading import loudest_channel, picture_times
from recipes import TURNS, Recipe
from writing import write_clip

# Matroska, FLV and ASF keep whole milliseconds of both streams; codecs blur a click by less than that.
TOLERANCE_SECONDS = 2e-3


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=recipes().filter(lambda r: r.audio_codec and r.sound_starts < 1000))
def test_flashes_and_clicks_lie_where_they_are_drawn(tmp_path_factory, recipe):
    path = tmp_path_factory.mktemp("clips") / ("clip" + recipe.suffix)
    write_clip(recipe, path)
    check_plain(recipe, path)


def check_plain(recipe: Recipe, path) -> None:
    frames, seconds = picture_times(path)
    drawn = [float(recipe.frame_seconds()[number]) for number in recipe.flashes()]
    assert len(frames) == len(recipe.frame_seconds()) - 1
    numbers = flash_onsets(upright(frame.to_ndarray(format="rgb24"), recipe.turn) for frame in frames)
    flashes = [float(seconds[number] - seconds[0]) for number in numbers]
    sound, rate_hz = loudest_channel(path, 1 if recipe.second_track == "default" else 0, seconds[0])
    clicks = click_seconds(sound, rate_hz, crackles=recipe.crackles())
    for found in (flashes, clicks):
        assert len(found) == len(drawn), (found, drawn)
        assert max(abs(a - b) for a, b in zip(found, drawn, strict=True)) <= TOLERANCE_SECONDS, (found, drawn)


def upright(stored, turn):
    a, b, c, d = TURNS[turn]
    return stored[::d, ::a] if a else stored[:: (c or 1), :: (b or 1)].transpose(1, 0, 2)
