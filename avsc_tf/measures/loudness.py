"""How loud a recording is, and how much louder than another one."""

from __future__ import annotations

import numpy as np

from avsc_tf.features.health import QUIETEST_LUFS, loudness_lufs

__all__ = ["loudness_difference_db", "loudness_lufs"]


def loudness_difference_db(waveform: np.ndarray, reference: np.ndarray, sample_rate_hz: int) -> float:
    """Integrated loudness (ITU-R BS.1770-4) less the reference's: above zero, louder. LU and dB are the same step.

    Pauses are gated out by the measure, so that a longer silence makes nothing quieter. NaN where one of the two is
    silent (below the measure's gate of -70 LUFS).
    """
    here, there = (loudness_lufs(x, sample_rate_hz) if len(x) else QUIETEST_LUFS for x in (waveform, reference))
    return here - there if min(here, there) > QUIETEST_LUFS else float("nan")
