"""What each output of the conversion network owes to each input (the paper's closing question, section 6).

One stream of a held-out sentence is damaged, the other left as it is, and the sentence converted again. What then
changes came from that stream, and what gets worse was learned from it. A network may follow a stream that tells it
nothing; so both are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.evaluation.confidence import estimate
from avsc_tf.evaluation.figures import Table, figure_entry
from avsc_tf.evaluation.from_features import Convert, Streams, answer_of, conversion_figures, source_streams
from avsc_tf.evaluation.held_out import Sentence
from avsc_tf.evaluation.timeline import picture_seconds, warp_frames
from avsc_tf.features.keypoints import LIPS
from avsc_tf.features.statistics import Statistics, flatten_keypoints

INPUTS = ("mel", "facial")
DAMAGES = ("zeroed", "shuffled", "other sentence")
OUTPUTS = ("mel", "mouth", "keypoints", "vgg")
GIVEN = ("both", "sound", "picture")  # streams that the network is given

Parts = dict[str, np.ndarray]  # output -> standardised values, [frames, dimensions]


def probe_figures(
    convert: Convert, sentences: Sequence[Sentence], statistics: Statistics, config: Config, *, seed: int = 0
) -> dict[str, Any]:
    """All figures of the probe, with intervals over sentences, as plain values.

    `owes[INPUT, DAMAGE][OUTPUT_change]` is the root mean square change of the output divided by the deviation of the
    undamaged output about its own mean in the sentence: 1 is as much as all that moves. `..._worse` is the growth of
    its mean absolute error against the reference: 0.1 is a tenth. Both within the speech, on standardised features.
    `by_emotion` has the same, by emotion; `cost` the usual figures with both streams, sound alone and picture alone.
    """
    owes, cost = Table(), Table()
    rng = np.random.default_rng(seed)
    for sentence, other in zip(sentences, [*sentences[1:], sentences[0]], strict=True):
        _probe_sentence(convert, sentence, source_streams(other, statistics), statistics, config, rng, owes, cost)
    emotions = {sentence.utterance: sentence.emotion or "no emotion named" for sentence in sentences}
    return {
        "about": {
            "sentences": len(sentences),
            "times": " and ".join(sorted({sentence.time_map.origin for sentence in sentences})),
            "modality_dropout": config.conversion.modality_dropout,
            "loss_balance": config.conversion.loss_balance,
        },
        "owes": owes.summary(),
        "by_emotion": {name: _of_emotion(owes, emotions, name) for name in dict.fromkeys(emotions.values())},
        "cost": cost.summary(),
    }


def damaged(stream: np.ndarray, damage: str, other: np.ndarray, rng: np.random.Generator, *, rows: int) -> np.ndarray:
    """A stream [T * rows, dimensions] zeroed, with its video frames in another order, or of another sentence.

    Args:
        other: the other sentence's stream; it is repeated or cut to length.
        rows: of the stream in one video frame.
    """
    if damage == "zeroed":
        return np.zeros_like(stream)
    if damage == "shuffled":
        blocks = stream.reshape(-1, rows, stream.shape[1])
        return rng.permutation(blocks).reshape(stream.shape)
    return np.concatenate([other] * -(-len(stream) // len(other)))[: len(stream)]


def _probe_sentence(
    convert: Convert,
    sentence: Sentence,
    other: Streams,
    statistics: Statistics,
    config: Config,
    rng: np.random.Generator,
    owes: Table,
    cost: Table,
) -> None:
    source, name = source_streams(sentence, statistics), sentence.utterance
    per = config.timebase.mel_per_video
    spoken = {part: sentence.spoken_mel if part == "mel" else sentence.spoken_pictures for part in OUTPUTS}
    wanted = _parts(_reference(sentence, statistics), config)
    whole = convert(source)
    intact = _parts(whole, config)
    cost.add("both", name, conversion_figures(answer_of(whole, statistics, config), sentence, config))
    for damage in DAMAGES:
        changes = {
            "mel": Streams(damaged(source.mel, damage, other.mel, rng, rows=per), source.facial),
            "facial": Streams(source.mel, damaged(source.facial, damage, other.facial, rng, rows=1)),
        }
        for stream, changed in changes.items():
            found = convert(changed)
            owes.add(f"{stream} {damage}", name, _owed(_parts(found, config), intact, wanted, spoken))
            if damage == "zeroed":
                left = "picture" if stream == "mel" else "sound"
                cost.add(left, name, conversion_figures(answer_of(found, statistics, config), sentence, config))


def _owed(found: Parts, intact: Parts, wanted: Parts, spoken: Parts) -> dict[str, float]:
    figures = {}
    for name in OUTPUTS:
        a, b, c = (parts[name][spoken[name]] for parts in (found, intact, wanted))
        moves = np.sqrt(np.mean((b - b.mean(axis=0)) ** 2))
        figures[f"{name}_change"] = float(np.sqrt(np.mean((a - b) ** 2)) / moves) if moves > 0 else float("nan")
        figures[f"{name}_worse"] = float(np.abs(a - c).mean() / np.abs(b - c).mean() - 1)
    return figures


def _parts(streams: Streams, config: Config) -> Parts:
    vgg, keypoints = streams.facial[:, : config.face.n_vgg], streams.facial[:, config.face.n_vgg :]
    mouth = keypoints.reshape(len(keypoints), -1, 2)[:, LIPS].reshape(len(keypoints), -1)
    return {"mel": streams.mel, "mouth": mouth, "keypoints": keypoints, "vgg": vgg}


def _reference(sentence: Sentence, statistics: Statistics) -> Streams:
    """The target on the source's time, standardised."""
    pictures = sentence.time_map(picture_seconds(sentence.n_frames, sentence.timebase))
    vgg = warp_frames(sentence.target["vgg"].astype(np.float32), pictures, sentence.timebase)
    keypoints = flatten_keypoints(sentence.reference.keypoints)
    facial = statistics.standardise("target", "facial", np.concatenate([vgg, keypoints], axis=1))
    return Streams(statistics.standardise("target", "mel", sentence.reference.mel), facial)


def _of_emotion(table: Table, emotions: dict[str, str], wanted: str) -> dict[str, Any]:
    def entry(by: dict[str, float]) -> dict[str, Any]:
        return figure_entry(estimate([value for name, value in by.items() if emotions[name] == wanted]))

    return _map_figures(table, entry)


def _map_figures(table: Table, entry: Callable[[dict[str, float]], dict[str, Any]]) -> dict[str, Any]:
    return {row: {name: entry(by) for name, by in figures.items()} for row, figures in table.values.items()}
