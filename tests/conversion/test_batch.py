"""A batch of clips goes on whatever happens at one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsc_tf.conversion.batch import BatchOptions, convert_jobs
from avsc_tf.conversion.bundle import Bundle
from avsc_tf.conversion.converted import TargetFeatures
from avsc_tf.conversion.jobs import ClipJob, steps_of
from avsc_tf.core.config import load_config
from avsc_tf.core.errors import OutputError, TooLargeError, UnexpectedError

N_FRAMES = {"one": 3, "long": 9, "two": 4}


@pytest.fixture
def bundle(root: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Without networks: sound is silence, and every picture grey; nothing is read."""
    bundle = Bundle(load_config(root / "configs" / "demo.yaml"), None, None, None)
    n_mels, n_facial = bundle.config.acoustic.n_mels, bundle.config.face.n_facial

    def features(clip: Path) -> TargetFeatures:
        n = N_FRAMES[clip.stem]
        return TargetFeatures(np.zeros((8 * n, n_mels), np.float32), np.zeros((n, n_facial), np.float32))

    monkeypatch.setattr(bundle, "read", lambda clip, **_: clip)
    monkeypatch.setattr(bundle, "convert_features", features)
    monkeypatch.setattr(bundle, "notes", lambda source: ())
    monkeypatch.setattr(bundle, "synthesise", lambda all_of_them, **_: [speak(features) for features in all_of_them])
    monkeypatch.setattr(bundle, "paint", lambda features, **_: np.full((len(features.facial), 16, 16, 3), 99, np.uint8))
    monkeypatch.setattr(bundle, "finish", lambda features, *made, **_: Converted(*made))
    return bundle


def Converted(waveform, frames, vocoder):  # noqa: N802 - as the class that it makes
    from avsc_tf.conversion.converted import ConvertedClip

    return ConvertedClip(None, None, None, waveform, frames, vocoder)


def speak(features: TargetFeatures) -> np.ndarray:
    return np.zeros(1920 * len(features.facial), np.float32)


def jobs(out: Path) -> list[ClipJob]:
    return [ClipJob(Path(f"{name}.mov"), {"wavenet": out / f"{name}.mp4"}) for name in N_FRAMES]


@pytest.mark.parametrize("stage", ["read", "convert_features", "notes", "synthesise", "paint", "finish"])
@pytest.mark.parametrize(
    ("raised", "becomes", "message"),
    [
        (
            KeyError("no such layer"),
            UnexpectedError,
            r"long.mov: unexpected KeyError in avsc_tf/conv.* report it",
        ),
        (MemoryError("273 TiB"), TooLargeError, r"long.mov: needs more memory than there is \(273 TiB\)\. Cut it"),
    ],
)
def test_the_others_are_done(bundle, tmp_path, monkeypatch, stage, raised, becomes, message) -> None:
    """`speak` gets all clips at once: which of them is at fault is found out."""
    original = getattr(bundle, stage)

    def fail_at_the_long_clip(first, *rest, **options):
        if is_long(first):
            raise raised
        return original(first, *rest, **options)

    monkeypatch.setattr(bundle, stage, fail_at_the_long_clip)
    steps: list[int] = []
    errors = convert_jobs(bundle, jobs(tmp_path), BatchOptions(provenance=None, advance=steps.append)).errors
    assert list(errors) == [Path("long.mov")]
    assert type(errors[Path("long.mov")]) is becomes
    with pytest.raises(becomes, match=message):
        raise errors[Path("long.mov")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.mp4", "two.mp4"]
    assert sum(steps) == sum(map(steps_of, jobs(tmp_path)))


def is_long(value) -> bool:
    """Whether a value of any stage is the long clip's, or holds it."""
    if isinstance(value, list):
        return any(map(is_long, value))
    if isinstance(value, Path):
        return value.stem == "long"
    return len(value.facial if isinstance(value, TargetFeatures) else value.frames) == N_FRAMES["long"]


def test_a_disk_that_takes_one_file_less(bundle, tmp_path) -> None:
    (tmp_path / "long.mp4").mkdir()
    (tmp_path / "long.mp4" / "x").write_text("", encoding="utf-8")
    errors = convert_jobs(bundle, jobs(tmp_path), BatchOptions(provenance=None)).errors
    assert list(errors) == [Path("long.mov")] and isinstance(errors[Path("long.mov")], OutputError)
    assert str(errors[Path("long.mov")]).startswith(f"{tmp_path}/long.mp4: Is a directory. Something else of that name")
    assert (tmp_path / "two.mp4").is_file()


def test_ctrl_c_ends_it(bundle, tmp_path, monkeypatch) -> None:
    def interrupt(features, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "paint", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert_jobs(bundle, jobs(tmp_path), BatchOptions(provenance=None))
