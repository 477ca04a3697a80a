"""Reading of source clips: features as preparation computes them, and remarks for the user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError
from avsc_tf.features.clip import ClipExtractor
from avsc_tf.features.partial_clip import PartialClip, missing_stream, read_clip
from avsc_tf.media.clips import ClipSource, separate_sound, single_clip
from avsc_tf.media.container import has_picture


class SourceReader:
    """Reads the streams of source clips that the networks take; the extractor is made at first use.

    Args:
        sound, picture: the modalities of the networks.
        need_both: whether a clip must have both (two separate networks).
    """

    def __init__(self, config: Config, *, sound: bool, picture: bool, need_both: bool):
        self._config, self._sound, self._picture, self._need_both = config, sound, picture, need_both
        self._extractors: dict[int, ClipExtractor] = {}

    def __call__(self, clip: Path, *, audio_track: int = 0) -> PartialClip:
        """Features of a clip with its own or its separate sound.

        Args:
            audio_track: sound track of a video file, counted from 1; 0 selects the default one.

        Raises:
            MediaError: the clip cannot be read, or lacks a stream that the networks need.
            FaceError: no face, or one that is lost for too long.
        """
        if audio_track not in self._extractors:
            sync = replace(self._config.sync, audio_track=audio_track)
            self._extractors = {audio_track: ClipExtractor(replace(self._config, sync=sync))}
        features = read_clip(self._extractors[audio_track], clip_source(clip), sound=self._sound, picture=self._picture)
        missing = missing_stream(features)
        if self._need_both and missing:
            output = "voice" if missing == "sound" else "face"
            raise MediaError(
                f"{clip}: has no {missing}, and these networks convert the {output} from the {missing} alone. Name a "
                "clip with both, or a bundle of one joint network."
            )
        return features


def clip_source(clip: Path) -> ClipSource:
    """A clip with its separate sound, where a clip folder would have found one."""
    return single_clip(clip, separate_sound(clip) if has_picture(clip) else None)


def clip_notes(
    source: PartialClip, *, is_unfamiliar: bool, missing: str = "", modality_dropout: float = 0.0
) -> tuple[str, ...]:
    """Remarks on a source clip: content of its files, a face other than the source speaker's, a missing stream.

    Args:
        missing: "sound" or "picture", for a stream that the networks take and the clip lacks.
        modality_dropout: that of the conversion network's training; at 0 it never saw a clip without a stream.
    """
    notes = list(source.notes)
    if is_unfamiliar:
        notes.append("shows somebody else than the source speaker; standardised by its own mean and deviation")
    if missing:
        other = "picture" if missing == "sound" else "sound"
        warning = ""
        if not modality_dropout:
            warning = "; this network was not trained for that (conversion.modality_dropout is 0): expect a poor result"
        notes.append(f"has no {missing}; voice and face were converted from the {other} alone{warning}")
    return tuple(notes)
