"""Two folders of clips to a records folder: the stages, their order, and what is kept between runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from avsc_tf.alignment.pairs import AlignedPair, align_pair
from avsc_tf.config import Config, save_config
from avsc_tf.errors import AlignmentError, AvscError, RecordError
from avsc_tf.features.clip import ClipFeatures
from avsc_tf.features.statistics import Statistics, StatisticsFitter
from avsc_tf.media.clips import SPLITS, ClipSource
from avsc_tf.records.clip_tasks import ClipTask, Outcome
from avsc_tf.records.feature_cache import FeatureCache
from avsc_tf.records.folder_lock import folder_lock
from avsc_tf.records.manifest import (
    CONFIG_NAME,
    MANIFEST_NAME,
    STATISTICS_NAME,
    Manifest,
    Shard,
    check_shard,
    read_manifest,
    write_manifest,
)
from avsc_tf.records.plan import Plan, make_plan
from avsc_tf.records.reader import clip_shard_name, pair_shard_name
from avsc_tf.records.workers import in_processes, in_this_process
from avsc_tf.records.writer import ShardWriter
from avsc_tf.schema import CLIP, PAIR, SPEAKERS
from avsc_tf.timebase import Timebase

FEATURES_DIR_NAME = "features"


@dataclass(frozen=True)
class Workforce:
    """Who computes the features: this process (0 workers), processes of this machine, or a Ray cluster."""

    workers: int = 0
    ray_address: str | None = None

    def outcomes(self, tasks: Sequence[ClipTask]) -> Iterator[tuple[int, Outcome]]:
        """Number and outcome of each task, as they are done; the same bytes whoever computes them."""
        if self.ray_address is not None:
            from avsc_tf.records.ray_cluster import on_ray

            return on_ray(tasks, address=self.ray_address)
        return in_processes(tasks, workers=self.workers) if self.workers else in_this_process(tasks)


def prepare(
    config: Config,
    source_dir: Path,
    target_dir: Path,
    out_dir: Path,
    *,
    progress: bool = True,
    skip_bad: bool = False,
    workforce: Workforce | None = None,
) -> Manifest:
    """Make (or leave, where everything is in place) the records of two speakers.

    Features are kept under `out_dir/features` by the content of each clip and the settings, so an interrupted or
    changed preparation computes no clip twice. The manifest is written last: records without one are unfinished.

    Args:
        config: settings of the records.
        source_dir, target_dir: clip folders (see `media.clips`); pairs are clips of the same name.
        out_dir: made if need be.
        progress: print notes and a bar with the time left for every stage.
        skip_bad: leave out clips and pairs that cannot be used, and name them, instead of ending with an error once
            all of them are known.
        workforce: who computes the features; by default this process.

    Raises:
        MediaError, FaceError: a clip cannot be used.
        AlignmentError: no pairs, or two clips are no pair.
        RecordError: contradicting splits, no sentence to train on, or `out_dir` is a file or in use.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise RecordError(f"{out_dir}: is a file. Name a folder for the records.")
    plan = make_plan(source_dir, target_dir, test_share=config.split.test_share)
    job = _Preparation(config, plan, out_dir, workforce or Workforce(), progress=progress, skip_bad=skip_bad)
    with folder_lock(out_dir):
        return job.run()


@dataclass
class _Preparation:
    """State of one run of `prepare`."""

    config: Config
    plan: Plan
    out_dir: Path
    workforce: Workforce
    progress: bool = True
    skip_bad: bool = False
    keys: dict[tuple[str, str], str] = field(default_factory=dict)  # (speaker, utterance) -> cache key
    problems: list[AvscError] = field(default_factory=list)  # clips and pairs that cannot be used
    costs: dict[str, float] = field(default_factory=dict)  # of every pair that is one

    def __post_init__(self) -> None:
        self.cache = {s: FeatureCache(self.out_dir / FEATURES_DIR_NAME / s, self.config) for s in SPEAKERS}
        self.timebase = Timebase.from_config(self.config.time)

    def run(self) -> Manifest:
        self.keys = {(s, c.utterance): self.cache[s].key(c) for s, c in self._bar("checking", list(self._clips()))}
        inputs = self._inputs_digest()
        done = self._up_to_date(inputs)
        if done is not None:
            self._note(f"{self.out_dir}: everything is in place ({_counts_text(done.counts)}); nothing to do.")
            return done
        self._compute_features()
        self._check_training_pairs()
        statistics = self._fit_statistics()
        self._check_pairs(statistics)
        self._end_on_problems()
        (self.out_dir / MANIFEST_NAME).unlink(missing_ok=True)
        statistics.save(self.out_dir / STATISTICS_NAME)
        shards = (*self._write_pairs(statistics), *self._write_clips())
        save_config(self.config, self.out_dir / CONFIG_NAME)
        manifest = Manifest(
            fingerprint=self.config.fingerprint,
            settings=self.config.record_settings,
            inputs=inputs,
            shards=shards,
            counts=_counts(shards),
            skipped=tuple(str(problem) for problem in self.problems),
            alignment_cost=self.costs,
        )
        write_manifest(self.out_dir, manifest)
        self._summarise(manifest)
        return manifest

    def _clips(self) -> Iterator[tuple[str, ClipSource]]:
        for speaker in SPEAKERS:
            for utterance in sorted(self.plan.clips[speaker]):
                yield speaker, self.plan.clips[speaker][utterance]

    def _inputs_digest(self) -> str:
        """Digest of what goes in: content and labels of every clip."""
        rows = [
            (speaker, clip.utterance, clip.speaker, clip.emotion, clip.sentence, self.plan.split_of(clip))
            for speaker, clip in self._clips()
        ]
        text = json.dumps([rows, sorted((*name, key) for name, key in self.keys.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _up_to_date(self, inputs: str) -> Manifest | None:
        """The manifest in place, if it is whole and of these clips and settings."""
        try:
            manifest = read_manifest(self.out_dir)
            for shard in manifest.shards:
                check_shard(self.out_dir, shard)
        except RecordError:
            return None
        same = (manifest.fingerprint, manifest.inputs) == (self.config.fingerprint, inputs)
        whole = (self.out_dir / STATISTICS_NAME).is_file() and (self.skip_bad or not manifest.skipped)
        return manifest if same and whole else None

    def _compute_features(self) -> None:
        """Fill the cache; clips that cannot be used leave the plan, and are all known at the end."""
        everything = list(self._clips())
        for cache in self.cache.values():
            cache.remove_unfinished()
        looked_at = self._bar("in place", everything)
        missing = [(s, c) for s, c in looked_at if not self.cache[s].is_whole(c, self._key(s, c))]
        self._note(f"features: {len(everything) - len(missing)} clips in place, {len(missing)} to compute")
        if missing and self.config.face.vgg_weights == "untrained":
            self._note("features: VGG-19 has untrained (He-initialised) weights, as face.vgg_weights asks")
        outcomes = self.workforce.outcomes([ClipTask(clip, self.config) for _, clip in missing])
        failed: dict[int, AvscError] = {}
        for number, outcome in self._bar("features", outcomes, total=len(missing)):
            speaker, clip = missing[number]
            if isinstance(outcome, AvscError):
                failed[number] = outcome
            else:
                self.cache[speaker].save(clip, self._key(speaker, clip), outcome)
        for number in sorted(failed):
            speaker, clip = missing[number]
            self.problems.append(failed[number])
            del self.plan.clips[speaker][clip.utterance]

    def _check_training_pairs(self) -> None:
        splits = [self.plan.split_of(self.plan.clips["source"][utterance]) for utterance in self.plan.pairs]
        if "train" not in splits:
            self._end_on_problems()
            raise RecordError(
                f"{self.out_dir}: none of the {len(splits)} pairs is in the training split. "
                "Add clips, lower split.test_share, or name splits in manifest.csv."
            )
        if "test" not in splits:
            self._note("splits: no pair is held out; name test sentences in manifest.csv or raise split.test_share")

    def _fit_statistics(self) -> Statistics:
        """Mean and deviation of each speaker, from training sentences only."""
        training = [(s, c) for s, c in self._clips() if self.plan.split_of(c) == "train"]
        fitter = StatisticsFitter()
        for speaker, clip in self._bar("statistics", training):
            features = self._load(speaker, clip, pictures=False)
            fitter.add(speaker, mel=features.mel, vgg=features.vgg, keypoints=features.keypoints)
        return fitter.finish()

    def _check_pairs(self, statistics: Statistics) -> None:
        """Align every pair once, to know before anything is written which are none."""
        for utterance in self._bar("alignment", self.plan.pairs):
            try:
                self.costs[utterance] = round(self._align(utterance, statistics).cost, 5)
            except AlignmentError as error:
                self.problems.append(error)

    def _end_on_problems(self) -> None:
        """Raise what was found, or say what is left out."""
        if not self.problems:
            return
        if self.skip_bad:
            for problem in self.problems:
                self._note(f"left out: {problem}")
            return
        first, more = self.problems[0], len(self.problems) - 1
        others = f" So it is with {more} more." if more else ""
        raise type(first)(f"{first}{others} --skip-bad leaves such clips and pairs out.")

    def _write_pairs(self, statistics: Statistics) -> list[Shard]:
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(ShardWriter(self.out_dir, pair_shard_name(split), PAIR, config=self.config))
                for split in SPLITS
            }
            for utterance in self._bar("pairs", sorted(self.costs)):
                clip, pair = self.plan.clips["source"][utterance], self._align(utterance, statistics)
                split = self.plan.split_of(clip)
                writers[split].write(
                    {**_labels(clip, split), **pair_values(pair)}, video_frames=len(pair.source_facial)
                )
            return [writer.finish() for writer in writers.values()]

    def _align(self, utterance: str, statistics: Statistics) -> AlignedPair:
        source, target = (self.plan.clips[speaker][utterance] for speaker in SPEAKERS)
        return align_pair(
            self._load("source", source, pictures=False),
            self._load("target", target, pictures=False),
            statistics,
            alignment=self.config.alignment,
            timebase=self.timebase,
            name=f"{source.video} and {target.video}",
        )

    def _write_clips(self) -> list[Shard]:
        with ExitStack() as stack:
            writers = {
                (speaker, split): stack.enter_context(
                    ShardWriter(self.out_dir, clip_shard_name(speaker, split), CLIP, config=self.config)
                )
                for speaker in SPEAKERS
                for split in SPLITS
            }
            for speaker, clip in self._bar("clips", list(self._clips())):
                split, features = self.plan.split_of(clip), self._load(speaker, clip)
                values = {**_labels(clip, split), "speaker": clip.speaker or speaker, **clip_values(features)}
                writers[speaker, split].write(values, video_frames=features.n_frames)
            return [writer.finish() for writer in writers.values()]

    def _key(self, speaker: str, clip: ClipSource) -> str:
        return self.keys[speaker, clip.utterance]

    def _load(self, speaker: str, clip: ClipSource, *, pictures: bool = True) -> ClipFeatures:
        return self.cache[speaker].load(clip, self._key(speaker, clip), pictures=pictures)

    def _note(self, text: str) -> None:
        if self.progress:
            tqdm.write(text)

    def _bar(self, stage: str, items: Iterable[Any], *, total: int | None = None) -> Iterable[Any]:
        """Progress bar with the time left."""
        return tqdm(
            items, desc=f"{stage:>10}", unit=" clips", total=total, disable=not self.progress, dynamic_ncols=True
        )

    def _summarise(self, manifest: Manifest) -> None:
        paired = set(self.plan.pairs)
        alone = sum(clip.utterance not in paired for _, clip in self._clips())
        self._note(f"{self.out_dir}: {_counts_text(manifest.counts)}")
        if alone:
            self._note(f"{alone} clips have no partner: they are in their speaker's records, and in no pair")
        if self.problems:
            self._note(f"{len(self.problems)} left out as unusable; {MANIFEST_NAME} names them")


def pair_values(pair: AlignedPair) -> dict[str, Any]:
    """An aligned pair as schema.PAIR stores it, without its labels."""
    return {
        "source_mel": pair.source_mel.astype(np.float32),
        "source_facial": pair.source_facial.astype(np.float16),
        "target_mel": pair.target_mel.astype(np.float32),
        "target_facial": pair.target_facial.astype(np.float16),
        "path": pair.path,
        "cost": np.float32(pair.cost),
    }


def clip_values(features: ClipFeatures) -> dict[str, Any]:
    """The features of a clip as schema.CLIP stores them, without its labels."""
    return {name: getattr(features, name) for name in ("mel", "keypoints", "vgg", "frames", "waveform")}


def _labels(clip: ClipSource, split: str) -> dict[str, str]:
    return {"utterance": clip.utterance, "emotion": clip.emotion, "sentence": clip.sentence, "split": split}


def _counts(shards: Iterable[Shard]) -> dict[str, int]:
    return {Path(shard.name).stem: len(shard.utterances) for shard in shards}


def _counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())
