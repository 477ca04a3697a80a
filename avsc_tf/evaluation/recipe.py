"""How a run was made, in words."""

from __future__ import annotations

from avsc_tf.core.config import (
    AcousticConfig,
    AlignmentConfig,
    Config,
    ConversionNetConfig,
    FaceConfig,
    ImageConfig,
    WaveNetConfig,
)


def recipe(config: Config) -> list[tuple[str, str]]:
    """Part and description; what the paper does not have is called ours."""
    return [
        ("Features", _features(config.acoustic, config.face, hop_ms=config.time.hop_ms)),
        ("Alignment", _alignment(config.alignment)),
        ("Conversion network", _conversion(config.conversion)),
        ("WaveNet", _wavenet(config.wavenet)),
        ("Image network", _image(config.image)),
    ]


def _features(acoustic: AcousticConfig, face: FaceConfig, *, hop_ms: float) -> str:
    return (
        f"{acoustic.n_mels} mel bands every {hop_ms:g} ms; VGG-19 fc1 at {face.vgg_px} px, weights: "
        f"{face.vgg_weights}; {face.n_keypoints} keypoints in a crop of {face.crop_px} px."
    )


def _alignment(alignment: AlignmentConfig) -> str:
    return (
        f"DTW by the {alignment.distance} distance, silence: {alignment.silence}, on the {alignment.timeline} "
        f"timeline, path smoothed over {alignment.smooth_frames} video frames."
    )


def _conversion(net: ConversionNetConfig) -> str:
    reach = f"reaching {net.linear_path_context} frames to each side" if net.linear_path_context else "frame by frame"
    linear = f"with a ridge-initialised linear path beside it, {reach} (ours); "
    return (
        f"{linear if net.linear_path else ''}L1, acoustic part weighed {net.acoustic_loss_weight:g}, facial part "
        f"{net.facial_loss}{' (ours)' if net.facial_loss != 'mean' else ''}; {_count(net.epochs, 'epoch')}, batch "
        f"{net.batch_size}, learning rate {net.learning_rate:g}, input noise "
        f"{net.input_noise:g}, dropout {net.dropout:g}."
    )


def _wavenet(net: WaveNetConfig) -> str:
    start = f"started from {net.init_from} weights" if net.init_from else "trained from scratch"
    steps = f" of {net.steps_per_epoch} steps" if net.steps_per_epoch else ""
    pitch = ", with the waveform one pitch period ago as an input (ours)" if net.pitch_input == "lag" else ""
    prior = f", a linear prediction of order {net.prediction_order} from the mel (ours)" if net.prediction_order else ""
    matching = (
        f" Its speech is brought to the mel it was asked for by {_count(net.mel_matching_passes, 'round')} of "
        "spectral gains, phases kept (ours)."
        if net.mel_matching_passes
        else ""
    )
    return (
        f"{net.n_layers} layers of {net.residual_channels} channels, {net.n_classes} levels, "
        f"{net.sample_rate_hz / 1000:g} kHz{pitch}{prior}; {start}, {_count(net.epochs, 'epoch')}{steps}, "
        f"learning rate {net.learning_rate:g}; drawn at temperature {net.voiced_temperature:g} where voiced, "
        f"{net.temperature:g} elsewhere.{matching}"
    )


def _image(net: ImageConfig) -> str:
    start = "its small map starts as a ridge prediction of the grey frame (ours); " if net.closed_form_start else ""
    path = f"a closed-form path of {net.path_components} components beside it (ours); " if net.path_components else ""
    mouth = f", {net.mouth_l1_weight:g} on the mouth's L1 (ours)" if net.mouth_l1_weight else ""
    return (
        f"{net.size_px} px; {start}{path}loss weights {net.adversarial_weight:g} on LSGAN, {net.l1_weight:g} on L1"
        f"{mouth}; {_count(net.epochs, 'epoch')}, batch {net.batch_size}."
    )


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
