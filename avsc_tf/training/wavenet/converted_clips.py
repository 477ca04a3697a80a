"""What the WaveNet will hear at conversion, beside the target's natural speech: the source, converted and warped.

At conversion the WaveNet is fed with features that the conversion network made, smoother than natural ones. Parallel
clips allow to train it on the same kind: the source's clip is converted on its own timeline, as at conversion, and the
result is read along the pair's smoothed warping path, so that every frame stands beside the target's samples. Ours; the
paper trains on natural features.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avsc_tf.alignment.pairs import VIDEO_CENTRE, interpolate, interpolate_mel, smooth_warp
from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.core.files import write_atomically
from avsc_tf.core.schema import CLIP, PAIR
from avsc_tf.corpus.reader import Records, choose, clip_stem, pair_stem
from avsc_tf.datasets.recordings import Floats, Recording, StreamedRecordings, side_information
from avsc_tf.datasets.rows import StreamedRows
from avsc_tf.features.pitch import Pitch, PitchEstimator
from avsc_tf.features.statistics import join_facial

# standardised mel [8 frames, n_mels] and facial [frames, n_facial] of the source -> those of the target
Convert = Callable[[Floats, Floats], tuple[Floats, Floats]]

SOURCE_NAMES = ("mel", "keypoints", "vgg")


class ConvertedClips(StreamedRecordings):
    """The target's clips of a split with converted features; a clip without a pair keeps its natural ones.

    Mel and facial feature are those of the conversion network, and so is the prediction filter. The pitch is read from
    the natural or the converted mel, as `wavenet.converted_pitch` says.
    """

    def __init__(
        self,
        natural: Sequence[Recording],
        records: Records,
        split: str,
        convert: Convert,
        config: Config,
        estimator: PitchEstimator | None,
        *,
        cache: Path | None = None,
    ):
        """Args beside the settings:

        natural: all of the target's clips of `split`, in the records' order.
        cache: folder that keeps what was converted, for clips that are asked for again and again.
        """
        timebase = config.timebase
        clips = StreamedRows(records, clip_stem("target", split), ())
        super().__init__(clips.lengths, config, estimator)
        self._natural = natural
        self._convert = convert
        self._cache = cache
        self._writing = threading.Lock()
        self._statistics = records.statistics
        self._per = timebase.mel_per_video
        self._names = [clips.name(k) for k in range(len(clips.lengths))]
        self._pairs = StreamedRows(records, pair_stem(split), choose(PAIR, ("path",)))
        self._sources = StreamedRows(records, clip_stem("source", split), choose(CLIP, SOURCE_NAMES))
        self._pair_of = _by_name(self._pairs)
        self._source_of = _by_name(self._sources)

    @property
    def n_paired(self) -> int:
        """Clips whose features are converted."""
        return sum(name in self._pair_of for name in self._names)

    def bare(self, k: int) -> Recording:
        natural, name = self._natural[k], self._names[k]
        if name not in self._pair_of:
            return natural
        mel, facial = self._cached(k) if self._cache is not None else self._warped(k)
        log_mel = self._statistics.restore("target", "mel", mel).astype(np.float32)
        return Recording(name, natural.waveform, log_mel, facial)

    def side_information(self, k: int, recording: Recording) -> tuple[Pitch | None, Floats | None]:
        pitch, coefficients = side_information(recording.mel, self.config, None)
        if self.estimator is not None and self.config.wavenet.converted_pitch == "converted":
            pitch = self.estimator(recording.mel)
        elif self.estimator is not None:
            pitch = self._natural[k].pitch
        return pitch, coefficients

    def _cached(self, k: int) -> tuple[Floats, Floats]:
        path = self._cache / f"{k:06d}.npz"  # type: ignore[operator]
        if not path.is_file():
            mel, facial = self._warped(k)
            buffer = io.BytesIO()
            np.savez(buffer, mel=mel, facial=facial)
            with self._writing:  # two threads may have met the same clip
                write_atomically(path, buffer.getvalue())
            return mel, facial
        with np.load(path) as stored:
            return stored["mel"], stored["facial"]

    def _warped(self, k: int) -> tuple[Floats, Floats]:
        """Converted features on the target's timeline, standardised, float32."""
        name = self._names[k]
        mel, facial = on_target_timeline(
            *self._converted(name),
            self._pairs.whole(self._pair_of[name])["path"],
            int(self.video_frames[k]),
            smooth_frames=self.config.alignment.smooth_frames,
            mel_per_video=self._per,
        )
        return mel.astype(np.float32), facial.astype(np.float32)

    def _converted(self, name: str) -> tuple[Floats, Floats]:
        """The whole source clip as conversion would make it, both standardised."""
        if name not in self._source_of:
            raise RecordError(f"{name}: the records hold the pair but not the source's clip. Prepare them again.")
        k = self._source_of[name]
        clip = self._sources.read(k, 0, int(self._sources.lengths[k]))
        facial = join_facial(clip["vgg"], clip["keypoints"])
        return self._convert(
            self._statistics.standardise("source", "mel", clip["mel"]),
            self._statistics.standardise("source", "facial", facial),
        )


def on_target_timeline(
    mel: Floats, facial: Floats, path: NDArray[np.int32], n_target: int, *, smooth_frames: int, mel_per_video: int
) -> tuple[Floats, Floats]:
    """Features on the source's timeline, read along the smoothed `path` [steps, 2] at the target's `n_target` frames.

    Returns:
        mel [n_target * mel_per_video, n_mels] and facial [n_target, n_facial], as the aligned pairs are made.
    """
    positions = smooth_warp(path, n_target, axis=1, smooth_frames=smooth_frames)
    warped = interpolate_mel(mel, positions, mel_per_video=mel_per_video)
    return warped, interpolate(facial, positions - VIDEO_CENTRE)


def _by_name(rows: StreamedRows) -> dict[str, int]:
    return {rows.name(k): k for k in range(len(rows.lengths))}
