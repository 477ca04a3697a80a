"""The service under load: many clients at once, then many requests one after another.

    python benchmarks/serve.py --bundle RUN [--clients 64] [--requests 1000] [--json FILE]

A server is started with Griffin-Lim voices. All clients send a short clip of a painted face at the same moment, each
of its own length, every eighth a damaged one, and follow their job by its state. A job is lost where it does not end;
it is wrong where the video has not its clip's length, or a damaged clip gives no error. Then requests of all kinds are
made, and the slope of each process's memory over them is fitted, with its 95 % interval. The converter's is that over
the load itself, whose clips differ in length: it grows by some megabytes with each length it has not met before, and
not with lengths it knows (`jobs.converter_bytes` bounds it).
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench_cli import parse_arguments
from scipy import stats

from avsc_tf.cli.running import run_tool
from avsc_tf.core.errors import ServiceError
from avsc_tf.demo.speakers.face import FacePainter, FacePose
from avsc_tf.demo.speakers.looks import LOOKS, Expression
from avsc_tf.media.mux import write_video
from avsc_tf.media.video import read_frames
from avsc_tf.service.metrics import resident_bytes

SMOKE = "--bundle {demo}/run --clients 3 --requests 20 --json {out}/found.json"

ROOT = Path(__file__).resolve().parents[1]
FIRST_FRAMES, DAMAGED_EVERY = 10, 8
SETTINGS = (
    "conversion.vocoder=griffin-lim",
    "conversion.offered=[griffin-lim]",
    "jobs.max_queued=1000",
    "jobs.max_per_client=1000",
    "jobs.requests_per_minute=1000000",
    "jobs.burst_requests=1000000",
    "jobs.min_free_bytes=1",
    "upload.max_concurrent=1000",
    "connections.max_connections=1000",
)


@dataclass
class Bench:
    """The server's port, and what was measured: seconds by kind of request."""

    port: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, kind: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"content-type": "video/mp4"} if body is not None else {}
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        with self.lock:
            self.seconds.setdefault(kind, []).append(time.perf_counter() - started)
        return answer.status, content


def make_clip(path: Path, n_frames: int) -> bytes:
    """A painted face with a buzz."""
    face = FacePainter(LOOKS["source"], size_px=160).render(FacePose(), Expression())
    t = np.arange(n_frames * 1920) / 48000
    buzz = 0.05 * sum(np.cos(2 * np.pi * 140 * k * t) / k for k in range(1, 20))
    write_video(path, [face] * n_frames, buzz, fps=25, sample_rate_hz=48000)
    return path.read_bytes()


def start(bundle: list[Path], data: Path) -> tuple[subprocess.Popen[str], int]:
    """The server and its port, once it can convert."""
    overrides = [part for text in SETTINGS for part in ("--set", text)]
    where = ["--bundle", *map(str, bundle), "--data", str(data), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(ROOT / "tools" / "serve.py"), *where, *overrides]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline().split("/")[2].rpartition(":")[2])
    bench = Bench(port)
    for _ in range(1200):
        if bench.ask("ready", "GET", "/health/ready")[0] == 200:
            return process, port
        time.sleep(0.1)
    process.kill()
    raise ServiceError("the server does not get ready in two minutes")


def one_client(bench: Bench, number: int, clip: bytes, barrier: threading.Barrier, found: list[dict[str, Any]]) -> None:
    barrier.wait()
    status, content = bench.ask("POST", "POST", f"/v1/conversions?seed={number}", clip)
    outcome: dict[str, Any] = {"number": number, "status": status}
    if status == 202:
        job = json.loads(content)
        deadline = time.monotonic() + 900
        while job["state"] not in ("done", "failed", "cancelled") and time.monotonic() < deadline:
            time.sleep(0.5)
            job = json.loads(bench.ask("state", "GET", job["links"]["self"])[1])
        outcome |= {"id": job["id"], "state": job["state"], "error": job["error"]}
        if job["state"] == "done":
            outcome["result"] = bench.ask("result", "GET", job["links"]["result"])[1]
    found.append(outcome)


def at_once(bench: Bench, n_clients: int, folder: Path, memory: list[float], converter: int) -> dict[str, Any]:
    """All clients together; what became of their jobs."""
    clips = [make_clip(folder / "clip.mp4", FIRST_FRAMES + n // 2) for n in range(n_clients)]
    damaged = {n for n in range(n_clients) if n % DAMAGED_EVERY == DAMAGED_EVERY - 1}
    for n in damaged:
        clips[n] = clips[n][: len(clips[n]) // 2] + bytes(len(clips[n]) // 2)
    barrier, found = threading.Barrier(n_clients), []
    threads = [threading.Thread(target=one_client, args=(bench, n, clips[n], barrier, found)) for n in range(n_clients)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        memory.append(resident_bytes(converter) / 2**20)
    wrong = []
    for outcome in found:
        made = outcome.get("result")
        if made is not None:
            (folder / "made.mp4").write_bytes(made)
            n_frames = len(list(read_frames(folder / "made.mp4", fps=25)))
            if n_frames != FIRST_FRAMES + outcome["number"] // 2 or outcome["number"] in damaged:
                wrong.append(outcome["number"])
        elif outcome["number"] not in damaged or not outcome.get("error"):
            wrong.append(outcome["number"])
    results = [hashlib.sha256(outcome["result"]).digest() for outcome in found if "result" in outcome]
    return {
        "clients": n_clients,
        "accepted": sum(outcome["status"] == 202 for outcome in found),
        "done": len(results),
        "failed_as_damaged": sum(outcome.get("state") == "failed" for outcome in found),
        "lost": sum(outcome.get("state") not in ("done", "failed") for outcome in found),
        "wrong": sorted(wrong),
        "distinct_results": len(set(results)),
        "wall_seconds": round(time.monotonic() - started, 1),
    }


def one_after_another(bench: Bench, n_requests: int, clip: bytes, web: int) -> list[float]:
    """Uploads that are cancelled, states, lists, parts of results, pages; the web process's MiB after each."""
    jobs = json.loads(bench.ask("list", "GET", "/v1/conversions?limit=200")[1])["conversions"]
    done = next(job for job in jobs if job["state"] == "done")
    memory = []
    for number in range(n_requests):
        kind = number % 5
        if kind == 0:
            job = json.loads(bench.ask("POST alone", "POST", "/v1/conversions", clip)[1])
            bench.ask("DELETE", "DELETE", job["links"]["self"])
        elif kind == 1:
            bench.ask("state alone", "GET", done["links"]["self"])
        elif kind == 2:
            bench.ask("list", "GET", "/v1/conversions")
        elif kind == 3:
            bench.ask("result alone", "GET", done["links"]["result"])
        else:
            bench.ask("page", "GET", "/")
        memory.append(resident_bytes(web) / 2**20)
    return memory


def slope(values: list[float]) -> dict[str, float]:
    """KiB a step, with a 95 % interval from the means of ten blocks (neighbours are alike), first fifth left out."""
    kept = np.array(values[len(values) // 5 :])
    blocks = [block for block in np.array_split(kept, 10) if len(block)]
    centres = np.cumsum([len(block) for block in blocks]) - np.array([len(block) / 2 for block in blocks])
    fit = stats.linregress(centres, [block.mean() for block in blocks])
    half = float(stats.t.ppf(0.975, len(blocks) - 2) * fit.stderr)
    first, last = float(kept[0]), float(kept[-1])
    kib = {"slope_kib": float(fit.slope) * 1024, "low": (float(fit.slope) - half) * 1024}
    kib |= {"high": (float(fit.slope) + half) * 1024}
    return {name: round(value, 3) for name, value in {**kib, "first_mib": first, "last_mib": last}.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--clients", type=int, default=64, metavar="N")
    parser.add_argument("--requests", type=int, default=1000, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    with tempfile.TemporaryDirectory() as name:
        process, port = start(args.bundle, Path(name) / "data")
        try:
            bench, converter_memory = Bench(port), []
            children = Path(f"/proc/{process.pid}/task").glob("*/children")
            pids = [int(pid) for path in children for pid in path.read_text(encoding="utf-8").split()]
            converter = max(pids, key=resident_bytes)
            jobs = at_once(bench, args.clients, Path(name), converter_memory, converter)
            clip = make_clip(Path(name) / "short.mp4", FIRST_FRAMES)
            web_memory = one_after_another(bench, args.requests, clip, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            returned = process.wait(timeout=60)
            process.stdout.close()
    latencies = {
        kind: {"n": len(s), "p50_ms": round(1000 * np.median(s), 1), "p99_ms": round(1000 * np.percentile(s, 99), 1)}
        for kind, s in bench.seconds.items()
    }
    memory = {"web, a request": slope(web_memory), "converter, a second of work": slope(converter_memory)}
    load = round(os.getloadavg()[0], 1)
    found = {"jobs": jobs, "latencies": latencies, "memory": memory, "exit_code": returned, "load_average": load}
    for title, values in found.items():
        print(f"{title}: {values}" if not isinstance(values, dict) else title)
        for key, value in values.items() if isinstance(values, dict) else ():
            print(f"    {key:28} {value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_tool(main))
