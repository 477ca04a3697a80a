"""The paper's claim on prepared records: one joint network against two separate ones (section 4.4), same budget.

Each network has the widths, epochs, windows and rates of the settings; the separate ones lack the other modality and
convolve with stride 1. Per seed all three are trained, the held-out sentences converted, and the voice of the audio
network put beside the face of the visual one. With `--set conversion.linear_path=false` the networks are convolutions
alone, as in the paper.

python benchmarks/joint_versus_separate.py --config configs/demo.yaml --records DIR --runs DIR --json FILE --seeds 3
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench_cli import parse_arguments
from conversion_common import (
    Rows,
    add_arguments,
    difference,
    mean_over_seeds,
    measured,
    opened,
    seed_means,
    summary,
    trained,
    with_settings,
    write,
)

from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records
from avsc_tf.evaluation.from_features import Convert, Streams, conversion_figures, together_figures
from avsc_tf.evaluation.held_out import Sentence
from avsc_tf.evaluation.rows import Answer

SMOKE = "--config {demo}/demo.yaml --records {demo}/records --runs {out} --seeds 1 --json {out}/found.json"

SHOWN = ("mcd_db", "lip_error", "opening_r", "width_r", "sound_lips_r", "canonical_r", "lag_size")


def side_by_side(audio: Convert, visual: Convert) -> Convert:
    """Two networks of one modality each as one."""
    return lambda source: Streams(audio(source).mel, visual(source).facial)


def of_recordings(sentences: list[Sentence], config: Config) -> dict[str, Rows]:
    """How sound and lips go together in the recordings, and the unchanged source beside the target."""
    rows: dict[str, Rows] = {"target": {}, "source": {}}
    for sentence in sentences:
        own = Answer(sentence.source["mel"], sentence.source["keypoints"])
        found = {
            "target": together_figures(sentence.reference, sentence.spoken_pictures, config),
            "source": conversion_figures(own, sentence, config),
        }
        for row, figures in found.items():
            for name, value in figures.items():
                rows[row].setdefault(name, {})[sentence.utterance] = value
    return rows


def networks(config: Config, records: Records, runs: Path, seed: int) -> dict[str, Convert]:
    """Train (or take) the joint network and both baselines."""
    plain = {"loss_balance": "fixed", "modality_dropout": 0.0}
    return {
        name: trained(with_settings(config, seed, modalities=name, **plain), records, runs / f"{name} {seed}")
        for name in ("audio_visual", "audio", "visual")
    }


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(__file__, add_arguments(__doc__), argv, smoke=SMOKE)
    config, records, sentences = opened(args)
    rows: dict[str, list[Rows]] = {"joint": [], "separate": []}
    for seed in range(args.seeds):
        nets = networks(config, records, args.runs, seed)
        rows["joint"].append(measured(nets["audio_visual"], sentences, records))
        rows["separate"].append(measured(side_by_side(nets["audio"], nets["visual"]), sentences, records))
    means = {name: mean_over_seeds(seeds) for name, seeds in rows.items()}
    less = difference(means["joint"], means["separate"])
    net = config.conversion
    about = {
        "sentences": len(sentences),
        "seeds": args.seeds,
        "epochs": net.epochs,
        "learning_rate": net.learning_rate,
        "linear_path": net.linear_path,
        "times": " and ".join(sorted({s.time_map.origin for s in sentences})),
        "interval": "95 % bootstrap interval over sentences, each the mean of its seeds",
    }
    found = {
        "about": about,
        **{name: summary(means[name], sentences=True) for name in means},
        "joint_less_separate": less,
        "seed_means": {name: seed_means(seeds) for name, seeds in rows.items()},
        "recordings": {name: summary(by, sentences=True) for name, by in of_recordings(sentences, config).items()},
    }
    write(args.json, found)
    for name in SHOWN:
        a, b, d = summary(means["joint"])[name], summary(means["separate"])[name], less[name]
        print(
            f"{name:13s} joint {a['mean']:.4f}  separate {b['mean']:.4f}  "
            f"difference {d['mean']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f})"
        )


if __name__ == "__main__":
    sys.exit(run_tool(main))
