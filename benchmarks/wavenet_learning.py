"""Learning curves of the small WaveNet: what makes it learn soonest at equal compute, one setting changed at a time.

    python benchmarks/wavenet_learning.py DIR... --out OUT [--cpu-seconds 60] [--only NAME...] [--plot FILE]

Each variant of `configs/pretrain.yaml` is trained from scratch on the same speech for the same CPU seconds of this
process (training steps and the reading of crops; compilation, which a longer training would not notice, is left out).
On the way, with the averaged weights, held-out recordings are scored:

    bits            surprise of a sample's class, in bits
    bits_16         the same at one step of 16-bit linear sound: bits + log2(width of the class / 2**-15). Class counts
                    and pre-emphasis change the widths; this takes them out, so that it compares across variants
    pitch_cents, voicing_error, log_mel_l1   of generated speech (temperature 1 everywhere, no mel matching)

OUT/NAME.json is written as a variant ends and not made again. Pin it to one core: CPU time is then time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_cli import parse_arguments

from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config, load_config
from avsc_tf.evaluation.copy_synthesis import write_json

SMOKE = (
    "{demo}/corpus/target --config {demo}/demo.yaml --set split.test_share=0.6 --out {out} --cpu-seconds 0.5 "
    "--clips 1 --only 'no pitch input' --plot {out}/plot.png"
)

PAPER_FORM = ("n_classes=1024", "pre_emphasis=0", "input_features=companded", "pitch_input=none", "prediction_order=0")
VARIANTS: dict[str, tuple[str, ...]] = {  # changes of wavenet settings
    "all of ours": (),
    "no linear prediction": ("prediction_order=0",),
    "F0, no pitch lag": ("pitch_input=f0",),
    "no pitch input": ("pitch_input=none",),
    "paper's form": (*PAPER_FORM, "input_noise=0"),
    "cosine rate": ("lr_schedule=cosine",),
    "mixture of logistics": ("n_mixtures=5",),
    "10 bit": ("n_classes=1024",),
    "no pre-emphasis": ("pre_emphasis=0",),
    "no input noise": ("input_noise=0",),
    "rate x 1/3": ("learning_rate=5.0e-4",),
    "companded input only": ("input_features=companded",),
}
CURVES = {
    "bits_16": "bits a sample, at 16-bit steps",
    "pitch_cents": "pitch error, cents",
    "voicing_error": "voicing error",
    "log_mel_l1": "log-mel L1, nepers",
}
POINTS = (0.25, 0.5, 1.0)  # of the CPU seconds
RECORDINGS_A_FOLDER = 60
SPOKEN_SECONDS = 1.2
TEST_CROPS = 24
SHORT_RUN = ("ema_decay=0.99",)  # the settings' 0.998 would average over half of so short a training
COSINE_END = 0.02
PITCH_BELOW_VOICING_ERROR = 0.6  # above, too few frames are voiced in both for their pitch to say anything


@dataclass(frozen=True)
class Speech:
    """What all variants learn from and are scored on."""

    training: Sequence[Any]  # datasets.recordings.Recording
    held_out: Sequence[Any]
    spoken: Sequence[Any]  # short pieces of held-out recordings, to be generated


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="speech; the last recordings by digest are held out")
    parser.add_argument("--config", default="configs/pretrain.yaml")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cpu-seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--clips", type=int, default=4, help="held-out recordings that are spoken at each point")
    parser.add_argument("--plot", type=Path, help="draw what OUT holds, and print it as a table")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    missing = [name for name in args.only if not result_path(args.out, name).is_file()]
    if missing and args.folders:
        base = variant_config(args.config, (), args.overrides)
        speech = read_speech(args.folders, base, args.out, n_spoken=args.clips)
        for name in missing:
            config = variant_config(args.config, VARIANTS[name], args.overrides)
            result = learn(config, speech, cpu_seconds=args.cpu_seconds)
            write_json(result_path(args.out, name), {"changes": VARIANTS[name], **result})
            print(json.dumps({name: result["curve"][-1]}), flush=True)
    results = {
        name: json.loads(p.read_text(encoding="utf-8"))
        for name in VARIANTS
        if (p := result_path(args.out, name)).is_file()
    }
    print(table(results))
    if args.plot:
        draw(results, args.plot)
    return 0


def variant_config(path: str | Path, changes: Sequence[str], overrides: Sequence[str] = ()) -> Config:
    return load_config(path, [*overrides, *(f"wavenet.{change}" for change in (*SHORT_RUN, *changes))])


def result_path(out: Path, name: str) -> Path:
    return out / f"{name.replace(' ', '_').replace(',', '').replace('/', '_')}.json"


def read_speech(folders: Sequence[Path], config: Config, out: Path, *, n_spoken: int) -> Speech:
    """Evenly spread recordings of each folder, the same for all variants; spoken are pieces from every folder."""
    from avsc_tf.datasets.recording_store import StoredRecordings, store_recordings
    from avsc_tf.datasets.recordings import find_recordings, is_held_out

    paths, spoken_paths = [], []
    for folder in folders:
        here = find_recordings([folder])
        chosen = [here[k] for k in np.unique(np.linspace(0, len(here) - 1, RECORDINGS_A_FOLDER).astype(int))]
        paths += chosen
        spoken_paths.append([path for path in chosen if is_held_out(path, config)])
    entries = store_recordings(paths, config, out / "recordings")
    stored = StoredRecordings(out / "recordings", entries, np.ones(len(paths), bool), config)
    recordings = {path: stored.bare(k) for k, path in enumerate(paths)}
    in_turn = [p for row in itertools.zip_longest(*spoken_paths) for p in row if p is not None][:n_spoken]
    return Speech(
        [r for p, r in recordings.items() if not is_held_out(p, config)],
        [r for p, r in recordings.items() if is_held_out(p, config)],
        [_middle(recordings[p], config) for p in in_turn],
    )


def _middle(recording: Any, config: Config) -> Any:
    timebase = config.timebase.at_rate(config.wavenet.sample_rate_hz)
    n_video = timebase.video_frames_in(len(recording.waveform))
    length = min(n_video, round(SPOKEN_SECONDS * timebase.video_fps))
    start = (n_video - length) // 2
    mel = slice(timebase.mel_frames_in(start), timebase.mel_frames_in(start + length))
    wave = slice(timebase.samples_in(start), timebase.samples_in(start + length))
    return replace(recording, waveform=recording.waveform[wave], mel=recording.mel[mel], f0_hz=None)


def learn(config: Config, speech: Speech, *, cpu_seconds: float) -> dict[str, Any]:
    """Train from scratch, and score at each of `POINTS`."""
    import keras

    from avsc_tf.datasets.recordings import with_side_information
    from avsc_tf.datasets.waveform import CropSampler
    from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator
    from avsc_tf.models.wavenet import build_wavenet
    from avsc_tf.training.engine.loop import averaged_weights
    from avsc_tf.training.wavenet.train import wavenet_training

    keras.utils.set_random_seed(config.seed)
    estimator = PitchEstimator.load(PACKAGED_PITCH) if config.wavenet.pitch_input != "none" else None
    training, held_out = (with_side_information(r, config, estimator) for r in (speech.training, speech.held_out))
    model = build_wavenet(config)
    frames = np.concatenate([r.mel for r in training])
    model.mel_normalisation.set_statistics(frames.mean(0), frames.std(0) + 0.1)
    training_model = wavenet_training(model, constant_rate(config), total_steps=1)
    crops = CropSampler(training, config, seed=config.seed, vary_level=True)
    test = held_out_crops(held_out, config)
    curve = []
    for point, steps, spent in _train(training_model, crops, config, cpu_seconds):
        with averaged_weights(training_model):
            scores = {**surprise(model, test, config), **spoken_figures(model, speech.spoken, config)}
        curve.append({"cpu_seconds": round(spent, 1), "steps": steps, **scores})
        print(json.dumps(curve[-1]), file=sys.stderr, flush=True)
        assert spent >= point
    keras.backend.clear_session()
    return {"curve": curve, "n_parameters": model.count_params()}


def constant_rate(config: Config) -> Config:
    """The schedule is set step by step, over CPU seconds: how many steps they hold is not known before."""
    return replace(config, wavenet=replace(config.wavenet, lr_schedule="constant", warmup_steps=0))


def _train(model: Any, crops: Any, config: Config, cpu_seconds: float) -> Iterator[tuple[float, int, float]]:
    """Steps until each point is reached; yields (point, steps done, CPU seconds used so far)."""
    import tensorflow as tf

    from avsc_tf.datasets.waveform import as_dataset

    step = tf.function(model.train_step, jit_compile=config.wavenet.jit_compile, reduce_retracing=True)
    data = iter(as_dataset(crops, 0, 1_000_000))
    step(next(data))  # compiles
    n_steps, spent = 1, 0.0
    for point in (share * cpu_seconds for share in POINTS):
        last = time.process_time()
        while spent < point:
            model.optimizer.learning_rate.assign(rate_at(spent / cpu_seconds, config))
            step(next(data))
            now = time.process_time()
            n_steps, spent, last = n_steps + 1, spent + now - last, now
        yield point, n_steps, spent


def rate_at(share: float, config: Config) -> float:
    """Learning rate when this share of the compute is spent."""
    peak = config.wavenet.learning_rate
    if config.wavenet.lr_schedule == "constant":
        return peak
    return peak * (COSINE_END + (1 - COSINE_END) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


def held_out_crops(recordings: Sequence[Any], config: Config) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs and classes of `TEST_CROPS` crops, the same places for all variants."""
    from avsc_tf.datasets.waveform import CropSampler

    one_batch = replace(config, wavenet=replace(config.wavenet, batch_size=TEST_CROPS))
    return CropSampler(recordings, one_batch, seed=config.seed, noisy=False).batch(0, 0)


def surprise(model: Any, test: tuple[dict[str, np.ndarray], np.ndarray], config: Config) -> dict[str, float]:
    """Mean bits a sample over held-out crops, of the classes and at 16-bit steps."""
    from avsc_tf.losses.waveform import ClassSurprise

    inputs, classes = test
    net = config.wavenet
    loss = ClassSurprise(n_classes=net.n_classes, n_mixtures=net.n_mixtures)
    bits = float(np.mean(loss.bits(classes, model(inputs, training=False))))
    return {"bits": bits, "bits_16": bits + float(class_log_widths(net.n_classes)[classes].mean())}


def class_log_widths(n_classes: int) -> np.ndarray:
    """log2 of each class's width in 16-bit steps. Pre-emphasis is a monic filter, which leaves volumes as they are."""
    from avsc_tf.signal.companding import class_values, expand

    half = 1.0 / (n_classes - 1)
    values = class_values(n_classes)
    low, high = (expand(np.clip(values + side, -1, 1), n_classes).astype(float) for side in (-half, half))
    return np.log2((high - low) * 2**15)


def spoken_figures(model: Any, recordings: Sequence[Any], config: Config) -> dict[str, float | None]:
    """Means over the pieces; None where nothing could be measured (no common voiced frame)."""
    from avsc_tf.measures import voice
    from avsc_tf.vocoder.sampler import WaveNetSampler

    sampler = WaveNetSampler(model, config)
    rate_hz = config.wavenet.sample_rate_hz
    found: dict[str, list[float]] = {name: [] for name in ("pitch_cents", "voicing_error", "log_mel_l1")}
    for recording in recordings:
        low = sampler.generate(
            [recording.mel], seed=1, temperature=1.0, voiced_temperature=1.0, mel_matching_passes=0, n_threads=1
        )[0]
        full = voice.resampled(np.clip(low, -1, 1), rate_hz, config.time.sample_rate_hz)
        natural = voice.resampled(recording.waveform, rate_hz, config.time.sample_rate_hz)
        for name, value in _heard(full, natural, recording.mel, config).items():
            found[name].append(value)
    return {name: _mean(values) for name, values in found.items()}


def _heard(spoken: np.ndarray, natural: np.ndarray, mel: np.ndarray, config: Config) -> dict[str, float]:
    from avsc_tf.features.acoustic import mel_spectrogram
    from avsc_tf.measures import voice
    from avsc_tf.measures.spectrum import log_mel_l1
    from avsc_tf.signal.speech import audible_frames

    timebase = config.timebase
    rendered, heard = mel_spectrogram(spoken, config.acoustic, timebase), audible_frames(mel)
    tracks = [
        voice.audible_voice(voice.track_pitch(wave, timebase.sample_rate_hz), log_mel, mel, timebase.mel_fps)
        for wave, log_mel in ((spoken, rendered), (natural, mel))
    ]
    return {
        "pitch_cents": voice.pitch_error_cents(*tracks),
        "voicing_error": voice.voicing_error(*tracks),
        "log_mel_l1": log_mel_l1(rendered[heard], mel[heard]),
    }


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def shown(point: dict[str, Any], figure: str) -> float | None:
    """A figure of a point of a curve, None where it says nothing."""
    if figure == "pitch_cents" and (point["voicing_error"] or 0.0) > PITCH_BELOW_VOICING_ERROR:
        return None
    return point[figure]


def table(results: dict[str, Any]) -> str:
    """Markdown: the last point of each curve."""
    lines = ["| | steps | bits | " + " | ".join(CURVES.values()) + " |", "|---|" + "---|" * (2 + len(CURVES))]
    for name, result in results.items():
        last = result["curve"][-1]
        cells = [str(last["steps"]), f"{last['bits']:.2f}"]
        for figure in CURVES:
            value, digits = shown(last, figure), 0 if figure == "pitch_cents" else 2
            cells.append("no voice" if value is None else f"{value:.{digits}f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(results: dict[str, Any], path: Path) -> None:
    """A panel a figure, a line a variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.5), layout="constrained")
    panels = figure.subplots(2, 2).ravel()  # in the order of CURVES
    for axes, (name, title) in zip(panels, CURVES.items(), strict=True):
        for k, (variant, result) in enumerate(results.items()):
            known = [(p["cpu_seconds"], y) for p in result["curve"] if (y := shown(p, name)) is not None]
            style = {"color": f"C{k % 10}", "marker": "os^D"[k % 4], "ms": 5, "lw": 2.6 if k == 0 else 1.3}
            axes.plot(*np.array(known).reshape(-1, 2).T, label=variant, ls="-" if k < 10 else "--", **style)
        axes.set(title=title, xlabel="CPU seconds of training", xlim=(0, None))
        axes.grid(alpha=0.25)
    panels[1].set(ylim=(0, 60), title=f"{CURVES['pitch_cents']}, where there is voice")
    panels[2].set_ylim(0, 1)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(run_tool(main))
