"""All rows of finished videos measured, sentence by sentence; report.json, CSV files and report.html.

A sentence that is measured is kept (OUT/measured): a stopped evaluation goes on there, and one whose videos changed
measures those again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from avsc_tf.core.config import FaceConfig
from avsc_tf.core.files import write_atomically
from avsc_tf.evaluation.copy_synthesis import write_json
from avsc_tf.evaluation.timeline import TimeMap
from avsc_tf.evaluation.videos import tables
from avsc_tf.evaluation.videos.catalogue import TABLES
from avsc_tf.evaluation.videos.material import ROWS, SECOND_TAKE, SOURCE, TARGET, Material, SentenceInfo
from avsc_tf.evaluation.videos.measure import (
    all_figures,
    beside_source,
    finite,
    map_by_sound,
    same_time,
    time_map_between,
)
from avsc_tf.evaluation.videos.page import write_page
from avsc_tf.evaluation.videos.target_model import TargetModel
from avsc_tf.evaluation.videos.watched import Watch, Watched, watch
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.media.clip_files import files_of_clip

METHOD = 3  # raise it when a figure is measured otherwise: what was measured before is then measured again
REPORT_JSON, REPORT_HTML = "report.json", "report.html"
TO_SOURCE = "to_source"


@dataclass
class Measured:
    """table -> row -> figure -> utterance -> value; `to_source` beside the three tables of the catalogue."""

    values: dict[str, dict[str, dict[str, dict[str, float | None]]]] = field(default_factory=dict)

    def add(self, table: str, row: str, utterance: str, figures: dict[str, float | None]) -> None:
        for name, value in figures.items():
            self.values.setdefault(table, {}).setdefault(row, {}).setdefault(name, {})[utterance] = value


def evaluate_videos(material: Material, face: FaceConfig, out: Path, *, about: dict[str, Any]) -> dict[str, Any]:
    """Measure every row and write report.json, sentences.csv, summary.csv, versus.csv and report.html into `out`.

    Args:
        about: what is known of the systems, for the report.

    Returns:
        The content of report.json.
    Raises:
        MediaError: a video cannot be read.
    """
    with ExitStack() as stack:
        tracker = stack.enter_context(FaceTracker(face.min_detection_confidence))
        target = TargetModel.fit(material)
        measured = _measure_all(material, lambda path: watch(path, tracker, face), target, out)
        found = _report(material, measured, target, about)
        write_json(out / REPORT_JSON, found)
        write_atomically(out / "sentences.csv", tables.sentences_csv(measured.values, material.sentences))
        write_atomically(out / "summary.csv", tables.summary_csv(found["tables"], found["by_emotion"]))
        if found["versus"]:
            write_atomically(out / "versus.csv", tables.versus_csv(found["versus"]))
        write_page(out / REPORT_HTML, found, material, lambda path: watch(path, tracker, face))
    return found


def _measure_all(material: Material, look: Watch, target: TargetModel, out: Path) -> Measured:
    measured = Measured()
    total = sum(len(_there(material, sentence)) for sentence in material.sentences)
    with tqdm(total=total, desc="evaluate", unit="video", dynamic_ncols=True) as bar:
        for sentence in material.sentences:
            for row, found in _measure_sentence(material, sentence, look, target, out):
                for table, figures in found.items():
                    measured.add(table, row, sentence.utterance, figures)
                bar.update()
    return measured


def _there(material: Material, sentence: SentenceInfo) -> dict[str, Path]:
    rows = [row for row in ROWS if sentence.utterance in material.rows.get(row, {})]
    return {row: material.rows[row][sentence.utterance] for row in rows}


def _measure_sentence(
    material: Material, sentence: SentenceInfo, look: Watch, target: TargetModel, out: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of each row of one sentence; videos are decoded only where something is not yet measured."""
    files = _there(material, sentence)
    if TARGET not in files:
        return
    watched: dict[str, Watched] = {}

    def seen(row: str) -> Watched:
        if row not in watched:
            watched[row] = look(files[row])
        return watched[row]

    anchors = _digest(files[TARGET]), _digest(files[SOURCE]) if SOURCE in files else "", target.digest
    for row, path in files.items():
        key = hashlib.sha256("|".join([str(METHOD), _digest(path), *anchors, _text(sentence.time_map)]).encode())
        place = out / "measured" / row / f"{sentence.utterance}.json"
        stored = _read(place, key.hexdigest())
        if stored is None:
            stored = _figures(row, sentence, seen, SOURCE in files, target)
            write_json(place, {"key": key.hexdigest(), "figures": stored})
        yield row, stored
        if row not in (SOURCE, TARGET):
            watched.pop(row, None)


def _figures(
    row: str, sentence: SentenceInfo, seen: Callable[[str], Watched], has_source: bool, target: TargetModel
) -> dict[str, Any]:
    video, reference = seen(row), seen(TARGET)
    if row == TARGET:
        times = same_time(video)
    elif row == SECOND_TAKE:
        times = map_by_sound(video, reference)
    else:
        times = time_map_between(video, reference, sentence.time_map, seen(SOURCE).n_frames if has_source else None)
    found = all_figures(video, sentence.utterance, reference, times, target)
    if has_source:
        found[TO_SOURCE] = beside_source(video, seen(SOURCE), target)
    return {table: finite(figures) for table, figures in found.items()}


def _text(times: TimeMap | None) -> str:
    if times is None:
        return ""
    return hashlib.sha256(
        times.source_s.tobytes() + times.other_s.tobytes() + repr(times.speech_s).encode()
    ).hexdigest()


def _digest(video: Path) -> str:
    digests = []
    for path in files_of_clip(video):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return "+".join(digests)


def _read(place: Path, key: str) -> dict[str, Any] | None:
    try:
        stored = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stored["figures"] if isinstance(stored, dict) and stored.get("key") == key else None


def _report(material: Material, measured: Measured, target: TargetModel, about: dict[str, Any]) -> dict[str, Any]:
    own = {table: measured.values.get(table, {}) for table in TABLES}
    to_source = {TO_SOURCE: measured.values.get(TO_SOURCE, {})}
    emotions = sorted({s.emotion for s in material.sentences if s.emotion})
    return {
        "about": {
            **about,
            "sentences": len(material.sentences),
            "emotions": emotions,
            "rows": {row: material.label(row) for row in ROWS if row in material.rows},
            "notes": [*material.notes, *target.notes],
            "interval": "95 % percentile bootstrap interval of the mean over sentences",
            "test": "two-sided sign-flip permutation test over sentences",
            "lip_correlation": target.about,
            "method": METHOD,
        },
        "tables": tables.summary(own | to_source),
        "by_emotion": tables.by_emotion(own, material.sentences),
        "versus": tables.versus(own),
    }
