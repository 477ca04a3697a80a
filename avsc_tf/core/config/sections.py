"""The sections of the settings, one frozen dataclass each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TimeConfig:
    """Rates of the prepared signals; `avsc_tf.core.timebase.Timebase` derives everything else."""

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
    """Which sound belongs to a picture."""

    separate_sound: Literal["synchronise", "as_is"] = "synchronise"  # as_is: it begins with the picture already
    max_offset_seconds: float = 60.0  # searched on both sides
    max_drift_ppm: float = 200.0
    audio_track: int = 0  # of video files, counted from 1; 0: the one that the file flags as default, else the first


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


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What the trainings of all three networks have in common.

    A setting with a default is newer than some run folders: where one lacks it, it was trained like that.
    """

    batch_size: int
    epochs: int
    lr_schedule: Literal["constant", "cosine", "exponential"]  # both others fall to 2 % of the rate
    warmup_steps: int = 0
    clip_norm: float = 0.0  # of all gradients together; 0: not clipped
    ema_decay: float = 0.0  # running average of the weights, which is what is delivered; 0 keeps none
    compute_dtype: Literal["float32", "bfloat16", "float16"] = "float32"  # in training; weights are float32
    early_stop_epochs: int = 0  # epochs without a better held-out loss after which training ends; 0: never
    steps_per_execution: int = 1  # steps between two returns from the graph
    jit_compile: bool = False  # XLA
    checkpoint_seconds: float = 60.0  # least time between two checkpoints; 0: one after every step
    preview_epochs: int = 1  # epochs from one preview in TensorBoard to the next; 0: none


@dataclass(frozen=True, kw_only=True)
class ConversionNetConfig(TrainingConfig):
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
    learning_rate: float
    modalities: Literal["audio_visual", "audio", "visual"] = "audio_visual"  # one alone: the paper's baselines
    modality_dropout: float = 0.0  # share of the training windows without sound, and as many without a face (ours)
    loss_balance: Literal["fixed", "uncertainty", "gradient_norm"] = "fixed"  # both others move the weights (ours)
    loss_balance_rate: float = 0.025  # Adam's, of the weights that move
    gradient_norm_asymmetry: float = 1.5  # alpha of Chen et al. 2018: how much slow learners gain

    @property
    def has_sound(self) -> bool:
        """Whether the network hears and speaks."""
        return self.modalities != "visual"

    @property
    def has_picture(self) -> bool:
        """Whether the network sees and moves a face."""
        return self.modalities != "audio"


@dataclass(frozen=True, kw_only=True)
class WaveNetConfig(TrainingConfig):
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
    learning_rate: float
    train_features: Literal[
        "natural", "converted", "mixed"
    ]  # converted: of the source, on the target's timeline (ours)
    converted_pitch: Literal["natural", "converted"]  # of which mel the pitch beside converted features is (ours)
    steps_per_epoch: int  # 0: as many crops as the recordings hold
    init_from: str  # "" from scratch, "pretrained" the packaged weights, or a weights file

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(2 ** (k % self.dilation_cycle) for k in range(self.n_layers))

    @property
    def receptive_field_samples(self) -> int:
        """Samples of the past that can move one output: 1 + the sum of the dilations (kernel 2)."""
        return 1 + sum(self.dilations)


@dataclass(frozen=True, kw_only=True)
class ImageConfig(TrainingConfig):
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
    generator_learning_rate: float
    discriminator_learning_rate: float
    mel_input: bool = True  # False: pictures from the facial feature alone, the paper's visual baseline
    discriminator_scales: int = 0  # judge patches on so many scales (ours); 0: the paper's, one score an image
    feature_matching_weight: float = 0.0  # of the L1 between the discriminator's features, with patches (ours)
    path_warp: bool = False  # the path paints a texture in the mean face's shape, laid on each frame's keypoints (ours)
    path_texture_scale: float = 1.5  # pixels of that texture a pixel of the frame (ours)
    path_reference: Literal["all", "one_take"] = "all"  # whose hair and clothes: the mean, or one clip's (ours)
    steady_head_seconds: float = 0.0  # smoothing of the head's movement before converted features are painted (ours)
    steady_face_seconds: float = 0.0  # the same of what moves within the head (ours)

    @property
    def texture_px(self) -> int:
        """Side of the texture of `path_warp`; 0 without it."""
        return round(self.size_px * self.path_texture_scale) if self.path_warp else 0

    @property
    def map_px(self) -> int:
        """Side of the one-channel map that the convolutions start from."""
        return self.size_px // 2 ** sum(self.generator_upsample)


@dataclass(frozen=True)
class DoctorConfig:
    """When a take is to be looked at or recorded again (`corpus.doctor`). None of it changes the records."""

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
