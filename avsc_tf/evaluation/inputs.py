"""The evaluation as its tool names it: run folders, folders of videos, or long videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avsc_tf.conversion.loading import modalities_of
from avsc_tf.core.config import load_config, load_saved_config
from avsc_tf.core.errors import BundleError, MediaError, RecordError
from avsc_tf.core.files import own_folder
from avsc_tf.core.runs import STATISTICS_NAME, statistics_path
from avsc_tf.corpus.manifest import CONFIG_NAME as RECORDS_CONFIG_NAME
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.evaluation.drift_report import FILE_NAME as DRIFT_JSON
from avsc_tf.evaluation.held_out import Folders
from avsc_tf.evaluation.judged_folders import JudgedFolders, folder_material
from avsc_tf.evaluation.judged_videos import System, make_videos
from avsc_tf.evaluation.row_folder import MADE_FROM
from avsc_tf.evaluation.texts import interval_text, number_text
from avsc_tf.evaluation.videos.catalogue import FIGURES, HEADLINES, WHERE
from avsc_tf.evaluation.videos.evaluate import REPORT_HTML, REPORT_JSON, evaluate_videos
from avsc_tf.evaluation.videos.material import CONVERTED, ROWS, VERSUS
from avsc_tf.vocoder import Vocoder

SECOND_TAKE_NAME = "second_take"


def evaluate(
    *,
    out: Path,
    bundle: Sequence[Path] | None = None,
    videos: Path | None = None,
    drift: Sequence[Path] | None = None,
    records: Path | None = None,
    reference: Path | None = None,
    source: Path | None = None,
    corpus: Path | None = None,
    align: Path | None = None,
    second_take: Path | None = None,
    training: Path | None = None,
    versus: Sequence[Path] | None = None,
    vocoder: Vocoder = "wavenet",
    seed: int = 0,
    config: str | Path = "paper",
) -> str:
    """Evaluate what is named and tell the headlines.

    Raises:
        MediaError: flags that do not go together, a folder that is missing, or a video that cannot be read.
        RecordError, BundleError: the records or a run folder are incomplete.
        OutputError: `out` holds other things than an evaluation, or another one is running there.
    """
    if corpus is not None:
        source, reference = source or corpus / "source", reference or corpus / "target"
        if second_take is None and (corpus / SECOND_TAKE_NAME).is_dir():
            second_take = corpus / SECOND_TAKE_NAME
    for folder in (source, reference, align, second_take, training):
        if folder is not None and not folder.is_dir():
            raise MediaError(f"{folder}: no such folder. Name a folder that holds clips.")
    meant_for = {"--records": (records, bundle), "--training": (training, videos)}
    for flag, (value, kind) in meant_for.items():
        if value is not None and not kind:
            raise MediaError(f"{flag} {value}: does not go with what is evaluated here. Leave it out, or see --help.")
    if bundle and records is None:
        raise MediaError("--records: is missing. Name the records folder whose held-out sentences are judged.")
    judged = _judged(videos, reference, source, versus, second_take, align, training) if videos else None
    with own_folder(out, "evaluate", signs=(REPORT_JSON, DRIFT_JSON, f"videos/*/{MADE_FROM}"), doing="evaluation"):
        if drift:
            from avsc_tf.evaluation.drift_report import report_drift

            return report_drift(drift, config, out)
        if judged is not None:
            face, about = load_config(config).face, {"settings": f"Videos of {videos}."}
            found = evaluate_videos(folder_material(judged, face, out), face, out, about=about)
        else:
            assert bundle is not None and records is not None
            folders = Folders(source or records, reference or records, align=align)
            found = _evaluate_runs(bundle, versus, records, folders, second_take, out, vocoder, seed)
        return headlines(found, out / REPORT_HTML)


def _judged(
    videos: Path,
    reference: Path | None,
    source: Path | None,
    versus: Sequence[Path] | None,
    second_take: Path | None,
    align: Path | None,
    training: Path | None,
) -> JudgedFolders:
    if reference is None:
        raise MediaError("--reference: is missing. Name the folder of the target's recordings of the sentences.")
    if versus and len(versus) > 1:
        raise MediaError(f"{versus[1]}: --versus takes one folder of videos. Name the folder alone.")
    return JudgedFolders(videos, reference, source, versus[0] if versus else None, second_take, align, training)


def _evaluate_runs(
    bundle: Sequence[Path],
    versus: Sequence[Path] | None,
    records_folder: Path,
    folders: Folders,
    second_take: Path | None,
    out: Path,
    vocoder: Vocoder,
    seed: int,
) -> dict[str, Any]:
    named = {CONVERTED: bundle, **({VERSUS: versus} if versus else {})}
    for runs in named.values():
        if len(runs) > 2:
            raise MediaError(f"{runs[2]}: one run folder, or those of the two baselines. Name no more.")
        modalities_of(*runs)
    records = records_of(records_folder, [run for runs in named.values() for run in runs])
    systems = {row: System(tuple(runs), vocoder, seed) for row, runs in named.items()}
    material = make_videos(records, systems, folders, out, second_take=second_take)
    about = {
        "settings": f"Records {records_folder}; voices by {vocoder}, seed {seed}; trivial rows speak by Griffin-Lim."
    }
    return evaluate_videos(material, records.config.face, out, about=about)


def records_of(folder: Path, runs: Sequence[Path]) -> Records:
    """A records folder by its own settings, on which all these runs were trained.

    Raises:
        RecordError: it is no records folder, or damaged. BundleError: a run was trained on other records.
    """
    settings = folder / RECORDS_CONFIG_NAME
    if not settings.is_file():
        raise RecordError(f"{settings}: no such file, so {folder} is no records folder. Make one with avsc prepare.")
    records = open_records(folder, load_saved_config(settings))
    for run in runs:
        theirs = statistics_path(run)
        if not theirs.is_file() or theirs.read_bytes() != (folder / STATISTICS_NAME).read_bytes():
            raise BundleError(
                f"{theirs}: is not the statistics of {folder}; the run was trained on other records, and may have seen "
                "the sentences that are held out here. Name the records it was trained on."
            )
    return records


def headlines(found: Mapping[str, Any], report: Path) -> str:
    """The most telling figures, a line a row, and the page."""
    tables = found["tables"]
    shown = [n for n in HEADLINES if any(_mean(tables, WHERE[n], row, n) is not None for row in ROWS)]
    width = max(len(label) for label in found["about"]["rows"].values())
    lines = [" " * width + "".join(f"{FIGURES[n].title:>28}" for n in shown)]
    for row in ROWS:
        if row in found["about"]["rows"]:
            cells = [_cell(tables.get(WHERE[n], {}).get(row, {}).get(n) or {}, FIGURES[n].decimals) for n in shown]
            lines.append(f"{found['about']['rows'][row]:<{width}}" + "".join(f"{cell:>28}" for cell in cells))
    winners = [
        f"{FIGURES[name].title}: {found['about']['rows'][entry['better']]}"
        for by in found["versus"].values()
        for name, entry in by.items()
        if entry["better"]
    ]
    if found["versus"]:
        lines.append(
            "Better beyond chance (Holm's p < 0.05): " + ("; ".join(winners) if winners else "neither, in nothing")
        )
    return "\n".join([*lines, f"{found['about']['sentences']} sentences; {report}"])


def _mean(tables: Mapping[str, Any], table: str, row: str, name: str) -> float | None:
    return tables.get(table, {}).get(row, {}).get(name, {}).get("mean")


def _cell(entry: Mapping[str, Any], decimals: int) -> str:
    interval = interval_text(entry, decimals)
    return number_text(entry.get("mean"), decimals) + (f" ({interval})" if interval else "")
