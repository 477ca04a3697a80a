"""How often the marks are found, and how often where there are none; what they cost.

    python benchmarks/provenance.py --json FILE [--converted DIR...] [--corpus DIR...] [--recordings DIR...]

DIR holds videos or sounds; of `--converted` also NAME.npz as `convert.py --keep-features` writes it, whose arrays are
taken. Every clip is marked as a conversion marks it, written as one (H.264 crf 16, AAC 160 kb/s), put through each of
`provenance_attacks.ATTACKS`, and looked at whole and in excerpts of 1, 2 and 3 s from anywhere; the same clips unmarked
give the false alarms, with the public key and with wrong ones. FILE.rows.jsonl keeps what is done: the same command
goes on after a stop. Needs `pesq` and `speechmos` for the cost.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from bench_cli import need_package, parse_arguments
from provenance_attacks import ATTACKS, PICTURE, SOUND, Clip, aac, through_h264
from provenance_figures import figures
from tqdm import tqdm

from avsc_tf.cli.running import run_tool
from avsc_tf.core.errors import AvscError
from avsc_tf.measures.picture import psnr_db, structural_similarity
from avsc_tf.measures.voice import predicted_mos
from avsc_tf.media.audio import read_audio
from avsc_tf.media.container import has_picture, has_sound
from avsc_tf.media.mux import AAC_BITS_PER_SECOND, DETERMINISTIC_X264
from avsc_tf.media.video import read_frames
from avsc_tf.provenance import picture_search, sound_mark
from avsc_tf.provenance.code import N_VALUES, PAYLOAD_BITS, Detection
from avsc_tf.provenance.picture_mark import mark_frames
from avsc_tf.provenance.picture_search import detect_picture
from avsc_tf.provenance.sound_mark import detect_sound, mark_sound

SMOKE = "--corpus {demo}/corpus/target --every 8 --quick --json {out}/found.json"

FPS = 25
SUFFIXES = (".mp4", ".mpg", ".wav", ".flac")
LENGTHS_SECONDS = (1.0, 2.0, 3.0)
REQUIRED = tuple(ATTACKS)[:5]
CUT_ATTACKS = ("as written", "all three together")
N_WRONG_KEYS = 8
PESQ_RATE_HZ = 16_000


def read_clip(path: Path) -> Clip:
    """A clip at its own rates; the arrays of a conversion where they lie beside it."""
    arrays = path.with_suffix(".npz")
    if arrays.is_file():
        with np.load(arrays) as stored:
            return Clip(list(stored["frames"]), stored["waveform"], FPS, 48_000)
    rate = 16_000 if path.suffix == ".wav" else 48_000
    frames = list(read_frames(path, fps=FPS)) if has_picture(path) else None
    waveform = read_audio(path, sample_rate_hz=rate) if has_sound(path) else None
    even = None if frames is None else [f[: f.shape[0] // 2 * 2, : f.shape[1] // 2 * 2] for f in frames]
    return Clip(even, waveform, FPS, rate)


def marked(clip: Clip, payload: int) -> Clip:
    frames, wave = clip.frames, clip.waveform
    if frames is not None:
        frames = list(mark_frames(frames, payload=payload))
    if wave is not None:
        wave = mark_sound(wave, sample_rate_hz=clip.sample_rate_hz, payload=payload)
    return replace(clip, frames=frames, waveform=wave)


def written(clip: Clip) -> Clip:
    """As a conversion writes it; sound alone as 16 bit."""
    if clip.frames is None and clip.waveform is not None:
        return replace(clip, waveform=(np.round(clip.waveform * 32768) / 32768).astype(np.float32))
    return through_h264(aac(clip, AAC_BITS_PER_SECOND // 1000), 16, preset="veryfast", x264=DETERMINISTIC_X264)


def looked_at(clip: Clip, stream: str, key: str = "") -> Detection | None:
    more = {"key": key} if key else {}
    if stream == SOUND:
        wave = clip.waveform
        return None if wave is None else detect_sound(wave, sample_rate_hz=clip.sample_rate_hz, **more)
    return None if clip.frames is None else detect_picture(clip.frames, fps=clip.fps, **more)


def detections(
    clip: Clip, payload: int | None, rng: np.random.Generator, attacks: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """A row an attack, stream and length; without payload: of unmarked ones, whole and, of one length, cut."""
    lengths = LENGTHS_SECONDS if payload is not None else LENGTHS_SECONDS[1:2]
    for name in attacks:
        attack, touched = ATTACKS[name]
        done = attack(clip, rng)
        pieces = [("whole", done)]
        for seconds in lengths if name in CUT_ATTACKS else ():
            whole = len(done.frames) / done.fps if done.frames is not None else len(done.waveform) / done.sample_rate_hz
            if whole >= seconds:
                pieces.append((f"{seconds:g} s", done.cut(float(rng.uniform(0, whole - seconds)), seconds)))
        for length, piece in pieces:
            for stream in touched:
                if (found := looked_at(piece, stream)) is not None:
                    right = None if payload is None else found.is_of(payload)
                    yield {"attack": name, "stream": stream, "length": length, "found": found.found, "right": right,
                           "score": found.score, "chance": found.false_alarm}  # fmt: skip


def chance_scores(clip: Clip, name: str) -> Iterator[dict[str, Any]]:
    """Of unmarked content with wrong keys: verdicts, and the scores of all payloads at one place."""
    for number in range(N_WRONG_KEYS):
        key = f"wrong key {number} of {name}"
        for stream in (SOUND, PICTURE):
            scores = _scores_at_one_place(clip, stream, key)
            if scores is None:
                continue
            pairs = scores[0] if len(scores) == 1 else (scores[0][:, None] + scores[1]).ravel()
            counts = [int(np.count_nonzero(pairs > z)) for z in range(1, 7)]
            row = {
                "stream": stream,
                "n": len(pairs),
                "independent": scores.size,
                "mean": float(pairs.mean()),
                "square": float((pairs**2).mean()),
                "above": counts,
            }
            if number == 0:  # a full search takes longer
                found = looked_at(clip, stream, key)
                assert found is not None
                row |= {"found": found.found, "score": found.score, "chance": found.false_alarm}
            yield row


def _scores_at_one_place(clip: Clip, stream: str, key: str) -> np.ndarray | None:
    """In deviations of chance, of each value of each symbol, [symbols, 256]."""
    if stream == SOUND and clip.waveform is not None:
        return sound_mark.scores_at_start(clip.waveform, sample_rate_hz=clip.sample_rate_hz, key=key)
    if stream == PICTURE and clip.frames is not None:
        return picture_search.scores_in_place(clip.frames, key=key)
    return None


def cost(clip: Clip, after: Clip, *, mos: bool) -> dict[str, float]:
    """What the marks do to sound and picture before anything is encoded."""
    values = {}
    if clip.waveform is not None and after.waveform is not None:
        from pesq import NoUtterancesError, pesq

        low, high = (
            soxr.resample(x.waveform, x.sample_rate_hz, PESQ_RATE_HZ).astype(np.float32) for x in (clip, after)
        )
        with contextlib.suppress(NoUtterancesError):
            values["pesq"] = float(pesq(PESQ_RATE_HZ, low, high, "wb"))
        before_mos, after_mos = (predicted_mos(x.waveform, x.sample_rate_hz) if mos else None for x in (clip, after))
        if before_mos is not None and after_mos is not None:
            values["dnsmos_change"] = after_mos - before_mos
    if clip.frames is not None and after.frames is not None:
        pairs = list(zip(after.frames[::5], clip.frames[::5], strict=True))
        values["ssim"] = float(np.mean([structural_similarity(a, b).mean() for a, b in pairs]))
        values["psnr_db"] = float(np.mean([psnr_db(a, b) for a, b in pairs]))
    return values


def measure(path: Path, kind: str, *, quick: bool) -> dict[str, Any]:
    """All rows of one clip; `quick`: without wrong keys, and only the attacks that must be survived."""
    name = f"{path.parent.name}/{path.name}"
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    clip, payload = read_clip(path), seed % (1 << PAYLOAD_BITS)
    start = time.process_time()
    after = marked(clip, payload)
    seconds = time.process_time() - start
    plain = written(clip)
    return {
        "clip": name,
        "kind": kind,
        "seconds": len(clip.frames) / FPS if clip.frames else len(clip.waveform) / clip.sample_rate_hz,
        "marking_cpu_seconds": seconds,
        "marked": list(detections(written(after), payload, rng, REQUIRED if quick else list(ATTACKS))),
        "unmarked": list(detections(plain, None, rng, CUT_ATTACKS)),
        "chance": [] if quick else list(chance_scores(plain, name)),
        "cost": cost(clip, after, mos=kind == "converted" or clip.frames is None),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", required=True, type=Path, metavar="FILE")
    for kind in ("converted", "corpus", "recordings"):
        parser.add_argument(f"--{kind}", nargs="+", type=Path, default=[], metavar="DIR")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth clip of a folder")
    parser.add_argument("--quick", action="store_true", help="only the attacks that must be survived; no wrong keys")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    need_package("pesq")
    assert N_VALUES == 256
    jobs = [
        (path, kind)
        for kind in ("converted", "corpus", "recordings")
        for folder in getattr(args, kind)
        for path in sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES)[:: args.every]
    ]
    rows_path = args.json.with_suffix(".rows.jsonl")
    rows = (
        [json.loads(line) for line in rows_path.read_text(encoding="utf-8").splitlines()] if rows_path.exists() else []
    )
    done = {row["clip"] for row in rows}
    with rows_path.open("a", encoding="utf-8") as file:
        for path, kind in tqdm(jobs, desc="clips", dynamic_ncols=True):
            if f"{path.parent.name}/{path.name}" in done:
                continue
            try:
                rows.append(measure(path, kind, quick=args.quick))
            except AvscError as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    args.json.write_text(json.dumps(figures(rows), indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures(rows), indent=1))


if __name__ == "__main__":
    sys.exit(run_tool(main))
