"""Makes the finished videos that an evaluation of run folders judges: each row of answers as mp4 files of one kind.

OUT/videos/ROW/NAME.mp4 for the target's recording, the source's, the converted sentences and the trivial answers. All
go the way of every finished video (pictures to H.264, sound to AAC), so that their figures differ by what they show.
What has mel and no waveform (mean, ridge, the target through the alignment) speaks by Griffin-Lim.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from avsc_tf.conversion.loading import load_bundle, modalities_of
from avsc_tf.core.errors import BundleError
from avsc_tf.core.runs import NETWORKS, config_path, statistics_path, weights_path
from avsc_tf.corpus.manifest import MANIFEST_NAME
from avsc_tf.corpus.reader import Records, decode_frames
from avsc_tf.evaluation.held_out import Folders, Sentence, held_out_sentences, through_alignment
from avsc_tf.evaluation.row_folder import RowFolder
from avsc_tf.evaluation.rows import Answer, TrivialAnswers
from avsc_tf.evaluation.videos.material import (
    MEAN,
    RIDGE,
    SECOND_TAKE,
    SOURCE,
    TARGET,
    THROUGH_ALIGNMENT,
    Material,
    NaturalClip,
    SentenceInfo,
    short_labels,
)
from avsc_tf.features.partial_clip import PartialClip
from avsc_tf.media.clips import find_clips
from avsc_tf.media.mux import write_video
from avsc_tf.signal.pcm import to_float32
from avsc_tf.vocoder import Vocoder
from avsc_tf.vocoder.griffin_lim import griffin_lim

SENTENCES_A_BATCH = 16

# pictures uint8 [T, S, S, 3] and float32 [samples] of one sentence
PictureAndSound = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class System:
    """Run folders of one system: a joint network's, or those of the two baselines."""

    runs: Sequence[Path]
    vocoder: Vocoder
    seed: int

    def digest(self, records: Records) -> str:
        """Of everything its videos depend on."""
        found = hashlib.sha256(f"{self.vocoder} {self.seed} {origin_of(records)}".encode())
        for run in self.runs:
            parts = [part for network in NETWORKS for part in (config_path(run, network), weights_path(run, network))]
            for part in (statistics_path(run), *parts):
                if part.is_file():
                    found.update(part.read_bytes())
        return found.hexdigest()


def make_videos(
    records: Records, systems: Mapping[str, System], folders: Folders, out: Path, *, second_take: Path | None = None
) -> Material:
    """Convert the held-out sentences and write every row's videos; those that are there already are kept.

    Args:
        systems: by row, `CONVERTED` and perhaps `VERSUS`.
        folders: label times of the clips, where there are any; else the warping path of the records is the way in time.
        second_take: folder of the target's second takes.

    Raises:
        RecordError: no held-out sentence. BundleError: a run folder lacks a part, or makes sound or picture alone.
    """
    for system in systems.values():
        _check_both(system)
    sentences = held_out_sentences(records, folders)
    videos, names = out / "videos", [s.utterance for s in sentences]
    rows: dict[str, dict[str, Path]] = {}
    for row, system in systems.items():
        place = RowFolder(videos / row, system.digest(records))
        missing = place.missing(names)
        _convert(system, [s for s in sentences if s.utterance in missing], place, records)
        rows[row] = place.files(names)
    rows |= _other_rows(records, sentences, videos)
    if second_take is not None:
        rows[SECOND_TAKE] = {c.utterance: c.video for c in find_clips(second_take) if c.utterance in names}
    infos = [SentenceInfo(s.utterance, s.emotion, s.source["sentence"], s.time_map) for s in sentences]
    labels = short_labels({row: system.runs for row, system in systems.items()})
    return Material(rows, infos, TrainingClips(records), labels=labels, notes=_notes(sentences))


@dataclass(frozen=True)
class TrainingClips:
    """The target's training sentences, read anew with each iteration."""

    records: Records

    def __iter__(self) -> Iterator[NaturalClip]:
        config = self.records.config
        scale = config.image.size_px / config.face.crop_px
        for clip in self.records.clips("target", "train", only=("utterance", "waveform", "keypoints", "frames")):
            middle = decode_frames([clip["frames"][len(clip["frames"]) // 2]])[0]
            waveform = to_float32(clip["waveform"])
            yield NaturalClip(
                clip["utterance"],
                waveform,
                config.time.sample_rate_hz,
                clip["keypoints"] * scale,
                middle,
                config.time.video_fps,
            )


def origin_of(records: Records) -> str:
    """Digest of the records: their manifest names the digest of every shard."""
    return hashlib.sha256((records.folder / MANIFEST_NAME).read_bytes()).hexdigest()


def _check_both(system: System) -> None:
    modalities = modalities_of(*system.runs)
    if modalities in ("audio", "visual"):
        other = "visual" if modalities == "audio" else "audio"
        raise BundleError(
            f"{system.runs[0]}: converts {'sound' if modalities == 'audio' else 'the face'} alone, which gives no "
            f"video. Name the {other} baseline's run folder after it."
        )


def _notes(sentences: Sequence[Sentence]) -> list[str]:
    origins = " and ".join(sorted({s.time_map.origin for s in sentences}))
    notes = [f"Converted sentences lie on the source's timeline; the target is brought to it by {origins}."]
    if "DTW" in origins:
        notes.append(
            "Errors of the warping path count against every row but the target's; name label times to be rid of them."
        )
    return notes


def _convert(system: System, sentences: Sequence[Sentence], row: RowFolder, records: Records) -> None:
    if not sentences:
        return
    bundle = load_bundle(*system.runs, vocoders=[system.vocoder])
    with tqdm(
        total=len(sentences), desc=f"convert by {system.runs[0].name}", unit="sentence", dynamic_ncols=True
    ) as bar:
        for start in range(0, len(sentences), SENTENCES_A_BATCH):
            batch = sentences[start : start + SENTENCES_A_BATCH]
            features = [bundle.convert_features(_features(s)) for s in batch]
            voices = bundle.synthesise(features, vocoder=system.vocoder, seed=system.seed)
            for sentence, feature, waveform in zip(batch, features, voices, strict=True):
                frames = bundle.paint(feature)
                converted = bundle.finish(feature, waveform, frames, system.vocoder, seed=system.seed)
                converted.save(row.path(sentence.utterance))
                bar.update()


def _features(sentence: Sentence) -> PartialClip:
    clip = sentence.source
    return PartialClip(len(clip["keypoints"]), clip["mel"], clip["keypoints"], clip["vgg"])


def _other_rows(records: Records, sentences: Sequence[Sentence], videos: Path) -> dict[str, dict[str, Path]]:
    """The recordings and the trivial answers; these are fitted only where a video is missing."""
    origin = origin_of(records)
    fitted: list[TrivialAnswers] = []

    def trivial() -> TrivialAnswers:
        if not fitted:
            fitted.append(TrivialAnswers(records, progress=True))
        return fitted[0]

    makers: dict[str, Callable[[Sentence], PictureAndSound]] = {
        TARGET: lambda s: (decode_frames(s.target["frames"]), s.waveform("target")),
        SOURCE: lambda s: (decode_frames(s.source["frames"]), s.waveform("source")),
        MEAN: lambda s: _spoken(trivial().mean(s.source), records),
        RIDGE: lambda s: _spoken(trivial().ridge(s.source), records),
        THROUGH_ALIGNMENT: lambda s: _spoken(through_alignment(s, records.config), records),
    }
    names = [s.utterance for s in sentences]
    places = {row: RowFolder(videos / row, origin) for row in makers}
    missing = {row: place.missing(names) for row, place in places.items()}
    total = sum(len(m) for m in missing.values())
    with tqdm(total=total, desc="recordings and trivial answers", unit="video", disable=not total) as bar:
        for row, place in places.items():
            for sentence in sentences:
                if sentence.utterance in missing[row]:
                    _write(place.path(sentence.utterance), makers[row](sentence), records)
                    bar.update()
    return {row: place.files(names) for row, place in places.items()}


def _write(path: Path, made: PictureAndSound, records: Records) -> None:
    time = records.config.time
    frames, waveform = made
    write_video(path, frames, waveform, fps=time.video_fps, sample_rate_hz=time.sample_rate_hz)


def _spoken(answer: Answer, records: Records) -> PictureAndSound:
    assert answer.frames is not None
    config = records.config
    return answer.frames, griffin_lim(answer.mel, config.acoustic, config.timebase, seed=config.seed)
