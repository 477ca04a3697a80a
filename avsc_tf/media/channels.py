"""Which channels of a recording hold the voice, decided over all of its sound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_EMPTY = 10 ** (-15 / 10)  # power beside the loudest channel's: below are crosstalk and the hiss of an open input
_EMPTY_CENTRE = 10 ** (-30 / 10)  # the voice in a centre may be that much quieter than music on the sides
_AS_LOUD = 10 ** (-0.5 / 10)  # of channels that differ by less the first is taken
_CANCELLING = 0.5  # power of the mean beside that of unrelated channels: two with a correlation of -0.5
_LARGEST = 1e9  # of a sample; its square and the sum of many are finite
_USUAL_NAMES = {  # where a file names none: the order of WAVE_FORMAT_EXTENSIBLE
    2: ("FL", "FR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
_SPOKEN_NAMES = {
    "FL": "left",
    "FR": "right",
    "FC": "centre",
    "LFE": "low-frequency",
    "BL": "back left",
    "BR": "back right",
    "SL": "side left",
    "SR": "side right",
    "BC": "back centre",
}


class ChannelChoice(NamedTuple):
    """Indices of the channels whose mean is the sound, and a note where it is not simply the mean of all."""

    channels: tuple[int, ...]
    note: str = ""


class ChannelSums:
    """Sums over the samples of one channel layout; they hold what `choose` needs of any length of sound."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names  # FFmpeg's, such as FL and FC; "NONE" where the file does not name them
        self.peaks = np.zeros(len(names))
        self._n_samples = 0
        self._sums = np.zeros(len(names))
        self._products = np.zeros((len(names), len(names)))

    def add(self, samples: np.ndarray, *, is_loudness: bool = True) -> None:
        """Count samples, float [channels, samples] at full scale 1; values that are not numbers count as zero.

        Args:
            is_loudness: whether the peaks count, too.
        """
        x = np.asarray(samples, np.float64)
        peaks = np.abs(x).max(axis=1, initial=0.0)
        if not (peaks < _LARGEST).all():
            x = np.where(np.isfinite(x), np.clip(x, -_LARGEST, _LARGEST), 0.0)
            peaks = np.abs(x).max(axis=1)
        self._n_samples += x.shape[1]
        self._sums += x.sum(axis=1)
        self._products += x @ x.T
        if is_loudness:
            self.peaks = np.maximum(self.peaks, peaks)

    def choose(self) -> ChannelChoice:
        """The channels that carry the voice."""
        means = self._sums / max(1, self._n_samples)
        covariance = self._products / max(1, self._n_samples) - np.outer(means, means)
        return choose_channels(self.names, covariance)


def choose_channels(names: tuple[str, ...], covariance: np.ndarray) -> ChannelChoice:
    """Channels whose mean is the voice.

    A centre channel carries it alone, unless it is empty; then the front pair, then whatever is there but the
    low-frequency one. Empty channels do not count. Of channels that cancel each other one of the loudest is taken.

    Args:
        names: of the channels, FFmpeg's; two, six or eight without names are stereo, 5.1 and 7.1.
        covariance: [channels, channels] of the samples over the whole file.
    """
    if set(names) == {"NONE"}:
        names = _USUAL_NAMES.get(len(names), names)
    power = np.diag(covariance)
    everything = tuple(range(len(names)))
    if len(names) == 1 or power.max() <= 0:
        return ChannelChoice(everything)
    centre = names.index("FC") if "FC" in names else None
    if centre is not None and power[centre] >= _EMPTY_CENTRE * power.max():
        return ChannelChoice((centre,), f"holds {len(names)} channels of sound; the centre one is used")
    heard = [k for k in everything if power[k] >= _EMPTY * power.max()]
    chosen = [k for k in heard if names[k] != "LFE"] or heard
    if len(names) > 2:
        chosen = [k for k in chosen if names[k] in ("FL", "FR")] or chosen
    power_of_mean = covariance[np.ix_(chosen, chosen)].mean()
    if len(chosen) > 1 and power_of_mean < _CANCELLING * power[chosen].sum() / len(chosen) ** 2:
        loud = next(k for k in chosen if power[k] >= _AS_LOUD * power[chosen].max())
        note = f"the {_listed(names, chosen)} channels cancel each other; the {_spoken(names, loud)} one is used"
        return ChannelChoice((loud,), note)
    if len(chosen) == len(names):
        return ChannelChoice(everything)
    if len(heard) == 1:
        note = f"the voice is in the {_spoken(names, heard[0])} channel alone; that channel is used"
    else:
        note = f"holds {len(names)} channels of sound; the mean of the {_listed(names, chosen)} ones is used"
    return ChannelChoice(tuple(chosen), note)


def _listed(names: tuple[str, ...], channels: list[int]) -> str:
    spoken = [_spoken(names, k) for k in channels]
    return " and ".join(filter(None, (", ".join(spoken[:-1]), spoken[-1])))


def _spoken(names: tuple[str, ...], channel: int) -> str:
    return _SPOKEN_NAMES.get(names[channel], f"{channel + 1}.")
