"""What the WaveNet should be fine-tuned on: natural features, converted ones, or both; judged on held-out sentences.

    python benchmarks/converted_features.py --config C --records DIR --run RUN --out DIR [--only V...] [--json FILE]

RUN holds the trained conversion network. Each variant is trained into OUT/VARIANT as the settings say (a finished one
is reused), then speaks every held-out sentence twice: from the target's natural features (copy synthesis) and from the
converted features of the source (the real use), with and without mel matching. Beside each speech stands what was
asked for: the natural recording's pitch, or the pitch that the estimator reads in the converted mel; and the mel.

`bits` is the surprise, bits a sample, of the target's natural speech given its own or the warped converted features.
Every figure has its 95 % interval over sentences; then each variant minus `natural`, sentence by sentence.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import soxr
from bench_cli import parse_arguments

from avsc_tf.cli.arguments import add_config, read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config
from avsc_tf.core.runs import STATISTICS_NAME
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.datasets.recordings import PEAK, Floats, Recording
from avsc_tf.datasets.target_clips import recordings_of_records
from avsc_tf.datasets.waveform import crop_inputs
from avsc_tf.evaluation.confidence import estimate
from avsc_tf.evaluation.figures import Table, figure_entry
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.pitch import PACKAGED_PITCH, Pitch, PitchEstimator
from avsc_tf.features.statistics import join_facial
from avsc_tf.losses.waveform import ClassSurprise
from avsc_tf.measures import voice
from avsc_tf.measures.spectrum import log_mel_l1
from avsc_tf.signal.pcm import to_float32
from avsc_tf.signal.speech import audible_frames
from avsc_tf.training.wavenet.converted_features import conversion_of_run, converted_recordings
from avsc_tf.training.wavenet.train import train_wavenet
from avsc_tf.vocoder.griffin_lim import griffin_lim
from avsc_tf.vocoder.mel_matching import match_mel
from avsc_tf.vocoder.sampler import WaveNetSampler

SMOKE = (
    "--config {demo}/demo.yaml --records {demo}/records --run {demo}/run --out {out} --only natural --sentences 1 "
    "--json {out}/found.json"
)

VARIANTS: dict[str, dict[str, str]] = {  # the first is what the others are compared with
    "natural": {"train_features": "natural"},
    "converted": {"train_features": "converted"},
    "mixed": {"train_features": "mixed"},
    "converted, its pitch": {"train_features": "converted", "converted_pitch": "converted"},
}
FIGURES = ("predicted_mos", "pitch_cents", "voicing_error", "log_mel_l1")


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a vocoder is fed with, and what its speech is compared with."""

    name: str
    mel: Floats  # [frames, n_mels], standardised by the target's statistics
    facial: Floats  # [frames / mel_per_video, n_facial], standardised
    log_mel: Floats  # [frames, n_mels], natural log
    pitch: voice.PitchTrack


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config(parser)
    parser.add_argument("--records", type=Path, required=True, metavar="DIR")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="with a trained conversion network")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the variants are trained there")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="V")
    parser.add_argument("--sentences", type=int, help="at most so many, evenly spread")
    parser.add_argument("--json", type=Path)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    config = read_config(args)
    records = open_records(args.records, config)
    estimator = PitchEstimator.load(PACKAGED_PITCH)
    natural = list(recordings_of_records(records, "test", config, estimator))
    warped = list(converted_recordings(natural, records, "test", args.run, config, estimator))
    every = np.unique(np.linspace(0, len(natural) - 1, args.sentences or len(natural)).astype(int))
    natural, warped = [natural[k] for k in every], [warped[k] for k in every]
    kept = {recording.name for recording in natural}
    asked = {
        "natural": _natural_sentences(records, kept),
        "converted": _converted_sentences(records, args.run, estimator, kept),
    }
    table = Table()
    for source, sentences in asked.items():
        for sentence in sentences:
            waveform = griffin_lim(sentence.log_mel, config.acoustic, config.timebase)
            table.add(f"griffin-lim <- {source}", sentence.name, _figures(waveform, sentence, config))
    for variant in args.only:
        net = dataclasses.replace(config.wavenet, **VARIANTS[variant])  # type: ignore[arg-type]
        own = dataclasses.replace(config, wavenet=net)
        model = _trained(own, records, args.run, args.out / variant)
        for source, recordings in (("natural", natural), ("converted", warped)):
            for recording in recordings:
                bits = _bits(model, recording, own, records)
                table.add(f"{variant} <- {source}", recording.name, {"bits": bits})
            _speak(variant, source, asked[source], WaveNetSampler(model, own), own, table)
        _show(table, args.only)
        if args.json:
            result = {"figures": table.summary(), "minus_natural": _differences(table, args.only)}
            args.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


def _trained(config: Config, records: Records, run: Path, own: Path) -> keras.Model:
    """Fine-tuned in a run folder of its own, with the conversion network of `run`."""
    own.mkdir(parents=True, exist_ok=True)
    if not (own / "conversion").is_dir():
        shutil.copytree(run / "conversion", own / "conversion")
        shutil.copy(run / STATISTICS_NAME, own / STATISTICS_NAME)
    return train_wavenet(config, records, own, resume=True)[0]


def _natural_sentences(records: Records, kept: set[str]) -> list[Asked]:
    sentences = []
    for clip in records.clips("target", "test", only=("utterance", "mel", "keypoints", "vgg", "waveform")):
        if clip["utterance"] in kept:
            mel = records.statistics.standardise("target", "mel", clip["mel"])
            facial = join_facial(clip["vgg"], clip["keypoints"])
            pitch = voice.track_pitch(to_float32(clip["waveform"]), records.config.time.sample_rate_hz)
            facial = records.statistics.standardise("target", "facial", facial)
            sentences.append(Asked(clip["utterance"], mel, facial, clip["mel"], pitch))
    return sentences


def _converted_sentences(records: Records, run: Path, estimator: PitchEstimator, kept: set[str]) -> list[Asked]:
    convert, statistics, sentences = conversion_of_run(run, records), records.statistics, []
    for clip in records.clips("source", "test", only=("utterance", "mel", "keypoints", "vgg")):
        if clip["utterance"] in kept:
            facial = join_facial(clip["vgg"], clip["keypoints"])
            mel, facial = convert(
                statistics.standardise("source", "mel", clip["mel"]),
                statistics.standardise("source", "facial", facial),
            )
            log_mel = statistics.restore("target", "mel", mel).astype(np.float32)
            sentences.append(Asked(clip["utterance"], mel, facial, log_mel, _track(estimator(log_mel), records.config)))
    return sentences


def _track(pitch: Pitch, config: Config) -> voice.PitchTrack:
    """Mel frame k is centred on k * hop_ms, a pitch frame on every 10 ms."""
    step = round(1000 * voice.PITCH_HOP_SECONDS / config.time.hop_ms)
    return voice.PitchTrack(np.where(pitch.is_voiced, pitch.f0_hz, np.nan)[::step])


def _bits(model: keras.Model, recording: Recording, config: Config, records: Records) -> float:
    mean, std = records.statistics.get("target", "mel")
    timebase = config.timebase.at_rate(config.wavenet.sample_rate_hz)
    n_video = timebase.video_frames_in(len(recording.waveform))
    inputs, classes = crop_inputs(recording, config, 0, n_video, standardise=lambda mel: (mel - mean) / std)
    predicted = model({name: value[None] for name, value in inputs.items()}, training=False)
    surprise = ClassSurprise(n_classes=config.wavenet.n_classes, n_mixtures=config.wavenet.n_mixtures)
    return float(np.mean(surprise.bits(classes[None], predicted)))


def _speak(
    variant: str, source: str, sentences: Sequence[Asked], sampler: WaveNetSampler, config: Config, table: Table
) -> None:
    spoken = sampler.generate(
        [s.mel for s in sentences], [s.facial for s in sentences], seed=1, mel_matching_passes=0, n_threads=1
    )
    for sentence, low in zip(sentences, spoken, strict=True):
        for label, passes in (("", config.wavenet.mel_matching_passes), (", unmatched", 0)):
            matched = match_mel(low, sentence.log_mel, config, passes=passes)
            full = soxr.resample(matched, config.wavenet.sample_rate_hz, config.time.sample_rate_hz, quality="HQ")
            table.add(f"{variant} <- {source}{label}", sentence.name, _figures(full, sentence, config))


def _figures(waveform: Floats, sentence: Asked, config: Config) -> dict[str, float | None]:
    waveform = waveform / max(1.0, float(np.abs(waveform).max()) / PEAK)
    rate_hz = config.time.sample_rate_hz
    track, heard = voice.track_pitch(waveform, rate_hz), audible_frames(sentence.log_mel)
    mel = mel_spectrogram(waveform, config.acoustic, config.timebase)
    n = min(len(mel), len(heard))
    return {
        "predicted_mos": voice.predicted_mos(waveform, rate_hz),
        "pitch_cents": voice.pitch_error_cents(track, sentence.pitch),
        "voicing_error": voice.voicing_error(track, sentence.pitch),
        "log_mel_l1": log_mel_l1(mel[:n][heard[:n]], sentence.log_mel[:n][heard[:n]]),
    }


def _differences(table: Table, variants: Sequence[str]) -> dict[str, Any]:
    """Row -> figure -> mean and interval of (row - the same row of `natural`), sentence by sentence."""
    found: dict[str, Any] = {}
    for row, figures in table.values.items():
        variant, _, fed = row.partition(" <- ")
        others = table.values.get(f"natural <- {fed}", {})
        if variant in variants and variant != "natural" and others:
            found[row] = {name: figure_entry(estimate(_paired(by, others[name]))) for name, by in figures.items()}
    return found


def _paired(values: Mapping[str, float], others: Mapping[str, float]) -> list[float]:
    return [values[name] - others[name] for name in values if name in others]


def _show(table: Table, variants: Sequence[str]) -> None:
    names = (*FIGURES, "bits")
    for title, rows in (("mean [95 % interval]", table.summary()), ("minus natural", _differences(table, variants))):
        print(f"\n{title:44}" + "".join(f"{name:>26}" for name in names))
        for row in sorted(rows, key=lambda row: row.partition(" <- ")[2]):
            cells = (_cell(rows[row].get(name)) for name in names)
            print(f"{row:44}" + "".join(f"{cell:>26}" for cell in cells), flush=True)


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None or entry["mean"] is None:
        return ""
    low, high = (float("nan") if entry[end] is None else entry[end] for end in ("low", "high"))
    return f"{entry['mean']:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(run_tool(main))
