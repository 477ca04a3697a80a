"""Sound against lips along long videos: drift.json and a line a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from avsc_tf.core.config import load_config
from avsc_tf.core.errors import MediaError
from avsc_tf.evaluation.copy_synthesis import write_json
from avsc_tf.evaluation.drift import MIN_WINDOWS, WINDOW_SECONDS, drift
from avsc_tf.evaluation.videos.watched import FPS, SAMPLE_RATE_HZ
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.keypoints import N_KEYPOINTS
from avsc_tf.measures.lip_correlation import LipCorrelation
from avsc_tf.measures.lip_streams import sync_streams
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import ClipFrames
from avsc_tf.media.container import has_sound
from avsc_tf.media.video import probe_video

FILE_NAME = "drift.json"
MIN_SEEN_SHARE = 0.5  # of the frames with a face


def report_drift(videos: Sequence[Path], config: str | Path, out: Path) -> str:
    """Measure each video and write OUT/drift.json.

    The canonical projections come from the video itself, fitted at the lag at which sound and lips share most: they say
    which movement belongs to which sound, and a drift of some frames over the whole does not hide that.

    Raises:
        MediaError: a video cannot be read, is silent, or is too short for a line.
    """
    face = load_config(config).face
    found: dict[str, Any] = {}
    lines = []
    with FaceTracker(face.min_detection_confidence) as tracker:
        for path in videos:
            mel, lips = long_streams(path, tracker)
            fitted = LipCorrelation.fit_at_best_lag(mel, lips)
            run = drift(*fitted.variates(mel, lips), fps=FPS, weights=fitted.weights)
            middle, low, high = run.frames_in_ten_minutes
            found[str(path)] = {
                "seconds": len(mel) / FPS,
                "frames_in_ten_minutes": {"slope": middle, "low": low, "high": high},
                "ms_per_minute": run.ms_per_minute,
                "offset_frames": float(np.nanmedian(run.offsets_frames)),
                "windows": [
                    {"seconds": float(t), "offset_frames": None if np.isnan(x) else float(x)}
                    for t, x in zip(run.centres_seconds, run.offsets_frames, strict=True)
                ],
            }
            lines.append(
                f"{path}: {middle:+.2f} frames in ten minutes ({low:+.2f} to {high:+.2f}), lips "
                f"{np.nanmedian(run.offsets_frames):+.2f} frames after the sound, {len(run.offsets_frames)} windows"
            )
    write_json(out / FILE_NAME, found)
    return "\n".join([*lines, str(out / FILE_NAME)])


def long_streams(path: Path, tracker: FaceTracker) -> tuple[np.ndarray, np.ndarray]:
    """Mel and lips of a video of any length; one picture is held at a time.

    Raises:
        MediaError: it is silent, without a face, or too short for three windows.
    """
    n_frames = probe_video(path).frames_at(FPS)
    if n_frames < MIN_WINDOWS * WINDOW_SECONDS * FPS:
        raise MediaError(
            f"{path}: lasts {n_frames / FPS:.0f} s; a drift is a line through {MIN_WINDOWS} windows of "
            f"{WINDOW_SECONDS:g} s at least. Name a longer video."
        )
    if not has_sound(path):
        raise MediaError(f"{path}: holds no sound, so nothing can drift against its lips. Name a video with sound.")
    keypoints = np.full((n_frames, N_KEYPOINTS, 2), np.nan, np.float32)
    frames = ClipFrames(path, FPS, n_frames)
    for index, frame in enumerate(tqdm(frames, desc=path.name, unit="frame", total=n_frames, dynamic_ncols=True)):
        faces = tracker.faces_near_and_far(frame)
        if faces:
            keypoints[index] = faces[0].keypoints
    if (n_seen := int(np.isfinite(keypoints[:, 0, 0]).sum())) < MIN_SEEN_SHARE * n_frames:
        raise MediaError(
            f"{path}: a face is found in {n_seen} of {n_frames} frames; half of them are needed. Show one face, from "
            "the front."
        )
    waveform = read_audio(path, sample_rate_hz=SAMPLE_RATE_HZ)
    return sync_streams(waveform, SAMPLE_RATE_HZ, keypoints, FPS, found=np.isfinite(keypoints[:, 0, 0]))
