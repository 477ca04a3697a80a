"""What preparation costs: CPU time by stage, VGG-19 against PyTorch, workers, memory.

python benchmarks/prepare.py stages  [--json FILE]    CPU ms a frame of every stage (configs/paper.yaml)
python benchmarks/prepare.py vgg     [--json FILE]    VGG-19 fc1 against PyTorch's best (pip install -e .[benchmarks])
python benchmarks/prepare.py workers [--json FILE]    two worker processes against one
python benchmarks/prepare.py memory  [--json FILE]    peak memory over ten times the clips

All on clips of the demo speaker, made on the spot; VGG-19 has untrained weights, which cost the same.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_cli import need_package, parse_arguments

from avsc_tf.cli.running import run_tool

SMOKE = "stages vgg --clips 2 --rounds 1 --set face.vgg_px=32 face.vgg_batch=1 --json {out}/found.json"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GLOG_minloglevel", "3")

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["bbaf2n", "lrwz5a", "swiz3n", "pgiy8s", "lwbr4p", "sgax1n", "bwat9a", "prwc6s", "lgid7p", "bbie3n"]
ROUNDS = 5


def paper_config(overrides: Sequence[str]) -> Any:
    from avsc_tf.core.config import load_config

    return load_config(ROOT / "configs" / "paper.yaml", ["face.vgg_weights=untrained", *overrides])


def make_clips(folder: Path, names: list[str]) -> Path:
    """Two speakers (two takes of the demo speaker), 3 s a clip at 25 fps and 256 pixels."""
    from avsc_tf.demo.speakers.corpus import make_grid_corpus

    for seed, speaker in enumerate(("source", "target"), start=1):
        make_grid_corpus(folder / speaker, names, held_out=1, size_px=256, seed=seed, progress=False)
    return folder


class StageClock:
    """CPU seconds (all threads) by stage; a stage inside another one is taken out of the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.process_time() - start
            self.seconds[name] += spent - self._inner.pop()
            self._inner[-1] += spent

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, attribute)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return original(*args, **kwargs)

        setattr(owner, attribute, timed)


def stages(args: argparse.Namespace) -> dict[str, Any]:
    """One clip at a time, so that CPU time can be told apart; then the rest of `prepare` with the features in place."""
    import numpy as np

    from avsc_tf.alignment.dtw import warping_path
    from avsc_tf.corpus import clip_tasks
    from avsc_tf.corpus.clip_tasks import ClipTask, ClipWorker, use_one_core
    from avsc_tf.corpus.feature_cache import FeatureCache
    from avsc_tf.corpus.prepare import prepare
    from avsc_tf.features import clip as clip_module
    from avsc_tf.features import face as face_module
    from avsc_tf.features.appearance import Vgg19Features
    from avsc_tf.media.clips import find_clips

    use_one_core()
    config = paper_config(args.overrides)
    clock = StageClock()
    with tempfile.TemporaryDirectory() as name:
        clips, out = make_clips(Path(name) / "clips", NAMES[: args.clips]), Path(name) / "records"
        worker = ClipWorker()
        todo = [(s, c) for s in ("source", "target") for c in find_clips(clips / s)]
        list(worker.outcomes([ClipTask(todo[0][1], config)]))  # loads the networks
        warping_path(np.ones((3, 4)))  # loads tslearn
        clock.watch(Vgg19Features, "__call__", "VGG-19 fc1")
        clock.watch(face_module.FaceTracker, "faces", "FaceMesh")
        clock.watch(clip_module, "face_clip", "decoding and cropping")
        clock.watch(clip_module, "load_clip", "decoding: sound, length")
        clock.watch(clip_module, "mel_spectrogram", "mel spectrogram")
        clock.watch(clip_module, "encode_frames", "PNG")
        clock.watch(clip_tasks, "encode_features", "storing features")
        n_frames = 0
        cache = FeatureCache(out / "features", config)
        for _, clip in todo:
            (outcome,) = worker.outcomes([ClipTask(clip, config)])
            with clock.stage("storing features"):
                cache.save(cache.key(clip), outcome)
            n_frames += cache.load(cache.key(clip), pictures=False).n_frames
        with clock.stage("statistics, alignment, records"):
            prepare(config, clips / "source", clips / "target", out, progress=False)
    ms = {stage: 1000 * seconds / n_frames for stage, seconds in clock.seconds.items()}
    total = sum(ms.values())
    for stage, value in sorted(ms.items(), key=lambda item: -item[1]):
        print(f"{stage:32} {value:8.2f} CPU ms a frame  {100 * value / total:5.1f} %")
    beside = 1 - ms["VGG-19 fc1"] / total
    print(f"{'all':32} {total:8.2f}; beside VGG-19 {100 * beside:.1f} % (aim: under 12 %)")
    return {"frames": n_frames, "cpu_ms_per_frame": ms, "total": total, "share_beside_vgg": beside}


def torch_vgg19_fc1(side_px: int) -> Any:
    """VGG-19 up to fc1 and its ReLU, as Simonyan and Zisserman describe it."""
    from torch import nn

    layers: list[Any] = []
    channels = 3
    for width, n_convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(n_convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(512 * (side_px // 32) ** 2, 4096), nn.ReLU(inplace=True)
    ).eval()


def torch_candidates(batch: int, side_px: int) -> dict[str, Callable[[], Any]]:
    """Every way PyTorch offers that might be the fastest on this CPU."""
    import torch

    found: dict[str, Callable[[], Any]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        for layout in (torch.contiguous_format, torch.channels_last):
            model = torch_vgg19_fc1(side_px).to(dtype=dtype, memory_format=layout)
            images = torch.rand(batch, 3, side_px, side_px).to(dtype=dtype, memory_format=layout)
            name = f"{str(dtype).removeprefix('torch.')} {str(layout).removeprefix('torch.')}"
            found[name] = functools.partial(model, images)
            with torch.inference_mode():
                frozen = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, images)))
            found[name + " frozen"] = functools.partial(frozen, images)
    return found


def vgg(args: argparse.Namespace) -> dict[str, Any]:
    """One thread each, the same batch, in turns; the peer is the fastest of all of PyTorch's candidates."""
    import numpy as np

    need_package("torch")
    import torch

    from avsc_tf.corpus.clip_tasks import use_one_core
    from avsc_tf.features.appearance import Vgg19Features

    use_one_core()
    torch.set_num_threads(1)
    config = paper_config(args.overrides)
    batch = config.face.vgg_batch
    crops = np.random.default_rng(0).integers(0, 255, (batch, 256, 256, 3)).astype(np.uint8)
    extractor = Vgg19Features(config.face, config.seed)

    def ours() -> Any:
        return extractor(crops)

    def timed(run: Callable[[], Any]) -> float:
        with torch.inference_mode():
            start = time.perf_counter()
            run()
            return 1000 * (time.perf_counter() - start) / batch

    candidates = torch_candidates(batch, config.face.vgg_px)
    tried = {name: min(timed(run) for _ in range(3)) for name, run in candidates.items()}
    best = min(tried, key=lambda name: tried[name])
    timed(ours)
    pairs = [(timed(ours), timed(candidates[best])) for _ in range(args.rounds)]
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(x / y for x, y in pairs)
    for name, value in sorted(tried.items(), key=lambda item: item[1]):
        print(f"PyTorch {torch.__version__} {name:40} {value:7.1f} ms a frame")
    print(
        f"ours ({config.face.vgg_dtype}, with resizing) {a:.1f}, PyTorch's best ({best}) {b:.1f} ms a frame, one thread"
    )
    print(f"ratio {ratio:.2f} (aim: at most 0.9)")
    return {"ours_ms": a, "torch_ms": b, "torch_best": best, "ratio": ratio, "torch_tried": tried, "rounds": pairs}


def workers(args: argparse.Namespace) -> dict[str, Any]:
    """The whole of `features`, starting the processes included, with one and with two workers in turns."""
    from avsc_tf.corpus.clip_tasks import ClipTask
    from avsc_tf.corpus.workers import in_processes
    from avsc_tf.media.clips import find_clips

    config = paper_config(args.overrides)
    with tempfile.TemporaryDirectory() as name:
        clips = make_clips(Path(name), NAMES[: args.clips])
        tasks = [ClipTask(clip, config) for clip in find_clips(clips / "source")]

        def seconds(n_workers: int) -> float:
            start = time.perf_counter()
            outcomes = dict(in_processes(tasks, workers=n_workers))
            assert all(isinstance(outcome, bytes) for outcome in outcomes.values())
            return time.perf_counter() - start

        pairs = []
        for _ in range(args.rounds):
            pairs.append((seconds(1), seconds(2)))
            print(f"one worker {pairs[-1][0]:6.1f} s, two {pairs[-1][1]:6.1f} s", flush=True)
    ratio = statistics.median(one / two for one, two in pairs)
    print(f"two workers do {ratio:.2f} times what one does, {len(tasks)} clips of 3 s (aim: 1.6)")
    return {"clips": len(tasks), "rounds": pairs, "ratio": ratio}


def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Peak of each process over n and 10 n clips; a small VGG-19, since only growth is asked for."""
    results = {}
    for n_clips in (args.clips, 10 * args.clips):
        results[n_clips] = _peaks_in_mib(n_clips)
        print(
            f"{n_clips:5} clips of each speaker: preparing process {results[n_clips]['parent']:.0f} MiB, "
            f"worker {results[n_clips]['worker']:.0f} MiB",
            flush=True,
        )
    few, many = results[args.clips], results[10 * args.clips]
    growth = {who: many[who] - few[who] for who in few}
    print(f"growth {growth['parent']:.0f} and {growth['worker']:.0f} MiB over ten times the clips")
    return {"peak_mib": {str(n): mib for n, mib in results.items()}, "growth_mib": growth}


def free_atom(number: int) -> bytes:
    """An empty mp4 atom: players skip it, and each copy is a content of its own."""
    payload = f"{number:08}".encode()
    return (8 + len(payload)).to_bytes(4, "big") + b"free" + payload


def _peaks_in_mib(n_clips: int) -> dict[str, float]:
    import subprocess

    script = (
        "import sys, resource; sys.path.insert(0, sys.argv[4])\n"
        "from pathlib import Path\n"
        "from benchmarks.prepare import paper_config\n"
        "from avsc_tf.corpus.prepare import prepare\n"
        "from avsc_tf.corpus.workers import Workforce\n"
        "clips, out = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "prepare(paper_config('face.vgg_px=32'), clips / 'source', clips / 'target', out, progress=False,\n"
        "        workforce=Workforce(1))\n"
        "for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):\n"
        "    print(resource.getrusage(who).ru_maxrss)\n"
    )
    with tempfile.TemporaryDirectory() as name:
        clips = make_clips(Path(name) / "made", NAMES[:4])
        folder = Path(name) / "clips"
        for speaker in ("source", "target"):
            (folder / speaker).mkdir(parents=True)
            for number in range(n_clips):  # names differ, so each is a clip of its own
                origin = clips / speaker / f"{NAMES[number % 4]}.mp4"
                copy = folder / speaker / f"clip{number:05}.mp4"
                copy.write_bytes(origin.read_bytes() + free_atom(number))
        command = [sys.executable, "-c", script, str(folder), str(Path(name) / "records"), "-", str(ROOT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            raise SystemExit(done.stderr)
    parent, worker = (int(line) / 1024 for line in done.stdout.split()[-2:])
    return {"parent": parent, "worker": worker}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"stages": stages, "vgg": vgg, "workers": workers, "memory": memory}
    parser.add_argument("what", nargs="+", metavar="WHAT", help=", ".join(kinds))
    parser.add_argument("--set", dest="overrides", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--clips", type=int, default=4, help="of each speaker")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    if unknown := set(args.what) - set(kinds):
        parser.error(f"no kind {', '.join(unknown)}; kinds are {', '.join(kinds)}")
    figures = {what: kinds[what](args) for what in args.what}
    if args.json:
        args.json.write_text(json.dumps({"benchmark": "prepare", **figures}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_tool(main))
