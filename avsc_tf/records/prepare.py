"""Two folders of clips to a records folder: the stages, their order, and what is kept between runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from avsc_tf.alignment.pairs import AlignedPair, align_pair
from avsc_tf.config import Config, save_config
from avsc_tf.errors import AlignmentError, FaceError, MediaError, RecordError
from avsc_tf.features.clip import ClipExtractor, ClipFeatures, FeatureCache
from avsc_tf.features.statistics import Statistics, StatisticsFitter
from avsc_tf.media.clips import SPLITS, ClipSource
from avsc_tf.records.manifest import (
    CONFIG_NAME,
    MANIFEST_NAME,
    STATISTICS_NAME,
    Manifest,
    Shard,
    check_shard,
    count_records,
    read_manifest,
    remove_stale,
    write_manifest,
)
from avsc_tf.records.plan import Plan, make_plan
from avsc_tf.records.reader import clip_stem, pair_stem
from avsc_tf.records.writer import ShardWriter
from avsc_tf.schema import CLIP, PAIR, SPEAKERS
from avsc_tf.timebase import Timebase

FEATURES_DIR_NAME = "features"


def prepare(
    config: Config,
    source_dir: Path,
    target_dir: Path,
    out_dir: Path,
    *,
    progress: bool = True,
    skip_bad: bool = False,
) -> Manifest:
    """Make (or leave, where everything is in place) the records of two speakers.

    Features are kept under `out_dir/features` by the content of each clip and the settings, so an interrupted or
    changed preparation computes no clip twice. The manifest is written last: records without one are unfinished.

    Args:
        config: settings of the records.
        source_dir, target_dir: clip folders (see `media.clips`); pairs are clips of the same name.
        out_dir: made if need be.
        progress: print notes and a bar with the time left for every stage.
        skip_bad: leave out clips and pairs that cannot be used, and name them, instead of stopping at the first.

    Raises:
        MediaError, FaceError: a clip cannot be used.
        AlignmentError: no pairs, or two clips are no pair.
        RecordError: contradicting splits, no sentence to train on, or `out_dir` is a file.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise RecordError(f"{out_dir}: is a file. Name a folder for the records.")
    job = _Preparation(config, make_plan(source_dir, target_dir, test_share=config.split.test_share), out_dir)
    job.progress, job.skip_bad = progress, skip_bad
    return job.run()


@dataclass
class _Preparation:
    """State of one run of `prepare`."""

    config: Config
    plan: Plan
    out_dir: Path
    progress: bool = True
    skip_bad: bool = False
    keys: dict[tuple[str, str], str] = field(default_factory=dict)  # (speaker, utterance) -> cache key
    skipped: list[str] = field(default_factory=list)

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
        (self.out_dir / MANIFEST_NAME).unlink(missing_ok=True)
        statistics = self._fit_statistics()
        pair_shards, costs = self._write_pairs(statistics)
        shards = (*pair_shards, *self._write_clips())
        remove_stale(self.out_dir, shards)
        save_config(self.config, self.out_dir / CONFIG_NAME)
        manifest = Manifest(
            fingerprint=self.config.fingerprint,
            settings=self.config.record_settings,
            inputs=inputs,
            shards=shards,
            counts=count_records(shards),
            skipped=tuple(self.skipped),
            alignment_cost=costs,
        )
        write_manifest(self.out_dir, manifest)
        self._report(manifest)
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
        """Fill the cache; clips that cannot be used raise, or leave the plan under `skip_bad`."""
        missing = [(s, c) for s, c in self._clips() if not self.cache[s].path(c, self._key(s, c)).is_file()]
        kept = len(self.keys) - len(missing)
        self._note(f"features: {kept} clips in place, {len(missing)} to compute")
        if missing and self.config.face.vgg_weights == "untrained":
            self._note("features: VGG-19 has untrained (He-initialised) weights, as face.vgg_weights asks")
        ahead = ClipExtractor(self.config).one_ahead(clip for _, clip in missing)
        for (speaker, clip), features in zip(self._bar("features", missing), ahead, strict=True):
            try:
                self.cache[speaker].save(clip, self._key(speaker, clip), features())
            except (MediaError, FaceError) as error:
                self._skip(error)
                del self.plan.clips[speaker][clip.utterance]

    def _check_training_pairs(self) -> None:
        splits = [self.plan.split_of(self.plan.clips["source"][utterance]) for utterance in self.plan.pairs]
        if "train" not in splits:
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
            features = self._load(speaker, clip)
            fitter.add(speaker, mel=features.mel, vgg=features.vgg, keypoints=features.keypoints)
        statistics = fitter.finish()
        statistics.save(self.out_dir / STATISTICS_NAME)
        return statistics

    def _write_pairs(self, statistics: Statistics) -> tuple[list[Shard], dict[str, float]]:
        costs: dict[str, float] = {}
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(ShardWriter(self.out_dir, pair_stem(split), PAIR, config=self.config))
                for split in SPLITS
            }
            for utterance in self._bar("alignment", self.plan.pairs):
                source, target = (self.plan.clips[s][utterance] for s in SPEAKERS)
                try:
                    pair = self._align(source, target, statistics)
                except AlignmentError as error:
                    self._skip(error)
                    continue
                split = self.plan.split_of(source)
                writers[split].write(
                    {**_labels(source, split), **pair_values(pair)}, video_frames=len(pair.source_facial)
                )
                costs[utterance] = round(pair.cost, 5)
            return [shard for writer in writers.values() for shard in writer.finish()], costs

    def _align(self, source: ClipSource, target: ClipSource, statistics: Statistics) -> AlignedPair:
        return align_pair(
            self._load("source", source),
            self._load("target", target),
            statistics,
            alignment=self.config.alignment,
            timebase=self.timebase,
            name=f"{source.video} and {target.video}",
        )

    def _write_clips(self) -> list[Shard]:
        with ExitStack() as stack:
            writers = {
                (speaker, split): stack.enter_context(
                    ShardWriter(self.out_dir, clip_stem(speaker, split), CLIP, config=self.config)
                )
                for speaker in SPEAKERS
                for split in SPLITS
            }
            for speaker, clip in self._bar("records", list(self._clips())):
                split, features = self.plan.split_of(clip), self._load(speaker, clip)
                values = {**_labels(clip, split), "speaker": clip.speaker or speaker, **clip_values(features)}
                writers[speaker, split].write(values, video_frames=features.n_frames)
            return [shard for writer in writers.values() for shard in writer.finish()]

    def _key(self, speaker: str, clip: ClipSource) -> str:
        return self.keys[speaker, clip.utterance]

    def _load(self, speaker: str, clip: ClipSource) -> ClipFeatures:
        """From the cache; a damaged file is computed again."""
        features = self.cache[speaker].load(clip, self._key(speaker, clip))
        if features is None:
            features = ClipExtractor(self.config)(clip)
            self.cache[speaker].save(clip, self._key(speaker, clip), features)
        return features

    def _skip(self, error: Exception) -> None:
        if not self.skip_bad:
            raise error
        self.skipped.append(str(error))
        self._note(f"left out: {error}")

    def _note(self, text: str) -> None:
        if self.progress:
            tqdm.write(text)

    def _bar(self, stage: str, items: list[Any]) -> Iterable[Any]:
        """Progress bar with the time left."""
        return tqdm(items, desc=f"{stage:>10}", unit=" clips", disable=not self.progress, dynamic_ncols=True)

    def _report(self, manifest: Manifest) -> None:
        paired = set(self.plan.pairs)
        alone = sum(clip.utterance not in paired for _, clip in self._clips())
        self._note(f"{self.out_dir}: {_counts_text(manifest.counts)}")
        if alone:
            self._note(f"{alone} clips have no partner: they are in their speaker's records, and in no pair")
        if self.skipped:
            self._note(f"{len(self.skipped)} left out as unusable; {MANIFEST_NAME} names them")


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


def _counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())
