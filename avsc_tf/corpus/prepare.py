"""Two folders of clips to a records folder: the stages, their order, and what is kept between runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from avsc_tf.core.config import Config, save_config
from avsc_tf.core.consent import read_consent, write_consent
from avsc_tf.core.errors import AvscError, RecordError
from avsc_tf.core.files import own_folder
from avsc_tf.core.notes import note_lines
from avsc_tf.core.runs import consent_path
from avsc_tf.core.schema import CLIP, PAIR, SPEAKERS
from avsc_tf.corpus.clip_tasks import ClipTask
from avsc_tf.corpus.corpus_checks import PairChecker, clip_check, unusable_clip
from avsc_tf.corpus.doctor import ClipCheck, PairCheck, judge
from avsc_tf.corpus.manifest import (
    CONFIG_NAME,
    MANIFEST_NAME,
    STATISTICS_NAME,
    Manifest,
    Shard,
    check_files,
    check_shard,
    count_records,
    counts_text,
    read_manifest,
    remove_stale,
    write_manifest,
)
from avsc_tf.corpus.plan import Plan, make_plan
from avsc_tf.corpus.reader import clip_stem, pair_stem
from avsc_tf.corpus.report import HTML_NAME, write_report
from avsc_tf.corpus.stored_clips import FEATURES_DIR_NAME, StoredClips, Take, labels
from avsc_tf.corpus.values import clip_values, pair_values
from avsc_tf.corpus.workers import Workforce
from avsc_tf.corpus.writer import ShardWriter
from avsc_tf.features.appearance import vgg_notes
from avsc_tf.features.statistics import Statistics, StatisticsFitter
from avsc_tf.media.clips import SPLITS


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
    """Prepare the records of two speakers; finished records with the same inputs are left as they are.

    Features are stored in `out_dir/features` by the content of each clip and the settings, so an interrupted or changed
    preparation computes no clip twice. The manifest is written last: records without one are unfinished.
    `out_dir/report.html` reports the quality of every clip and pair, also if the preparation ends with an error. The
    target's consent record (`target_dir/consent.yaml`) is copied beside the records.

    Args:
        source_dir, target_dir: clip folders (see `media.clips`); pairs are clips of the same name.
        progress: print notes and a bar with the time left for every stage.
        skip_bad: leave out and name unusable clips and pairs instead of ending with an error after all are checked.
        workforce: where the features are computed; by default in this process.

    Raises:
        MediaError, FaceError: a clip cannot be used.
        ConsentError: the target's consent record is damaged.
        AlignmentError: no pairs, or two clips are no pair.
        RecordError: contradicting splits, no sentence to train on, or `out_dir` is a file.
        OutputError: `out_dir` is in use, holds other things than records, or cannot be written.
        UnexpectedError: a fault of this program at a clip or a pair; the others are done first.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise RecordError(f"{out_dir}: is a file. Name a folder for the records.")
    plan = make_plan(source_dir, target_dir, test_share=config.split.test_share)
    job = _Preparation(config, plan, out_dir, workforce or Workforce(), progress=progress, skip_bad=skip_bad)
    record = consent_path(target_dir)
    consent = read_consent(record) if record.is_file() else None
    with own_folder(out_dir, "prepare", signs=(MANIFEST_NAME, f"{FEATURES_DIR_NAME}/*.npz"), doing="preparation"):
        manifest = job.run()
        if consent is not None:
            write_consent(consent_path(out_dir), consent)
        return manifest


@dataclass
class _Preparation:
    """State of one run of `prepare`."""

    config: Config
    plan: Plan
    out_dir: Path
    workforce: Workforce
    progress: bool = True
    skip_bad: bool = False
    problems: list[AvscError] = field(default_factory=list)  # clips and pairs that cannot be used
    clip_checks: list[ClipCheck] = field(default_factory=list)
    pair_checks: list[PairCheck] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stored = StoredClips(self.plan, self.out_dir, self.config)

    def run(self) -> Manifest:
        for line in note_lines(self.plan.notes):
            self._note(line)
        inputs, unreadable = self.stored.digest_files(self._bar("checking", self.stored.takes()))
        done = self._up_to_date(inputs)
        if done is not None:
            self._note(f"{self.out_dir}: everything is in place ({counts_text(done.counts)}); nothing to do.")
            return done
        for take, error in unreadable:
            self._leave_out(take, error)
        self._compute_features()
        self._check_clips()
        self._check_training_pairs()
        statistics = self._fit_statistics()
        checker = PairChecker(self.stored, statistics, self.config)
        errors = self._check_pairs(checker)
        self._write_report()
        self._end_on_problems()
        return self._write_records(statistics, checker, without=errors.keys(), inputs=inputs)

    def _up_to_date(self, inputs: str) -> Manifest | None:
        """The existing manifest, if its files are complete and it has these clips and settings."""
        if not (self.out_dir / MANIFEST_NAME).is_file():
            return None
        try:
            manifest = read_manifest(self.out_dir)
            for shard in manifest.shards:
                check_shard(self.out_dir, shard, deep=True)
            check_files(self.out_dir, manifest)
        except RecordError as error:
            self._note(f"{error} That is what happens now.")
            return None
        same = (manifest.fingerprint, manifest.inputs) == (self.config.fingerprint, inputs)
        whole = (self.out_dir / HTML_NAME).is_file() and (self.skip_bad or not manifest.skipped)
        return manifest if same and whole else None

    def _compute_features(self) -> None:
        """Store the features of every clip; unusable clips leave the plan."""
        takes = self.stored.takes()
        missing = self.stored.missing(self._bar("in place", takes))
        n_missing = sum(map(len, missing))
        self._note(f"features: {len(takes) - n_missing} clips in place, {n_missing} to compute")
        if missing:
            for note in vgg_notes(self.config.face):
                self._note(f"features: {note}")
        outcomes = self.workforce.outcomes([ClipTask(same[0][1], self.config) for same in missing])
        failed: dict[int, AvscError] = {}
        for number, outcome in self._bar("features", outcomes, total=len(missing)):
            if isinstance(outcome, AvscError):
                failed[number] = outcome
            else:
                self.stored.save(missing[number][0], outcome)
        for number in sorted(failed):
            for take in missing[number]:
                self._leave_out(take, failed[number])

    def _leave_out(self, take: Take, error: AvscError) -> None:
        self.problems.append(error)
        self.clip_checks.append(unusable_clip(take, error))
        self.stored.leave_out(take)

    def _check_clips(self) -> None:
        fps = self.config.time.video_fps
        self.clip_checks += [clip_check(self.stored, take, fps=fps) for take in self.stored.takes()]
        for line in note_lines({f"{check.speaker}/{check.file}": check.notes for check in self.clip_checks}):
            self._note(line)

    def _check_training_pairs(self) -> None:
        splits = [self.plan.split_of(self.plan.clips["source"][utterance]) for utterance in self.plan.pairs]
        if "train" not in splits:
            self._write_report()
            self._end_on_problems()
            raise RecordError(
                f"{self.out_dir}: none of the {len(splits)} pairs is in the training split. "
                "Add clips, lower split.test_share, or name splits in manifest.csv."
            )
        if "test" not in splits:
            self._note("splits: no pair is held out; name test sentences in manifest.csv or raise split.test_share")

    def _fit_statistics(self) -> Statistics:
        """Mean and deviation of each speaker, from training sentences only."""
        training = [(s, c) for s, c in self.stored.takes() if self.plan.split_of(c) == "train"]
        fitter = StatisticsFitter()
        for speaker, clip in self._bar("statistics", training):
            features = self.stored.load(speaker, clip)
            fitter.add(speaker, mel=features.mel, vgg=features.vgg, keypoints=features.keypoints)
        return fitter.finish()

    def _check_pairs(self, checker: PairChecker) -> dict[str, AvscError]:
        """Compare and align every pair before anything is written."""
        self.pair_checks, errors = checker.check(self._bar)
        self.problems += errors.values()
        return errors

    def _write_report(self) -> None:
        verdicts = judge(self.clip_checks, self.pair_checks, self.config.doctor)
        counts = {"pairs": len(self.pair_checks), "clips": len(self.clip_checks)}
        write_report(
            self.out_dir,
            self.clip_checks,
            self.pair_checks,
            verdicts,
            config=self.config,
            counts=counts,
            folder_notes=self.plan.notes,
        )
        levels = [verdict.level for verdict in verdicts]
        self._note(
            f"{self.out_dir / HTML_NAME}: {levels.count('ok')} takes or pairs are well, "
            f"{levels.count('look')} to look at, {levels.count('record_again')} to record again"
        )

    def _end_on_problems(self) -> None:
        """Raise the first problem, or print what is left out."""
        if not self.problems:
            return
        if self.skip_bad:
            for problem in self.problems:
                self._note(f"left out: {problem}")
            return
        first, more = self.problems[0], len(self.problems) - 1
        others = f" {more} more cannot be used: {self.out_dir / HTML_NAME} names them." if more else ""
        raise type(first)(f"{first}{others} --skip-bad leaves such clips and pairs out.")

    def _write_records(
        self, statistics: Statistics, checker: PairChecker, *, without: Iterable[str], inputs: str
    ) -> Manifest:
        (self.out_dir / MANIFEST_NAME).unlink(missing_ok=True)
        statistics.save(self.out_dir / STATISTICS_NAME)
        shards = (*self._write_pairs(checker, without=set(without)), *self._write_clips())
        remove_stale(self.out_dir, shards)
        save_config(self.config, self.out_dir / CONFIG_NAME)
        manifest = Manifest(
            fingerprint=self.config.fingerprint,
            settings=self.config.record_settings,
            inputs=inputs,
            shards=shards,
            counts=count_records(shards),
            skipped=tuple(str(problem) for problem in self.problems),
            alignment_cost=checker.alignment_cost,
        )
        write_manifest(self.out_dir, manifest)
        self._summarise(manifest)
        return manifest

    def _write_pairs(self, checker: PairChecker, *, without: set[str]) -> list[Shard]:
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(ShardWriter(self.out_dir, pair_stem(split), PAIR, config=self.config))
                for split in SPLITS
            }
            for utterance in self._bar("pairs", [name for name in self.plan.pairs if name not in without]):
                clip, pair = self.plan.clips["source"][utterance], checker.align(utterance)
                split = self.plan.split_of(clip)
                values = {**labels(clip, split), **pair_values(pair)}
                writers[split].write(values, video_frames=len(pair.source_facial))
            return [shard for writer in writers.values() for shard in writer.finish()]

    def _write_clips(self) -> list[Shard]:
        with ExitStack() as stack:
            writers = {
                (speaker, split): stack.enter_context(
                    ShardWriter(self.out_dir, clip_stem(speaker, split), CLIP, config=self.config)
                )
                for speaker in SPEAKERS
                for split in SPLITS
            }
            for speaker, clip in self._bar("clips", self.stored.takes()):
                split, features = self.plan.split_of(clip), self.stored.load(speaker, clip, pictures=True)
                values = {**labels(clip, split), "speaker": clip.speaker or speaker, **clip_values(features)}
                writers[speaker, split].write(values, video_frames=features.n_frames)
            return [shard for writer in writers.values() for shard in writer.finish()]

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
        alone = sum(clip.utterance not in paired for _, clip in self.stored.takes())
        self._note(f"{self.out_dir}: {counts_text(manifest.counts)}")
        if alone:
            self._note(f"{alone} clips have no partner: they are in their speaker's records, and in no pair")
        if self.problems:
            self._note(f"{len(self.problems)} left out as unusable; {MANIFEST_NAME} names them")
