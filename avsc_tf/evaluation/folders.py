"""From folders, as the tools name them, to what `evaluation.run` needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.core.errors import MediaError
from avsc_tf.corpus.reader import Records
from avsc_tf.evaluation.copy_synthesis import read_copy_synthesis
from avsc_tf.evaluation.held_out import Folders
from avsc_tf.evaluation.run import FIGURES_NAME, REPORT_NAME, Inputs, evaluate_run

SECOND_TAKE_NAME = "second_take"
STAGES_NAME = "stages.json"
SIDE_BY_SIDE_NAME = "side_by_side.mp4"
SHOWCASE_NAME = "converted"
MAX_VIDEOS = 8  # on a page without a showcase


def find_folders(
    corpus: Path | None, *, source: Path | None = None, target: Path | None = None, align: Path | None = None
) -> Folders:
    """Clip folders: those named, else `source`, `target` and `second_take` in the corpus.

    Raises:
        MediaError: a folder is missing.
    """
    source, target = (named or (corpus / name if corpus else None) for named, name in _pairs(source, target))
    for folder in (source, target, align):
        if folder is not None and not folder.is_dir():
            raise MediaError(f"{folder}: no such folder of clips. Name the folders the records were made from.")
    if source is None or target is None:
        raise MediaError("source and target clips: no folders named. Name --corpus, or --source and --target.")
    second_take = corpus / SECOND_TAKE_NAME if corpus else None
    return Folders(source, target, second_take if second_take and second_take.is_dir() else None, align)


def _pairs(source: Path | None, target: Path | None) -> tuple[tuple[Path | None, str], ...]:
    return (source, "source"), (target, "target")


def find_converted(folder: Path, copies: Mapping[str, Any] | None) -> dict[str, Path]:
    """Folders of converted sentences by vocoder; first the one whose videos are shown.

    `folder` holds a folder a vocoder, or the videos of one. The WaveNet comes first where it passed the gate.

    Raises:
        MediaError: no converted sentence is there.
    """
    holding = [f for f in (folder, *sorted(folder.glob("*/"))) if any(f.glob("*.npz"))]
    if not holding:
        raise MediaError(f"{folder}: no NAME.npz of a converted clip. Convert with avsc convert --keep-features.")
    found = {_vocoder(next(iter(sorted(f.glob("*.npz"))))): f for f in holding}
    first = "wavenet" if copies is None or copies["gate"]["passed"] else "griffin-lim"
    return dict(sorted(found.items(), key=lambda item: item[0] != first))


def _vocoder(features: Path) -> str:
    try:
        with np.load(features) as stored:
            return str(stored["vocoder"])
    except (OSError, ValueError, KeyError) as error:
        raise MediaError(f"{features}: not the features of a converted clip ({error}). Convert it again.") from error


def evaluate_folders(records: Records, folders: Folders, *, run: Path, converted: Path, out: Path) -> str:
    """`evaluate_run` on what lies in `out` and in the folder of converted sentences.

    Returns:
        What to tell the user: the aims, and where the page is.
    """
    by_vocoder = find_converted(converted, read_copy_synthesis(out))
    videos = sorted((out / SHOWCASE_NAME).glob("*.mp4")) or _some(next(iter(by_vocoder.values())))
    files = [path for path in (out / SIDE_BY_SIDE_NAME, *videos) if path.is_file()] + [out / FIGURES_NAME]
    inputs = Inputs(run, by_vocoder, folders, stages=out / STAGES_NAME, files=files)
    return summary(evaluate_run(records, inputs, out), out / REPORT_NAME)


def _some(folder: Path) -> list[Path]:
    """Videos spread evenly over a folder."""
    videos = sorted(folder.glob("*.mp4"))
    return videos[:: max(1, -(-len(videos) // MAX_VIDEOS))]


def summary(figures: Mapping[str, Any], report: Path) -> str:
    """The aims as lines of text, and the page."""
    lines = []
    for verdict in figures["aims"]:
        value, bound = (f"{v:.3f}" if v is not None else "-" for v in (verdict["value"], verdict["bound"]))
        mark = {True: "reached", False: "falls short", None: "not measured"}[verdict["passed"]]
        lines.append(f"  {verdict['label']}: {value} (aim {verdict['sign']} {bound}): {mark}")
    return "\n".join([f"{figures['about']['sentences']} held-out sentences:", *lines, f"  {report}"])
