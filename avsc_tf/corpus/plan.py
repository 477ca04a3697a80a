"""What a preparation has to do: the clips of both folders, their pairs, and the split of every sentence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from avsc_tf.core.errors import AlignmentError
from avsc_tf.corpus.splits import assign_splits, sentence_key
from avsc_tf.media.clips import ClipSource, read_clip_folder


@dataclass(frozen=True)
class Plan:
    """Clips by utterance for each speaker of schema.SPEAKERS; pairs are the utterances both have."""

    clips: dict[str, dict[str, ClipSource]]
    splits: dict[str, str]  # sentence_key -> "train" or "test"
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each speaker's folder, see `ClipFolder`

    @property
    def pairs(self) -> list[str]:
        """Utterances that both speakers said, sorted."""
        return sorted(self.clips["source"].keys() & self.clips["target"].keys())

    def split_of(self, clip: ClipSource) -> str:
        return self.splits[sentence_key(clip.sentence)]


def make_plan(source_dir: Path, target_dir: Path, *, test_share: float) -> Plan:
    """Find clips and pairs.

    Raises:
        MediaError: a folder is missing or holds no clips.
        AlignmentError: no utterance is in both folders, or one has different sentences in them.
        RecordError: contradicting splits in the manifests.
    """
    folders = {"source": read_clip_folder(source_dir), "target": read_clip_folder(target_dir)}
    clips = {speaker: {clip.utterance: clip for clip in folder.clips} for speaker, folder in folders.items()}
    _share_sentences(clips["source"], clips["target"])
    everything = [clip for speaker in clips.values() for clip in speaker.values()]
    notes = {speaker: folder.notes for speaker, folder in folders.items() if folder.notes}
    plan = Plan(clips, assign_splits(everything, test_share=test_share), notes)
    if not plan.pairs:
        examples = " and ".join(sorted(speaker)[0] for speaker in clips.values())
        raise AlignmentError(
            f"{source_dir} and {target_dir}: no clip of one has its name in the other (for example {examples}). "
            "A pair is two clips of the same name, one in each folder."
        )
    for utterance in plan.pairs:
        _check_same_sentence(clips["source"][utterance], clips["target"][utterance])
    return plan


def _share_sentences(source: dict[str, ClipSource], target: dict[str, ClipSource]) -> None:
    """Where only one clip of a pair has its sentence named, the other says the same: both get it (and so one split)."""
    for utterance in source.keys() & target.keys():
        for clips, others in ((source, target), (target, source)):
            if clips[utterance].sentence in ("", utterance):
                clips[utterance] = replace(clips[utterance], sentence=others[utterance].sentence or utterance)


def _check_same_sentence(source: ClipSource, target: ClipSource) -> None:
    if sentence_key(source.sentence) != sentence_key(target.sentence):
        raise AlignmentError(
            f"{source.utterance}: the source says {source.sentence!r}, the target {target.sentence!r}. "
            "A pair must say the same sentence; correct manifest.csv or rename one of the clips."
        )
