"""How well synchrony can be told in natural clips of one speaker: docs/synchrony.md.

Held-out correlation of sound and lips (five folds of sentences) beside its null and the naive figure, how it falls
with delay, how many components and training sentences it needs, and which offset errs least. Faces are tracked once.

python benchmarks/lip_synchrony.py --clips corpus/target --config configs/demo.yaml --tracked DIR --json FILE
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_cli import parse_arguments
from tqdm import tqdm

from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config, load_config
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.face import face_clip
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.keypoints import mouth_opening
from avsc_tf.measures import sync
from avsc_tf.measures.lip_correlation import LipCorrelation, Streams, naive_canonical_r, naive_null
from avsc_tf.measures.lip_streams import sync_streams
from avsc_tf.media.clips import find_clips, load_clip

SMOKE = (
    "--config {demo}/demo.yaml --clips {demo}/corpus/target --tracked {out} --n-clips 6 --plot {out}/plot.png "
    "--json {out}/found.json"
)

Clip = dict[str, np.ndarray]  # waveform, keypoints, found
N_FOLDS = 5
DELAYS = range(-6, 7)  # video frames
OFFSETS = (-5.0, -3.0, -1.5, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 6.0)  # put in, to be found again
COMPONENTS = ((4, 2), (8, 4), (12, 6), (20, 10), (40, 20), (80, 40))
TRAINING = (3, 5, 10, 20, 40, 60)


def tracked(config: Config, folder: Path, cache: Path, n_clips: int) -> list[Clip]:
    """Sound and keypoints of clips spread over a folder."""
    timebase = config.timebase
    sources = find_clips(folder)
    sources = [sources[i] for i in np.linspace(0, len(sources) - 1, min(n_clips, len(sources))).astype(int)]
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    with FaceTracker(config.face.min_detection_confidence) as tracker:
        for source in tqdm(sources, desc="faces", unit="clip"):
            path = cache / f"{source.utterance}.npz"
            if not path.is_file():
                clip = load_clip(source, timebase)
                face = face_clip(clip.frames, tracker, config.face, fps=timebase.video_fps, place=source.utterance)
                np.savez(path, waveform=clip.waveform, keypoints=face.keypoints, found=face.found)
            clips.append(dict(np.load(path)))
    return clips


def streams(clip: Clip, timebase: Timebase, *, late_frames: float = 0.0) -> Streams:
    """With the lips that many frames after the sound."""
    samples = round(late_frames * timebase.samples_per_video_frame)
    sound = clip["waveform"]
    moved = np.pad(sound[samples:], (0, samples)) if samples >= 0 else np.pad(sound[:samples], (-samples, 0))
    return sync_streams(moved, timebase.sample_rate_hz, clip["keypoints"], timebase.video_fps, found=clip["found"])


def folds(n: int) -> Iterator[tuple[list[int], list[int]]]:
    """Training and held-out numbers."""
    for fold in range(N_FOLDS):
        yield [i for i in range(n) if i % N_FOLDS != fold], [i for i in range(n) if i % N_FOLDS == fold]


def held_out_rows(clips: list[Clip], timebase: Timebase) -> list[dict[str, Any]]:
    """One row a sentence, held out of its fold."""
    natural = [streams(clip, timebase) for clip in clips]
    rows: list[dict[str, Any]] = [{} for _ in clips]
    for train, test in folds(len(clips)):
        fitted = LipCorrelation.fit([natural[i] for i in train])
        for place, i in enumerate(test):
            mel, lips = natural[i]
            other = natural[test[place - 1]][0]
            n = min(len(other), len(lips))
            beside, naive_shifted = fitted.beside_null(mel, lips), naive_null(mel, lips)
            late = [streams(clips[i], timebase, late_frames=k) for k in DELAYS]
            rows[i] = {
                "r": beside.r,
                "null_mean": beside.null_mean,
                "null_low": beside.null_low,
                "null_high": beside.null_high,
                "is_above_null": beside.p < 0.05,
                "naive_r": naive_canonical_r(mel, lips),
                "naive_null": float(naive_shifted.mean()),
                "other_sentence_r": fitted.score(other[:n], lips[:n]),
                "all_pairs": fitted.scores(mel, lips).tolist(),
                "by_delay": [fitted.score(*pair) for pair in late],
                "offset": sync.offset(*fitted.variates(mel, lips), weights=fitted.weights).frames,
            }
    return rows


def mean_r(natural: list[Streams], *, n_train: int = 10**6, **settings: Any) -> float:
    """Held-out r with other settings, or fewer training sentences."""
    found = []
    for train, test in folds(len(natural)):
        few = [train[i] for i in np.linspace(0, len(train) - 1, min(n_train, len(train))).astype(int)]
        fitted = LipCorrelation.fit([natural[i] for i in few], **settings)
        found += [fitted.score(*natural[i]) for i in test]
    return float(np.mean(found))


def offset_errors(clips: list[Clip], timebase: Timebase) -> dict[str, list[float]]:
    """Found less put in, video frames, by method."""
    natural = [streams(clip, timebase) for clip in clips]
    errors: dict[str, list[float]] = {"canonical pairs": [], "first pair": [], "loudness and opening": []}
    for train, test in folds(len(clips)):
        fitted = LipCorrelation.fit([natural[i] for i in train])
        for i in test:
            opening = mouth_opening(clips[i]["keypoints"])
            for late in OFFSETS:
                mel, lips = streams(clips[i], timebase, late_frames=late)
                heard, seen = fitted.variates(mel, lips)
                found = {
                    "canonical pairs": sync.offset(heard, seen, weights=fitted.weights),
                    "first pair": sync.offset(heard[:, 0], seen[:, 0]),
                    "loudness and opening": sync.offset(mel.mean(axis=1), opening[: len(mel)]),
                }
                for name, each in found.items():
                    errors[name].append(each.frames - late)
    return errors


def summary(rows: list[dict[str, Any]], errors: dict[str, list[float]]) -> dict[str, Any]:
    by_delay = np.array([row["by_delay"] for row in rows])
    in_place = by_delay[:, list(DELAYS).index(0)]
    plain = ("r", "null_mean", "null_low", "null_high", "is_above_null", "naive_r", "naive_null", "other_sentence_r")
    return {
        "sentences": len(rows),
        **{name: float(np.mean([row[name] for row in rows])) for name in plain},
        "r_deviation": float(np.std([row["r"] for row in rows])),
        "all_pairs": np.mean([row["all_pairs"] for row in rows], axis=0).tolist(),
        "delays": list(DELAYS),
        "r_by_delay": by_delay.mean(axis=0).tolist(),
        "share_told_from_delay": (in_place[:, None] > by_delay).mean(axis=0).tolist(),
        "offset_median": float(np.median([row["offset"] for row in rows])),
        "offset_errors": {
            name: {
                "median": float(np.median(e)),
                "mean_size": float(np.mean(np.abs(e))),
                "within_one": float(np.mean(np.abs(e) <= 1)),
                "beyond_two": float(np.mean(np.abs(e) > 2)),
            }
            for name, e in errors.items()
        },
    }


def plot(path: Path, found: dict[str, Any], name: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.axhspan(found["null_low"], found["null_high"], color="0.9", label="95 % of shifted lips")
    axes.axhline(found["null_mean"], color="0.6", lw=1)
    axes.axhline(found["naive_r"], color="C3", ls="--", lw=1, label="naive r, in step")
    axes.axhline(found["naive_null"], color="C3", ls=":", lw=1.5, label="naive r, shifted lips")
    axes.plot(found["delays"], found["r_by_delay"], "o-", label="held-out r")
    axes.set(xlabel="lips after the sound, frames of 40 ms", ylabel="r", title=name, ylim=(-0.6, 1.05))
    axes.legend(fontsize=8, loc="lower center", ncols=2)
    figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, metavar="DIR", help="natural clips of one speaker")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--tracked", type=Path, required=True, metavar="DIR", help="tracked faces are kept here")
    parser.add_argument("--n-clips", type=int, default=100)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--name", default="natural clips", help="title of the plot")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    config = load_config(args.config)
    timebase = config.timebase
    clips = tracked(config, args.clips, args.tracked, args.n_clips)
    natural = [streams(clip, timebase) for clip in clips]
    found = summary(held_out_rows(clips, timebase), offset_errors(clips, timebase))
    n_frames = 0.8 * sum(len(lips) for _, lips in natural)  # of a fold's training; fewer than 3 each say nothing
    fitting = [(a, b) for a, b in COMPONENTS if 3 * (a + b) <= n_frames / 2]
    found["r_by_components"] = {f"{a}, {b}": mean_r(natural, n_mel=a, n_lips=b) for a, b in fitting}
    found["r_by_training_sentences"] = {n: mean_r(natural, n_train=n) for n in TRAINING if n <= 0.8 * len(natural)}
    args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        plot(args.plot, found, args.name)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(run_tool(main))
