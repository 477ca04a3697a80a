"""What is known of the natural target from its training sentences: how sound and lips go together, who it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avsc_tf.evaluation.videos.material import Material
from avsc_tf.evaluation.videos.watched import FPS, SAMPLE_RATE_HZ, TIMEBASE, Watched
from avsc_tf.features.keypoints import mouth_opening
from avsc_tf.measures import face_identity, speaker_identity, sync
from avsc_tf.measures.expression import EXPRESSION_NAMES, expression_scale
from avsc_tf.measures.lip_correlation import NAIVE_MEANING, LipCorrelation, beside_null, naive_canonical_r, naive_null
from avsc_tf.measures.lip_streams import sync_streams
from avsc_tf.measures.mouth import correlation

MIN_SENTENCES = 5  # to fit a canonical correlation on
FRAMES_EMBEDDED = 8  # of a video, spread evenly
NAN = float("nan")

Streams = tuple[np.ndarray, np.ndarray]  # mel [T, 80] and lips [T, 40], a frame of 40 ms each


@dataclass
class TargetModel:
    """Fitted on natural training sentences; what could not be fitted gives None or NaN.

    Args:
        sentences: mel and lips of each training sentence.
        in_turn: the training sentences are the judged ones: each is scored by what the others taught.
        expression_scale: [k], deviations of the expression's parameters.
        voice: mean embedding; face: [clips, 128]. None where the extra is not installed.
    """

    sentences: Mapping[str, Streams]
    in_turn: bool
    expression_scale: np.ndarray
    voice: np.ndarray | None
    face: np.ndarray | None
    digest: str
    notes: list[str] = field(default_factory=list)
    _fits: dict[str, LipCorrelation] = field(default_factory=dict)
    _speaker: Any = None
    _identity: Any = None

    @classmethod
    def fit(cls, material: Material) -> TargetModel:
        """Go through the training sentences once."""
        speaker = speaker_identity.SpeakerEncoder() if speaker_identity.available() else None
        identity = face_identity.FaceEncoder() if face_identity.available() else None
        sentences: dict[str, Streams] = {}
        films, voices, faces, digest = [], [], [], hashlib.sha256()
        for clip in material.training:
            sentences[clip.utterance] = sync_streams(clip.waveform, clip.sample_rate_hz, clip.keypoints, clip.fps)
            films.append(clip.keypoints)
            digest.update(clip.waveform.tobytes() + clip.keypoints.tobytes())
            if speaker is not None:
                voices.append(speaker.embed(clip.waveform, clip.sample_rate_hz))
            if identity is not None and clip.picture is not None:
                faces.append(identity.embed(clip.picture, clip.middle))
        notes = []
        if len(sentences) < MIN_SENTENCES:
            notes.append(f"Canonical correlation was not measured: it is fitted on {MIN_SENTENCES} sentences at least.")
        missing = [n for n, x in (("speaker similarity", speaker), ("the face's identity", identity)) if x is None]
        if missing:
            notes.append(f"{' and '.join(missing).capitalize()}: not measured (pip install avsc_tf[identity]).")
        digest.update(f"{material.held_out_in_turn} {speaker is None} {identity is None}".encode())
        return cls(
            sentences,
            material.held_out_in_turn,
            expression_scale(films) if films else np.full(len(EXPRESSION_NAMES), np.nan),
            np.nanmean(voices, axis=0) if voices else None,
            np.stack(faces) if faces else None,
            digest.hexdigest(),
            notes,
            _speaker=speaker,
            _identity=identity,
        )

    @property
    def about(self) -> dict[str, Any]:
        """How the canonical correlation was fitted, for the report."""
        how = "each judged sentence left out in turn" if self.in_turn else "none of them judged"
        return {
            "training_sentences": len(self.sentences),
            "explanation": (
                "Canonical r: mel spectrum (window and hop of 40 ms) and lip keypoints as in the paper's 4.5, their "
                f"dimensions reduced, projections fitted on {len(self.sentences)} sentences of the natural target "
                f"({how}) and applied to the judged sentence; beside it the same with sound and lips shifted in time, "
                f"which is what chance gives. {NAIVE_MEANING}"
            ),
        }

    def lips(self, utterance: str) -> LipCorrelation | None:
        """The fit by which a sentence is scored; None where there are too few sentences."""
        key = utterance if self.in_turn else ""
        taught = [streams for name, streams in self.sentences.items() if name != key]
        if len(taught) < MIN_SENTENCES:
            return None
        if key not in self._fits:
            self._fits[key] = LipCorrelation.fit(taught)
        return self._fits[key]

    def together(self, video: Watched, utterance: str) -> dict[str, float | None]:
        """Sound and lips of a video (catalogue: sync)."""
        assert video.waveform is not None
        streams = sync_streams(video.waveform, SAMPLE_RATE_HZ, video.keypoints, FPS, found=video.found)
        loud, opening = sync.loudness(video.waveform, TIMEBASE), mouth_opening(video.keypoints)
        found: dict[str, float | None] = {"loudness_opening_r": correlation(loud[video.found], opening[video.found])}
        naive = beside_null(naive_canonical_r(*streams), naive_null(*streams))
        found |= {"naive_r": naive.r, "naive_null": naive.null_mean}
        lips = self.lips(utterance)
        if lips is not None:
            beside = lips.beside_null(*streams)
            found |= {
                "canonical_r": beside.r,
                "canonical_null": beside.null_mean,
                "canonical_null_high": beside.null_high,
                "above_null": beside.r - beside.null_mean,
                "lip_movement": lips.lip_movement(*streams),
            }
        offset = (
            sync.offset(loud, opening) if lips is None else sync.offset(*lips.variates(*streams), weights=lips.weights)
        )
        return found | {
            "offset_frames": offset.frames,
            "offset_size": abs(offset.frames),
            "sync_confidence": offset.confidence,
        }

    def speaker_similarity(self, waveform: np.ndarray, sample_rate_hz: int) -> float | None:
        """Cosine to the target's mean voice."""
        if self._speaker is None or self.voice is None:
            return None
        return speaker_identity.speaker_similarity(self._speaker.embed(waveform, sample_rate_hz), self.voice)

    def similarity_of(self, video: Watched, other: Watched) -> float | None:
        """Cosine of the voices of two videos."""
        if self._speaker is None or video.waveform is None or other.waveform is None:
            return None
        a, b = (self._speaker.embed(x.waveform, SAMPLE_RATE_HZ) for x in (video, other))
        return speaker_identity.speaker_similarity(a, b)

    def identity_distance(self, video: Watched) -> float | None:
        """Mean distance of a video's faces to the target's mean face."""
        if self._identity is None or self.face is None or not video.has_face:
            return None
        seen = np.flatnonzero(video.found)
        chosen = seen[np.linspace(0, len(seen) - 1, min(FRAMES_EMBEDDED, len(seen))).astype(int)]
        embeddings = self._identity.embed_frames(video.crops[chosen], video.keypoints[chosen])
        return face_identity.identity_distance(embeddings, self.face)
