"""What the figures are judged by: the aims of the conversion and the gate of the vocoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_PITCH_CENTS = 20.0
MAX_VOICING_ERROR = 0.1  # by `voice.audible_voice`: the noise of pauses is nobody's voice

MAIN_VIDEO = "main video"  # stands for the row of the first vocoder

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Aim:
    """A figure of the converted sentences, and the bound it should reach."""

    table: str
    row: str
    figure: str
    label: str
    bound: Callable[[Figures], float | None]
    at_most: bool


def _fixed(value: float) -> Callable[[Figures], float | None]:
    return lambda figures: value


def _ridge_mcd(figures: Figures) -> float | None:
    return mean_of(figures, "features", "ridge", "mcd_db")


AIMS = (
    Aim(
        "features",
        "converted",
        "mcd_db_of_source",
        "mel-cepstral distortion, share of the source's",
        _fixed(0.55),
        True,
    ),
    Aim("features", "converted", "mcd_db", "mel-cepstral distortion, dB, below frame-wise ridge", _ridge_mcd, True),
    Aim(
        "features",
        "converted",
        "lip_error_of_source",
        "stabilised lip error, share of the source's",
        _fixed(0.45),
        True,
    ),
    Aim("features", "converted", "opening_r", "mouth opening, correlation", _fixed(0.97), False),
    Aim("features", "converted", "width_r", "mouth width, correlation", _fixed(0.90), False),
    Aim("features", "converted", "mouth_ssim", "mouth crop of the frames, SSIM", _fixed(0.85), False),
    Aim("features", "converted", "retracked_opening_r", "mouth opening re-tracked in the video", _fixed(0.85), False),
    Aim("sync", MAIN_VIDEO, "lag_size", "lag between sound and lips, video frames", _fixed(1.0), True),
)


def judge(figures: Figures) -> list[dict[str, Any]]:
    """Each aim: measured mean, its interval, the bound, and whether the mean reaches it (None: not measured)."""
    verdicts = []
    for aim in AIMS:
        row = main_video_row(figures) if aim.row == MAIN_VIDEO else aim.row
        entry = figures.get(aim.table, {}).get(row, {}).get(aim.figure) or {}
        value, bound = entry.get("mean"), aim.bound(figures)
        passed = None
        if value is not None and bound is not None:
            passed = value <= bound if aim.at_most else value >= bound
        verdicts.append(
            {
                "label": aim.label,
                "value": value,
                "low": entry.get("low"),
                "high": entry.get("high"),
                "n": entry.get("n", 0),
                "bound": bound,
                "sign": "≤" if aim.at_most else "≥",
                "passed": passed,
            }
        )
    return verdicts


def gate(copy_synthesis: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """May the WaveNet speak for the demo? Judged on copy synthesis of held-out sentences.

    Args:
        copy_synthesis: the table of that name, with rows "wavenet" and "griffin-lim".

    Returns:
        Whether the gate is passed, and a sentence for each condition that fails or could not be measured.
    """
    row = copy_synthesis.get("wavenet")
    if not row:
        return False, ["No copy synthesis by the WaveNet was measured."]
    reasons = []
    pitch, voicing = (row.get(name, {}).get("mean") for name in ("pitch_cents", "voicing_error"))
    if pitch is None or pitch >= MAX_PITCH_CENTS:
        found = "was not measured (no voiced frame in common)" if pitch is None else f"is {pitch:.0f} cents"
        reasons.append(f"Median pitch error {found}; it must be under {MAX_PITCH_CENTS:.0f} cents.")
    if voicing is None or voicing >= MAX_VOICING_ERROR:
        found = "was not measured" if voicing is None else f"is {voicing:.2f}"
        reasons.append(f"Voiced/unvoiced error {found}; it must be under {MAX_VOICING_ERROR}.")
    mos = row.get("predicted_mos", {}).get("mean")
    preview = copy_synthesis.get("griffin-lim", {}).get("predicted_mos", {}).get("mean")
    if mos is None or preview is None:
        reasons.append("Predicted MOS was not measured (pip install avsc_tf[evaluation]).")
    elif mos < preview:
        reasons.append(f"Predicted MOS is {mos:.2f}; Griffin-Lim's is {preview:.2f}, and it must be no worse.")
    return not reasons, reasons


def main_video_row(figures: Figures) -> str:
    """Row of the vocoder whose videos stand first."""
    vocoders = figures.get("about", {}).get("vocoders") or [""]
    return f"converted, {vocoders[0]}"


def mean_of(figures: Figures, table: str, row: str, figure: str) -> float | None:
    """The mean of one figure, None where it was not measured."""
    return figures.get(table, {}).get(row, {}).get(figure, {}).get("mean")
