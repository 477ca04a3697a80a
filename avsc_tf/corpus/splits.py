"""Which sentences train and which test: by a stable digest of the sentence, never by clip."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from avsc_tf.core.errors import RecordError
from avsc_tf.media.clips import ClipSource


def sentence_key(text: str) -> str:
    """The sentence without the differences that are none: case and spacing."""
    return " ".join(text.casefold().split())


def digest_split(sentence: str, *, test_share: float) -> str:
    """ "train" or "test": the same on every machine and however the corpus grows.

    About `test_share` of all sentences fall to "test".
    """
    digest = hashlib.sha256(sentence_key(sentence).encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") < test_share * 2**64 else "train"


def assign_splits(clips: Iterable[ClipSource], *, test_share: float) -> dict[str, str]:
    """Split of every sentence (by `sentence_key`) of a corpus; a manifest's word for it wins.

    Args:
        clips: of both speakers together, so that no sentence stands on both sides.

    Raises:
        RecordError: the manifests name two splits for one sentence.
    """
    named: dict[str, tuple[str, ClipSource]] = {}
    sentences: dict[str, str] = {}
    for clip in clips:
        key = sentence_key(clip.sentence)
        sentences[key] = digest_split(key, test_share=test_share)
        if not clip.split:
            continue
        split, other = named.setdefault(key, (clip.split, clip))
        if split != clip.split:
            raise RecordError(
                f"{clip.video}: its sentence {clip.sentence!r} is in {clip.split}, but in {split} for {other.video}. "
                "Give a sentence one split in manifest.csv."
            )
    return sentences | {key: split for key, (split, _) in named.items()}
