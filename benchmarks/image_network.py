"""How the image network paints held-out sentences, from the target's own features and from converted ones.

    python benchmarks/image_network.py --config C --records DIR --run RUN --out DIR [--only V...] [--json FILE]

RUN holds the trained conversion network. Every variant is a change of the `image` section; those marked `start` are
taken as their closed-form start leaves them, the others are trained into OUT/VARIANT (a finished one is reused). Beside
them stand the trivial answers: the mean image, and a ridge regression from a frame's mel and keypoints to its pixels.

Figures, each with its 95 % interval over sentences; the reference is the target's own film, for converted features on
the source's timeline. `aligned` ones are taken after the eyes are laid on each other, since no two takes share the
head's movement. `edges` and `flicker` are shares of the film's own, `texture` is a distance
(evaluation/face_quality.py), and `opening r` is re-tracked in the finished frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from bench_cli import parse_arguments

from avsc_tf.cli.arguments import add_config, read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.conversion.painting import smooth_facial
from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records, decode_frames, open_records
from avsc_tf.evaluation.figures import Table
from avsc_tf.evaluation.held_out import Folders, Sentence, held_out_sentences
from avsc_tf.evaluation.rows import TrivialAnswers
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.keypoints import LIPS
from avsc_tf.features.statistics import join_facial, unflatten_keypoints
from avsc_tf.measures import face_quality, picture
from avsc_tf.measures import tracked_face as face
from avsc_tf.measures.mouth import mouth_agreement
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.training.image.appearance import start_in_closed_form
from avsc_tf.training.image.train import train_image
from avsc_tf.training.wavenet.converted_features import conversion_of_run

SMOKE = (
    "--config {demo}/demo.yaml --records {demo}/records --run {demo}/run --source {demo}/corpus/source "
    '--target {demo}/corpus/target --out {out} --only "warp, one take, steady, LSGAN" --trivial --sentences 1 '
    "--json {out}/found.json"
)

FRAME_EVERY = 4  # frames compared pixel by pixel
FRAMES_A_BATCH = 32
SHEET_FRAMES = 10  # frames of a sentence on the contact sheet
WARP = {"path_warp": True, "path_components": 64, "closed_form_ridge": 100.0}
TAKE = {**WARP, "path_reference": "one_take"}
STEADY = {**TAKE, "steady_head_seconds": 0.08, "steady_face_seconds": 0.02}


@dataclasses.dataclass(frozen=True)
class Variant:
    """Changes of the image section, and whether gradient steps follow the closed-form start."""

    changes: Mapping[str, Any]
    trained: bool = True


PATCHES = {
    "discriminator_scales": 2,
    "discriminator_channels": (16, 32, 64),
    "discriminator_kernel": 4,
    "feature_matching_weight": 2.0,
    "generator_learning_rate": 3e-4,
    "discriminator_learning_rate": 2e-4,
}
VARIANTS = {
    "frame path, start": Variant({"path_warp": False, "path_components": 160}, trained=False),
    "warp, all takes, start": Variant(WARP, trained=False),
    "warp, one take, start": Variant(TAKE, trained=False),
    "warp, one take, texture x1, start": Variant({**TAKE, "path_texture_scale": 1.0}, trained=False),
    "warp, one take, steady, start": Variant(STEADY, trained=False),
    "warp, one take, steady, L1": Variant({**STEADY, "adversarial_weight": 0.0}),
    "warp, one take, steady, LSGAN": Variant(STEADY),
    "warp, one take, steady, patches": Variant({**STEADY, **PATCHES}),
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """Features to paint, and the film to compare with, frame by frame."""

    name: str
    mel: np.ndarray  # [T, mel_per_video, n_mels], standardised
    facial: np.ndarray  # [T, n_facial], standardised
    keypoints: np.ndarray  # [T, 70, 2] px of the crop: what is asked for
    reference: np.ndarray  # uint8 [T, S, S, 3]
    reference_keypoints: np.ndarray  # [T, 70, 2] px of the crop
    film: np.ndarray  # uint8 [T', S, S, 3]: the target's own, on its own timeline
    film_keypoints: np.ndarray  # [T', 70, 2] px of the crop
    spoken: np.ndarray  # bool [T]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config(parser)
    parser.add_argument("--records", type=Path, required=True, metavar="DIR")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="with a trained conversion network")
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="clips, for their label times")
    parser.add_argument("--target", type=Path, required=True, metavar="DIR", help="clips, for their label times")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="training and contact sheets go there")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), metavar="V")
    parser.add_argument("--trivial", action="store_true", help="measure the trivial answers, too")
    parser.add_argument("--sentences", type=int, help="at most so many, evenly spread")
    parser.add_argument("--json", type=Path)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    config = read_config(args)
    records = open_records(args.records, config)
    asked = _asked(records, args.run, held_out_sentences(records, Folders(args.source, args.target)), args.sentences)
    table = Table()
    with FaceTracker(config.face.min_detection_confidence) as tracker:
        if args.trivial:
            _measure_trivial(records, asked, table, tracker)
        for name in args.only:
            own = _settings(config, VARIANTS[name])
            generator, seconds = _made(VARIANTS[name].trained, name, own, records, args.out)
            print(
                f"{name}: made in {seconds:.0f} s, paints a frame in {_frame_ms(generator, asked):.1f} ms", flush=True
            )
            fed = {"natural": asked["natural"], "converted": _smoothed(asked["converted"], own, records)}
            _measure(name, lambda one, net=generator: paint(net, one), fed, own, table, tracker, args.out)
            _show(table)
            if args.json:
                args.json.write_text(json.dumps(table.summary(), indent=1), encoding="utf-8")
    return 0


def _asked(records: Records, run: Path, sentences: list[Sentence], at_most: int | None) -> dict[str, list[Asked]]:
    """Every sentence twice: "natural" and "converted"."""
    convert, statistics = conversion_of_run(run, records), records.statistics
    every = np.unique(np.linspace(0, len(sentences) - 1, at_most or len(sentences)).astype(int))
    found: dict[str, list[Asked]] = {"natural": [], "converted": []}
    for sentence in (sentences[k] for k in every):
        clip, reference = sentence.target, sentence.reference
        own = _standardised(statistics, "target", clip)
        film = decode_frames(clip["frames"])
        all_frames = np.ones(len(film), bool)
        found["natural"].append(
            Asked(
                sentence.utterance,
                *own,
                clip["keypoints"],
                *(film, clip["keypoints"]),
                *(film, clip["keypoints"]),
                all_frames,
            )
        )
        mel, facial = _standardised(statistics, "source", sentence.source)
        mel, facial = convert(mel.reshape(-1, mel.shape[-1]), facial)
        assert reference.frames is not None
        found["converted"].append(
            Asked(
                sentence.utterance,
                mel.reshape(len(facial), -1, mel.shape[-1]),
                facial,
                _keypoints(facial, records),
                reference.frames,
                reference.keypoints,
                film,
                clip["keypoints"],
                sentence.spoken_pictures,
            )
        )
    return found


def _standardised(statistics: Any, speaker: str, clip: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    facial = join_facial(clip["vgg"], clip["keypoints"])
    mel = statistics.standardise(speaker, "mel", clip["mel"])
    return mel.reshape(len(facial), -1, mel.shape[-1]), statistics.standardise(speaker, "facial", facial)


def _settings(config: Config, variant: Variant) -> Config:
    return dataclasses.replace(config, image=dataclasses.replace(config.image, **variant.changes))


def _smoothed(asked: list[Asked], config: Config, records: Records) -> list[Asked]:
    """Keypoints smoothed as `painting.paint` does."""
    found = []
    for one in asked:
        facial = smooth_facial(one.facial, records.statistics, config)
        found.append(dataclasses.replace(one, facial=facial, keypoints=_keypoints(facial, records)))
    return found


def _keypoints(facial: np.ndarray, records: Records) -> np.ndarray:
    """[T, n_facial], standardised by the target's statistics -> [T, 70, 2], px of the crop."""
    flat = facial[:, -2 * records.config.face.n_keypoints :]
    return unflatten_keypoints(records.statistics.restore("target", "keypoints", flat))


def _made(trained: bool, name: str, config: Config, records: Records, out: Path) -> tuple[keras.Model, float]:
    begun = time.monotonic()
    if trained:
        folder = out / name.replace(", ", "-").replace(" ", "_")
        generator = train_image(config, records, folder, resume=True)[0]
    else:
        keras.utils.set_random_seed(config.seed)
        generator = build_image_generator(config)
        start_in_closed_form(generator, config, records)
    return generator, time.monotonic() - begun


def paint(generator: keras.Model, asked: Asked) -> np.ndarray:
    """uint8 [T, S, S, 3]."""
    parts = []
    for start in range(0, len(asked.facial), FRAMES_A_BATCH):
        batch = slice(start, start + FRAMES_A_BATCH)
        images = generator({"mel": asked.mel[batch], "facial": asked.facial[batch]}, training=False)
        parts.append(np.clip(np.rint((np.asarray(images) + 1) * 127.5), 0, 255).astype(np.uint8))
    return np.concatenate(parts)


def _say(name: str, seconds: float, generator: keras.Model, asked: Mapping[str, list[Asked]]) -> None:
    size_mb = sum(int(np.prod(w.shape)) for w in generator.weights) * 4 / 2**20
    speed = f"paints a frame in {_frame_ms(generator, asked):.1f} ms"
    print(f"{name}: made in {seconds:.0f} s, {size_mb:.0f} MiB of weights, {speed}", flush=True)


def _frame_ms(generator: keras.Model, asked: Mapping[str, list[Asked]]) -> float:
    one = asked["natural"][0]
    paint(generator, one)
    begun = time.monotonic()
    paint(generator, one)
    return 1000 * (time.monotonic() - begun) / len(one.facial)


def _measure_trivial(records: Records, asked: Mapping[str, list[Asked]], table: Table, tracker: FaceTracker) -> None:
    """The mean image, and the pixels' ridge fed with the very features that the networks are fed with."""
    trivial = TrivialAnswers(records, progress=True)
    shape = (-1, *trivial.mean_image.shape)

    def mean_image(one: Asked) -> np.ndarray:
        return np.broadcast_to(trivial.mean_image, (len(one.facial), *trivial.mean_image.shape))

    def ridge(one: Asked) -> np.ndarray:
        n_values = 2 * records.config.face.n_keypoints
        x = np.concatenate([one.mel.reshape(len(one.facial), -1), one.facial[:, -n_values:]], axis=1)
        return np.clip(np.rint(trivial.pictures(x)), 0, 255).astype(np.uint8).reshape(shape)

    for name, answer in (("mean image", mean_image), ("ridge to pixels", ridge)):
        _measure(name, answer, asked, records.config, table, tracker, None)
        _show(table)


def _measure(
    name: str,
    painted: Callable[[Asked], np.ndarray],
    asked: Mapping[str, list[Asked]],
    config: Config,
    table: Table,
    tracker: FaceTracker,
    out: Path | None,
) -> None:
    for fed, sentences in asked.items():
        for k, one in enumerate(sentences):
            frames = painted(one)
            table.add(f"{name} <- {fed}", one.name, _figures(frames, one, config, tracker))
            if out is not None and k < 2:
                _write_sheet(out / f"{name.replace(' ', '_')}-{fed}-{one.name}.png", frames, one.reference)


def _figures(frames: np.ndarray, one: Asked, config: Config, tracker: FaceTracker) -> dict[str, float]:
    scale = frames.shape[1] / config.face.crop_px
    again = face.retrack(frames, tracker, at_px=config.face.crop_px)
    own = np.where(again.found[:, None, None], again.keypoints, one.keypoints) * scale  # where the face is
    wanted, film = one.reference_keypoints * scale, one.film_keypoints * scale
    chosen = np.flatnonzero(one.spoken)[::FRAME_EVERY]
    laid = face_quality.eyes_laid_on(frames[chosen], own[chosen], wanted[chosen])
    lips = wanted[chosen][:, LIPS].mean(axis=1)
    plain = picture.frame_agreement(frames[chosen], one.reference[chosen], lips)
    aligned = picture.frame_agreement(laid, one.reference[chosen], lips)
    seen = one.spoken & again.found
    mouth = mouth_agreement(again.keypoints[seen], one.reference_keypoints[seen])
    fed = mouth_agreement(one.keypoints[one.spoken], one.reference_keypoints[one.spoken])
    kept = mouth_agreement(again.keypoints[seen], one.keypoints[seen])
    return {
        "mouth SSIM": plain.mouth_ssim,
        "aligned": aligned.mouth_ssim,
        "frame SSIM": plain.frame_ssim,
        "texture": face_quality.texture_distance(laid, one.reference[chosen]),
        "edges": face_quality.edge_ratio(frames, own, one.film, film),
        "flicker": face_quality.flicker_ratio(frames, own, one.film, film),
        "opening r": mouth.opening_r,
        "of features": fed.opening_r,
        "to features": kept.opening_r,
        "sd ratio": mouth.opening_sd_ratio,
        "face share": again.share,
    }


def _write_sheet(path: Path, frames: np.ndarray, reference: np.ndarray) -> None:
    """The film above, what was painted below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = np.linspace(4, len(frames) - 5, SHEET_FRAMES).astype(int)
    rows = [np.concatenate(list(pictures[chosen]), axis=1) for pictures in (reference, frames)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def _show(table: Table) -> None:
    summary = table.summary()
    names = list(next(iter(summary.values())))
    print("\n" + f"{'mean [95 % interval]':46}" + "".join(f"{name:>22}" for name in names))
    for row in sorted(summary, key=lambda row: row.partition(" <- ")[2]):
        print(f"{row:46}" + "".join(f"{_cell(summary[row][name]):>22}" for name in names), flush=True)


def _cell(entry: Mapping[str, Any]) -> str:
    if entry["mean"] is None:
        return ""
    low, high = (float("nan") if entry[end] is None else entry[end] for end in ("low", "high"))
    return f"{entry['mean']:.3f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    sys.exit(run_tool(main))
