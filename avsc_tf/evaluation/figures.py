"""All figures of a run, each in its row of trivial answers, as one plain dictionary (figures.json).

    figures[table][row][figure] = {"mean", "low", "high", "n", "sentences": {utterance: value}}

Tables: `features` (mel, keypoints and frames on the source's timeline), `voices` (waveforms), `copy_synthesis`
(vocoders fed with the target's own features) and `sync` (sound against lips). `aims` and `gate` judge them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.timebase import Timebase
from avsc_tf.corpus.reader import decode_frames
from avsc_tf.evaluation.confidence import Estimate, estimate, ratio
from avsc_tf.evaluation.held_out import Sentence
from avsc_tf.evaluation.rows import Answer
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.keypoints import LIPS, mouth_opening
from avsc_tf.measures import face_quality, mouth, picture, spectrum, sync, voice
from avsc_tf.measures import tracked_face as face
from avsc_tf.signal.speech import audible_frames

FRAME_EVERY = 4  # video frames compared for SSIM and L1
NAN = float("nan")

Values = dict[str, dict[str, dict[str, float]]]  # row -> figure -> utterance -> value


class Table:
    """Values by row, figure and sentence, collected one sentence at a time."""

    def __init__(self) -> None:
        self.values: Values = {}

    def add(self, row: str, utterance: str, figures: Mapping[str, float | None]) -> None:
        """Enter a sentence's figures; None (could not be measured here) is entered as NaN."""
        for name, value in figures.items():
            number = NAN if value is None else float(value)
            self.values.setdefault(row, {}).setdefault(name, {})[utterance] = number

    def summary(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Every figure with its mean, 95 % interval, n and the sentences' values."""
        return {
            row: {name: figure_entry(estimate(list(by.values())), by) for name, by in figures.items()}
            for row, figures in self.values.items()
        }


def figure_entry(found: Estimate, sentences: Mapping[str, float] | None = None) -> dict[str, Any]:
    """An estimate as plain values; NaN becomes None, which JSON can hold."""
    entry: dict[str, Any] = {k: _plain(v) for k, v in dataclasses.asdict(found).items()}
    return {**entry, "sentences": {k: _plain(v) for k, v in (sentences or {}).items()}}


def _plain(value: float) -> float | int | None:
    return value if isinstance(value, int) else (round(float(value), 5) if np.isfinite(value) else None)


def feature_figures(
    answer: Answer, sentence: Sentence, again: face.Retracked | None, config: Config
) -> dict[str, float]:
    """One answer beside the reference, on the frames within the speech.

    Args:
        again: the face tracked in the answer's own frames, or None where it was not.
    """
    reference, spoken_mel, spoken = sentence.reference, sentence.spoken_mel, sentence.spoken_pictures
    found = {
        "mcd_db": spectrum.mel_cepstral_distortion_db(answer.mel[spoken_mel], reference.mel[spoken_mel]),
        "log_mel_l1": spectrum.log_mel_l1(answer.mel[spoken_mel], reference.mel[spoken_mel]),
        "lip_error": mouth.lip_error(answer.keypoints[spoken], reference.keypoints[spoken]),
        **dataclasses.asdict(mouth.mouth_agreement(answer.keypoints[spoken], reference.keypoints[spoken])),
    }
    if answer.frames is not None and reference.frames is not None:
        chosen = np.flatnonzero(spoken)[::FRAME_EVERY]
        scale = reference.frames.shape[1] / config.face.crop_px
        lips_px = reference.keypoints[chosen, LIPS].mean(axis=1) * scale
        agreement = picture.frame_agreement(answer.frames[chosen], reference.frames[chosen], lips_px)
        found |= dataclasses.asdict(agreement)
        found |= look_figures(answer, sentence, again, config)
    return found if again is None else found | retracked_figures(again, sentence)


def look_figures(answer: Answer, sentence: Sentence, again: face.Retracked | None, config: Config) -> dict[str, float]:
    """How an answer's frames look: beside the reference once its eyes lie on the reference's, and beside the target's
    own film, which the reference repeats and leaves out frames of.

    Where the face is in the frames is taken from `again`, else from the answer's keypoints.
    """
    frames, reference = answer.frames, sentence.reference
    assert frames is not None and reference.frames is not None
    scale = frames.shape[1] / config.face.crop_px
    own = answer.keypoints if again is None else np.where(again.found[:, None, None], again.keypoints, answer.keypoints)
    film, film_px = decode_frames(sentence.target["frames"]), sentence.target["keypoints"] * scale
    chosen = np.flatnonzero(sentence.spoken_pictures)[::FRAME_EVERY]
    laid = face_quality.eyes_laid_on(frames[chosen], own[chosen] * scale, reference.keypoints[chosen] * scale)
    lips_px = reference.keypoints[chosen, LIPS].mean(axis=1) * scale
    return {
        "mouth_ssim_aligned": picture.frame_agreement(laid, reference.frames[chosen], lips_px).mouth_ssim,
        "texture_distance": face_quality.texture_distance(laid, reference.frames[chosen]),
        "edge_ratio": face_quality.edge_ratio(frames, own * scale, film, film_px),
        "flicker_ratio": face_quality.flicker_ratio(frames, own * scale, film, film_px),
    }


def retracked_figures(again: face.Retracked, sentence: Sentence) -> dict[str, float]:
    """The mouth as the tracker sees it in finished frames, beside the reference's; frames without a face left out."""
    seen = sentence.spoken_pictures & again.found
    agreement = mouth.mouth_agreement(again.keypoints[seen], sentence.reference.keypoints[seen])
    return {
        "retracked_opening_r": agreement.opening_r,
        "retracked_width_r": agreement.width_r,
        "retracked_opening_sd_ratio": agreement.opening_sd_ratio,
        "face_share": again.share,
    }


@dataclasses.dataclass(frozen=True)
class PitchRange:
    """Mean and deviation of a speaker's log F0."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, tracks: Sequence[voice.PitchTrack]) -> PitchRange:
        log_f0 = np.log(np.concatenate([track.f0_hz[track.voiced] for track in tracks]))
        return cls(float(log_f0.mean()), float(log_f0.std())) if len(log_f0) else cls(NAN, NAN)

    def moved_to(self, other: PitchRange, track: voice.PitchTrack) -> voice.PitchTrack:
        """The track with this speaker's range mapped on the other's: the trivial pitch conversion."""
        scaled = (np.log(track.f0_hz) - self.mean) / self.deviation * other.deviation + other.mean
        return voice.PitchTrack(np.exp(scaled))


def pitch_figures(track: voice.PitchTrack, reference: voice.PitchTrack, spoken: np.ndarray) -> dict[str, float]:
    """Pitch and voicing on the moments `spoken` (bool, one a pitch frame) of a common timeline."""
    n = min(len(track.f0_hz), len(reference.f0_hz), len(spoken))
    kept = spoken[:n]
    a, b = (voice.PitchTrack(t.f0_hz[:n][kept]) for t in (track, reference))
    return {"pitch_cents": voice.pitch_error_cents(a, b), "voicing_error": voice.voicing_error(a, b)}


def waveform_figures(
    waveform: np.ndarray,
    track: voice.PitchTrack,
    sentence: Sentence,
    target_pitch: voice.PitchTrack,
    config: Config,
) -> dict[str, float | None]:
    """A waveform and its pitch, on the source's timeline, beside the target's by true times."""
    mel = mel_spectrogram(waveform, config.acoustic, config.timebase)
    n = min(len(mel), len(sentence.reference.mel))
    spoken = sentence.spoken_mel[:n]
    wanted = target_pitch.at(sentence.time_map(track.seconds))
    return {
        **pitch_figures(track, wanted, sentence.time_map.spoken(track.seconds)),
        "mcd_db": spectrum.mel_cepstral_distortion_db(mel[:n][spoken], sentence.reference.mel[:n][spoken]),
        "log_mel_l1": spectrum.log_mel_l1(mel[:n][spoken], sentence.reference.mel[:n][spoken]),
        "predicted_mos": voice.predicted_mos(waveform, config.time.sample_rate_hz),
    }


def copy_figures(
    waveform: np.ndarray, natural: np.ndarray, natural_pitch: voice.PitchTrack, config: Config
) -> dict[str, float | None]:
    """A vocoder's rendering of a recording's own features beside the recording (float32, `time.sample_rate_hz`).

    `pitch_cents` and `voicing_error` count as voiced what `voice.audible_voice` keeps; `voicing_error_raw` takes the
    tracker's word for every frame, pauses included.
    """
    rate_hz, timebase = config.time.sample_rate_hz, config.timebase
    n_samples = min(len(waveform), len(natural))
    track = voice.track_pitch(waveform[:n_samples], rate_hz)
    mel, wanted = (mel_spectrogram(w[:n_samples], config.acoustic, timebase) for w in (waveform, natural))
    heard = audible_frames(wanted)
    spoken = voice.audible_voice(track, mel, wanted, timebase.mel_fps)
    true = voice.audible_voice(natural_pitch, wanted, wanted, timebase.mel_fps)
    return {
        "pitch_cents": voice.pitch_error_cents(spoken, true),
        "voicing_error": voice.voicing_error(spoken, true),
        "voicing_error_raw": voice.voicing_error(track, natural_pitch),
        "mcd_db": spectrum.mel_cepstral_distortion_db(mel[heard], wanted[heard]),
        "log_mel_l1": spectrum.log_mel_l1(mel[heard], wanted[heard]),
        "predicted_mos": voice.predicted_mos(waveform, rate_hz),
        "stoi": voice.intelligibility(waveform[:n_samples], natural[:n_samples], rate_hz),
    }


def sync_figures(waveform: np.ndarray, opening: np.ndarray, timebase: Timebase) -> dict[str, float]:
    """Video frames by which the lips (`opening` [T], NaN where unseen) come after the sound."""
    loud = sync.loudness(waveform, timebase)
    lag = sync.lag_frames(loud, _filled(opening))
    within = NAN if np.isnan(lag) else float(abs(lag) <= 1)
    return {"sound_to_lips_lag": lag, "lag_size": abs(lag), "within_one_frame": within}


def between_figures(
    waveform: np.ndarray, opening: np.ndarray, sentence: Sentence, timebase: Timebase
) -> dict[str, float]:
    """Lags of a converted video's sound and lips after the source's own."""
    source_loud = sync.loudness(sentence.waveform("source"), timebase)
    source_opening = mouth_opening(sentence.source["keypoints"])
    return {
        "sound_lag_to_source": sync.lag_frames(source_loud, sync.loudness(waveform, timebase)),
        "lips_lag_to_source": sync.lag_frames(source_opening, _filled(opening)),
    }


def _filled(x: np.ndarray) -> np.ndarray:
    known = np.isfinite(x)
    return x if known.all() or not known.any() else np.interp(np.arange(len(x)), np.flatnonzero(known), x[known])


def add_ratios(summary: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Enter MCD and lip error as shares of the unchanged source's, beside the figures of a `features` table."""
    for name in ("mcd_db", "lip_error"):
        of_source = summary.get("source", {}).get(name)
        for figures in summary.values():
            if of_source is None or name not in figures:
                continue
            common = [u for u in figures[name]["sentences"] if u in of_source["sentences"]]
            pairs = [(figures[name]["sentences"][u], of_source["sentences"][u]) for u in common]
            above, below = zip(*[(NAN if a is None else a, NAN if b is None else b) for a, b in pairs], strict=True)
            figures[f"{name}_of_source"] = figure_entry(ratio(above, below))
