"""The process that holds the networks: clean clips in, finished videos out, one at a time.

Started with one argument of JSON, `{"bundle": [...], "vocoders": [...], "provenance": {...}}`. Says
`{"ready": {...}}` or `{"failed": ..., "kind": ...}`, then for each job `{"stage": ..., "share": ...}` and last
`{"done": {...}}` or `{"error": ..., "kind": ...}`. It ends when standard input does, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from avsc_tf.core.errors import AvscError, TooLargeError, UnexpectedError
from avsc_tf.service.processes import LineChannel

UNEXPECTED = "server"  # kind of an error after which this process is not to be trusted with another clip


class _CancelledError(BaseException):
    """Asked to stop between two stages; no `Exception`, since those are errors of a clip."""


class _Channel(LineChannel):
    """Messages of this process and jobs for it."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        super().__init__()

    def take(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            self.cancelled.set()
        else:
            self.cancelled.clear()
            super().take(message)

    def at(self, stage: str, share: float) -> None:
        if self.cancelled.is_set():
            raise _CancelledError
        self.say(stage=stage, share=round(share, 3))


def main() -> None:
    """Load, then convert until standard input ends."""
    channel = _Channel()
    asked = json.loads(sys.argv[1])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GLOG_minloglevel", "3")
    from avsc_tf.conversion.loading import load_bundle, modalities_of, vocoders_of
    from avsc_tf.service.settings import ProvenanceSettings

    try:
        runs = [Path(run) for run in asked["bundle"]]
        modalities = modalities_of(*runs)
        vocoders = vocoders_of(modalities, None if modalities == "visual" else asked["vocoders"], runs[0])
        bundle = load_bundle(*runs, vocoders=vocoders)
        provenance = ProvenanceSettings(**asked["provenance"]).provenance()
        if provenance is not None:
            provenance.identity()
    except AvscError as error:
        channel.say(failed=str(error), kind=type(error).__name__)
        return
    time = bundle.config.time
    channel.say(
        ready={
            "fps": time.video_fps,
            "sample_rate_hz": time.sample_rate_hz,
            "sound": bundle.has_voice,
            "picture": bundle.has_face,
            "vocoders": list(vocoders),
        }
    )
    while True:
        _convert(bundle, provenance, channel.messages.get(), channel)


def _convert(bundle: Any, provenance: Any, job: dict[str, Any], channel: _Channel) -> None:
    clip, output = Path(job["clip"]), Path(job["output"])
    try:
        from avsc_tf.conversion.batch import BatchOptions, convert_jobs
        from avsc_tf.conversion.jobs import ClipJob

        options = BatchOptions(job["seed"], provenance=provenance, on_stage=channel.at)
        result = convert_jobs(bundle, [ClipJob(clip, {job["vocoder"]: output})], options)
        for error in result.errors.values():
            raise error
    except _CancelledError:
        channel.say(error="cancelled", kind="cancelled")
    except TooLargeError:
        channel.say(error="the upload needs more memory to convert than there is. Send a shorter clip.", kind="memory")
    except UnexpectedError as error:
        print(f"error: {error}", file=sys.stderr)
        channel.say(error="the server could not work on it; its own output says why", kind=UNEXPECTED)
    except AvscError as error:
        channel.say(error=str(error), kind=type(error).__name__)
    else:
        channel.say(done={"notes": [f"the upload: {note}" for note in result.notes.get(clip, ())]})
