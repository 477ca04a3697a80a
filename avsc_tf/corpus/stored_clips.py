"""The clips of a plan and their stored features: what the stages after extraction read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError
from avsc_tf.core.schema import SPEAKERS
from avsc_tf.corpus.feature_cache import FeatureCache
from avsc_tf.corpus.plan import Plan
from avsc_tf.features.clip import ClipFeatures, ClipMeasures, CropPath
from avsc_tf.media.clips import ClipSource

FEATURES_DIR_NAME = "features"
Take = tuple[str, ClipSource]  # speaker of schema.SPEAKERS, clip


class StoredClips:
    """Clips by speaker, each with the key of its feature file; those that cannot be used leave the plan."""

    def __init__(self, plan: Plan, folder: Path, config: Config):
        self.plan = plan
        self._cache = FeatureCache(folder / FEATURES_DIR_NAME, config)
        self._keys: dict[tuple[str, str], str] = {}

    def takes(self) -> list[Take]:
        """All clips of the plan, in order."""
        return [(s, self.plan.clips[s][name]) for s in SPEAKERS for name in sorted(self.plan.clips[s])]

    def pair(self, utterance: str) -> tuple[ClipSource, ClipSource]:
        return self.plan.clips["source"][utterance], self.plan.clips["target"][utterance]

    def digest_files(self, takes: Iterable[Take]) -> tuple[str, list[tuple[Take, MediaError]]]:
        """Read every file once, to know it by its content.

        Returns:
            The digest of all contents and labels together, and the takes that cannot be read.
        """
        rows, unreadable = [], []
        for speaker, clip in takes:
            try:
                key = self._cache.key(clip)
            except MediaError as error:
                unreadable.append(((speaker, clip), error))
                key = ""
            self._keys[speaker, clip.utterance] = key
            names = labels(clip, self.plan.split_of(clip))
            rows.append([speaker, clip.speaker, *names.values(), key])
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16], unreadable

    def missing(self, takes: Iterable[Take]) -> list[list[Take]]:
        """Takes without a whole feature file, those of one content together.

        What a killed run left half-written is deleted.
        """
        self._cache.remove_unfinished()
        groups: dict[str, list[Take]] = {}
        for take in takes:
            key = self._key(*take)
            if key in groups or not self._cache.is_whole(key):
                groups.setdefault(key, []).append(take)
        return list(groups.values())

    def save(self, take: Take, data: bytes) -> None:
        self._cache.save(self._key(*take), data)

    def leave_out(self, take: Take) -> None:
        speaker, clip = take
        del self.plan.clips[speaker][clip.utterance]

    def load(self, speaker: str, clip: ClipSource, *, pictures: bool = False) -> ClipFeatures:
        return self._cache.load(self._key(speaker, clip), pictures=pictures)

    def mel(self, speaker: str, clip: ClipSource) -> np.ndarray:
        return self._cache.array(self._key(speaker, clip), "mel")

    def measures(self, speaker: str, clip: ClipSource) -> tuple[CropPath, ClipMeasures]:
        return self._cache.measures(self._key(speaker, clip))

    def _key(self, speaker: str, clip: ClipSource) -> str:
        return self._keys[speaker, clip.utterance]


def labels(clip: ClipSource, split: str) -> dict[str, str]:
    """schema.LABELS of a clip."""
    return {"utterance": clip.utterance, "emotion": clip.emotion, "sentence": clip.sentence, "split": split}
