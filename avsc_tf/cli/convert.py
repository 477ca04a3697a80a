"""Convert clips of the source speaker into videos of the target speaker.

examples: avsc convert clip.mp4 --bundle runs/demo/run --out converted.mp4
          avsc convert clips/*.mp4 --bundle runs/demo/run --out converted --vocoder griffin-lim
          avsc convert clip.mp4 --bundle runs/audio runs/visual --out baseline.mp4   (the paper's baseline)
"""

from __future__ import annotations

import argparse

from avsc_tf.cli.arguments import add_audio_track, add_bundle, add_provenance, check_bundle, named_path, read_provenance
from avsc_tf.cli.running import EXIT_USER_ERROR, print_error
from avsc_tf.vocoder import VOCODERS

SUMMARY = "clips of the source speaker -> videos of the target speaker"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", type=named_path, metavar="CLIP", help="video, silent video or sound")
    add_bundle(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=named_path,
        metavar="PATH",
        help="NAME.mp4 (.m4v, .mov) of one clip, or a folder",
    )
    parser.add_argument(
        "--vocoder",
        nargs="+",
        choices=VOCODERS,
        help="wavenet (default), or griffin-lim for a quick preview; both: one folder each",
    )
    add_audio_track(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the WaveNet's samples and Griffin-Lim's phases")
    parser.add_argument("--keep-features", action="store_true", help="also write NAME.npz with the predicted features")
    parser.add_argument("--overwrite", action="store_true", help="also overwrite files that no conversion made")
    add_provenance(parser)


def run(args: argparse.Namespace) -> int:
    check_bundle(args)
    provenance = read_provenance(args)
    from tqdm import tqdm

    from avsc_tf.conversion.batch import BatchOptions, convert_jobs
    from avsc_tf.conversion.jobs import SOUND_SUFFIX, VIDEO_SUFFIX, plan_jobs, steps_of
    from avsc_tf.conversion.loading import load_bundle, modalities_of, vocoders_of
    from avsc_tf.conversion.overwriting import check_outputs
    from avsc_tf.core.notes import note_lines

    modalities = modalities_of(*args.bundle)
    vocoders = vocoders_of(modalities, args.vocoder, args.bundle[0])
    jobs = plan_jobs(args.clips, args.out, vocoders, suffix=SOUND_SUFFIX if modalities == "audio" else VIDEO_SUFFIX)
    check_outputs(jobs, keep_features=args.keep_features, overwrite=args.overwrite)
    bundle = load_bundle(*args.bundle, vocoders=vocoders)
    with tqdm(total=sum(map(steps_of, jobs)), desc="convert", unit="step", dynamic_ncols=True) as bar:
        options = BatchOptions(
            args.seed, args.keep_features, args.audio_track, provenance=provenance, advance=bar.update
        )
        result = convert_jobs(bundle, jobs, options)
    for line in note_lines({str(clip): notes for clip, notes in result.notes.items()}):
        print(line)
    for error in result.errors.values():
        print_error(error)
    written = [output for job in jobs if job.clip not in result.errors for output in job.outputs.values()]
    print(f"{len(written)} of {sum(len(job.outputs) for job in jobs)} files written to {args.out}")
    return EXIT_USER_ERROR if result.errors else 0
