"""The unit of work of preparation: one clip in, its features as bytes out, anywhere.

A task names files and settings and depends on nothing else; its result is the same bytes on any worker. Only the
process that asked for it writes, so that no worker can leave half a file behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from avsc_tf.core.config import Config
from avsc_tf.core.errors import AvscError
from avsc_tf.core.unexpected import as_clip_error
from avsc_tf.corpus.feature_cache import encode_features
from avsc_tf.features.clip import ClipExtractor, ClipFeatures
from avsc_tf.media.clips import ClipSource

MAX_ATTEMPTS = 3  # a worker may be killed for reasons that are not the clip's; thrice is the clip's


@dataclass(frozen=True)
class ClipTask:
    """Features of one clip under `config`."""

    clip: ClipSource
    config: Config


Outcome = bytes | AvscError  # a feature file's bytes (see `feature_cache`), or why the clip cannot be used


class ClipWorker:
    """Keeps the networks between tasks of the same settings."""

    def __init__(self) -> None:
        self._extractor: ClipExtractor | None = None

    def outcomes(self, tasks: Iterable[ClipTask]) -> Iterator[Outcome]:
        """One outcome a task, in order; the next clip is read while VGG-19 sees this one."""
        iterator = iter(tasks)
        for first in iterator:
            yield from self._of_one_config(first, iterator)

    def _of_one_config(self, first: ClipTask, rest: Iterator[ClipTask]) -> Iterator[Outcome]:
        if self._extractor is None or self._extractor.config != first.config:
            self._extractor = ClipExtractor(first.config)

        begun: deque[ClipSource] = deque()

        def clips() -> Iterator[ClipSource]:
            begun.append(first.clip)
            yield first.clip
            for task in rest:
                if task.config != first.config:
                    raise ValueError("tasks of one run share their settings")
                begun.append(task.clip)
                yield task.clip

        for features in self._extractor.one_ahead(clips()):
            yield _outcome(features, begun.popleft())


def _outcome(features: Callable[[], ClipFeatures], clip: ClipSource) -> Outcome:
    try:
        return encode_features(features())
    except Exception as error:
        return as_clip_error(error, clip.video)


def use_one_core() -> None:
    """Keep TensorFlow and OpenCV of a worker process to one thread, so that N workers use N cores."""
    import cv2
    import tensorflow as tf

    cv2.setNumThreads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
