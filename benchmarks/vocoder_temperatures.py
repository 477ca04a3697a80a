"""How hot the WaveNet should speak, and how often its mel is matched: a grid over TRAINING sentences, by DNSMOS.

    python benchmarks/vocoder_temperatures.py DIR... --config configs/demo.yaml [--weights W] --out FILE.json
    python benchmarks/vocoder_temperatures.py --records RECORDS --config ... --weights RUN/... --out FILE.json

Settings are chosen on sentences that the networks were trained with; held-out ones are for the figures alone. Each
utterance is sampled once for a pair of temperatures, and matched further for each number of passes. Beside DNSMOS
stand STOI and the difference to the present settings, paired by sentence. FILE is written after every sentence and
gone on from.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import copy_synthesis as copies
import numpy as np
import soxr
from bench_cli import parse_arguments

from avsc_tf.cli.arguments import add_config, read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config
from avsc_tf.datasets.recordings import PEAK
from avsc_tf.evaluation.confidence import estimate
from avsc_tf.evaluation.copy_synthesis import write_json
from avsc_tf.measures import voice
from avsc_tf.vocoder.griffin_lim import griffin_lim
from avsc_tf.vocoder.mel_matching import match_mel

SMOKE = (
    "--config {demo}/demo.yaml --records {demo}/records --weights {demo}/run/wavenet/model.weights.h5 --clips 1 "
    "--temperatures 0.8 --voiced 0.5 --passes 1 2 --out {out}/found.json"
)

Scores = dict[str, dict[str, dict[str, float | None]]]  # sentence -> row -> figure -> value


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config(parser)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--records", type=Path, metavar="DIR")
    parser.add_argument("--weights", default="pretrained")
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.6, 0.8, 1.0])
    parser.add_argument("--voiced", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    parser.add_argument("--passes", type=int, nargs="+", default=[6, 12, 20], help="rising")
    parser.add_argument("--out", type=Path, required=True)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    args.training, args.no_face, args.starting_with = True, False, ""
    config = read_config(args)
    speaker = copies.make_voice(args.weights, config)
    scores: Scores = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    for name, clips in copies.sources(args, config):
        for clip in clips:
            rows = scores.setdefault(f"{name}/{clip.recording.name}", {})
            for row, waveform in renderings(clip, speaker, config, args, known=rows):
                rows[row] = _figures(waveform, clip.natural, config)
            write_json(args.out, scores)
    print(markdown(scores, present(config)))
    return 0


def label(temperature: float, voiced: float, passes: int) -> str:
    return f"{temperature:g} / {voiced:g}, {passes} passes"


def present(config: Config) -> str:
    """The row of the settings as they are."""
    net = config.wavenet
    return label(net.temperature, net.voiced_temperature, net.mel_matching_passes)


def renderings(
    clip: copies.Clip, speaker: copies.Voice, config: Config, args: argparse.Namespace, *, known: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """Rows that are not known yet, and their sound at time.sample_rate_hz."""
    recording, net = clip.recording, config.wavenet
    if "natural" not in known:
        yield "natural", clip.natural
        yield "griffin-lim", griffin_lim(recording.mel, config.acoustic, config.timebase)
    facial = None if recording.facial is None else [recording.facial]
    for heat, calm in itertools.product(args.temperatures, args.voiced):
        if all(label(heat, calm, passes) in known for passes in args.passes):
            continue
        low = speaker.sampler.generate(
            [recording.mel], facial, seed=1, temperature=heat, voiced_temperature=calm, mel_matching_passes=0
        )[0]
        done = 0
        for passes in args.passes:
            low = match_mel(low, recording.mel, config, passes=passes - done)
            done = passes
            full = soxr.resample(low, net.sample_rate_hz, config.time.sample_rate_hz, quality="HQ")
            yield label(heat, calm, passes), full


def _figures(waveform: np.ndarray, natural: np.ndarray, config: Config) -> dict[str, float | None]:
    rate_hz = config.time.sample_rate_hz
    level = waveform / max(1.0, float(np.abs(waveform).max()) / PEAK)
    n = min(len(level), len(natural))
    return {
        "predicted_mos": voice.predicted_mos(level, rate_hz),
        "stoi": voice.intelligibility(level[:n], natural[:n], rate_hz),
    }


def markdown(scores: Scores, reference: str) -> str:
    """A row a setting, by folder, best first."""
    lines = []
    for folder in dict.fromkeys(name.split("/")[0] for name in scores):
        of_folder = [rows for name, rows in scores.items() if name.split("/")[0] == folder]
        lines += [
            f"\n{folder}, {len(of_folder)} clips\n",
            "| | DNSMOS | - present settings | STOI |",
            "|---|---|---|---|",
        ]
        names = [row for row in of_folder[0] if all(row in rows for rows in of_folder)]
        mos = {row: np.array([rows[row]["predicted_mos"] for rows in of_folder], float) for row in names}
        for row in sorted(names, key=lambda row: -mos[row].mean()):
            gain = ""
            if reference in mos and row != reference:
                found = estimate(mos[row] - mos[reference])
                gain = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
            stoi = np.mean([rows[row]["stoi"] for rows in of_folder])
            lines.append(f"| {row} | {mos[row].mean():.2f} | {gain} | {stoi:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_tool(main))
