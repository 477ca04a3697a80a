"""What modality dropout and the balances of the loss do to the voice, the lips, and to conversion from one stream.

python benchmarks/balance.py --config configs/demo.yaml --records DIR --runs DIR --json FILE [--seeds N]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from bench_cli import parse_arguments
from conversion_common import (
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
from avsc_tf.evaluation.from_features import Convert, Streams

SMOKE = (
    "--config {demo}/demo.yaml --records {demo}/records --runs {out} --seeds 1 --variants fixed uncertainty "
    "--json {out}/found.json"
)

VARIANTS: dict[str, dict[str, object]] = {
    "fixed": {"modality_dropout": 0.0, "loss_balance": "fixed"},
    "dropout 0.1": {"modality_dropout": 0.1, "loss_balance": "fixed"},
    "dropout 0.25": {"modality_dropout": 0.25, "loss_balance": "fixed"},
    "uncertainty": {"modality_dropout": 0.0, "loss_balance": "uncertainty"},
    "gradient norm": {"modality_dropout": 0.0, "loss_balance": "gradient_norm"},
}
GIVEN = ("both", "sound", "picture")
SHOWN = ("mcd_db", "lip_error", "opening_r", "width_r")


def given(convert: Convert, which: str) -> Convert:
    """The network with only one of the streams; zeros are what is missing."""

    def partly(source: Streams) -> Streams:
        mel = source.mel if which != "picture" else np.zeros_like(source.mel)
        return convert(Streams(mel, source.facial if which != "sound" else np.zeros_like(source.facial)))

    return partly


def main(argv: Sequence[str] | None = None) -> None:
    parser = add_arguments(__doc__)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="`fixed` among them")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    config, records, sentences = opened(args)
    rows: dict[str, dict[str, list]] = {}
    for variant, settings in ((name, VARIANTS[name]) for name in args.variants):
        for seed in range(args.seeds):
            convert = trained(with_settings(config, seed, **settings), records, args.runs / f"{variant} {seed}")
            for which in GIVEN:
                found = measured(given(convert, which), sentences, records)
                rows.setdefault(variant, {}).setdefault(which, []).append(found)
    means = {variant: {which: mean_over_seeds(seeds) for which, seeds in by.items()} for variant, by in rows.items()}
    plain = means["fixed"]
    found = {
        variant: {
            which: {
                "figures": summary(by[which]),
                "less_fixed": difference(by[which], plain[which]),
                "seeds": seed_means(rows[variant][which]),
            }
            for which in GIVEN
        }
        for variant, by in means.items()
    }
    about = {"sentences": len(sentences), "seeds": args.seeds, "epochs": config.conversion.epochs}
    about |= {"linear_path": config.conversion.linear_path, "times": sentences[0].time_map.origin}
    write(args.json, {"about": about, "variants": found})
    for variant, by in found.items():
        for which in GIVEN:
            cells = [by[which]["figures"][n] for n in SHOWN]
            less = [by[which]["less_fixed"][n] for n in SHOWN]
            text = [f"{c['mean']:.3f} ({d['mean']:+.3f}: {d['low']:+.3f} to {d['high']:+.3f})" for c, d in
                    zip(cells, less, strict=True)]  # fmt: skip
            print(f"{variant:14s} {which:8s} " + "  ".join(text))


if __name__ == "__main__":
    sys.exit(run_tool(main))
