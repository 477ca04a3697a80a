"""Copy synthesis: speech rendered from its own mel by the WaveNet and by Griffin-Lim, on held-out recordings.

    python benchmarks/copy_synthesis.py DIR... [--clips N] [--weights W] [--json FILE]

DIR as in `tools/train.py wavenet --pretrain`; only sentences that pretraining held out are taken. Prints one table a
folder: pitch error (cents, median of frames voiced in both), voicing error, log-mel L1, predicted MOS.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import soxr

from avsc_tf.cli import add_config_arguments, config_from_args, run_tool
from avsc_tf.config import Config
from avsc_tf.conversion.griffin_lim import griffin_lim
from avsc_tf.conversion.sampler import WaveNetSampler
from avsc_tf.datasets.recordings import PEAK, find_recordings, is_held_out
from avsc_tf.evaluation import voice
from avsc_tf.evaluation.figures import copy_figures
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.media.audio import read_audio
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.timebase import Timebase
from avsc_tf.training.wavenet import load_initial_weights

FIGURES = ("pitch_cents", "voicing_error", "log_mel_l1", "predicted_mos")
Rows = dict[str, list[dict[str, float | None]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--clips", type=int, default=6, help="of each folder, evenly spread")
    parser.add_argument("--starting-with", default="", metavar="TEXT", help="only files whose names do")
    parser.add_argument("--weights", default="pretrained")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    config = config_from_args(args)
    model = build_wavenet(config)
    load_initial_weights(model, args.weights)
    sampler = WaveNetSampler(model, config)
    result = {}
    for folder in args.folders:
        paths = [
            p for p in find_recordings([folder]) if is_held_out(p, config) and p.name.startswith(args.starting_with)
        ]
        chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, args.clips).astype(int))]
        result[folder.name] = _table(chosen, sampler, config)
        _show(folder.name, len(chosen), result[folder.name])
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    return 0


def _table(paths: list[Path], sampler: WaveNetSampler, config: Config) -> dict[str, dict[str, float]]:
    rows: Rows = {}
    for path in paths:
        _measure(path, sampler, config, rows)
    return {
        row: {name: float(np.mean([f[name] for f in found if f.get(name) is not None] or [np.nan])) for name in FIGURES}
        for row, found in rows.items()
    }


def _measure(path: Path, sampler: WaveNetSampler, config: Config, rows: Rows) -> None:
    timebase, rate_hz = Timebase.from_config(config.time), config.time.sample_rate_hz
    natural = read_audio(path, sample_rate_hz=rate_hz)
    natural = natural[: timebase.samples_in(timebase.video_frames_in(len(natural)))]
    natural = natural * min(1.0, PEAK / max(1e-9, float(np.abs(natural).max())))
    mel, pitch = mel_spectrogram(natural, config.acoustic, timebase), voice.track_pitch(natural, rate_hz)
    rows.setdefault("natural", []).append({"predicted_mos": voice.predicted_mos(natural, rate_hz)})
    spoken = {"griffin-lim": griffin_lim(mel, config.acoustic, timebase)}
    for label, passes in (("wavenet", None), ("wavenet, no mel matching", 0)):
        started = time.process_time()
        low = sampler.generate([mel], seed=1, mel_matching_passes=passes)[0]
        print(f"{path.name}: {len(low) / (time.process_time() - started):.0f} samples a CPU-second", file=sys.stderr)
        spoken[label] = soxr.resample(low, config.wavenet.sample_rate_hz, rate_hz, quality="HQ")
    for label, waveform in spoken.items():
        peak = max(1.0, float(np.abs(waveform).max()) / PEAK)
        rows.setdefault(label, []).append(copy_figures(waveform / peak, natural, pitch, config))


def _show(name: str, n_clips: int, table: dict[str, dict[str, float]]) -> None:
    print(f"\n{name}, {n_clips} clips\n{'':26}" + "".join(f"{figure:>16}" for figure in FIGURES))
    for row, figures in table.items():
        print(f"{row:26}" + "".join(f"{figures[figure]:16.3f}" for figure in FIGURES), flush=True)


if __name__ == "__main__":
    sys.exit(run_tool(main))
