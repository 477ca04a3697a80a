"""What the values of the settings must hold, each and against each other, so that no stage has to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsc_tf.core.errors import ConfigError

if TYPE_CHECKING:
    from avsc_tf.core.config import Config

Rule = tuple[bool, str]  # whether it holds, and what it says

MAX_LAYERS = 64
MAX_WIDTH = 65536
_LIMITS: dict[str, dict[str, tuple[float, float]]] = {
    "time": {"video_fps": (1, 240), "sample_rate_hz": (1000, 384_000), "hop_ms": (0.1, 1000)},
    "acoustic": {"n_mels": (1, 4096), "window_ms": (0.1, 1000), "fft_length": (2, 2**17)},
    "face": {"crop_px": (16, 4096), "vgg_px": (32, 1024), "vgg_batch": (1, 4096), "n_vgg": (1, MAX_WIDTH)},
    "conversion": {"kernel_size": (1, 255), "linear_path_rank": (1, MAX_WIDTH)},
    "wavenet": {
        "sample_rate_hz": (1000, 384_000),
        "n_layers": (1, 1000),
        "condition_kernel": (1, 255),
        "dilation_cycle": (1, 24),
        "n_classes": (2, 2**16),
        "n_mixtures": (0, 1000),
        "prediction_order": (0, 256),
        "residual_channels": (1, MAX_WIDTH),
        "skip_channels": (1, MAX_WIDTH),
        "post_channels": (1, MAX_WIDTH),
        "condition_channels": (1, MAX_WIDTH),
        "condition_rnn_units": (0, MAX_WIDTH),
        "facial_channels": (0, MAX_WIDTH),
        "mel_matching_passes": (0, 1000),
    },
    "image": {
        "size_px": (8, 4096),
        "generator_kernel": (1, 255),
        "path_components": (0, MAX_WIDTH),
        "path_units": (0, 2**20),
        "path_texture_scale": (0, 8),
        "discriminator_scales": (0, 16),
        "steady_head_seconds": (0, 60),
        "steady_face_seconds": (0, 60),
    },
}


def check(config: Config, place: str) -> None:
    """Values against each other; the first contradiction raises ConfigError."""
    for rules in (_sizes, _features, _conversion, _wavenet, _image, _training, _doctor):
        for holds, rule in rules(config):
            if not holds:
                raise ConfigError(f"{place}: {rule}.")


def _sizes(config: Config) -> list[Rule]:
    """Bounds far above all that makes sense: a typing error, or a stranger's settings, must not fill the memory."""
    tree = config.as_dict()
    return [
        (low <= tree[section][key] <= high, f"{section}.{key} must lie between {low:g} and {high:g}")
        for section, limits in _LIMITS.items()
        for key, (low, high) in limits.items()
    ] + [
        (
            len(value) <= MAX_LAYERS and all(1 <= v <= MAX_WIDTH for v in value),
            f"{section}.{key} must name at most {MAX_LAYERS} layers of 1 to {MAX_WIDTH} units",
        )
        for section in ("conversion", "image")
        for key, value in tree[section].items()
        if isinstance(value, list) and key.endswith(("_channels", "_units"))
    ]


def _features(config: Config) -> list[Rule]:
    time, acoustic, face = config.time, config.acoustic, config.face
    hop = time.sample_rate_hz * time.hop_ms / 1000
    return [
        (hop == int(hop), "time.hop_ms must be a whole number of samples"),
        (time.sample_rate_hz / time.video_fps % hop == 0, "time.hop_ms must divide a video frame"),
        (
            time.sample_rate_hz * acoustic.window_ms / 1000 <= acoustic.fft_length,
            "acoustic.fft_length must hold acoustic.window_ms",
        ),
        (
            acoustic.fmin_hz < acoustic.fmax_hz <= time.sample_rate_hz / 2,
            "acoustic.fmax_hz must lie between fmin_hz and half of time.sample_rate_hz",
        ),
        (acoustic.log_floor > 0, "acoustic.log_floor must be positive"),
        (config.sync.max_offset_seconds >= 0, "sync.max_offset_seconds must not be negative"),
        (0 <= config.sync.max_drift_ppm <= 1000, "sync.max_drift_ppm must lie between 0 and 1000"),
        (config.sync.audio_track >= 0, "sync.audio_track must not be negative (0: the default track)"),
        (config.alignment.smooth_frames % 2 == 1, "alignment.smooth_frames must be odd"),
        (config.alignment.cohort >= 0, "alignment.cohort must not be negative"),
        (0 < config.split.test_share < 1, "split.test_share must lie between 0 and 1"),
        (config.records.shard_mb > 0, "records.shard_mb must be positive"),
        (config.records.memory_mb >= 0, "records.memory_mb must not be negative"),
        (face.vgg_px >= 32, "face.vgg_px must be at least 32"),
        (face.max_gap_seconds >= 0, "face.max_gap_seconds must not be negative"),
        (face.max_edge_seconds >= 0, "face.max_edge_seconds must not be negative"),
        (0 < face.crop_face_share <= 1, "face.crop_face_share must lie between 0 and 1"),
        (face.n_keypoints == 70, "face.n_keypoints must be 70 (68 iBUG points, 2 pupils)"),
    ]


def _conversion(config: Config) -> list[Rule]:
    time, net = config.time, config.conversion
    mel_per_video = 1000 / time.video_fps / time.hop_ms
    n_up = len(net.audio_up_channels)
    return [
        (
            2 ** len(net.audio_down_channels) == mel_per_video,
            "conversion.audio_down_channels: one stride-2 convolution each must bring "
            f"{mel_per_video:g} mel frames to one video frame",
        ),
        (n_up == len(net.audio_down_channels), "conversion.audio_up_channels: as many as audio_down"),
        (net.kernel_size % 2 == 1, "conversion.kernel_size must be odd"),
        (net.linear_path_rank >= 1, "conversion.linear_path_rank must be at least 1"),
        (
            net.window_seconds * time.video_fps == int(net.window_seconds * time.video_fps),
            "conversion.window_seconds must be whole video frames",
        ),
        *_balance(config),
    ]


def _balance(config: Config) -> list[Rule]:
    net = config.conversion
    is_joint = net.modalities == "audio_visual"
    return [
        (0 <= net.modality_dropout <= 0.5, "conversion.modality_dropout must lie between 0 and 0.5"),
        (
            is_joint or net.modality_dropout == 0,
            f"conversion.modality_dropout must be 0 where conversion.modalities is {net.modalities}",
        ),
        (
            is_joint or net.loss_balance == "fixed",
            f"conversion.loss_balance must be fixed where conversion.modalities is {net.modalities}",
        ),
        (net.loss_balance_rate > 0, "conversion.loss_balance_rate must be positive"),
        (net.gradient_norm_asymmetry >= 0, "conversion.gradient_norm_asymmetry must not be negative"),
        (
            net.loss_balance == "fixed" or net.acoustic_loss_weight > 0,
            "conversion.acoustic_loss_weight must be positive: the other balances start from it",
        ),
        (
            net.has_picture or config.wavenet.facial_channels == 0,
            "wavenet.facial_channels must be 0 where conversion.modalities is audio",
        ),
        (
            net.has_sound or not config.image.mel_input,
            "image.mel_input must be false where conversion.modalities is visual",
        ),
        (
            net.has_sound or config.wavenet.train_features == "natural",
            "wavenet.train_features must be natural where conversion.modalities is visual",
        ),
    ]


def _wavenet(config: Config) -> list[Rule]:
    time, wavenet = config.time, config.wavenet
    return [
        ((wavenet.sample_rate_hz * time.hop_ms) % 1000 == 0, "wavenet.sample_rate_hz must give whole samples a hop"),
        (wavenet.sample_rate_hz <= time.sample_rate_hz, "wavenet.sample_rate_hz must not pass time.sample_rate_hz"),
        (wavenet.n_classes % 2 == 0, "wavenet.n_classes must be even"),
        (wavenet.n_mixtures >= 0, "wavenet.n_mixtures must not be negative"),
        (wavenet.prediction_order >= 0, "wavenet.prediction_order must not be negative"),
        (wavenet.input_noise >= 0, "wavenet.input_noise must not be negative"),
        (min(wavenet.temperature, wavenet.voiced_temperature) >= 0, "wavenet temperatures must not be negative"),
        (wavenet.mel_matching_passes >= 0, "wavenet.mel_matching_passes must not be negative"),
        (wavenet.cut_at_pauses_seconds >= 0, "wavenet.cut_at_pauses_seconds must not be negative"),
        (0 <= wavenet.pre_emphasis < 1, "wavenet.pre_emphasis must lie in [0, 1)"),
        (wavenet.condition_rnn_units % 2 == 0, "wavenet.condition_rnn_units must be even"),
    ]


def _image(config: Config) -> list[Rule]:
    image = config.image
    return [
        (
            len(image.generator_channels) == len(image.generator_upsample),
            "image.generator_upsample must name every layer of image.generator_channels",
        ),
        (
            not image.closed_form_start or len(image.dense_units) == 1,
            "image.closed_form_start needs one number in image.dense_units",
        ),
        (
            image.size_px % 2 ** sum(image.generator_upsample) == 0,
            "image.size_px must be divisible by the generator's upsampling",
        ),
        (
            not image.generator_channels or image.generator_channels[-1] == 3,
            "image.generator_channels must end with 3 (RGB)",
        ),
        (
            not image.feature_matching_weight or image.discriminator_scales > 0,
            "image.feature_matching_weight needs image.discriminator_scales above 0",
        ),
        (
            image.size_px % 2 ** max(0, image.discriminator_scales - 1) == 0,
            "image.size_px must be divisible by 2 for each of image.discriminator_scales but the first",
        ),
        (
            not image.path_warp or image.path_components > 0,
            "image.path_warp needs image.path_components above 0",
        ),
        (image.path_texture_scale > 0, "image.path_texture_scale must be above 0"),
    ]


def _training(config: Config) -> list[Rule]:
    """What `TrainingConfig` holds, of each network."""
    rules: list[Rule] = []
    # The image network's closed-form path paints without a step.
    least = {"conversion": 1, "wavenet": 1, "image": 0 if config.image.path_components else 1}
    for name in least:
        net = getattr(config, name)
        rules += [
            (net.batch_size >= 1, f"{name}.batch_size must be at least 1"),
            (net.epochs >= least[name], f"{name}.epochs must be at least {least[name]}"),
            (net.warmup_steps >= 0, f"{name}.warmup_steps must not be negative"),
            (net.clip_norm >= 0, f"{name}.clip_norm must not be negative"),
            (0 <= net.ema_decay < 1, f"{name}.ema_decay must lie in [0, 1)"),
            (net.early_stop_epochs >= 0, f"{name}.early_stop_epochs must not be negative"),
            (net.steps_per_execution >= 1, f"{name}.steps_per_execution must be at least 1"),
            (net.checkpoint_seconds >= 0, f"{name}.checkpoint_seconds must not be negative"),
            (net.preview_epochs >= 0, f"{name}.preview_epochs must not be negative"),
        ]
    return rules


def _doctor(config: Config) -> list[Rule]:
    doctor = config.doctor
    return [
        (
            doctor.record_face_share <= doctor.look_face_share <= 1,
            "doctor.record_face_share must not pass doctor.look_face_share, nor that 1",
        ),
        (
            0 <= doctor.look_clipped_share <= doctor.record_clipped_share,
            "doctor.look_clipped_share must not pass doctor.record_clipped_share",
        ),
        (doctor.record_snr_db <= doctor.look_snr_db, "doctor.record_snr_db must not pass doctor.look_snr_db"),
        (
            1 < doctor.look_duration_factor <= doctor.record_duration_factor,
            "doctor.look_duration_factor must lie above 1 and not pass doctor.record_duration_factor",
        ),
    ]
