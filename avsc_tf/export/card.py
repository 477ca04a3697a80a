"""The model card of a served model, in Markdown."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.core.runs import history_path
from avsc_tf.core.schema import Feature
from avsc_tf.export.matching import can_match
from avsc_tf.export.models import MEANINGS, NETWORKS_OF, ServedModel
from avsc_tf.export.signatures import FREE_AXES, ServedFunction, sizes_of
from avsc_tf.features.statistics import FEATURES

HELD_OUT_PREFIX = "val_"  # of the columns of a history
_INTENDED = """\
To make the target speaker say what the source speaker said, where the target speaker has agreed to it: dubbing,
restoring a lost voice, research. Show the result as what it is: made by a machine.

Not for making anybody say what they have not agreed to, and not for recognising or identifying people."""
_LIMITS = """\
- It knows one source and one target speaker. Another face is noticed (`is_unfamiliar`) and standardised by its own mean
  and deviation; how good the result is then was not measured.
- Features must be made as `avsc_tf` makes them (sections `acoustic` and `face` of `config.yaml`): another mel
  spectrogram or another VGG-19 gives noise, and nothing notices it.
- Nothing is signed or watermarked here: the tools of `avsc_tf` mark finished videos, this model gives bare numbers."""
_UNEQUAL = """\
Utterances of unequal lengths: pad them with anything finite to the longest one and say their video frames in `lengths`.
Each is computed alone, so that padding and the other utterances of a call change nothing; outputs are 0 beyond an
utterance's length. A call whose time axes do not fit each other is refused with a line that says why. Where a model
takes sound and face of the source, a stream without frames (`[batch, 0, ...]`) is one that is missing."""


def model_card(model: ServedModel, bundle: Bundle, run: Path, digests: Mapping[str, str]) -> str:
    """Markdown.

    Args:
        digests: SHA-256 of the run's files, by their place in it.
    """
    config = bundle.config
    sections = [
        f"# {model.name}\n\n{MEANINGS[model.name]}",
        "Method: *Audiovisual Speaker Conversion*, Fang, Wang, Yamagishi, Echizen, arXiv:1810.12730. Software: "
        "`avsc_tf`. All settings are in `config.yaml` beside this card, the signatures as data in `signatures.json`.",
        f"## Intended use\n\n{_INTENDED}",
        f"## Consent of the target speaker\n\n{_consent(bundle)}",
        f"## Limits\n\n{_limits(model, bundle)}",
        "## Signatures\n\n" + _axes(bundle),
        *(_signature(function, sizes_of(config), k == 0) for k, function in enumerate(model.functions)),
        f"## Held-out losses at the end of training\n\n{_held_out(model, run)}",
        f"## Statistics\n\nMean of the dimensions' means and of their deviations.\n\n{_statistics(bundle)}",
        f"## The run it was made from\n\nBundle {bundle.origin.bundle_digest}. SHA-256 of its files:\n\n"
        + _digests(digests),
    ]
    return "\n\n".join(sections) + "\n"


def _consent(bundle: Bundle) -> str:
    lines = []
    for consent in bundle.origin.consents:
        lines.append(f"{consent.describe()}.")
        if consent.until is not None:
            lines.append("After that day, UTC, by the server's clock, every signature refuses.")
    return "\n".join(lines) or "The networks came without a consent record."


def _limits(model: ServedModel, bundle: Bundle) -> str:
    if model.name != "wavenet":
        return _LIMITS
    net = bundle.config.wavenet
    lines = [_LIMITS]
    if net.cut_at_pauses_seconds:
        lines.append("- An utterance is spoken in one piece; `wavenet.cut_at_pauses_seconds` is for the tools alone.")
    if net.mel_matching_passes and not can_match(bundle.config):
        lines.append(
            "- Speech is as sampled: mel matching needs a third, a half or all of the recordings' sample rate."
        )
    return "\n".join(lines)


def _axes(bundle: Bundle) -> str:
    timebase = bundle.config.timebase
    per_video = timebase.mel_per_video * (bundle.sampler.hop_samples if bundle.sampler else 0)
    words = {"mel_per_video": timebase.mel_per_video, "samples_per_video": per_video}
    lines = [
        f"- `{axis}`: {meaning.format(**words)}"
        for axis, meaning in FREE_AXES.items()
        if axis != "samples" or per_video
    ]
    axes = "\n".join(lines)
    return f"{timebase.video_fps} video frames a second. Free axes:\n\n{axes}\n\n{_UNEQUAL}"


def _signature(function: ServedFunction, sizes: Mapping[str, int], is_default: bool) -> str:
    signature = function.signature
    default = " (also `serving_default`)" if is_default else ""
    rows = ["| | name | type | shape | unit | what |", "|---|---|---|---|---|---|"]
    for side, tensors in (("in", signature.inputs), ("out", signature.outputs)):
        rows += [_row(side, feature, sizes) for feature in tensors]
    return f"### `{signature.name}`{default}\n\n{signature.meaning}\n\n" + "\n".join(rows)


def _row(side: str, feature: Feature, sizes: Mapping[str, int]) -> str:
    shape = ", ".join(str(sizes.get(axis, axis) if isinstance(axis, str) else axis) for axis in feature.shape)
    return f"| {side} | `{feature.name}` | {feature.dtype} | [{shape}] | {feature.unit} | {feature.meaning} |"


def _held_out(model: ServedModel, run: Path) -> str:
    rows = ["| network | epochs | figure | value |", "|---|---|---|---|"]
    for network in NETWORKS_OF[model.name]:
        path = history_path(run, network)
        last: dict[str, str] = {}
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                last = [{}, *csv.DictReader(file)][-1]
        figures = {
            k.removeprefix(HELD_OUT_PREFIX): v for k, v in last.items() if k and k.startswith(HELD_OUT_PREFIX) and v
        }
        if not figures:
            rows.append(f"| {network} | | not in the run folder | |")
        rows += [f"| {network} | {float(last['epoch']):.0f} | {k} | {float(v):.4g} |" for k, v in figures.items()]
    return "\n".join(rows)


def _statistics(bundle: Bundle) -> str:
    rows = ["| speaker | feature | dimensions | mean | deviation |", "|---|---|---|---|---|"]
    for speaker in ("source", "target"):
        for name in FEATURES:
            mean, std = bundle.statistics.get(speaker, name)
            rows.append(f"| {speaker} | {name} | {len(mean)} | {mean.mean():.4g} | {std.mean():.4g} |")
    return "\n".join(rows)


def _digests(digests: Mapping[str, str]) -> str:
    return "\n".join(["| file | SHA-256 |", "|---|---|", *(f"| `{name}` | `{d}` |" for name, d in digests.items())])
