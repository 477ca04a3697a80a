"""What the vocoders' benchmarks compute themselves, against cases worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.evaluation.figures import Table
from avsc_tf.signal.companding import compand, to_classes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import wavenet_learning

    yield wavenet_learning
    sys.modules.pop("wavenet_learning")


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import copy_synthesis

    yield copy_synthesis
    sys.modules.pop("copy_synthesis")


def test_widths_of_the_classes_cover_full_scale(learning: Any) -> None:
    for n_classes in (256, 1024):
        widths = 2.0 ** learning.class_log_widths(n_classes)
        # all classes together are the range [-1, 1], 2 * 2**15 steps of 16 bit; float32 companding rounds at 1e-6
        assert widths.sum() == pytest.approx(2**16, rel=1e-5)
        assert widths.argmin() in (n_classes // 2 - 1, n_classes // 2) and widths.argmax() in (1, n_classes - 2)


def test_code_length_at_16_bit_does_not_depend_on_the_classes(learning: Any, rng: np.random.Generator) -> None:
    # Laplacian sound, coded with its true density: its differential entropy, whatever the grid
    scale = 0.05
    sound = np.clip(rng.laplace(0, scale, 200_000), -1, 1).astype(np.float32)
    expected = np.log2(2 * np.e * scale * 2**15)
    for n_classes in (256, 1024):
        classes = to_classes(compand(sound, n_classes), n_classes)
        counts = np.bincount(classes, minlength=n_classes) / len(classes)
        entropy = -np.mean(np.log2(counts[classes]))
        # 8-bit classes are up to 0.02 wide, where the density falls by a third within one: 0.02 bits
        assert entropy + learning.class_log_widths(n_classes)[classes].mean() == pytest.approx(expected, abs=0.02)


def test_rates_over_compute(learning: Any) -> None:
    base = load_config(ROOT / "configs" / "pretrain.yaml")
    falling = load_config(ROOT / "configs" / "pretrain.yaml", ["wavenet.lr_schedule=cosine"])
    peak = base.wavenet.learning_rate
    assert [learning.rate_at(share, base) for share in (0.0, 0.7, 1.0)] == [peak] * 3
    assert learning.rate_at(0.0, falling) == pytest.approx(peak)
    assert learning.rate_at(0.5, falling) == pytest.approx(0.51 * peak)  # half way from 1 to 0.02
    assert learning.rate_at(1.0, falling) == learning.rate_at(1.3, falling) == pytest.approx(0.02 * peak)


def test_every_variant_is_a_valid_setting(learning: Any) -> None:
    base = learning.variant_config(ROOT / "configs" / "pretrain.yaml", ())
    for name, changes in learning.VARIANTS.items():
        config = learning.variant_config(ROOT / "configs" / "pretrain.yaml", changes)
        assert (config == base) == (not changes), name
    assert len({learning.result_path(Path(), name) for name in learning.VARIANTS}) == len(learning.VARIANTS)


def test_table_and_plot_of_curves(learning: Any, tmp_path: Path) -> None:
    point = {"cpu_seconds": 15.04, "steps": 7, "bits": 5.0, "bits_16": 9.004, "voicing_error": 0.5, "log_mel_l1": 2.0}
    curve = [{**point, "pitch_cents": None}, {**point, "cpu_seconds": 60.2, "pitch_cents": 11.6}]
    results = {"all of ours": {"curve": curve}, "10 bit": {"curve": curve[:1]}}
    lines = learning.table(results).splitlines()
    assert lines[2] == "| all of ours | 7 | 5.00 | 9.00 | 12 | 0.50 | 2.00 |"
    assert lines[3] == "| 10 bit | 7 | 5.00 | 9.00 | no voice | 0.50 | 2.00 |"
    assert learning.shown({**point, "pitch_cents": 30.0, "voicing_error": 0.8}, "pitch_cents") is None
    learning.draw(results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_positions_are_spread(copying: Any) -> None:
    assert copying.spread(18, 4) == [0, 5, 11, 17]
    assert copying.spread(3, 8) == [0, 1, 2]


def test_differences_are_paired_by_sentence(copying: Any) -> None:
    table = Table()
    for name, ours, other in (("a", 3.0, 2.0), ("b", 1.0, 0.5), ("c", 9.0, None)):
        table.add("wavenet, x", name, {"predicted_mos": ours, "bits": 2.0})
        if other is not None:
            table.add("griffin-lim", name, {"predicted_mos": other})
    table.add("natural", "a", {"predicted_mos": 3.5})
    found = copying.differences(table, ["wavenet, x"])
    assert list(found) == ["wavenet, x - griffin-lim", "wavenet, x - natural"]
    entry = found["wavenet, x - griffin-lim"]["predicted_mos"]
    assert entry["mean"] == 0.75 and entry["n"] == 2 and "bits" not in found["wavenet, x - griffin-lim"]


def test_cells_of_the_table(copying: Any) -> None:
    entry = {"mean": 23.75, "low": 17.5, "high": 30.0, "n": 8}
    assert copying._cell(entry, 1) == "23.8 [17.5, 30.0]"
    assert copying._cell({"mean": None, "low": None, "high": None, "n": 0}, 1) == copying._cell(None, 1) == ""


def test_settings_are_ranked_beside_the_present_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import vocoder_temperatures as temperatures

    assert temperatures.present(load_config(ROOT / "configs" / "demo.yaml")) == "0.8 / 0.5, 20 passes"
    figures = {"natural": 3.0, "griffin-lim": 2.5, "0.8 / 0.5, 20 passes": 2.6, "0.6 / 0.3, 6 passes": 2.8}
    scores = {
        f"s1/{name}": {row: {"predicted_mos": mos + more, "stoi": 0.9} for row, mos in figures.items()}
        for name, more in (("a", 0.0), ("b", 0.2))
    }
    scores["s1/b"]["not of every sentence"] = {"predicted_mos": 5.0, "stoi": 1.0}
    lines = temperatures.markdown(scores, "0.8 / 0.5, 20 passes").splitlines()
    assert lines[-4:] == [
        "| natural | 3.10 | +0.40 [+0.40, +0.40] | 0.900 |",
        "| 0.6 / 0.3, 6 passes | 2.90 | +0.20 [+0.20, +0.20] | 0.900 |",
        "| 0.8 / 0.5, 20 passes | 2.70 |  | 0.900 |",
        "| griffin-lim | 2.60 | -0.10 [-0.10, -0.10] | 0.900 |",
    ]
