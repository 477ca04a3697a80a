"""The target's clips of prepared records as recordings for the WaveNet."""

from __future__ import annotations

from collections.abc import Sequence

from avsc_tf.core.config import Config
from avsc_tf.core.schema import CLIP
from avsc_tf.corpus.reader import Records, choose, clip_stem
from avsc_tf.datasets.recordings import Recording, StreamedRecordings, resample_for_wavenet
from avsc_tf.datasets.rows import StreamedRows
from avsc_tf.features.pitch import PitchEstimator
from avsc_tf.features.statistics import join_facial
from avsc_tf.signal.pcm import to_float32


class StreamedClips(StreamedRecordings):
    """The target's clips of a split, each made anew from its record whenever it is asked for."""

    NAMES = ("mel", "keypoints", "vgg", "waveform")

    def __init__(self, records: Records, split: str, config: Config, estimator: PitchEstimator | None):
        self._rows = StreamedRows(records, clip_stem("target", split), choose(CLIP, self.NAMES))
        self._statistics = records.statistics
        super().__init__(self._rows.lengths, config, estimator)

    def name(self, k: int) -> str:
        """The utterance, known without reading it."""
        return self._rows.name(k)

    def bare(self, k: int) -> Recording:
        clip = self._rows.read(k, 0, int(self.video_frames[k]))
        facial = self._statistics.standardise("target", "facial", join_facial(clip["vgg"], clip["keypoints"]))
        waveform = resample_for_wavenet(to_float32(clip["waveform"]), self.config)
        return Recording(self.name(k), waveform, clip["mel"], facial)


def recordings_of_records(
    records: Records, split: str, config: Config, estimator: PitchEstimator | None
) -> Sequence[Recording]:
    """The target's clips of a split: a list where they fit into `records.memory_mb`, else read at each use."""
    return StreamedClips(records, split, config, estimator).held_where_it_fits()
