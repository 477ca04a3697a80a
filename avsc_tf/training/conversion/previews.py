"""What the conversion network makes of held-out sentences, for TensorBoard: to see, to hear and in figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avsc_tf.corpus.reader import Records
from avsc_tf.features.statistics import split_facial
from avsc_tf.measures.mouth import mouth_agreement
from avsc_tf.measures.spectrum import mel_cepstral_distortion_db
from avsc_tf.signal.speech import audible_frames
from avsc_tf.training.engine.callbacks import Preview
from avsc_tf.training.engine.previews import face_strips, mean_known, mel_picture, one_an_emotion

Vocode = Callable[[np.ndarray], np.ndarray]  # natural-log mel -> waveform; the tools hand it in, like a sampler

NAMES = ("utterance", "emotion", "source_mel", "source_facial", "target_mel", "target_facial")
N_MEASURED = 16  # pairs, spread over the split
STRIP_EVERY = 4  # video frames
LOUDER_NATS = 1.0  # 9 dB above the target's loudest band


@dataclass(frozen=True)
class Aligned:
    """A pair in the units of the recordings, on the timeline that alignment gave it; inputs are standardised."""

    label: str
    inputs: dict[str, np.ndarray]  # [1, frames, values]
    source_mel: np.ndarray  # natural log, [frames, n_mels]
    target_mel: np.ndarray
    target_keypoints: np.ndarray  # [T, 70, 2] px

    @property
    def heard(self) -> np.ndarray:
        """Frames in which the target is audible: bool [frames]."""
        return audible_frames(self.target_mel)


@dataclass(frozen=True)
class Converted:
    """What the network made of a pair; None where it is of the other modality alone."""

    mel: np.ndarray | None  # natural log, [frames, n_mels]
    keypoints: np.ndarray | None  # [T, 70, 2] px


def conversion_preview(model: keras.Model, records: Records, vocode: Vocode | None = None) -> Preview | None:
    """Pictures and sounds of a few held-out pairs, and figures of more of them; None where there are none.

    `quality/mcd_db` is the mel-cepstral distortion in the target's audible frames, `quality/mouth_opening_r` and
    `..._width_r` are Pearson's r of the mouth's movement: means over pairs, as alignment brought them to one timeline.
    So the jitter of the alignment is in them; `avsc diagnose` measures on label times.

    What a network of one modality does not give is left out.

    Args:
        vocode: makes the converted mel of the first sentence audible, and once the target's.
    """
    n_pairs = records.n_pairs("test")
    if not n_pairs:
        return None
    spread = np.linspace(0, n_pairs - 1, min(N_MEASURED, n_pairs)).round().astype(int).tolist()
    chosen = one_an_emotion([pair["emotion"] for pair in records.pairs("test", only=("emotion",))])
    pairs = {
        k: _aligned(pair, records)
        for k, pair in enumerate(records.pairs("test", only=NAMES))
        if k in spread or k in chosen
    }
    target_sounds: list[np.ndarray] = []

    def show(finished_epochs: int, writer: Any) -> None:
        converted = {k: _convert(model, pair, records) for k, pair in pairs.items()}
        figures = [_figures(converted[k], pairs[k]) for k in spread]
        with writer.as_default(step=finished_epochs):
            for name in figures[0]:
                tf.summary.scalar(f"quality/{name}", mean_known([one[name] for one in figures]))
            for k in chosen:
                _pictures(converted[k], pairs[k])
            first, mel = pairs[chosen[0]], converted[chosen[0]].mel
            if vocode is not None and mel is not None:
                if not target_sounds:  # it is always the same one
                    target_sounds.append(vocode(first.target_mel))
                # What a young network says can be louder than any sound.
                mel = mel.clip(first.target_mel.min(), first.target_mel.max() + LOUDER_NATS)
                _sound(f"sound of the mel: converted/{first.label}", vocode(mel), records)
                _sound(f"sound of the mel: target/{first.label}", target_sounds[0], records)

    return show


def _aligned(pair: dict[str, Any], records: Records) -> Aligned:
    restore = records.statistics.restore
    facial = restore("target", "facial", np.asarray(pair["target_facial"], np.float32))
    return Aligned(
        label=f"{pair['emotion']}, {pair['utterance']}",
        inputs={name: np.asarray(pair[f"source_{name}"], np.float32)[None] for name in ("mel", "facial")},
        source_mel=restore("source", "mel", pair["source_mel"]),
        target_mel=restore("target", "mel", pair["target_mel"]),
        target_keypoints=split_facial(facial, n_keypoints=records.config.face.n_keypoints)[1],
    )


def _convert(model: keras.Model, pair: Aligned, records: Records) -> Converted:
    """Natural-log mel and keypoints in pixels, as the network would have the target's."""
    given = {name: np.asarray(value[0]) for name, value in model(pair.inputs, training=False).items()}
    restore = records.statistics.restore
    mel = keypoints = None
    if "mel" in given:
        mel = restore("target", "mel", given["mel"])
    if "facial" in given:
        facial = restore("target", "facial", given["facial"])
        keypoints = split_facial(facial, n_keypoints=records.config.face.n_keypoints)[1]
    return Converted(mel, keypoints)


def _figures(converted: Converted, pair: Aligned) -> dict[str, float]:
    figures = {}
    if converted.mel is not None:
        heard = pair.heard
        figures["mcd_db"] = mel_cepstral_distortion_db(converted.mel[heard], pair.target_mel[heard])
    if converted.keypoints is not None:
        agreement = mouth_agreement(converted.keypoints, pair.target_keypoints)
        figures |= {"mouth_opening_r": agreement.opening_r, "mouth_width_r": agreement.width_r}
    return figures


def _pictures(converted: Converted, pair: Aligned) -> None:
    if converted.mel is not None:
        mels = mel_picture([pair.source_mel, converted.mel, pair.target_mel])
        tf.summary.image(f"mel: source, converted, target/{pair.label}", mels[None])
    if converted.keypoints is not None:
        faces = face_strips([converted.keypoints, pair.target_keypoints], every=STRIP_EVERY)
        tf.summary.image(f"face: converted, target/{pair.label}", faces[None])


def _sound(name: str, waveform: np.ndarray, records: Records) -> None:
    audio = np.clip(waveform, -1.0, 1.0)[None, :, None]  # [clips, samples, channels]
    tf.summary.audio(name, audio, records.config.time.sample_rate_hz)
