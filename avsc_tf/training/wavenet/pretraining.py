"""Pretraining of the WaveNet (paper section 4.3) on folders of plain speech, without video or records.

Its mel is natural log, its facial input is absent (zeros, which the network cannot notice).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError
from avsc_tf.core.runs import network_dir
from avsc_tf.datasets.recording_store import StoredRecordings, store_recordings
from avsc_tf.datasets.recordings import Recording, find_recordings, is_held_out
from avsc_tf.datasets.waveform import CropSampler
from avsc_tf.features.pitch import HIGHEST_F0_HZ, LOWEST_F0_HZ, PACKAGED_PITCH, PitchEstimator
from avsc_tf.models.wavenet import WaveNet, build_wavenet
from avsc_tf.signal.speech import frames_with_voice_level
from avsc_tf.training.engine.devices import ONE_DEVICE, Devices
from avsc_tf.training.engine.loop import History
from avsc_tf.training.wavenet.pitch import train_pitch_estimator
from avsc_tf.training.wavenet.pitch_pulses import pulse_trains
from avsc_tf.training.wavenet.previews import MakeSampler, speech_preview
from avsc_tf.training.wavenet.start import load_initial_weights
from avsc_tf.training.wavenet.train import NETWORK, fit_wavenet

STORE_NAME = "recordings"
PITCH_NAME = "pitch.npz"
PITCH_TRAINING_STEPS = 5500
PULSE_TRAINS = 120  # four minutes beside the speech
PITCH_TRAINING_FRAMES = 2_000_000  # 2.8 hours; pYIN takes about as long
LEAST_STD = 0.1  # added: a band that is hardly ever heard must not be blown up


def pretrain_wavenet(
    config: Config,
    folders: Sequence[Path],
    run: Path,
    *,
    resume: bool = False,
    init_from: str | Path | None = None,
    make_sampler: MakeSampler | None = None,
    skip_bad: bool = False,
    devices: Devices = ONE_DEVICE,
) -> tuple[WaveNet, History]:
    """Train on all speech in `folders` (see `find_recordings`) and write RUN/wavenet/.

    The recordings are read once into RUN/recordings; what fits into `records.memory_mb` is then held, a larger set is
    read from there. Levels are varied, so that any recording's level will do. Where no pitch estimator is packaged,
    one is trained first and written to RUN/wavenet/pitch.npz.

    Raises:
        MediaError: no recordings, or unreadable ones and not `skip_bad`; none is in the training split.
        ConfigError: see `training.wavenet.train.train_wavenet`.
    """
    devices.check(config.wavenet, NETWORK)
    keras.utils.set_random_seed(config.seed)
    paths = find_recordings(folders)
    entries = devices.decide(lambda: store_recordings(paths, config, run / STORE_NAME, skip_bad=skip_bad))
    of_test = np.array([is_held_out(path, config) for path in paths])
    stored = StoredRecordings(run / STORE_NAME, entries, ~of_test, config)
    if not len(stored):
        raise MediaError(f"{folders[0]}: every readable recording is held out. Add recordings of other sentences.")
    estimator = _pitch_estimator(config, stored, run, devices) if config.wavenet.pitch_input != "none" else None
    mean, std = stored.mel_moments()
    with devices.building():
        model = build_wavenet(config)
        model.mel_normalisation.set_statistics(mean, std + LEAST_STD)
        load_initial_weights(model, init_from or "", config)
    training = stored.with_estimator(estimator).held_where_it_fits()
    test = StoredRecordings(run / STORE_NAME, entries, of_test, config).with_estimator(estimator)
    held_out = test.held_where_it_fits()
    crops = CropSampler(training, config, seed=config.seed, vary_level=True)
    test_crops = CropSampler(held_out, config, seed=config.seed, noisy=False) if len(held_out) else None
    preview = speech_preview(model, held_out, config, make_sampler, None)
    history = fit_wavenet(model, crops, test_crops, config, run, resume=resume, preview=preview, devices=devices)
    return model, history


def _pitch_estimator(config: Config, training: StoredRecordings, run: Path, devices: Devices) -> PitchEstimator:
    if PACKAGED_PITCH.is_file():
        return PitchEstimator.load(PACKAGED_PITCH)
    path = network_dir(run, NETWORK) / PITCH_NAME
    devices.decide(lambda: None if path.is_file() else _train_pitch_estimator(config, training, path))
    return PitchEstimator.load(path)


def _train_pitch_estimator(config: Config, training: StoredRecordings, path: Path) -> None:
    every = math.ceil(training.n_mel_frames / PITCH_TRAINING_FRAMES)
    some = [training.bare(k) for k in range(0, len(training), every)]
    labels = [_f0_label(r, config) for r in tqdm(some, desc="pitch labels", unit="file")]
    pulses, pulse_labels = pulse_trains(config, n=PULSE_TRAINS, seed=config.seed)
    mels = [*(r.mel for r in some), *pulses]
    estimator = train_pitch_estimator(mels, [*labels, *pulse_labels], steps=PITCH_TRAINING_STEPS, seed=config.seed)
    estimator.save(path)


def _f0_label(recording: Recording, config: Config) -> np.ndarray:
    """True F0 where the recording brings it, else pYIN's (Mauch & Dixon, 2014); 0 where unvoiced.

    In the noise of a quiet room pYIN reports its lowest pitch, so that and frames far below the loudest are no speech.
    """
    if recording.f0_hz is not None:
        return np.pad(recording.f0_hz, (0, len(recording.mel) - len(recording.f0_hz)))
    import librosa

    rate_hz = config.wavenet.sample_rate_hz
    f0_hz, voiced, _ = librosa.pyin(
        recording.waveform,
        fmin=LOWEST_F0_HZ,
        fmax=HIGHEST_F0_HZ,
        sr=rate_hz,
        frame_length=1024 * rate_hz // 16000,
        hop_length=len(recording.waveform) // len(recording.mel),
    )
    loud = frames_with_voice_level(recording.mel)
    f0_hz, voiced = f0_hz[: len(loud)], voiced[: len(loud)]
    return np.where(voiced & loud & (f0_hz > 1.04 * LOWEST_F0_HZ), f0_hz, 0.0).astype(np.float32)
