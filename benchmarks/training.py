"""Training steps of the three networks against the same networks in PyTorch, and the input pipeline's share of a step.

    python benchmarks/training.py [--networks conversion wavenet image] [--rounds 5] [--records DIR --json FILE]

Each step is that of `avsc train`: the same model class, compiled as the settings say, Adam, norm and clipping of
the gradient, running average. The peer (`training_pytorch.py`) has the same weights, losses and optimizer; where
torch.compile is asked for it stands beside the eager one, and the faster of the two is compared with. All take turns of
one step, round after round, on the same batch and with the same number of threads; ratios are taken within a round, and
their median is printed. Wall-clock seconds are what counts; the processor seconds of all threads beside them say how
much a busy machine has disturbed. PyTorch comes with pip install -e .[benchmarks].

With --records the share of the input pipeline is measured on prepared records: what a step waits for its batch while
reading runs ahead of it (`waiting`), and what reading a batch takes by itself (`reading`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_cli import need_package, parse_arguments

from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config, load_config
from avsc_tf.core.runs import NETWORKS

SMOKE = (
    "--config {root}/tests/training/peer.yaml --rounds 1 --networks conversion --batch conversion=2 "
    "--records {demo}/records --records-config {demo}/demo.yaml --json {out}/found.json"
)

ROOT = Path(__file__).resolve().parents[1]
BATCHES = {"conversion": 16, "wavenet": 1, "image": 8}  # what 24 GB hold beside other programs, both frameworks at once
DTYPES = ("float32", "bfloat16")
AIMS = {"float32": 0.85, "bfloat16": 0.65}
WARM_TURNS = 2  # the first makes the graph, or PyTorch's packed weights
MAX_INPUT_SHARE = 0.03
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    need_package("torch")
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    keras.utils.set_random_seed(1)
    config = load_config(args.config, args.overrides)
    batches = {**BATCHES, **{name: int(size) for name, size in (one.split("=") for one in args.batch)}}
    result = {
        "benchmark": "training",
        "machine": f"{platform.machine()}, {args.threads} threads",
        "load_before": os.getloadavg()[0],
        "rounds": args.rounds,
        "rows": [row for name in args.networks for row in measure(config, name, batches[name], args)],
        "pipeline": [pipeline(config, name, batches[name], args) for name in args.networks] if args.records else [],
        "load_after": os.getloadavg()[0],
    }
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "paper.yaml", metavar="FILE")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--batch", nargs="+", default=[], metavar="NETWORK=N", help=f"default: {BATCHES}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="PyTorch's compiler too; needs a C++ compiler")
    parser.add_argument("--records", type=Path, metavar="DIR", help="to measure the input pipeline on")
    parser.add_argument("--records-config", type=Path, default=ROOT / "configs" / "demo.yaml", metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parse_arguments(__file__, parser, argv, smoke=SMOKE)


def measure(config: Config, network: str, batch_size: int, args: argparse.Namespace) -> list[Row]:
    """A row for each type: seconds of all contenders, and ours as a share of the peer's."""
    from training_contenders import make_batch, ours, pytorch, with_settings

    config = with_settings(config, network, batch_size=batch_size)
    batch = make_batch(config, network)
    contenders = {}
    for dtype in args.dtypes:
        typed = with_settings(config, network, compute_dtype=dtype)
        contenders[f"ours {dtype}"] = ours(typed, network, batch)
        for compiled in (False, True)[: 1 + args.compile]:
            how = {"bfloat16": dtype == "bfloat16", "compiled": compiled, "n_threads": args.threads}
            contenders[f"PyTorch {dtype}{' compiled' * compiled}"] = pytorch(config, network, batch, **how)
    for name, contender in contenders.items():
        for _ in range(WARM_TURNS):
            contender.turn()
        print(f"{network}: {name} is warm", file=sys.stderr, flush=True)
    rounds = []
    for k in range(args.rounds):
        rounds.append({name: contender.turn() for name, contender in contenders.items()})
        print(f"{network}: round {k + 1} of {args.rounds}", file=sys.stderr, flush=True)
    contenders.clear()
    gc.collect()
    return [_row(network, batch_size, dtype, rounds) for dtype in args.dtypes]


def _row(network: str, batch_size: int, dtype: str, rounds: list[dict[str, tuple[float, float]]]) -> Row:
    mine, peer = f"ours {dtype}", best_peer(rounds, dtype)
    row: Row = {"network": network, "batch": batch_size, "dtype": dtype, "peer": peer, "aim": AIMS[dtype]}
    for what, name in (("ours", mine), ("peer", peer)):
        row[f"{what}_seconds"] = statistics.median(turns[name][0] for turns in rounds)
        row[f"{what}_cpu_seconds"] = statistics.median(turns[name][1] for turns in rounds)
    row["ratio"], row["ratio_spread"] = ratio(rounds, mine, peer, 0)
    row["cpu_ratio"], _ = ratio(rounds, mine, peer, 1)
    if dtype != "float32" and any("float32" in name for name in rounds[0]):
        row["ratio_to_float32_peer"], _ = ratio(rounds, mine, best_peer(rounds, "float32"), 0)
    row["each_round"] = [{name: list(turn) for name, turn in turns.items()} for turns in rounds]
    return row


def best_peer(rounds: list[dict[str, tuple[float, float]]], dtype: str) -> str:
    """Name of PyTorch's faster way."""
    names = [name for name in rounds[0] if name.startswith(f"PyTorch {dtype}")]
    return min(names, key=lambda name: statistics.median(turns[name][0] for turns in rounds))


def ratio(
    rounds: list[dict[str, tuple[float, float]]], mine: str, peer: str, which: int
) -> tuple[float, tuple[float, float]]:
    """Median of the rounds' ratios, and their smallest and largest."""
    found = [turns[mine][which] / turns[peer][which] for turns in rounds]
    return statistics.median(found), (min(found), max(found))


def pipeline(config: Config, network: str, batch_size: int, args: argparse.Namespace) -> Row:
    """Seconds of waiting and of reading a batch beside those of a step, with the paper's network on given records."""
    from training_contenders import our_training, records_batches, with_settings

    from avsc_tf.corpus.reader import open_records
    from avsc_tf.training.engine.dry_run import plan_training

    of_records = load_config(args.records_config)
    section = getattr(config, network)
    changes = {"size_px": of_records.image.size_px} if network == "image" else {}
    of_records = with_settings(of_records, network, **{**vars(section), "batch_size": batch_size, **changes})
    make_dataset = records_batches(open_records(args.records, of_records), of_records, network)
    timing = plan_training(
        our_training(of_records, network),
        make_dataset,
        network=network,
        settings=getattr(of_records, network),
        steps_per_epoch=1,
        validation_data=None,
    ).timing
    seconds = {"step_seconds": timing.step, "waiting_seconds": timing.waiting, "reading_seconds": timing.reading}
    shares = {"waiting_share": timing.waiting / timing.step, "reading_share": timing.reading / timing.step}
    return {"network": network, "batch": batch_size, **changes, **seconds, **shares}


def show(result: dict[str, Any]) -> None:
    load = f"load {result['load_before']:.1f} before, {result['load_after']:.1f} after"
    print(f"{result['machine']}; median of {result['rounds']} rounds; {load}\n")
    columns = ("batch", "ours, s", "PyTorch, s", "ratio", "its range", "of CPU time", "to float32", "aim")
    print(f"{'':22}" + "".join(f"{column:>13}" for column in columns))
    for row in result["rows"]:
        low, high = row["ratio_spread"]
        to_float32 = row.get("ratio_to_float32_peer")
        cells = (
            str(row["batch"]),
            f"{row['ours_seconds']:.2f}",
            f"{row['peer_seconds']:.2f}",
            f"{row['ratio']:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{row['cpu_ratio']:.2f}",
            "-" if to_float32 is None else f"{to_float32:.2f}",
            f"{row['aim']:g} {'met' if row['ratio'] <= row['aim'] else 'missed'}",
        )
        name = f"{row['network']} {row['dtype']}{' (compiled)' * ('compiled' in row['peer'])}"
        print(f"{name:22}" + "".join(f"{cell:>13}" for cell in cells))
    if result["pipeline"]:
        print("\nInput pipeline, of a step:")
    for row in result["pipeline"]:
        verdict = "met" if row["waiting_share"] <= MAX_INPUT_SHARE else "missed"
        size = f", {row['size_px']} px" if "size_px" in row else ""
        print(
            f"  {row['network']}, batch {row['batch']}{size}: step {row['step_seconds']:.2f} s, waiting "
            f"{row['waiting_share']:.2%} (aim {MAX_INPUT_SHARE:.0%}: {verdict}), reading {row['reading_share']:.2%}"
        )


if __name__ == "__main__":
    sys.exit(run_tool(main))
