"""Reading of training windows against a training step of the conversion network they are for.

    python benchmarks/datasets.py --config configs/paper.yaml [--pairs 200] [--rounds 5] [--json FILE]

Makes records of random pairs of 150 frames in a temporary folder and reads epochs of them held in memory, streamed, and
streamed with the files dropped from the page cache first, between training steps on a batch that is already there.
Prints medians: wall and CPU milliseconds a batch, and their share of a step. Nothing is overlapped here: in training,
reading goes on beside the steps. `--no-step` leaves the network out; the growth of memory is measured in processes of
their own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_cli import parse_arguments

from avsc_tf.cli.arguments import add_config, read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config
from avsc_tf.core.schema import PAIR
from avsc_tf.corpus.manifest import Manifest, count_records, write_manifest
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.corpus.writer import ShardWriter
from avsc_tf.datasets.conversion import windows
from avsc_tf.features.statistics import Statistics

SMOKE = "--config {demo}/demo.yaml --pairs 10 --rounds 1 --no-memory --json {out}/found.json"

N_FRAMES = 150  # 6 s, about the paper's mean utterance
HELD_MB, STREAMED_MB = 1 << 20, 0
MEMORY_BATCH = 4  # small, so that a tenth of the pairs also fills the batches that are read ahead
Sample = tuple[float, float]  # wall and CPU seconds a batch


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config(parser)
    parser.add_argument("--pairs", type=int, default=200, help="3.3 MB each at the paper's sizes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-step", action="store_true", help="reading alone")
    parser.add_argument("--no-memory", action="store_true", help="leave the growth of memory out")
    parser.add_argument("--json", type=Path)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    config = read_config(args)
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, Any] = {"pairs": args.pairs, "batch_size": config.conversion.batch_size}
        records, result["written_mb_a_second"] = write_records(Path(folder), config, args.pairs)
        result["megabytes"] = sum(shard.n_bytes for shard in records.manifest.shards) / 1e6
        result["peak_growth_mb"] = {} if args.no_memory else peak_growth_mb(Path(folder), config)
        result["rows"] = measure(records, config, rounds=args.rounds, with_step=not args.no_step)
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


def write_records(folder: Path, config: Config, n_pairs: int) -> tuple[Records, float]:
    """A split of random pairs, and the megabytes written a second."""
    values = random_pair(config)
    started = time.perf_counter()
    shards = []
    for split, n in (("train", n_pairs), ("test", 0)):
        with ShardWriter(folder, f"pairs-{split}", PAIR, config=config) as writer:
            for k in range(n):
                labels = {"utterance": f"u{k}", "emotion": "", "sentence": f"s{k}", "split": split}
                writer.write({**labels, **values, "cost": np.float32(k)}, video_frames=N_FRAMES)
            shards += writer.finish()
    seconds = time.perf_counter() - started
    Statistics({}).save(folder / "statistics.npz")
    settings = (config.fingerprint, config.record_settings, "random")
    write_manifest(folder, Manifest(*settings, tuple(shards), count_records(shards)))
    return open_records(folder, config), sum(shard.n_bytes for shard in shards) / 1e6 / seconds


def random_pair(config: Config) -> dict[str, Any]:
    rng, n_mel = np.random.default_rng(0), config.timebase.mel_frames_in(N_FRAMES)
    values: dict[str, Any] = {"path": np.repeat(np.arange(N_FRAMES, dtype=np.int32)[:, None], 2, axis=1)}
    for speaker in ("source", "target"):
        values[f"{speaker}_mel"] = rng.standard_normal((n_mel, config.acoustic.n_mels)).astype(np.float32)
        values[f"{speaker}_facial"] = rng.standard_normal((N_FRAMES, config.face.n_facial)).astype(np.float16)
    return values


def measure(records: Records, config: Config, *, rounds: int, with_step: bool) -> dict[str, dict[str, float]]:
    """Every way of reading once a round, and a training step between them; medians in milliseconds."""
    held = replace(config, records=replace(config.records, memory_mb=HELD_MB))
    streamed = replace(config, records=replace(config.records, memory_mb=STREAMED_MB))
    samples: dict[str, list[Sample]] = {}
    samples["first epoch, held"] = [read_epoch(records, held, 0)]
    samples["first epoch, streamed"] = [read_epoch(records, streamed, 0)]
    step = training_step(records, held) if with_step else None
    for epoch in range(1, rounds + 1):
        samples.setdefault("held", []).append(read_epoch(records, held, epoch))
        samples.setdefault("streamed", []).append(read_epoch(records, streamed, epoch))
        drop_page_cache(records)
        samples.setdefault("streamed, files not cached", []).append(read_epoch(records, streamed, epoch))
        if step is not None:
            samples.setdefault("training step", []).append(timed(step))
    return {name: medians(found) for name, found in samples.items()}


def medians(samples: list[Sample]) -> dict[str, float]:
    wall, cpu = zip(*samples, strict=True)
    return {"wall_ms": 1e3 * statistics.median(wall), "cpu_ms": 1e3 * statistics.median(cpu), "n": len(samples)}


def read_epoch(records: Records, config: Config, epoch: int) -> Sample:
    """Seconds a batch over an epoch; making the dataset counts."""
    n_batches = 0

    def read() -> None:
        nonlocal n_batches
        n_batches = sum(1 for _ in windows(records, "train", config, epoch=epoch, seed=1))

    wall, cpu = timed(read)
    return wall / n_batches, cpu / n_batches


def timed(work: Callable[[], object]) -> Sample:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def training_step(records: Records, config: Config) -> Callable[[], object]:
    """A step of the network as `training.conversion.train` compiles it, on one batch, traced and run once."""
    import tensorflow as tf

    from avsc_tf.models.conversion_net import build_conversion_net
    from avsc_tf.training.conversion.train import conversion_training

    training = conversion_training(build_conversion_net(config), config, total_steps=1000)
    function = tf.function(training.train_step, jit_compile=False)
    batch = next(iter(windows(records, "train", config, epoch=0, seed=1)))

    def step() -> None:
        for value in function(batch).values():
            value.numpy()

    step()
    return step


def drop_page_cache(records: Records) -> None:
    for shard in records.manifest.shards:
        with (records.folder / shard.name).open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak_growth_mb(folder: Path, config: Config) -> dict[str, float]:
    """Peak memory of a process that reads two epochs of all pairs, less that of one that reads those of a tenth."""
    return {
        name: peak_mb(folder, config, memory_mb, 1.0) - peak_mb(folder, config, memory_mb, 0.1)
        for name, memory_mb in (("held", HELD_MB), ("streamed", STREAMED_MB))
    }


def peak_mb(folder: Path, config: Config, memory_mb: int, share: float) -> float:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_mb_here, (folder, config, memory_mb, share))


def _peak_mb_here(folder: Path, config: Config, memory_mb: int, share: float) -> float:
    net = replace(config.conversion, batch_size=MEMORY_BATCH)
    config = replace(config, records=replace(config.records, memory_mb=memory_mb), conversion=net)
    records = first_pairs(open_records(folder, config), share)
    for epoch in range(2):
        for _ in windows(records, "train", config, epoch=epoch, seed=1):
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def first_pairs(records: Records, share: float) -> Records:
    """The same folder, of which only the first records of every shard are known."""

    def cut() -> Iterator[Any]:
        for shard in records.manifest.shards:
            n = round(share * len(shard.utterances))
            names = ("utterances", "video_frames", "frame_bytes", "crc32")
            yield replace(shard, **{name: getattr(shard, name)[:n] for name in names})

    return replace(records, manifest=replace(records.manifest, shards=tuple(cut())))


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['pairs']} pairs, {result['megabytes']:.0f} MB, batches of {result['batch_size']}; "
        f"written at {result['written_mb_a_second']:.0f} MB/s"
    )
    step = result["rows"].get("training step")
    print(f"{'':28}{'wall ms':>10}{'CPU ms':>10}{'share of a step: wall':>24}{'CPU':>8}")
    for name, row in result["rows"].items():
        shares = "".join(f"{row[k] / step[k]:>{w}.2%}" for k, w in (("wall_ms", 24), ("cpu_ms", 8))) if step else ""
        print(f"{name:28}{row['wall_ms']:10.1f}{row['cpu_ms']:10.1f}{shares}")
    for name, megabytes in result["peak_growth_mb"].items():
        print(f"peak memory for ten times the pairs, {name}: {megabytes:+.0f} MB")


if __name__ == "__main__":
    sys.exit(run_tool(main))
