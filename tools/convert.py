"""Clips of A to videos of B.

python tools/convert.py clip.mp4 --bundle runs/demo/run --out converted.mp4
python tools/convert.py clips/*.mp4 --bundle runs/demo/run --out converted --vocoder griffin-lim
python tools/convert.py clip.mp4 --bundle runs/audio runs/visual --out baseline.mp4   (the paper's baseline)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from avsc_tf.cli.running import EXIT_USER_ERROR, add_audio_track_argument, named_path, print_error, run_tool
from avsc_tf.conversion.jobs import SOUND_SUFFIX, VIDEO_SUFFIX, VOCODERS, plan_jobs, steps_of
from avsc_tf.conversion.overwriting import check_outputs
from avsc_tf.core.notes import note_lines
from avsc_tf.provenance.flags import add_provenance_arguments, provenance_from_args


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "clips", nargs="+", type=Path, metavar="CLIP", help="of the source speaker: video, silent video or sound"
    )
    runs = {"type": Path, "nargs": "+", "metavar": "RUN", "help": "run folder, or those of both baselines"}
    parser.add_argument("--bundle", required=True, **runs)
    parser.add_argument(
        "--out",
        required=True,
        type=named_path,
        metavar="PATH",
        help="NAME.mp4 (.m4v, .mov) for one clip, else a folder",
    )
    parser.add_argument(
        "--vocoder",
        nargs="+",
        choices=VOCODERS,
        help="wavenet (default) or griffin-lim, a quick preview; both: a folder each",
    )
    add_audio_track_argument(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the WaveNet's samples and Griffin-Lim's phases")
    parser.add_argument("--keep-features", action="store_true", help="also write NAME.npz with what was predicted")
    parser.add_argument("--overwrite", action="store_true", help="also write over files that no conversion made")
    add_provenance_arguments(parser)
    args = parser.parse_args()
    if len(args.bundle) > 2:
        parser.error("--bundle takes one run folder, or two")
    provenance = provenance_from_args(args)
    from avsc_tf.conversion.bundle import load_bundle, modalities_of, vocoders_of

    modalities = modalities_of(*args.bundle)
    vocoders = vocoders_of(modalities, args.vocoder, args.bundle[0])
    jobs = plan_jobs(args.clips, args.out, vocoders, suffix=SOUND_SUFFIX if modalities == "audio" else VIDEO_SUFFIX)
    check_outputs(jobs, keep_features=args.keep_features, overwrite=args.overwrite)
    converter = load_bundle(*args.bundle, vocoders=vocoders)
    converter.provenance, converter.audio_track = provenance, args.audio_track
    with tqdm(total=sum(map(steps_of, jobs)), desc="convert", unit="step", dynamic_ncols=True) as bar:
        errors = converter.convert_jobs(jobs, seed=args.seed, keep_features=args.keep_features, advance=bar.update)
    for line in note_lines({str(clip): notes for clip, notes in converter.notes.items()}):
        print(line)
    for error in errors.values():
        print_error(error)
    done = [output for job in jobs if job.clip not in errors for output in job.outputs.values()]
    print(f"{len(done)} of {sum(len(job.outputs) for job in jobs)} files written to {args.out}")
    return EXIT_USER_ERROR if errors else 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
