"""Every figure of a finished video: its name, its unit, which way is better, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from avsc_tf.measures.mel_cepstrum import RECIPE

Better = Literal["lower", "higher", "one", "zero", "none"]
ARROWS: dict[Better, str] = {"lower": "↓", "higher": "↑", "one": "→ 1", "zero": "→ 0", "none": ""}
VOICE, FACE, SYNC = "voice", "face", "sync"
TABLES = (VOICE, FACE, SYNC)


@dataclass(frozen=True)
class Figure:
    """One column."""

    name: str
    title: str
    decimals: int
    better: Better
    how: str

    def gain(self, value: float, other: float) -> float:
        """By how much `value` is better than `other`; 0 where no way is better."""
        if self.better == "higher":
            return value - other
        if self.better == "lower":
            return other - value
        ideal = {"one": 1.0, "zero": 0.0}.get(self.better)
        return 0.0 if ideal is None else abs(other - ideal) - abs(value - ideal)


CATALOGUE: dict[str, tuple[Figure, ...]] = {
    VOICE: (
        Figure("mcd_db", "MCD, dB", 2, "lower", RECIPE),
        Figure("f0_rmse_cents", "F0 RMSE, cents", 0, "lower", "pYIN, 65 to 450 Hz, frames voiced in both"),
        Figure("f0_median_cents", "F0 median error, cents", 0, "lower", "the same frames; octave slips do not rule it"),
        Figure("f0_rmse_hz", "F0 RMSE, Hz", 1, "lower", "the same in Hz"),
        Figure("f0_r", "F0 r", 2, "higher", "correlation of log F0 over frames voiced in both"),
        Figure(
            "voicing_error",
            "voicing error",
            3,
            "lower",
            "share of frames voiced in one and not in the other; what lies 24 dB below the reference's speech has "
            "no voice",
        ),
        Figure(
            "duration_ratio",
            "duration ratio",
            2,
            "one",
            "seconds from first to last audible frame, beside the reference's",
        ),
        Figure("loudness_db", "loudness, dB off", 1, "zero", "LUFS (ITU-R BS.1770) less the reference's"),
        Figure("predicted_mos", "predicted MOS", 2, "higher", "DNSMOS, overall quality 1 to 5; knows no reference"),
        Figure(
            "speaker_similarity",
            "speaker similarity",
            3,
            "higher",
            "cosine of the speaker encoder's embedding (Resemblyzer, GE2E) with the target's mean over training "
            "sentences",
        ),
    ),
    FACE: (
        Figure(
            "keypoint_distance",
            "keypoints, eye dist.",
            4,
            "lower",
            "70 keypoints, eye corners laid on each other, mean distance",
        ),
        Figure("mouth_distance", "mouth, eye dist.", 4, "lower", "the 20 lip points, the same"),
        Figure("opening_r", "opening r", 3, "higher", "correlation of the inner lips' distance with the reference's"),
        Figure("width_r", "width r", 3, "higher", "correlation of the mouth's width with the reference's"),
        Figure(
            "opening_sd_ratio",
            "opening's extent",
            2,
            "one",
            "standard deviation of the opening beside the reference's",
        ),
        Figure(
            "expression_distance",
            "expression",
            2,
            "lower",
            "brows, eyelids and mouth as distances on the stabilised face, in standard deviations of the natural "
            "target",
        ),
        Figure(
            "mouth_ssim",
            "mouth SSIM",
            3,
            "higher",
            "7 x 7 windows on grey levels in a box about the mouth, eyes laid on each other",
        ),
        Figure("face_ssim", "face SSIM", 3, "higher", "the same over the whole crop"),
        Figure("psnr_db", "PSNR, dB", 1, "higher", "over the whole crop, eyes laid on each other"),
        Figure(
            "texture_distance",
            "texture",
            3,
            "lower",
            "Gabor energies and colours on four scales, in the manner of LPIPS",
        ),
        Figure("edge_ratio", "sharpness", 2, "one", "gradient energy in the face, beside the reference's"),
        Figure("flicker_ratio", "flicker", 2, "one", "second difference over time at the nose, beside the reference's"),
        Figure(
            "identity_distance",
            "identity",
            3,
            "lower",
            "dlib's face embedding: distance to the target's mean; 0.6 is dlib's own bound",
        ),
        Figure("face_share", "frames with a face", 3, "higher", "share of pictures in which FaceMesh sees a face"),
    ),
    SYNC: (
        Figure(
            "canonical_r",
            "canonical r",
            3,
            "higher",
            "first canonical correlation of mel (40 ms window and hop) and lips; projections fitted on the "
            "natural target's training sentences, applied to this sentence",
        ),
        Figure(
            "canonical_null",
            "shifted in time",
            3,
            "none",
            "the same, sound and lips shifted against each other: what chance gives",
        ),
        Figure(
            "canonical_null_high",
            "shifted, 97.5 %",
            3,
            "none",
            "what one shift in forty reaches by chance",
        ),
        Figure("above_null", "above chance", 3, "higher", "canonical r less its time-shifted null"),
        Figure(
            "lip_movement",
            "lip movement",
            2,
            "one",
            "how far the lips move in the direction that goes with the sound, beside the natural target's training "
            "sentences; r does not see it",
        ),
        Figure(
            "naive_r",
            "naive r",
            3,
            "none",
            "canonical correlation fitted on this one sentence, all dimensions: near 1 for anything",
        ),
        Figure(
            "naive_null",
            "naive, shifted",
            3,
            "none",
            "the naive figure of sound and lips that do not belong together",
        ),
        Figure(
            "loudness_opening_r",
            "loudness and opening r",
            3,
            "higher",
            "Pearson's r of loudness and mouth opening",
        ),
        Figure(
            "offset_frames",
            "lips after sound, frames",
            2,
            "zero",
            "lag of the strongest correlation, between frames by a parabola",
        ),
        Figure("offset_size", "size of the offset", 2, "lower", "the same without its sign, video frames"),
        Figure(
            "sync_confidence",
            "confidence",
            3,
            "higher",
            "correlation at the offset less the median over other lags",
        ),
    ),
}
FIGURES = {figure.name: figure for figures in CATALOGUE.values() for figure in figures}
WHERE = {figure.name: table for table, figures in CATALOGUE.items() for figure in figures}
HEADLINES = ("mcd_db", "f0_rmse_cents", "predicted_mos", "opening_r", "mouth_distance", "mouth_ssim", "canonical_r")
