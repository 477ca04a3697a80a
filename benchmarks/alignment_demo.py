"""The demo part of `alignment.py`: errors against true phone times, in quiet and in noise, and non-pairs."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from alignment_common import (
    DISTANCES,
    Bank,
    Rows,
    cost_matrix,
    descriptors,
    detect,
    error_ms,
    in_noise,
    plot,
    positions_s,
    speech_spans,
    statistics_of,
)

from avsc_tf.alignment.distances import SoundFeatures
from avsc_tf.alignment.dtw import warping_path
from avsc_tf.alignment.silence import anchored_path, matched_spans
from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.corpus.feature_cache import FeatureCache
from avsc_tf.evaluation.timeline import PAUSES, Label, map_from_labels, read_labels
from avsc_tf.features.statistics import Statistics
from avsc_tf.media.clips import find_clips

SILENCES, TIMELINES = ("keep", "match", "trim"), ("source", "target", "path")
NOISE_BELOW_SPEECH_DB = (60, 50, 40, 30, 20)


def demo(config: Config, corpus: Path, features: Path, *, plots: Path | None) -> dict[str, Rows]:
    banks = {speaker: _cached(features, corpus / speaker, config) for speaker in ("source", "target")}
    statistics = statistics_of(source=banks["source"].values(), target=banks["target"].values())
    names = sorted(banks["source"].keys() & banks["target"].keys())
    labels = {name: [read_labels(corpus / s, name)["phone times"] for s in ("source", "target")] for name in names}
    sound = {s: {n: SoundFeatures(clip.mel) for n, clip in bank.items()} for s, bank in banks.items()}
    rows = [_phone_row(config, banks, names, labels, statistics, distance, "sound and face") for distance in DISTANCES]
    rows += [_phone_row(config, sound, names, labels, statistics, distance, "sound") for distance in DISTANCES]
    if plots:
        for name in names[:: len(names) // 3]:
            pair = banks["source"][name], banks["target"][name]
            plot(plots / f"demo_{name}.png", config, pair, statistics, [_knots(x) for x in labels[name]])
    noisy = [
        _noise_row(config, sound, names, labels, below_db, silence)
        for below_db, silence in itertools.product(NOISE_BELOW_SPEECH_DB, ("keep", "match"))
    ]
    clips = {s: descriptors(bank, s, statistics, config) for s, bank in banks.items()}
    wrong = [(a, b) for a, b in itertools.permutations(names, 2) if a.rsplit("_", 1)[0] == b.rsplit("_", 1)[0]]
    detection = detect("equal emotions", clips["source"], clips["target"], names, wrong, config)
    return {
        "error against true phone times, ms": list(itertools.chain(*rows)),
        "in noise, up to 2 s of it on each side, sound, ms": noisy,
        "pairs and non-pairs": [detection],
    }


def _cached(folder: Path, clips: Path, config: Config) -> Bank:
    cache, bank = FeatureCache(folder, config), {}
    for clip in find_clips(clips):
        key = cache.key(clip)
        if not cache.is_whole(key):
            raise RecordError(f"{folder}: no features of {clip.utterance}. Run tools/prepare.py with this config.")
        features = cache.load(key, pictures=False)
        bank[clip.utterance] = dataclasses.replace(features, waveform=np.zeros(0, np.int16))
    return bank


def _phone_row(
    config: Config,
    banks: dict[str, Bank],
    names: list[str],
    labels: dict[str, list[list[Label]]],
    statistics: Statistics,
    distance: str,
    what: str,
) -> Rows:
    """A row for each way with silence and each timeline, from one cost matrix a pair.

    The error is that of the clip which is read along the warp: the target, or the source on the target's timeline.
    """
    fps = config.time.video_fps
    errors: dict[tuple[str, str], list[np.ndarray]] = {}
    shares: dict[str, list[float]] = {}
    for name in names:
        pair = banks["source"][name], banks["target"][name]
        cost, spans = cost_matrix(config, pair, statistics, distance), speech_spans(config, pair)
        there = map_from_labels(*labels[name], origin="phone times", name=name)
        back = map_from_labels(*labels[name][::-1], origin="phone times", name=name)
        for silence in SILENCES:
            path = warping_path(cost) if silence == "keep" else anchored_path(cost, *spans)
            first, end = matched_spans(cost.shape, *spans)[0] if silence == "trim" else (0, len(cost))
            shares.setdefault(silence, []).append((end - first) / len(cost))
            for timeline in TIMELINES:
                source_s, target_s = positions_s(path, cost.shape, config, timeline=timeline)
                heard = there.spoken(source_s) & (source_s * fps >= first) & (source_s * fps <= end)
                error = (
                    np.abs(source_s - back(target_s)) if timeline == "target" else np.abs(target_s - there(source_s))
                )
                errors.setdefault((silence, timeline), []).append(error[heard])
    return [
        {"distance": distance, "by": what, "silence": s, "timeline": t, **error_ms(found), "frames": np.mean(shares[s])}
        for (s, t), found in errors.items()
    ]


def _noise_row(
    config: Config,
    banks: dict[str, Bank],
    names: list[str],
    labels: dict[str, list[list[Label]]],
    below_db: float,
    silence: str,
) -> dict[str, Any]:
    """Error within the speech, and at its beginning and end."""
    fps, rng = config.time.video_fps, np.random.default_rng(3)
    heard = {s: {n: in_noise(config, bank[n].mel, below_db, rng) for n in names} for s, bank in banks.items()}
    noisy: dict[str, Bank] = {s: {n: clip for n, (clip, _) in found.items()} for s, found in heard.items()}
    statistics = statistics_of(source=noisy["source"].values(), target=noisy["target"].values())
    inside, ends = [], []
    for name in names:
        pair = noisy["source"][name], noisy["target"][name]
        cost = cost_matrix(config, pair, statistics, "standardised")
        path = warping_path(cost) if silence == "keep" else anchored_path(cost, *speech_spans(config, pair))
        at_s = positions_s(path, cost.shape, config, timeline="source")
        source_s, target_s = (at - heard[s][name][1] / fps for at, s in zip(at_s, heard, strict=True))
        truth = map_from_labels(*labels[name], origin="phone times", name=name)
        inside.append(np.abs(target_s - truth(source_s))[truth.spoken(source_s)])
        edges_s = np.array(truth.speech_s)
        ends.append(np.abs(np.interp(edges_s, source_s, target_s) - truth(edges_s)))
    return {
        "noise below speech, dB": below_db,
        "silence": silence,
        **error_ms(inside),
        "at both ends": error_ms(ends)["mean"],
    }


def _knots(labels: list[Label]) -> np.ndarray:
    return np.array([x.start_s for x in labels if x.symbol not in PAUSES])
