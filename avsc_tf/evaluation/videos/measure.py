"""The figures of one finished video: alone, beside the target's, and beside the source's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avsc_tf.evaluation.timeline import TimeMap, picture_seconds, warp_frames, warp_keypoints
from avsc_tf.evaluation.videos.target_model import TargetModel
from avsc_tf.evaluation.videos.watched import FPS, SAMPLE_RATE_HZ, TIMEBASE, Watched
from avsc_tf.features.keypoints import LIPS
from avsc_tf.measures import face_quality, mouth, picture, voice
from avsc_tf.measures.duration import duration_agreement
from avsc_tf.measures.expression import expression_distance
from avsc_tf.measures.loudness import loudness_difference_db
from avsc_tf.measures.mel_cepstrum import HOP_MS, mel_cepstral_distortion, sounding
from avsc_tf.measures.pitch_contour import pitch_agreement

FRAME_EVERY = 4  # pictures compared pixel by pixel
SAME_LENGTH_FRAMES = 1  # a video as long as its source lies on the source's timeline
NAN = float("nan")
BY_SOUND = "DTW of the sounds"

Figures = dict[str, float | None]


def time_map_between(
    video: Watched, reference: Watched, of_source: TimeMap | None, source_frames: int | None
) -> TimeMap:
    """From the video's seconds to the reference's.

    By what is known of source and target, where the video is as long as its source; by the sounds of the two else.
    """
    if of_source is None or source_frames is None or abs(video.n_frames - source_frames) > SAME_LENGTH_FRAMES:
        return map_by_sound(video, reference)
    return of_source


def map_by_sound(video: Watched, reference: Watched) -> TimeMap:
    """The way in time by the two sounds alone; at equal speed where one of them does not sound."""
    found = None
    if video.waveform is not None and reference.waveform is not None:
        found = map_by_cepstra(video.cepstra, reference.cepstra)
    return same_time(video) if found is None else found


def map_by_cepstra(cepstra: np.ndarray, reference: np.ndarray) -> TimeMap | None:
    """The path of the mel-cepstral distortion as a map; None where one of the two does not sound.

    Each loses its own mean first, which is voice and microphone rather than speech.
    """
    path = mel_cepstral_distortion(_without_mean(cepstra), _without_mean(reference)).path
    if len(path) < 2:
        return None
    frames, first = np.unique(path[:, 0], return_index=True)
    means = np.add.reduceat(path[:, 1], first) / np.diff(np.append(first, len(path)))
    hop_s = HOP_MS / 1000
    return TimeMap(frames * hop_s, means * hop_s, (frames[0] * hop_s, (frames[-1] + 1) * hop_s), BY_SOUND)


def same_time(video: Watched) -> TimeMap:
    """Both on one clock; speech is what sounds, or all where nothing does."""
    end_s = video.n_frames / FPS
    speech_s = (-1.0, end_s)
    if video.waveform is not None and len(heard := sounding(video.cepstra)):
        speech_s = heard[0] * HOP_MS / 1000, (heard[-1] + 1) * HOP_MS / 1000
    return TimeMap(np.array([0.0, end_s]), np.array([0.0, end_s]), speech_s, "the same time")


def _without_mean(cepstra: np.ndarray) -> np.ndarray:
    heard = sounding(cepstra)
    mean = cepstra[heard].mean(axis=0) if len(heard) else np.zeros(cepstra.shape[1])
    mean[0] = 0.0
    return cepstra - mean


def voice_figures(video: Watched, reference: Watched, times: TimeMap, target: TargetModel) -> Figures:
    """The voice beside a reference's (catalogue: voice); empty where one of them is silent."""
    if video.waveform is None or reference.waveform is None:
        return {}
    of_frames = times(video.pitch.seconds)
    spoken = times.spoken(video.pitch.seconds)
    own = voice.audible_voice(video.pitch, video.log_mel, reference.log_mel, TIMEBASE.mel_fps)
    wanted = voice.audible_voice(reference.pitch, reference.log_mel, reference.log_mel, TIMEBASE.mel_fps).at(of_frames)
    pitch = pitch_agreement(own.f0_hz[spoken], wanted.f0_hz[spoken])
    return {
        "mcd_db": mel_cepstral_distortion(video.cepstra, reference.cepstra).mean_db,
        "f0_rmse_cents": pitch.rmse_cents,
        "f0_median_cents": pitch.median_cents,
        "f0_rmse_hz": pitch.rmse_hz,
        "f0_r": pitch.correlation,
        "voicing_error": pitch.voicing_error,
        "duration_ratio": duration_agreement(video.log_mel, reference.log_mel, mel_fps=TIMEBASE.mel_fps).ratio,
        "loudness_db": loudness_difference_db(video.waveform, reference.waveform, SAMPLE_RATE_HZ),
    }


def voice_alone(video: Watched, target: TargetModel) -> Figures:
    """What needs no reference sentence."""
    if video.waveform is None:
        return {}
    return {
        "predicted_mos": voice.predicted_mos(video.waveform, SAMPLE_RATE_HZ),
        "speaker_similarity": target.speaker_similarity(video.waveform, SAMPLE_RATE_HZ),
    }


def movement_figures(video: Watched, reference: Watched, times: TimeMap, target: TargetModel) -> Figures:
    """How the face moves beside a reference's, in the speech, on the video's timeline; empty without a face."""
    seen, _, wanted = _faces(video, reference, times)
    if not seen.any():
        return {}
    agreement = mouth.mouth_agreement(video.keypoints[seen], wanted[seen])
    everywhere, at_mouth = mouth.keypoint_distance(video.keypoints[seen], wanted[seen])
    return {
        "keypoint_distance": everywhere,
        "mouth_distance": at_mouth,
        "opening_r": agreement.opening_r,
        "width_r": agreement.width_r,
        "opening_sd_ratio": agreement.opening_sd_ratio,
        "expression_distance": expression_distance(video.keypoints[seen], wanted[seen], target.expression_scale),
    }


def picture_figures(video: Watched, reference: Watched, times: TimeMap) -> Figures:
    """How the face looks beside a reference's, every `FRAME_EVERY`th picture; empty without a face."""
    seen, there, wanted = _faces(video, reference, times)
    if not seen.any():
        return {}
    chosen = np.flatnonzero(seen)[::FRAME_EVERY]
    pictures = warp_frames(reference.crops, there[chosen], TIMEBASE)
    laid = face_quality.eyes_laid_on(video.crops[chosen], video.keypoints[chosen], wanted[chosen])
    frames = picture.frame_agreement(laid, pictures, wanted[chosen, LIPS].mean(axis=1))
    beside = (video.crops, video.keypoints, reference.crops, reference.keypoints)
    return {
        "mouth_ssim": frames.mouth_ssim,
        "face_ssim": frames.frame_ssim,
        "psnr_db": float(np.mean([picture.psnr_db(a, b) for a, b in zip(laid, pictures, strict=True)])),
        "texture_distance": face_quality.texture_distance(laid, pictures),
        "edge_ratio": face_quality.edge_ratio(*beside),
        "flicker_ratio": face_quality.flicker_ratio(*beside),
    }


def _faces(video: Watched, reference: Watched, times: TimeMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which frames count (bool [T]), their moments in the reference's time [T], and its keypoints then [T, 70, 2]."""
    seconds = picture_seconds(video.n_frames, TIMEBASE)
    there = times(seconds)
    wanted = warp_keypoints(reference.keypoints, there, TIMEBASE)
    return times.spoken(seconds) & video.found & np.isfinite(wanted[:, 0, 0]), there, wanted


def face_alone(video: Watched, target: TargetModel) -> Figures:
    """What needs no reference sentence."""
    return {"identity_distance": target.identity_distance(video), "face_share": float(video.found.mean())}


def sync_alone(video: Watched, utterance: str, target: TargetModel) -> Figures:
    """How sound and lips of one video go together (catalogue: sync)."""
    if video.waveform is None or not video.has_face:
        return {}
    return target.together(video, utterance)


def all_figures(
    video: Watched, utterance: str, reference: Watched, times: TimeMap, target: TargetModel
) -> dict[str, Figures]:
    """Every table of one video, beside the target's recording of the sentence."""
    return {
        "voice": voice_figures(video, reference, times, target) | voice_alone(video, target),
        "face": {
            **movement_figures(video, reference, times, target),
            **picture_figures(video, reference, times),
            **face_alone(video, target),
        },
        "sync": sync_alone(video, utterance, target),
    }


def beside_source(video: Watched, source: Watched, target: TargetModel) -> Figures:
    """How much of the source is left: the same figures with the source's recording as the reference."""
    times = (
        same_time(video) if abs(video.n_frames - source.n_frames) <= SAME_LENGTH_FRAMES else map_by_sound(video, source)
    )
    found = voice_figures(video, source, times, target) | movement_figures(video, source, times, target)
    found["speaker_similarity"] = target.similarity_of(video, source)
    return found


def finite(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """Plain floats; what could not be measured is None."""
    return {k: None if v is None or not np.isfinite(v) else float(v) for k, v in figures.items()}
