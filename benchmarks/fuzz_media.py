"""Broken media files through the decoder of the service: none may crash it, hang it or leave anything behind.

    python benchmarks/fuzz_media.py [--files 2000] [--seed 0] [--json FILE]

Small recordings of twelve formats are made (real ones of ../shared/data join them), and each file is one of them with
seeded damage: flipped bits, truncation, exchanged, repeated or removed pieces, header fields (atom sizes, dimensions,
durations, rates, counts) set to edges, and pieces of two formats joined. Then come hand-made bombs and files that name
others (see `fuzz_bombs`). Each goes through the very sandbox of the server. Prints what became of them, and what the
processes hold before and after. Ctrl-C ends it early with the figures so far; `--first N` goes on from there.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))

from bench_cli import parse_arguments
from fuzz_bombs import bombs, elsewhere, pointers
from fuzz_seeds import all_seeds, make_seeds, mutated

from avsc_tf.cli.running import run_tool
from avsc_tf.service.metrics import resident_bytes
from avsc_tf.service.processes import ProcessEndedError
from avsc_tf.service.sandbox import RefusedUploadError, Sandbox, Wanted
from avsc_tf.service.settings import ClipSettings, DecoderSettings

SMOKE = "--files 20 --json {out}/found.json"

__all__ = ["WALL_SECONDS", "fuzz", "make_seeds"]
WALL_SECONDS = 20.0
REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
_SAMPLE_EVERY = 20  # files between two looks at the processes
_WARM_UP = 50  # files before the first: caches fill


class Bench:
    """A sandbox, its folder, and what became of each file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sandbox = Sandbox(
            ClipSettings(max_seconds=20.0), DecoderSettings(wall_seconds=WALL_SECONDS, cpu_seconds=15)
        )
        self.seconds: list[float] = []
        self.held: list[dict[str, dict[str, float]]] = []
        self.died = 0

    def decode(self, data: bytes) -> str:
        """ "clean", or the kind of refusal."""
        upload, work = self.folder / "upload", self.folder / "work"
        upload.write_bytes(data)
        work.mkdir()
        started = time.perf_counter()
        try:
            self.sandbox.decode(upload, work, Wanted(25, 48000, True, True))
            outcome = "clean"
        except RefusedUploadError as error:
            outcome = error.kind
        except ProcessEndedError:
            outcome, self.died = "decoder died", self.died + 1
        self.seconds.append(time.perf_counter() - started)
        shutil.rmtree(work)
        return outcome

    def look(self) -> None:
        """Note open files, children and memory of this process and the decoder's."""
        found = {}
        for name, pid in {"server": os.getpid(), "decoder": self.sandbox.pid}.items():
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
            mib = round(resident_bytes(pid) / 2**20, 2)
            found[name] = {"files": len(os.listdir(f"/proc/{pid}/fd")), "children": len(children), "mib": mib}
        self.held.append(found)

    def left_behind(self) -> list[str]:
        """Files beside the upload, and processes that still work in the folder."""
        left = [path.name for path in self.folder.iterdir() if path.name not in ("upload", "clip.mp4")]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    place = os.readlink(entry / "cwd")
                except OSError:  # it ended meanwhile
                    continue
                if place.startswith(str(self.folder)):
                    left.append(f"process {entry.name}")
        return left


def fuzz(n_files: int, seed: int, *, first: int = 0, show: bool = False) -> dict[str, Any]:
    """Outcomes, times and what is held before and after; Ctrl-C ends it with what there is."""
    seeds = all_seeds(REAL)
    outcomes: collections.Counter[str] = collections.Counter()
    damage: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    bench, done = Bench(folder), 0
    try:
        try:
            for number in tqdm(range(first, first + n_files), desc="fuzz", disable=not show):
                _, kind, data = mutated(seeds, seed, number)
                outcome = bench.decode(data)
                outcomes[outcome] += 1
                damage[kind][outcome] += 1
                done += 1
                if (done >= min(_WARM_UP, n_files // 4) and done % _SAMPLE_EVERY == 0) or done == n_files:
                    bench.look()
        except KeyboardInterrupt:
            print(f"stopped after {done} files; --first {first + done} goes on", file=sys.stderr)
            shutil.rmtree(folder / "work", ignore_errors=True)
        held = list(bench.held)
        by_bomb = {} if done < n_files else _drop_bombs(bench, seeds)
        bench.sandbox.start()
        bench.look()
        left, restarts = bench.left_behind(), bench.sandbox.restarts
    finally:
        bench.sandbox.close()
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "files": done,
        "first": first,
        "seed": seed,
        "formats": list(seeds),
        "outcomes": dict(outcomes),
        "damage": {kind: dict(counts) for kind, counts in damage.items()},
        "bombs": by_bomb,
        "decoder_died": bench.died,
        "decoder_restarts": restarts,
        "longest_seconds": round(max(bench.seconds, default=0.0), 2),
        "median_seconds": round(statistics.median(bench.seconds or [0.0]), 3),
        "limit_seconds": WALL_SECONDS,
        "before": held[0] if held else {},
        "after": held[-1] if held else {},
        "after_bombs": bench.held[-1],
        "kib_per_1000_files": {name: _slope(held, name) for name in ("server", "decoder")},
        "left_behind": left,
    }


def _drop_bombs(bench: Bench, seeds: dict[str, bytes]) -> dict[str, str]:
    clip = bench.folder / "clip.mp4"
    clip.write_bytes(seeds["mp4"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        files = bombs(seeds) | pointers(str(clip), f"http://127.0.0.1:{listening.getsockname()[1]}/clip.mp4")
        found = {name: bench.decode(data) for name, data in files.items()}
        found["MP4 whose media lie in another file"] = bench.decode(elsewhere(seeds["mp4"], str(clip)))
        try:
            listening.accept()[0].close()
            found["connections made"] = "at least one"
        except BlockingIOError:
            found["connections made"] = "none"
    return found


def _slope(held: list[dict[str, dict[str, float]]], name: str) -> list[float] | None:
    """KiB a thousand files by least squares, and half a 95 % interval (samples taken as independent)."""
    mib = np.array([found[name]["mib"] for found in held])
    if len(mib) < 5:
        return None
    x = np.arange(len(mib)) * _SAMPLE_EVERY / 1000
    slope, offset = np.polyfit(x, 1024 * mib, 1)
    rest = 1024 * mib - offset - slope * x
    error = np.sqrt(rest @ rest / (len(x) - 2) / ((x - x.mean()) @ (x - x.mean())))
    return [round(float(slope), 1), round(float(1.96 * error), 1)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first file of the seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    found = fuzz(args.files, args.seed, first=args.first, show=True)
    for name, value in found.items():
        print(f"{name:18} {value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_tool(main))
