"""One training of a network at a time in a run folder; other networks may be trained beside it."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from avsc_tf.core.config import Config
from avsc_tf.core.digests import read_digests, seal
from avsc_tf.core.errors import OutputError
from avsc_tf.core.files import locked_folder
from avsc_tf.core.runs import LOG_DIR_NAME, weights_path
from avsc_tf.corpus.reader import Records
from avsc_tf.training.engine.run_folder import own_run
from avsc_tf.training.job import TrainingJob


def test_the_second_training_is_refused(tiny_records: Records, tiny_config: Config, tmp_path: Path) -> None:
    """And leaves everything as the first one has it; a training of another network is none."""
    run = tmp_path / "run"
    brief = replace(tiny_config, image=replace(tiny_config.image, epochs=0, preview_epochs=0))
    job = TrainingJob("image", brief, run, tiny_records.folder)
    with own_run(run, "image"):
        with pytest.raises(OutputError, match=r"run: another training of the network `image` is running there\. Wait"):
            job.do()
        assert [path.name for path in run.iterdir()] == ["image.lock"]
    with own_run(run, "conversion"):
        job.do()
    assert weights_path(run, "image").is_file() and (run / "image" / LOG_DIR_NAME).is_dir()


def test_a_folder_of_other_things_is_no_run(tiny_records: Records, tiny_config: Config, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds other things already"):
        TrainingJob("image", tiny_config, tiny_records.folder.parent, tiny_records.folder).do()


def test_a_run_from_before_there_were_locks(tiny_records: Records, tmp_path: Path) -> None:
    shutil.copy(tiny_records.folder / "statistics.npz", tmp_path)
    with own_run(tmp_path, "wavenet"):
        pass


def test_two_trainings_that_end_at_once_seal_one_after_the_other(tmp_path: Path) -> None:
    """Otherwise one could write the digests that it read before the other wrote its own."""
    (tmp_path / "statistics.npz").write_bytes(b"statistics")
    sealing = threading.Thread(target=seal, args=(tmp_path,))
    with locked_folder(tmp_path, "digests"):
        sealing.start()
        sealing.join(0.3)
        assert sealing.is_alive() and not (tmp_path / "digests.json").exists()
    sealing.join()
    assert set(read_digests(tmp_path)) == {"statistics.npz"}
