"""Copy synthesis: speech rendered from its own features by WaveNets and by Griffin-Lim, beside the recording.

    python benchmarks/copy_synthesis.py DIR... --config configs/demo.yaml [--weights A B] [--clips N] [--json FILE]
    python benchmarks/copy_synthesis.py --records RECORDS --config ... --weights RUN/wavenet/model.weights.h5

DIR as in `avsc train wavenet --pretrain`, without facial features; RECORDS brings the target's clips with them.
Only sentences that training held out are taken, but with `--training` only the others, to choose settings on. Prints a
table a folder, each figure with its 95 % bootstrap interval over sentences:

    pitch_cents         median over frames voiced in both; voicing by `measures.voice.audible_voice`
    voicing_error       share of frames voiced in one; voicing_error_raw: pitch heard in the pauses' noise counted
    predicted_mos       DNSMOS; stoi: intelligibility against the recording
    bits                surprise of the recording's own samples, bits a sample (a WaveNet's alone)
    log_mel_l1          on audible frames. Griffin-Lim optimises just this, so it is no judge between the two

and, for each WaveNet, its differences to Griffin-Lim and to the first WaveNet, paired by sentence.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from bench_cli import parse_arguments

from avsc_tf.cli.arguments import add_config, read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.datasets.recordings import (
    PEAK,
    Recording,
    find_recordings,
    is_held_out,
    read_recording,
    with_side_information,
)
from avsc_tf.datasets.target_clips import recordings_of_records
from avsc_tf.datasets.waveform import crop_inputs
from avsc_tf.evaluation.confidence import estimate
from avsc_tf.evaluation.copy_synthesis import natural_waveform, write_json
from avsc_tf.evaluation.figures import Table, copy_figures, figure_entry
from avsc_tf.evaluation.plots import voice_panels
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator
from avsc_tf.losses.waveform import ClassSurprise
from avsc_tf.measures import voice
from avsc_tf.media.audio import read_audio
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.training.wavenet.train import load_initial_weights
from avsc_tf.vocoder.griffin_lim import griffin_lim
from avsc_tf.vocoder.sampler import WaveNetSampler

SMOKE = (
    "--config {demo}/demo.yaml --records {demo}/records --weights {demo}/run/wavenet/model.weights.h5 --clips 1 "
    "--without-matching --spectrograms {out} --json {out}/found.json"
)

DECIMALS = {
    "pitch_cents": 1,
    "voicing_error": 3,
    "voicing_error_raw": 3,
    "predicted_mos": 2,
    "stoi": 3,
    "bits": 3,
    "log_mel_l1": 3,
}
PAIRED = ("predicted_mos", "voicing_error", "pitch_cents", "stoi", "bits", "log_mel_l1")


@dataclass(frozen=True)
class Clip:
    """A sentence to be rendered."""

    natural: np.ndarray  # [samples] at time.sample_rate_hz
    recording: Recording  # the same for the WaveNet; facial None: absent


@dataclass(frozen=True)
class Voice:
    """A WaveNet ready to speak; natural-log mel in, whatever its own run was standardised by."""

    label: str
    model: Any
    sampler: WaveNetSampler


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config(parser)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--records", type=Path, metavar="DIR", help="the target's clips of prepared records")
    parser.add_argument("--no-face", action="store_true", help="records: facial features absent (zeros)")
    parser.add_argument("--clips", type=int, default=6, help="of each folder, evenly spread")
    parser.add_argument("--training", action="store_true", help="training sentences instead of held-out ones")
    parser.add_argument("--starting-with", default="", metavar="TEXT", help="only files whose names do")
    parser.add_argument("--weights", default=["pretrained"], nargs="+", help="`pretrained`, or files")
    parser.add_argument("--without-matching", action="store_true", help="also each WaveNet without mel matching")
    parser.add_argument("--spectrograms", type=Path, metavar="DIR", help="write FOLDER_NAME.png: all side by side")
    parser.add_argument("--json", type=Path)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    config = read_config(args)
    voices = [make_voice(path, config) for path in args.weights]
    result = {}
    for name, clips in sources(args, config):
        table = Table()
        for clip in clips:
            measure(clip, voices, config, table, without_matching=args.without_matching, picture=_picture(args, name))
        summary = table.summary()
        result[name] = {"table": summary, "differences": differences(table, [v.label for v in voices])}
        print(
            f"\n{name}, {max(e['n'] for e in summary['natural'].values())} clips\n\n{markdown(result[name])}",
            flush=True,
        )
    if args.json:
        write_json(args.json, result)
    return 0


def make_voice(path: str, config: Config) -> Voice:
    model = build_wavenet(config)
    load_initial_weights(model, path)
    bands = config.acoustic.n_mels
    model.mel_normalisation.set_run_statistics(np.zeros(bands), np.ones(bands))
    file = Path(path)
    label = path if path == "pretrained" else "/".join([p for p in file.parts if p != "wavenet"][-2:-1]) or file.stem
    return Voice(f"wavenet, {label}", model, WaveNetSampler(model, config))


def sources(args: argparse.Namespace, config: Config) -> Iterator[tuple[str, Iterator[Clip]]]:
    """Names and clips."""
    estimator = PitchEstimator.load(PACKAGED_PITCH) if config.wavenet.pitch_input != "none" else None
    if args.records:
        records = open_records(args.records, config)
        yield "target", clips_of_records(records, args, config, estimator)
    for folder in args.folders:
        paths = [p for p in find_recordings([folder]) if is_held_out(p, config) != args.training]
        named = [p for p in paths if p.name.startswith(args.starting_with)]
        chosen = [named[k] for k in spread(len(named), args.clips)]
        yield folder.name, (clip_of_file(path, config, estimator) for path in chosen)


def spread(n: int, wanted: int) -> list[int]:
    """Up to `wanted` of `n` positions, evenly."""
    return [int(k) for k in np.unique(np.linspace(0, n - 1, min(n, wanted)).astype(int))]


def clips_of_records(
    records: Records, args: argparse.Namespace, config: Config, estimator: PitchEstimator | None
) -> Iterator[Clip]:
    split = "train" if args.training else "test"
    recordings = recordings_of_records(records, split, config, estimator)
    chosen = set(spread(len(recordings), args.clips))
    for k, clip in enumerate(records.clips("target", split, only=("utterance", "waveform"))):
        if k in chosen:
            recording = recordings[k]
            if args.no_face and recording.facial is not None:
                recording.facial[:] = 0.0
            yield Clip(natural_waveform(clip), recording)


def clip_of_file(path: Path, config: Config, estimator: PitchEstimator | None) -> Clip:
    timebase = config.timebase
    natural = read_audio(path, sample_rate_hz=timebase.sample_rate_hz)
    natural = natural[: timebase.samples_in(timebase.video_frames_in(len(natural)))]
    natural = natural * min(1.0, PEAK / max(1e-9, float(np.abs(natural).max())))
    (recording,) = with_side_information([read_recording(path, config)], config, estimator)
    return Clip(natural, recording)


def measure(
    clip: Clip, voices: Sequence[Voice], config: Config, table: Table, *, without_matching: bool, picture: Path | None
) -> None:
    """Enter one sentence into the table."""
    recording, rate_hz, name = clip.recording, config.time.sample_rate_hz, clip.recording.name
    pitch = voice.track_pitch(clip.natural, rate_hz)
    table.add("natural", name, {"predicted_mos": voice.predicted_mos(clip.natural, rate_hz)})
    spoken = {"griffin-lim": griffin_lim(recording.mel, config.acoustic, config.timebase)}
    for one in voices:
        spoken[one.label] = render(one, recording, config, passes=None)
        if without_matching:
            spoken[f"{one.label}, no mel matching"] = render(one, recording, config, passes=0)
        table.add(one.label, name, {"bits": surprise(one.model, recording, config)})
    for label, waveform in spoken.items():
        peak = max(1.0, float(np.abs(waveform).max()) / PEAK)
        table.add(label, name, copy_figures(waveform / peak, clip.natural, pitch, config))
    if picture:
        file = picture.with_name(f"{picture.name}_{name}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(voice_panels({"natural": clip.natural, **spoken}, config))


def render(one: Voice, recording: Recording, config: Config, *, passes: int | None) -> np.ndarray:
    """float32 at time.sample_rate_hz, not clipped."""
    started = time.process_time()
    facial = None if recording.facial is None else [recording.facial]
    low = one.sampler.generate([recording.mel], facial, seed=1, mel_matching_passes=passes)[0]
    print(f"{recording.name}: {len(low) / (time.process_time() - started):.0f} samples a CPU-second", file=sys.stderr)
    return soxr.resample(low, config.wavenet.sample_rate_hz, config.time.sample_rate_hz, quality="HQ")


def surprise(model: Any, recording: Recording, config: Config) -> float:
    """Bits a sample of the recording's classes, each from the true samples before it."""
    net, timebase = config.wavenet, config.timebase.at_rate(config.wavenet.sample_rate_hz)
    n_video = timebase.video_frames_in(len(recording.waveform))
    inputs, classes = crop_inputs(recording, config, 0, n_video)
    predicted = model({name: value[None] for name, value in inputs.items()}, training=False)
    loss = ClassSurprise(n_classes=net.n_classes, n_mixtures=net.n_mixtures)
    return float(np.mean(loss.bits(classes[None], predicted)))


def differences(table: Table, wavenets: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """ "A - B" -> figure -> mean and interval over the sentences of both."""
    pairs = [(row, other) for row in wavenets for other in ("griffin-lim", "natural", wavenets[0]) if row != other]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for a, b in pairs:
        for figure in PAIRED:
            above, below = (table.values[row].get(figure, {}) for row in (a, b))
            common = [above[name] - below[name] for name in above if name in below]
            if common:
                found.setdefault(f"{a} - {b}", {})[figure] = figure_entry(estimate(common))
    return found


def markdown(result: Mapping[str, Any]) -> str:
    """Rows of `mean [low, high]`."""
    names = list(DECIMALS)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row, figures in {**result["table"], **result["differences"]}.items():
        cells = [_cell(figures.get(name), DECIMALS[name]) for name in names]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(entry: Mapping[str, Any] | None, decimals: int) -> str:
    if not entry or entry["mean"] is None:
        return ""
    interval = "" if entry["low"] is None else f" [{entry['low']:.{decimals}f}, {entry['high']:.{decimals}f}]"
    return f"{entry['mean']:.{decimals}f}{interval}"


def _picture(args: argparse.Namespace, name: str) -> Path | None:
    return args.spectrograms / re.sub(r"\W+", "_", name) if args.spectrograms else None


if __name__ == "__main__":
    sys.exit(run_tool(main))
