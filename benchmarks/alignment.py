"""Alignment by figures: phone and word errors, matching sentences told from others, time.

    python benchmarks/alignment.py [demo] [grid] [vctk] [speed] [--json FILE] [--plots DIR]
        [--corpus runs/demo/corpus --records runs/demo/records] [--data ../shared/data]

demo: the demo corpus with its true phone times, prepared (`make demo`). grid: GRID s1 with its word times, beside the
demo speaker's voice saying the same sentences, and beside itself where four of six words are shared; and other GRID
speakers. vctk: four speakers, nine shared sentences. Parts without data are skipped, saying so.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from alignment_common import (
    DISTANCES,
    Bank,
    Rows,
    cost_alone,
    cost_matrix,
    descriptors,
    detect,
    error_ms,
    matches_of,
    path_cost,
    plot,
    positions_s,
    rates,
    show,
    sounds_of,
    speech_spans,
    statistics_of,
)
from alignment_demo import demo
from bench_cli import parse_arguments

from avsc_tf.alignment.distances import SoundFeatures
from avsc_tf.alignment.dtw import warping_path
from avsc_tf.alignment.matching import PairMatch
from avsc_tf.alignment.silence import anchored_path
from avsc_tf.cli.arguments import add_config, read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config
from avsc_tf.demo.speakers.english import PRONUNCIATIONS, english_phones, grid_sentence
from avsc_tf.demo.speakers.phones import PAUSE, TimedPhone
from avsc_tf.demo.speakers.prosody import stretch, time_phones
from avsc_tf.demo.speakers.speech import synthesize_timed
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES
from avsc_tf.evaluation.timeline import PAUSES, Label, read_labels
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.statistics import Statistics

SMOKE = (
    "demo speed --frames 10 150 --config {demo}/demo.yaml --corpus {demo}/corpus --records {demo}/records "
    "--plots {out} --json {out}/found.json"
)

GRID_STEP = 3  # every third of the 198 sentences is said by the demo voice: 66 pairs
WRONG_EACH = 10  # wrong partners of each GRID sentence


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config(parser)
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all that have data")
    parser.add_argument("--corpus", type=Path, default=Path("runs/demo/corpus"))
    parser.add_argument("--records", type=Path, default=Path("runs/demo/records"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 150, 1500, 5000], metavar="N", help="of speed")
    parser.add_argument("--plots", type=Path)
    parser.add_argument("--json", type=Path)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; parts are {', '.join(PARTS)}")
    config, result = read_config(args), {}
    for name in args.parts or PARTS:
        needed = PARTS[name][1](args)
        missing = [str(path) for path in needed if not path.is_dir()]
        if missing:
            print(f"\n{name}: skipped, {', '.join(missing)} is absent")
            continue
        more = {"sizes": args.frames} if name == "speed" else {"plots": args.plots}
        result[name] = PARTS[name][0](config, *needed, **more)
        for title, rows in result[name].items():
            show(f"{name}: {title}", rows)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


# --- grid -------------------------------------------------------------------------------------------------------------


def grid(config: Config, folder: Path, *, plots: Path | None) -> dict[str, Rows]:
    real = sounds_of(config, sorted((folder / "s1").glob("*.mpg")))
    labels = {
        name: [
            x for x in read_labels(folder, name, align_dir=folder / "s1_align")["word times"] if x.symbol not in PAUSES
        ]
        for name in real
    }
    names = [n for n in sorted(real)[::GRID_STEP] if [x.symbol for x in labels[n]] == grid_sentence(n).split()]
    spoken = {name: _said_by_demo_voice(name, config) for name in names}
    made: Bank = {name: clip for name, (clip, _) in spoken.items()}
    statistics = statistics_of(source=made.values(), target=real.values())
    pairs = [(made[n], real[n], *_boundaries(spoken[n][1], labels[n])) for n in names]
    rows = _word_rows(config, "demo voice to s1", pairs, statistics)
    own = statistics_of(source=real.values(), target=real.values())
    near = [(a, b) for a, b in itertools.combinations(sorted(real), 2) if _shared(a, b) >= 4]
    twins = [
        (real[a], real[b], *_boundaries(labels[a], labels[b])) for a, b in near if len(labels[a]) == len(labels[b]) == 6
    ]
    rows += _word_rows(config, "s1 to s1, 4 of 6 words", [pair for pair in twins if len(pair[2])], own)
    if plots:
        for name, pair in list(zip(names, pairs, strict=True))[:2]:
            plot(plots / f"grid_{name}.png", config, pair[:2], statistics, pair[2:])
    clips = descriptors(made, "source", statistics, config), descriptors(real, "target", statistics, config)
    rng = np.random.default_rng(1)
    wrong = [(n, str(m)) for n in names for m in rng.choice([x for x in names if x != n], WRONG_EACH, replace=False)]
    hard = [(a, b) for a, b in itertools.product(names, sorted(real)) if _shared(a, b) == 4]
    detection = [
        detect("any other sentence", *clips, names, wrong, config),
        detect("4 of 6 words shared", *clips, names, hard, config),
    ]
    others = _other_speakers(config, folder / "other_speakers", real)
    return {"error at word boundaries, ms": rows, "pairs and non-pairs": detection, "other speakers": others}


def _said_by_demo_voice(name: str, config: Config) -> tuple[SoundFeatures, list[Label]]:
    """The sentence behind a GRID name in the demo source's voice, 3 s long, and its true word times."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    phones = english_phones(grid_sentence(name))
    voice, emotion, rate_hz = VOICES["source"], EMOTIONS["neutral"], config.time.sample_rate_hz
    start_s, length_s = rng.uniform(0.4, 0.7), rng.uniform(1.25, 1.65)
    timed = stretch(time_phones(phones, voice, emotion, rng=rng), start_s=start_s, end_s=start_s + length_s)
    timed = [*timed, TimedPhone(PAUSE, start_s + length_s, 3.0)]
    speech = synthesize_timed(phones, timed, voice, emotion, rng=rng, sample_rate_hz=rate_hz)
    mel = mel_spectrogram(speech.waveform, config.acoustic, config.timebase)
    said, words = iter([phone for phone in timed if phone.symbol != PAUSE]), []
    for word in grid_sentence(name).split():
        own = [next(said) for _ in PRONUNCIATIONS[word].split()]
        words.append(Label(word, own[0].start_s, own[-1].end_s))
    return SoundFeatures(mel), words


def _boundaries(a: list[Label], b: list[Label]) -> tuple[np.ndarray, np.ndarray]:
    """Moments between two words that both clips say. The outer ends are left out: GRID's times for them are poor."""
    same = [i for i in range(1, 6) if a[i].symbol == b[i].symbol and a[i - 1].symbol == b[i - 1].symbol]
    return np.array([a[i].start_s for i in same]), np.array([b[i].start_s for i in same])


def _word_rows(config: Config, what: str, pairs: list[Any], statistics: Statistics) -> Rows:
    rows: Rows = []
    for distance, silence in itertools.product(DISTANCES, ("keep", "match")):
        found = []
        for source, target, said_s, heard_s in pairs:
            cost = cost_matrix(config, (source, target), statistics, distance)
            spans = speech_spans(config, (source, target))
            path = warping_path(cost) if silence == "keep" else anchored_path(cost, *spans)
            at = positions_s(path, cost.shape, config, timeline="source")
            found.append(np.abs(np.interp(said_s, *at) - heard_s))
        rows.append({"pairs": what, "distance": distance, "silence": silence, **error_ms(found)})
    return rows


def _other_speakers(config: Config, folder: Path, real: Bank) -> Rows:
    """For each other speaker's clip: how many words the cheapest s1 clip shares, and the rank of the best sharer."""
    rows: Rows = []
    for name, clip in sounds_of(config, sorted(p for p in folder.glob("*.mpg") if "unknown" not in p.name)).items():
        statistics = statistics_of(source=[clip], target=real.values())
        clips = descriptors({name: clip}, "source", statistics, config)
        costs = {n: cost_alone(clips[name], d) for n, d in descriptors(real, "target", statistics, config).items()}
        order, most = sorted(costs, key=costs.__getitem__), max(_shared(name, n) for n in real)
        rank = 1 + min(order.index(n) for n in real if _shared(name, n) == most)
        rows.append(
            {"clip": name, "most words shared": most, "rank of that": rank, "cheapest shares": _shared(name, order[0])}
        )
    return rows


def _shared(a: str, b: str) -> int:
    return sum(x == y for x, y in zip(a, b, strict=True))


# --- vctk -------------------------------------------------------------------------------------------------------------


def vctk(config: Config, folder: Path, *, plots: Path | None) -> dict[str, Rows]:
    sounds = sounds_of(config, sorted(folder.glob("*.wav")))
    speakers = sorted({name.split("_")[0] for name in sounds})
    banks = {s: {n.split("_")[1]: clip for n, clip in sounds.items() if n.startswith(s)} for s in speakers}
    shared = sorted(set.intersection(*(set(bank) for bank in banks.values())))
    first = {"of": 0, **dict.fromkeys(DISTANCES, 0), "descriptor": 0}
    matches: dict[tuple[str, ...], PairMatch] = {}
    for a, b in itertools.permutations(speakers, 2):
        statistics = statistics_of(source=banks[a].values(), target=banks[b].values())
        clips = descriptors(banks[a], "source", statistics, config), descriptors(banks[b], "target", statistics, config)
        found = matches_of(*clips, itertools.product(shared, shared), config)
        matches |= {(a, b, *pair): match for pair, match in found.items()}
        for one in shared:
            pairs = {n: (banks[a][one], banks[b][n]) for n in shared}
            first["of"] += 1
            first["descriptor"] += min(shared, key=lambda n: found[one, n].cost) == one
            for distance in DISTANCES:
                first[distance] += min(pairs, key=lambda n: path_cost(config, pairs[n], statistics, distance)) == one
        if plots and (a, b) == (speakers[0], speakers[1]):
            plot(plots / f"vctk_{a}_{b}.png", config, (banks[a]["003"], banks[b]["003"]), statistics, None)
    true = {key: match for key, match in matches.items() if key[2] == key[3]}
    wrong = {key: match for key, match in matches.items() if key[2] != key[3]}
    return {"matching sentence cheapest": [first], "pairs and non-pairs": [rates("12 speaker pairs", true, wrong)]}


# --- speed ------------------------------------------------------------------------------------------------------------


def speed(config: Config, *, sizes: Sequence[int]) -> dict[str, Rows]:
    rows, rng = [], np.random.default_rng(0)
    for n_frames in sizes:  # the first call loads the compiled code
        a, b = rng.standard_normal((2, n_frames * 8, config.acoustic.n_mels)).astype(np.float32)
        statistics = statistics_of(source=[SoundFeatures(a)], target=[SoundFeatures(b)])
        started = time.process_time()
        path_cost(config, (SoundFeatures(a), SoundFeatures(b)), statistics, "standardised")
        peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append({"frames": n_frames, "CPU ms": 1e3 * (time.process_time() - started), "peak GiB": peak_gib})
    return {"two clips of so many video frames": rows}


PARTS: dict[str, tuple[Callable[..., dict[str, Rows]], Callable[[argparse.Namespace], list[Path]]]] = {
    "demo": (demo, lambda args: [args.corpus, args.records / "features"]),
    "grid": (grid, lambda args: [args.data / "grid"]),
    "vctk": (vctk, lambda args: [args.data / "vctk"]),
    "speed": (speed, lambda args: []),
}

if __name__ == "__main__":
    sys.exit(run_tool(main))
