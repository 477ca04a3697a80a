"""What the benchmarks of the conversion network share: train, convert the held-out sentences, compare by sentence.

A training is kept in its folder, so that a benchmark that was stopped goes on, and two benchmarks share it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.cli.arguments import add_config, read_config
from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.evaluation.confidence import estimate
from avsc_tf.evaluation.figures import figure_entry
from avsc_tf.evaluation.from_features import Convert, Streams, answer_of, conversion_figures, source_streams
from avsc_tf.evaluation.held_out import Folders, Sentence, held_out_sentences

Rows = dict[str, dict[str, float]]  # figure -> sentence -> value
DECIMALS = 4


def add_arguments(description: str | None) -> argparse.ArgumentParser:
    """The flags of both benchmarks."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config(parser)
    parser.add_argument("--records", required=True, type=Path, metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each network")
    parser.add_argument("--runs", required=True, type=Path, metavar="DIR", help="folder of the trainings; kept")
    parser.add_argument("--json", required=True, type=Path, metavar="FILE")
    for name in ("--source", "--target", "--align"):
        parser.add_argument(name, type=Path, metavar="DIR", help="label times of the clips, where there are any")
    return parser


def opened(args: argparse.Namespace) -> tuple[Config, Records, list[Sentence]]:
    """Settings, records and held-out sentences; without label times the warping path stands for them."""
    config = read_config(args)
    records = open_records(args.records, config)
    folders = Folders(args.source or args.records, args.target or args.records, align=args.align)
    return config, records, held_out_sentences(records, folders)


def trained(config: Config, records: Records, run: Path) -> Convert:
    """Train the conversion network into `run`, or take what was trained there."""
    import tensorflow as tf

    from avsc_tf.training.conversion.train import train_conversion

    model, _ = train_conversion(config, records, run, resume=True)
    sizes = {"mel": config.acoustic.n_mels, "facial": config.face.n_facial}
    any_length = {name: tf.TensorSpec((1, None, size), tf.float32) for name, size in sizes.items()}
    call = tf.function(lambda inputs: model(inputs, training=False), input_signature=[any_length])

    def convert(source: Streams) -> Streams:
        found = call({"mel": source.mel[None], "facial": source.facial[None]})
        return Streams(*(found[name][0].numpy() if name in found else np.zeros(0) for name in ("mel", "facial")))

    return convert


def with_settings(config: Config, seed: int, **settings: Any) -> Config:
    """Other settings of the conversion network, another seed, and no previews."""
    net = replace(config.conversion, preview_epochs=0, **settings)
    image = replace(config.image, mel_input=config.image.mel_input and net.has_sound)
    return replace(config, seed=seed, conversion=net, image=image)


def measured(convert: Convert, sentences: Sequence[Sentence], records: Records) -> Rows:
    """Every figure of every sentence."""
    rows: Rows = {}
    for sentence in sentences:
        converted = convert(source_streams(sentence, records.statistics))
        answer = answer_of(converted, records.statistics, records.config)
        for name, value in conversion_figures(answer, sentence, records.config).items():
            rows.setdefault(name, {})[sentence.utterance] = value
    return rows


def mean_over_seeds(seeds: Sequence[Rows]) -> Rows:
    """Each sentence's mean over trainings: sentences are what the intervals are of."""
    return {name: {u: _mean([rows[name][u] for rows in seeds]) for u in by} for name, by in seeds[0].items()}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def summary(rows: Rows, *, sentences: bool = False) -> dict[str, dict[str, Any]]:
    """Mean and interval of each figure, and the sentences' values where they are asked for."""
    return {name: _entry(by, sentences) for name, by in rows.items()}


def difference(rows: Rows, other: Rows) -> dict[str, dict[str, Any]]:
    """`rows` - `other`, sentence by sentence, with the interval of the mean difference."""
    return {name: _entry({u: by[u] - other[name][u] for u in by}, False) for name, by in rows.items()}


def _entry(by: Mapping[str, float], sentences: bool) -> dict[str, Any]:
    entry = figure_entry(estimate(list(by.values())), by)
    return entry if sentences else {name: value for name, value in entry.items() if name != "sentences"}


def seed_means(seeds: Sequence[Rows]) -> dict[str, list[float]]:
    """Each training's mean of each figure: how much the seed alone moves it."""
    return {n: [round(float(np.nanmean(list(rows[n].values()))), DECIMALS) for rows in seeds] for n in seeds[0]}


def write(path: Path, found: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
