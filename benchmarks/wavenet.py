"""WaveNet sampling against the machine's own floor, PyTorch and TensorFlow XLA.

    python benchmarks/wavenet.py [--config configs/paper.yaml] [--json FILE] [--plot FILE] [--rounds 7]

Random weights: speed does not depend on them. First all engines say the logits of one given utterance, so that the
same network is timed. Then, round after round, each takes a short turn (its own inputs, the clock around
`generate_batch` alone), and probes of reading and multiplying run just before it. Ratios are taken within a round;
printed are medians, and the spread of the middle half of the rounds. Run it on a quiet machine. PyTorch comes with
pip install -e .[benchmarks].
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
from bench_cli import parse_arguments

from avsc_tf.cli.arguments import read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config, WaveNetConfig

SMOKE = (
    "--config {root}/tests/training/peer.yaml --rounds 1 --threads 1 --turn-seconds 0.02 --xla-batches 1 "
    "--plot {out}/plot.png --json {out}/found.json"
)

ROOT = Path(__file__).resolve().parents[1]
PAPER_SIZE = {"n_layers": 40, "residual_channels": 64, "skip_channels": 256, "post_channels": 512, "n_classes": 1024}
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    config, n_threads = read_config(args), args.threads or joblib.cpu_count()
    result = measure(config, args, n_threads)
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if args.plot:
        from wavenet_plot import plot

        plot(result, args.plot)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=str(ROOT / "configs" / "paper.yaml"), metavar="FILE")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn-seconds", type=float, default=0.25)
    parser.add_argument("--threads", type=int, help="default: as many as there are cores for this process")
    parser.add_argument("--without", nargs="*", default=[], choices=("narrow", "xla", "pytorch"))
    parser.add_argument("--xla-batches", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--device", default="/CPU:0", help="of TensorFlow XLA")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    return parse_arguments(__file__, parser, argv, smoke=SMOKE)


def measure(config: Config, args: argparse.Namespace, n_threads: int) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)  # one stream has no work for two; idle ones would spin
    from wavenet_contenders import Stage, check, contenders, narrow_engine
    from wavenet_floor import Probes, multiply_adds

    from avsc_tf.models.wavenet import build_wavenet

    keras.utils.set_random_seed(config.seed)
    model = build_wavenet(config)
    stage = Stage(model, config, seconds=args.turn_seconds)
    found = contenders(
        model,
        config,
        without=args.without,
        n_threads=n_threads,
        xla_batches=args.xla_batches,
        device=args.device,
    )
    differences = check(found, stage, narrow_engine(model, config))
    with ThreadPoolExecutor(n_threads) as pool:
        rounds = _rounds(found, stage, Probes(config.wavenet, pool, seconds=args.turn_seconds / 2), config, args.rounds)
    return {
        "benchmark": "wavenet",
        "machine": f"{_processor()}, {n_threads} core{'s' * (n_threads > 1)}",
        "config": str(args.config),
        "size": {name: getattr(config.wavenet, name) for name in PAPER_SIZE},
        "multiply_adds": multiply_adds(config.wavenet),
        "sample_rate_hz": config.wavenet.sample_rate_hz,
        "rounds": args.rounds,
        "logit_differences": differences,
        "rows": (rows := _rows(found, rounds, config.wavenet)),
        "aims": _aims(rows, config.wavenet, n_threads),
        "probes": _machine_figures(found, rounds),
    }


def _rounds(found: list[Any], stage: Any, probes: Any, config: Config, n: int) -> list[dict[str, Row]]:
    """Of each round, by contender: its samples a second, its floor, and what the probes just before it said."""
    for contender in found:
        stage.turn(contender)  # compiles, and settles the length of its turns
    rounds = []
    for k in range(n):
        turns: dict[str, Row] = {}
        for contender in found:
            as_asked = {"weights": contender.weights, "n_threads": contender.n_threads}
            machine = probes(**as_asked)
            floor = machine.floor(config.wavenet, batch=contender.batch, **as_asked) if contender.on_cpu else None
            turns[contender.name] = {"samples_a_second": stage.turn(contender), "floor": floor, "machine": machine}
        rounds.append(turns)
        print(f"round {k + 1} of {n}", file=sys.stderr, flush=True)
    return rounds


def _rows(found: list[Any], rounds: list[dict[str, Row]], net: WaveNetConfig) -> list[Row]:
    peers = {
        peer: next((c.name for c in found if c.family == peer and c.n_streams == 1), None)
        for peer in ("pytorch", "xla")
    }
    rows = []
    for contender in found:
        mine = [turns[contender.name] for turns in rounds]
        row: Row = {"name": contender.name, "family": contender.family}
        row["samples_a_second"] = _median(turn["samples_a_second"] for turn in mine)
        row["spread"] = _spread([turn["samples_a_second"] for turn in mine])
        row["times_real_time"] = row["samples_a_second"] / net.sample_rate_hz
        if contender.on_cpu:
            row["floor"] = _median(turn["floor"] for turn in mine)
            row["of_floor"] = _median(turn["samples_a_second"] / turn["floor"] for turn in mine)
        for peer, name in peers.items():
            if name:
                pairs = [(turns[contender.name], turns[name]) for turns in rounds]
                row[f"times_{peer}"] = _median(a["samples_a_second"] / b["samples_a_second"] for a, b in pairs)
        row["each_round"] = [turn["samples_a_second"] for turn in mine]
        rows.append(row)
    return rows


def _aims(rows: list[Row], net: WaveNetConfig, n_threads: int) -> list[Row]:
    """What is asked of the paper's size; nothing is asked of others."""
    from wavenet_contenders import our_name

    if {name: getattr(net, name) for name in PAPER_SIZE} != PAPER_SIZE:
        return []
    wanted = [
        (our_name("float32", 1, 1), "of_floor", 0.85),
        (our_name("bfloat16", 1, 1), "of_floor", 0.75),
        (our_name("float32", 4, n_threads), "of_floor", 0.75),
        (our_name("bfloat16", 4, n_threads), "of_floor", 0.75),
        (our_name("float32", 1, 1), "times_pytorch", 20.0),
        (our_name("float32", 1, 1), "times_xla", 3.0),
    ]
    by_name = {row["name"]: row for row in rows}
    return [
        {"name": name, "figure": figure, "found": by_name[name][figure], "aim": aim}
        for name, figure, aim in wanted
        if figure in by_name.get(name, {})
    ]


def _machine_figures(found: list[Any], rounds: list[dict[str, Row]]) -> list[Row]:
    """What the probes said, by number of threads and type of weights."""
    rows = []
    for n_threads, weights in sorted({(c.n_threads, c.weights) for c in found}):
        names = [c.name for c in found if (c.n_threads, c.weights) == (n_threads, weights)]
        probed = [turns[name]["machine"] for turns in rounds for name in names]
        rows.append(
            {
                "weights": weights,
                "n_threads": n_threads,
                "gigabytes_a_second": _median(m.bytes_a_second / 1e9 for m in probed),
                "billion_multiply_adds_a_second": _median(m.multiply_adds_a_second[weights] / 1e9 for m in probed),
            }
        )
    return rows


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def _spread(values: list[float]) -> float:
    """Width of the middle half, as a share of the median."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = (
        [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        if path.is_file()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.machine()


def show(result: dict[str, Any]) -> None:
    size = result["size"]
    print(
        f"{result['machine']}; {size['n_layers']} layers, {size['residual_channels']}/{size['skip_channels']}/"
        f"{size['post_channels']}, {size['n_classes']} classes, {result['sample_rate_hz'] / 1000:g} kHz: "
        f"{result['multiply_adds'] / 1e6:.2f} M multiply-adds a sample; median of {result['rounds']} rounds\n"
    )
    columns = ("samples/s", "spread", "x real time", "floor", "of floor", "x PyTorch", "x XLA")
    print(f"{'':36}" + "".join(f"{column:>13}" for column in columns))
    forms = {
        "samples_a_second": "{:,.0f}",
        "spread": "{:.1%}",
        "times_real_time": "{:.3f}",
        "floor": "{:,.0f}",
        "of_floor": "{:.2f}",
        "times_pytorch": "{:.1f}",
        "times_xla": "{:.1f}",
    }
    for row in result["rows"]:
        cells = [form.format(row[name]) if name in row else "-" for name, form in forms.items()]
        print(f"{row['name']:36}" + "".join(f"{cell:>13}" for cell in cells))
    print("\nThe machine:")
    for row in result["probes"]:
        print(
            f"  {row['n_threads']} thread(s), {row['weights']}: reads {row['gigabytes_a_second']:.1f} GB/s, "
            f"{row['billion_multiply_adds_a_second']:.1f} G multiply-adds/s"
        )
    for aim in result["aims"]:
        verdict = "met" if aim["found"] >= aim["aim"] else "missed"
        what = aim["figure"].replace("_", " ")
        print(f"aim: {aim['name']}, {what}: {aim['found']:.2f}, asked for {aim['aim']:g}: {verdict}")


if __name__ == "__main__":
    sys.exit(run_tool(main))
