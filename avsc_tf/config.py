"""Settings: frozen dataclasses read from strict YAML.

A file may start from another one (`include: paper.yaml`) and holds only its differences. Every key must be known,
every value of its declared type, and the values are checked against each other here, so that no stage has to.
Numbers that follow from others are properties, never settings. `configs/paper.yaml` holds every value with the
section of the paper it comes from, or the words "not from the paper".
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from avsc_tf.errors import ConfigError


@dataclass(frozen=True)
class TimeConfig:
    """Rates of the prepared signals; `avsc_tf.timebase.Timebase` derives everything else."""

    video_fps: int
    sample_rate_hz: int
    hop_ms: float


@dataclass(frozen=True)
class AcousticConfig:
    """Mel spectrogram."""

    n_mels: int
    window_ms: float
    fft_length: int
    fmin_hz: float
    fmax_hz: float
    log_floor: float  # smallest mel magnitude, before the natural logarithm


@dataclass(frozen=True)
class FaceConfig:
    """Crop, keypoints and appearance feature."""

    crop_px: int  # side of the prepared frames; keypoints are in pixels of this crop
    crop_face_share: float  # height of the face box divided by the crop's side
    min_detection_confidence: float
    max_gap_seconds: float  # a face lost for no longer is filled in
    max_edge_seconds: float  # a clip may begin or end without a face this long: held still; 0: edges are gaps
    n_keypoints: int
    vgg_px: int
    vgg_weights: str  # "imagenet", "untrained", or the path of a Keras weights file
    vgg_dtype: Literal["float32", "bfloat16"]
    vgg_batch: int
    n_vgg: int

    @property
    def n_facial(self) -> int:
        """Dimensions of the facial feature: VGG-19 fc1 and the keypoints' x and y."""
        return self.n_vgg + 2 * self.n_keypoints


@dataclass(frozen=True)
class SyncConfig:
    """Sound recorded apart from the picture."""

    separate_sound: Literal["synchronise", "as_is"] = "synchronise"  # as_is: it begins with the picture already
    max_offset_seconds: float = 60.0  # searched on both sides
    max_drift_ppm: float = 200.0


@dataclass(frozen=True)
class AlignmentConfig:
    """Dynamic time warping of a pair."""

    distance: Literal["literal", "standardised"]
    timeline: Literal["source", "target", "path"]
    silence: Literal["keep", "match", "trim"]  # before and after the speech
    smooth_frames: int  # odd; 1 keeps the raw path
    max_cost: float  # mean standardised cost a step above which clips are no pair, where none could be compared
    cohort: int  # other sentences of each speaker that a pair is compared with; 0: max_cost alone decides


@dataclass(frozen=True)
class SplitConfig:
    """Share of the sentences held out where no manifest names a split."""

    test_share: float


@dataclass(frozen=True)
class RecordsConfig:
    """Files of a records folder, and how they are read; what the records say does not depend on it."""

    shard_mb: float  # MiB after which the next shard begins
    memory_mb: float  # MiB of a split that training may hold decoded; a larger one is read batch by batch


@dataclass(frozen=True)
class ConversionNetConfig:
    """Audiovisual transformation network (paper section 3.1)."""

    audio_down_channels: tuple[int, ...]
    facial_down_channels: tuple[int, ...]
    fusion_channels: tuple[int, ...]
    audio_up_channels: tuple[int, ...]
    facial_up_channels: tuple[int, ...]
    kernel_size: int
    batch_norm_momentum: float
    dropout: float
    input_noise: float
    linear_path: bool  # ridge-initialised linear path beside the network (ours)
    linear_path_ridge: float
    linear_path_context: int  # video frames on each side
    linear_path_rank: int  # dimensions through which the linear path writes the VGG feature
    acoustic_loss_weight: float
    facial_loss: Literal["mean", "balanced"]
    window_seconds: float
    batch_size: int
    learning_rate: float
    lr_schedule: Literal["constant", "cosine"]
    ema_decay: float  # running average of the weights; 0 keeps none
    epochs: int


@dataclass(frozen=True)
class WaveNetConfig:
    """Waveform generation network (paper section 3.2)."""

    sample_rate_hz: int
    n_classes: int  # mu-law levels of the softmax
    n_mixtures: int  # logistic distributions in place of the softmax (ours); 0: softmax
    pre_emphasis: float
    n_layers: int
    dilation_cycle: int
    residual_channels: int
    skip_channels: int
    post_channels: int
    condition_rnn_units: int  # bidirectional LSTM, both directions together; 0 leaves it out
    condition_channels: int
    condition_kernel: int
    facial_channels: int  # linear projection of the facial feature; 0 leaves it out
    input_features: Literal["companded", "companded_and_linear"]
    pitch_input: Literal["none", "f0", "lag"]  # F0 and voicing; lag: and the waveform one pitch period ago (ours)
    prediction_order: int  # linear prediction from the mel, input and offset of the softmax; 0 leaves it out (ours)
    input_noise: float  # largest deviation, companded units, of the noise on the past samples in training (ours)
    temperature: float  # of the softmax when speaking: in unvoiced frames, or everywhere without the pitch lag
    voiced_temperature: float  # below 1: less hoarse, less lively (ours); 0 of either: always the likeliest class
    mel_matching_passes: int  # spectral gains that bring the speech to the mel it was asked for; 0: as sampled (ours)
    sampler: Literal["auto", "cpu", "tensorflow"]  # auto: TensorFlow for many utterances where there is a GPU, else CPU
    sampler_weights: Literal["float32", "bfloat16"]  # on the CPU; bfloat16 is up to twice as fast, a little less exact
    cut_at_pauses_seconds: float  # least pause at which an utterance may be spoken in parts at a time; 0: never (ours)
    crop_seconds: float
    batch_size: int
    learning_rate: float
    lr_schedule: Literal["constant", "cosine"]
    warmup_steps: int
    clip_norm: float
    ema_decay: float
    compute_dtype: Literal["float32", "bfloat16", "float16"]  # of the matrix products in training; weights are float32
    early_stop_epochs: int  # epochs without a better held-out loss after which training ends; 0: never
    train_features: Literal[
        "natural", "converted", "mixed"
    ]  # converted: of the source, on the target's timeline (ours)
    converted_pitch: Literal["natural", "converted"]  # of which mel the pitch beside converted features is (ours)
    epochs: int
    steps_per_epoch: int  # 0: as many crops as the recordings hold
    init_from: str  # "" from scratch, "pretrained" the packaged weights, or a weights file
    jit_compile: bool

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(2 ** (k % self.dilation_cycle) for k in range(self.n_layers))

    @property
    def receptive_field_samples(self) -> int:
        """Samples of the past that can move one output: 1 + the sum of the dilations (kernel 2)."""
        return 1 + sum(self.dilations)


@dataclass(frozen=True)
class ImageConfig:
    """Image reconstruction network (paper section 3.3)."""

    size_px: int
    dense_units: tuple[int, ...]  # before the dense layer that makes the map
    generator_channels: tuple[int, ...]
    generator_upsample: tuple[bool, ...]  # which layers are stride-2 transposed convolutions
    generator_kernel: int
    discriminator_channels: tuple[int, ...]
    discriminator_kernel: int
    batch_norm_momentum: float
    feature_noise: float  # standard deviation, in standardised units, added to the inputs (ours)
    closed_form_start: bool  # dense layers start as a ridge prediction of the small grey frame (ours)
    closed_form_ridge: float
    path_components: int  # principal components of the frames in the closed-form path; 0 leaves it out (ours)
    path_units: int  # random ReLU features of the keypoints in that path (ours)
    adversarial_weight: float
    l1_weight: float
    mouth_l1_weight: float  # further weight of the L1 inside the mouth box (ours)
    adam_beta_1: float
    batch_size: int
    generator_learning_rate: float
    discriminator_learning_rate: float
    lr_schedule: Literal["constant", "cosine"]
    epochs: int

    @property
    def map_px(self) -> int:
        """Side of the one-channel map that the convolutions start from."""
        return self.size_px // 2 ** sum(self.generator_upsample)


@dataclass(frozen=True)
class DoctorConfig:
    """When a take is to be looked at or recorded again (`records.doctor`). None of it changes the records."""

    look_face_share: float  # frames with a face
    record_face_share: float
    record_gap_seconds: float  # longest stretch without a face
    min_crop_px: float  # side of the crop in the camera's frame
    look_outside_share: float  # of the crop's side that lies outside the frame
    look_travel_share: float  # of the crop's side that the head moves within a clip
    look_clipped_share: float  # samples in flat tops
    record_clipped_share: float
    look_snr_db: float
    record_snr_db: float
    record_loudness_lufs: float  # quieter is no recording
    look_loudness_step_lu: float  # from the speaker's median in the same emotion
    look_hum_dbfs: float
    look_dc_offset: float
    min_edge_silence_seconds: float  # less: the sentence may be cut off
    max_edge_silence_seconds: float
    min_sync_confidence: float
    max_sync_drift_ppm: float
    look_duration_factor: float  # from the corpus's median ratio, either way
    record_duration_factor: float
    look_deviations: float  # of cost or margin from the corpus's median, in robust standard deviations
    max_stall_seconds: float  # one speaker's time stands still on the path, not at its ends


@dataclass(frozen=True)
class DemoConfig:
    """Size of the self-made corpus."""

    emotions: tuple[str, ...]
    sentences_per_emotion: int
    held_out_per_emotion: int
    clip_px: int


@dataclass(frozen=True)
class Config:
    """All settings of a run. `fingerprint` names those that prepared records depend on."""

    seed: int
    time: TimeConfig
    acoustic: AcousticConfig
    face: FaceConfig
    sync: SyncConfig
    alignment: AlignmentConfig
    split: SplitConfig
    records: RecordsConfig
    conversion: ConversionNetConfig
    wavenet: WaveNetConfig
    image: ImageConfig
    doctor: DoctorConfig
    demo: DemoConfig

    RECORD_SECTIONS = ("time", "acoustic", "face", "sync", "alignment", "split")

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionary (tuples become lists), as written beside records and weights."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @property
    def record_settings(self) -> dict[str, Any]:
        """The settings that decide the bytes of a records folder."""
        tree = self.as_dict()
        sections = {name: tree[name] for name in self.RECORD_SECTIONS}
        return {"seed": self.seed, "image": {"size_px": self.image.size_px}, **sections}

    @property
    def fingerprint(self) -> str:
        """Digest of `record_settings`."""
        text = json.dumps(self.record_settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, its includes and `section.key=value` overrides.

    Raises:
        ConfigError: missing file, no mapping, unknown key, wrong type, contradicting values.
    """
    tree = _read_tree(Path(path), seen=())
    for text in overrides:
        _apply_override(tree, text)
    return config_from_dict(tree, place=str(path))


def config_from_dict(tree: Mapping[str, Any], *, place: str = "settings") -> Config:
    """Build and check a `Config` from plain values (inverse of `Config.as_dict`)."""
    config = _build(Config, tree, place=place, prefix="")
    _check(config, place)
    return config


def save_config(config: Config, path: Path) -> None:
    """Write the resolved settings, so that they travel with what was made from them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False, default_flow_style=None))


def _read_tree(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path}: no such settings file. Name one of configs/*.yaml.")
    if path.resolve() in seen:
        raise ConfigError(f"{path}: include goes in a circle. Remove the include that leads back.")
    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: settings must be a mapping of sections, got {type(tree).__name__}.")
    base_name = tree.pop("include", None)
    if base_name is None:
        return tree
    base = _read_tree(path.parent / str(base_name), (*seen, path.resolve()))
    return _merge(base, tree)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _apply_override(tree: dict[str, Any], text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {text}: must read section.key=value, for example seed=7.")
    *sections, key = name.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {text}: {section} is a value, not a section.")
    tree[key] = yaml.safe_load(value)


def _build(cls: type, tree: Any, *, place: str, prefix: str) -> Any:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{place}: {prefix.rstrip('.')} must be a section, got {tree!r}.")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    for key in tree:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.0)
            raise ConfigError(f"{place}: unknown setting {prefix}{key}. The nearest known one is {prefix}{near[0]}.")
    missing = [name for name in names if name not in tree]
    if missing:
        raise ConfigError(f"{place}: setting {prefix}{missing[0]} is missing. Start from include: paper.yaml.")
    values = {name: _convert(hints[name], tree[name], place=place, key=f"{prefix}{name}") for name in names}
    return cls(**values)


def _convert(hint: Any, value: Any, *, place: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, place=place, prefix=f"{key}.")
    if typing.get_origin(hint) is Literal:
        options = typing.get_args(hint)
        if value not in options:
            raise ConfigError(f"{place}: {key} is {value!r}; it must be one of {', '.join(options)}.")
        return value
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{place}: {key} is {value!r}; it must be a list.")
        return tuple(_convert(item, v, place=place, key=f"{key}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (
        isinstance(hint, types.UnionType)
        or not isinstance(value, hint)
        or (isinstance(value, bool) and hint is not bool)
    ):
        raise ConfigError(f"{place}: {key} is {value!r}; it must be of type {hint.__name__}.")
    return value


def _check(config: Config, place: str) -> None:
    """Values against each other; the first contradiction raises."""
    time, acoustic, net = config.time, config.acoustic, config.conversion
    wavenet, image = config.wavenet, config.image
    samples_a_frame = time.sample_rate_hz / time.video_fps
    hop = time.sample_rate_hz * time.hop_ms / 1000
    window = time.sample_rate_hz * acoustic.window_ms / 1000
    down = 2 ** len(net.audio_down_channels)
    n_up = len(net.audio_up_channels)
    rules = [
        (hop == int(hop), "time.hop_ms must be a whole number of samples"),
        (samples_a_frame % hop == 0, "time.hop_ms must divide a video frame"),
        (window <= acoustic.fft_length, "acoustic.fft_length must hold acoustic.window_ms"),
        (
            acoustic.fmin_hz < acoustic.fmax_hz <= time.sample_rate_hz / 2,
            "acoustic.fmax_hz must lie between fmin_hz and half of time.sample_rate_hz",
        ),
        (acoustic.log_floor > 0, "acoustic.log_floor must be positive"),
        (
            samples_a_frame / hop == down,
            "conversion.audio_down_channels: one stride-2 convolution each must bring "
            f"{samples_a_frame / hop:g} mel frames to one video frame",
        ),
        (
            n_up == len(net.audio_down_channels),
            "conversion.audio_up_channels: as many as audio_down",
        ),
        (net.kernel_size % 2 == 1, "conversion.kernel_size must be odd"),
        (net.linear_path_rank >= 1, "conversion.linear_path_rank must be at least 1"),
        (
            net.window_seconds * time.video_fps == int(net.window_seconds * time.video_fps),
            "conversion.window_seconds must be whole video frames",
        ),
        (config.sync.max_offset_seconds >= 0, "sync.max_offset_seconds must not be negative"),
        (0 <= config.sync.max_drift_ppm <= 1000, "sync.max_drift_ppm must lie between 0 and 1000"),
        (config.alignment.smooth_frames % 2 == 1, "alignment.smooth_frames must be odd"),
        (config.alignment.cohort >= 0, "alignment.cohort must not be negative"),
        (0 < config.split.test_share < 1, "split.test_share must lie between 0 and 1"),
        (config.records.shard_mb > 0, "records.shard_mb must be positive"),
        (config.records.memory_mb >= 0, "records.memory_mb must not be negative"),
        (
            (wavenet.sample_rate_hz * time.hop_ms) % 1000 == 0,
            "wavenet.sample_rate_hz must give whole samples a hop",
        ),
        (
            wavenet.sample_rate_hz <= time.sample_rate_hz,
            "wavenet.sample_rate_hz must not pass time.sample_rate_hz",
        ),
        (wavenet.n_classes % 2 == 0, "wavenet.n_classes must be even"),
        (wavenet.n_mixtures >= 0, "wavenet.n_mixtures must not be negative"),
        (wavenet.prediction_order >= 0, "wavenet.prediction_order must not be negative"),
        (wavenet.input_noise >= 0, "wavenet.input_noise must not be negative"),
        (min(wavenet.temperature, wavenet.voiced_temperature) >= 0, "wavenet temperatures must not be negative"),
        (wavenet.mel_matching_passes >= 0, "wavenet.mel_matching_passes must not be negative"),
        (wavenet.cut_at_pauses_seconds >= 0, "wavenet.cut_at_pauses_seconds must not be negative"),
        (wavenet.early_stop_epochs >= 0, "wavenet.early_stop_epochs must not be negative"),
        (0 <= wavenet.pre_emphasis < 1, "wavenet.pre_emphasis must lie in [0, 1)"),
        (wavenet.condition_rnn_units % 2 == 0, "wavenet.condition_rnn_units must be even"),
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
            config.doctor.record_face_share <= config.doctor.look_face_share <= 1,
            "doctor.record_face_share must not pass doctor.look_face_share, nor that 1",
        ),
        (
            0 <= config.doctor.look_clipped_share <= config.doctor.record_clipped_share,
            "doctor.look_clipped_share must not pass doctor.record_clipped_share",
        ),
        (
            config.doctor.record_snr_db <= config.doctor.look_snr_db,
            "doctor.record_snr_db must not pass doctor.look_snr_db",
        ),
        (
            1 < config.doctor.look_duration_factor <= config.doctor.record_duration_factor,
            "doctor.look_duration_factor must lie above 1 and not pass doctor.record_duration_factor",
        ),
        (config.face.vgg_px >= 32, "face.vgg_px must be at least 32"),
        (config.face.max_gap_seconds >= 0, "face.max_gap_seconds must not be negative"),
        (config.face.max_edge_seconds >= 0, "face.max_edge_seconds must not be negative"),
        (0 < config.face.crop_face_share <= 1, "face.crop_face_share must lie between 0 and 1"),
        (config.face.n_keypoints == 70, "face.n_keypoints must be 70 (68 iBUG points, 2 pupils)"),
    ]
    for holds, rule in rules:
        if not holds:
            raise ConfigError(f"{place}: {rule}.")
