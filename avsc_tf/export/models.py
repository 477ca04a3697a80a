"""The models that a run can be served as, and what each is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.export.networks import Networks
from avsc_tf.export.saving import variables_of
from avsc_tf.export.signatures import ServedFunction
from avsc_tf.export.standardising import Standardising
from avsc_tf.export.wavenet import ServedWaveNet

MODEL_NAMES = ("conversion", "image", "wavenet", "end_to_end")
NETWORKS_OF = {
    "conversion": ("conversion",),
    "image": ("image",),
    "wavenet": ("wavenet",),
    "end_to_end": ("conversion", "image"),
}
MEANINGS = {
    "conversion": "Audiovisual transformation network: features of the source speaker become those of the target.",
    "image": "Image reconstruction network: pictures of the target from its features.",
    "wavenet": "Waveform generation network: speech of the target from its features, and how likely given speech is.",
    "end_to_end": "Conversion and image network in one: features of the source speaker become features and pictures of "
    "the target.",
}


@dataclass(frozen=True)
class ServedModel:
    """A model to be written: its functions, and the variables they may read."""

    name: str
    functions: Sequence[ServedFunction]
    variables: Sequence[Any]


def served_models(bundle: Bundle, *, max_seconds: float, jit_compile: bool) -> tuple[list[ServedModel], dict[str, str]]:
    """What a bundle can be served as; and of the models it cannot be, the reason."""
    standardising = Standardising(bundle.statistics)
    networks = Networks(bundle, standardising)
    net = bundle.conversion_net
    models = [ServedModel("conversion", [networks.conversion()], variables_of(net, standardising))]
    left_out: dict[str, str] = {}
    if bundle.generator is not None:
        generator = bundle.generator
        models.append(ServedModel("image", [networks.painting()], variables_of(generator, standardising)))
        models.append(ServedModel("end_to_end", [networks.end_to_end()], variables_of(net, generator, standardising)))
    else:
        reason = "the run converts sound alone" if not bundle.has_face else "the run holds no image network"
        left_out |= {"image": reason, "end_to_end": f"{reason}; conversion is all there is"}
    if bundle.sampler is not None:
        config = bundle.config
        max_samples = round(max_seconds * config.wavenet.sample_rate_hz)
        wavenet = ServedWaveNet(
            bundle.sampler.model, config, standardising, max_samples=max_samples, jit_compile=jit_compile
        )
        variables = variables_of(wavenet.model, wavenet.pitch, wavenet.matching, standardising)
        models.append(ServedModel("wavenet", wavenet.functions(), variables))
    else:
        left_out["wavenet"] = "the run holds no WaveNet" if bundle.has_voice else "the run converts the face alone"
    return sorted(models, key=lambda model: MODEL_NAMES.index(model.name)), left_out
