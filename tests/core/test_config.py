"""Strict settings: every shipped file loads; every kind of mistake is named."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
import yaml

from avsc_tf.cli.arguments import add_audio_track
from avsc_tf.core.config import config_from_dict, load_config, load_saved_config, save_config
from avsc_tf.core.errors import ConfigError

_FOLDER = Path(__file__).resolve().parents[2] / "configs"
CONFIGS = sorted(path for path in _FOLDER.glob("*.yaml") if path.stem != "serve")  # the service's own settings


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_file_loads(path: Path) -> None:
    config = load_config(path)
    assert config_from_dict(config.as_dict()) == config


def test_paper_numbers_stand_where_the_paper_has_them(root: Path) -> None:
    paper = load_config(root / "configs/paper.yaml")
    assert (paper.time.video_fps, paper.time.sample_rate_hz, paper.time.hop_ms) == (25, 48000, 5.0)
    assert (paper.acoustic.n_mels, paper.acoustic.window_ms) == (80, 25.0)
    assert paper.face.n_facial == 4236
    assert (paper.conversion.learning_rate, paper.conversion.batch_size, paper.conversion.epochs) == (1e-4, 64, 600)
    assert paper.conversion.acoustic_loss_weight == 10.0
    assert (paper.wavenet.n_layers, paper.wavenet.epochs) == (40, 199)
    assert paper.wavenet.receptive_field_samples == 4093
    assert paper.image.generator_channels == (64, 64, 128, 128, 64, 64, 3)
    assert paper.image.discriminator_channels == (8, 16, 32, 32)
    assert (paper.image.size_px, paper.image.map_px, paper.image.batch_size, paper.image.epochs) == (256, 64, 64, 30)


def test_every_line_of_the_paper_file_names_its_origin(root: Path) -> None:
    """Section, figure, "not from the paper" or "ours" beside each value."""
    origin = re.compile(r"#.*(\d\.\d|\d\b|figure|not from the paper|ours)")
    for line in (root / "configs/paper.yaml").read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*\w+: *\S", line) or line.startswith("seed"):
            assert origin.search(line), line


def test_shipped_files_are_small_differences(root: Path) -> None:
    for path in CONFIGS:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem != "paper":
            assert "include" in tree, f"{path.name} repeats the base instead of including it"


@pytest.mark.parametrize("text", ["1e-3", "1E-3", ".1e-2", "+1e-3", "1.0e-3", "0.001"])
def test_a_number_is_a_number_however_it_is_written(root: Path, tmp_path: Path, text: str) -> None:
    """YAML 1.1, which PyYAML reads, takes 1e-3 for a text."""
    paper = root / "configs" / "paper.yaml"
    assert load_config(paper, [f"conversion.learning_rate={text}"]).conversion.learning_rate == 0.001
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"include: {paper}\nconversion:\n  learning_rate: {text}\n", encoding="utf-8")
    assert load_config(mine).conversion.learning_rate == 0.001
    save_config(load_config(mine, [f"wavenet.init_from='{text}'"]), tmp_path / "saved.yaml")  # meant as a text
    assert load_saved_config(tmp_path / "saved.yaml").wavenet.init_from == text


@pytest.mark.parametrize("value", ["[3", "{a: ", "2020-99-99", "[" * 5000, '"'])
def test_an_override_that_is_no_yaml(root: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"--set image\.epochs=.*: the value is not valid YAML"):
        load_config(root / "configs" / "paper.yaml", [f"image.epochs={value}"])


def test_override_wins(root: Path) -> None:
    config = load_config(root / "configs/demo.yaml", ["seed=7", "conversion.epochs=3"])
    assert (config.seed, config.conversion.epochs) == (7, 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("wavenet.n_layer=3", "unknown setting wavenet.n_layer. The nearest known one is wavenet.n_layers"),
        ("wavnet.n_layers=3", "nearest known one is wavenet"),
        ("seed=high", "--set seed=high: seed is 'high'; it must be of type int"),
        ("conversion.learning_rate=.inf", "it must be a finite number"),
        ("seed=true", "must be of type int"),
        ("alignment.distance=cosine", "must be one of literal, standardised"),
        ("image.generator_channels=3", "must be a list"),
        ("seed", "must read section.key=value"),
        ("seed.low=3", "seed is a value, not a section"),
        ("time.hop_ms=7", "time.hop_ms must divide a video frame"),
        ("acoustic.fmax_hz=30000", "acoustic.fmax_hz must lie between"),
        ("acoustic.fft_length=1024", "acoustic.fft_length must hold acoustic.window_ms"),
        ("time.hop_ms=10", "conversion.audio_down_channels"),
        ("image.size_px=130", "image.size_px must be divisible"),
        ("image.epochs=0", "image.epochs must be at least 1"),
        ("image.path_warp=true", "image.path_warp needs image.path_components above 0"),
        ("image.path_texture_scale=0.0", "image.path_texture_scale must be above 0"),
        ("image.path_reference=mean", "must be one of all, one_take"),
        ("image.feature_matching_weight=1.0", "needs image.discriminator_scales above 0"),
        ("image.discriminator_scales=10", "must be divisible by 2 for each of image.discriminator_scales"),
        ("image.steady_face_seconds=-0.1", "image.steady_face_seconds must lie between 0 and 60"),
        ("wavenet.sample_rate_hz=16100", "whole samples a hop"),
        ("alignment.smooth_frames=4", "must be odd"),
        ("conversion.modality_dropout=0.6", "conversion.modality_dropout must lie between 0 and 0.5"),
        ("conversion.modalities=audio", "wavenet.facial_channels must be 0 where conversion.modalities is audio"),
        ("conversion.modalities=visual", "image.mel_input must be false where conversion.modalities is visual"),
        ("conversion.loss_balance_rate=0", "conversion.loss_balance_rate must be positive"),
        ("conversion.gradient_norm_asymmetry=-1", "must not be negative"),
    ],
)
def test_mistakes_are_named(root: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(root / "configs/paper.yaml", [override])


@pytest.mark.parametrize("name", ["baseline_audio", "baseline_visual"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("conversion.modality_dropout=0.1", "must be 0 where"),
        ("conversion.loss_balance=uncertainty", "must be fixed where"),
    ],
)
def test_one_modality_has_nothing_to_balance(root: Path, name: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(root / f"configs/{name}.yaml", [override])


def test_missing_file_missing_key_circle(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such settings file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "short.yaml").write_text("seed: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="setting time is missing"):
        load_config(tmp_path / "short.yaml")
    (tmp_path / "a.yaml").write_text("include: b.yaml\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("include: a.yaml\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="circle"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_settings_are_read_in_any_unicode(tmp_path: Path, root: Path, encoding: str) -> None:
    (tmp_path / "mine.yaml").write_text(
        f"# für später\ninclude: {root / 'configs/demo.yaml'}\nseed: 3\n", encoding=encoding
    )
    assert load_config(tmp_path / "mine.yaml").seed == 3


def test_settings_in_another_encoding_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 3\n# für später\n", encoding="latin-1")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 2: is not UTF-8 text\. Save the file as UTF-8\.$"):
        load_config(tmp_path / "mine.yaml")


def test_saved_settings_come_back(tmp_path: Path, root: Path) -> None:
    config = load_config(root / "configs/demo.yaml")
    save_config(config, tmp_path / "run" / "config.yaml")
    assert load_config(tmp_path / "run" / "config.yaml") == config


def test_fingerprint_follows_what_records_depend_on(root: Path) -> None:
    base = load_config(root / "configs/demo.yaml")
    same = load_config(root / "configs/demo.yaml", ["conversion.epochs=1", "wavenet.epochs=1"])
    other = load_config(root / "configs/demo.yaml", ["acoustic.n_mels=40"])
    assert base.fingerprint == same.fingerprint
    assert base.fingerprint != other.fingerprint
    second = load_config(root / "configs/demo.yaml", ["sync.audio_track=2"])
    assert base.fingerprint != second.fingerprint
    assert "audio_track" not in base.record_settings["sync"]  # older records, which lack it, took the default track


def test_the_track_of_a_tools_flag() -> None:
    parser = argparse.ArgumentParser()
    add_audio_track(parser)
    assert [parser.parse_args(words).audio_track for words in ([], ["--audio-track", "2"])] == [0, 2]
    with pytest.raises(SystemExit):
        parser.parse_args(["--audio-track", "0"])


def test_a_section_given_twice_is_an_error(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    text = f"include: {root}/configs/demo.yaml\nface:\n  vgg_px: 32\nface:\n  crop_px: 64\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"twice\.yaml: not valid YAML: face is there twice[\s\S]*line 4"):
        load_config(path)
