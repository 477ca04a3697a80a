"""Every take and every pair looked at before anything is written: for the corpus report, and to leave out bad ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from avsc_tf.alignment.matching import ClipDescriptor, Cohort, PairMatch, describe, judge_corpus, match_pair
from avsc_tf.alignment.pairs import AlignedPair, align_pair
from avsc_tf.core.config import Config
from avsc_tf.core.errors import AvscError
from avsc_tf.core.schema import SPEAKERS
from avsc_tf.core.unexpected import as_clip_error
from avsc_tf.corpus.doctor import ClipCheck, PairCheck, thinned
from avsc_tf.corpus.stored_clips import StoredClips, Take, labels
from avsc_tf.features.statistics import Statistics
from avsc_tf.media.clips import ClipSource

Bar = Callable[[str, Iterable[str]], Iterable[str]]


def clip_check(stored: StoredClips, take: Take, *, fps: int) -> ClipCheck:
    """Measures of a take whose features are stored."""
    speaker, clip = take
    crop, measures = stored.measures(speaker, clip)
    synchrony = measures.synchrony
    return ClipCheck(
        speaker,
        clip.utterance,
        clip.video.name,
        seconds=len(crop.centres) / fps,
        n_frames=len(crop.centres),
        face_share=measures.face_share,
        gaps=measures.gaps,
        n_faces=measures.n_faces,
        crop_centres=thinned(crop.centres),
        crop_side=float(crop.side),
        frame_size=(int(crop.frame_size[0]), int(crop.frame_size[1])),
        sound=measures.sound,
        sync_offset_seconds=synchrony.offset_seconds if synchrony else None,
        sync_drift_ppm=synchrony.drift_ppm if synchrony else None,
        sync_confidence=synchrony.confidence if synchrony else None,
        notes=measures.notes,
    )


def unusable_clip(take: Take, error: AvscError) -> ClipCheck:
    speaker, clip = take
    return ClipCheck(speaker, clip.utterance, clip.video.name, error=str(error))


class PairChecker:
    """Compares the pairs of a corpus with each other and aligns them, one at a time."""

    def __init__(self, stored: StoredClips, statistics: Statistics, config: Config):
        self._stored = stored
        self._statistics = statistics
        self._config = config
        self._timebase = config.timebase
        self._matches: Mapping[str, PairMatch] = {}
        self.alignment_cost: dict[str, float] = {}  # utterance -> mean standardised cost a step, of pairs alone

    def check(self, bar: Bar) -> tuple[list[PairCheck], dict[str, AvscError]]:
        """Checks of all pairs of the plan, and the errors of those that are none, by utterance."""
        self._matches = self._compare(bar)
        checks: list[PairCheck] = []
        errors: dict[str, AvscError] = {}
        for utterance in bar("alignment", self._stored.plan.pairs):
            try:
                pair = self.align(utterance)
            except Exception as error:
                errors[utterance] = as_clip_error(error, self._name(utterance))
                checks.append(self._pair_check(utterance, error=str(errors[utterance])))
            else:
                self.alignment_cost[utterance] = round(pair.cost, 5)
                checks.append(self._pair_check(utterance, pair=pair))
        return checks, errors

    def align(self, utterance: str) -> AlignedPair:
        """The pair on its timeline. Raises AlignmentError where it is none, as `check` found."""
        source, target = self._stored.pair(utterance)
        return align_pair(
            self._stored.load("source", source),
            self._stored.load("target", target),
            self._statistics,
            alignment=self._config.alignment,
            timebase=self._timebase,
            name=self._name(utterance),
            match=self._matches[utterance],
        )

    def _name(self, utterance: str) -> str:
        return " and ".join(str(clip.video) for clip in self._stored.pair(utterance))

    def _compare(self, bar: Bar) -> Mapping[str, PairMatch]:
        """Each pair beside other sentences. Descriptors are made twice, so that only the cohorts stay in memory."""
        plan = self._stored.plan
        cohorts = {speaker: Cohort() for speaker in SPEAKERS}
        for speaker in SPEAKERS:
            for utterance in bar("describing", sorted(plan.clips[speaker])):
                cohorts[speaker].add(self._describe(speaker, plan.clips[speaker][utterance]))
        found = {}
        for utterance in bar("comparing", plan.pairs):
            source, target = self._stored.pair(utterance)
            found[utterance] = match_pair(
                self._describe("source", source),
                self._describe("target", target),
                sources=cohorts["source"],
                targets=cohorts["target"],
                cohort=self._config.alignment.cohort,
            )
        return judge_corpus(found)

    def _describe(self, speaker: str, clip: ClipSource) -> ClipDescriptor:
        return describe(
            self._stored.mel(speaker, clip),
            self._statistics,
            speaker,
            name=clip.utterance,
            sentence=clip.sentence,
            timebase=self._timebase,
        )

    def _pair_check(self, utterance: str, *, pair: AlignedPair | None = None, error: str | None = None) -> PairCheck:
        match, (source, _) = self._matches[utterance], self._stored.pair(utterance)
        compared = match.verdict != "not compared"
        return PairCheck(
            **labels(source, self._stored.plan.split_of(source)),
            duration_ratio=match.duration_ratio,
            cost=match.cost,  # on the same scale as the cohort's
            cohort_cost=match.cohort_cost if compared else None,
            margin=-match.margin if compared else None,  # the report's grows with the match
            is_pair=match.is_pair if compared else None,
            doubt=match.reason if match.verdict == "doubtful" else None,
            path=pair.path if pair else None,
            error=error,
        )
