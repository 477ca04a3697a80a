"""A training asks for the target's consent record before anything else, and leaves it in the run folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from avsc_tf.core.config import Config
from avsc_tf.core.consent import Consent, read_consent, write_consent
from avsc_tf.core.digests import read_digests, sha256_of
from avsc_tf.core.errors import ConsentError
from avsc_tf.core.runs import consent_path
from avsc_tf.corpus.reader import Records
from avsc_tf.training.job import TrainingJob


@pytest.fixture
def without(tiny_records: Records, tmp_path: Path) -> Path:
    """The records folder without its consent record."""
    folder = Path(shutil.copytree(tiny_records.folder, tmp_path / "records"))
    consent_path(folder).unlink()
    return folder


@pytest.fixture
def brief(tiny_config: Config) -> Config:
    """An image network that is painted in closed form, without a step."""
    return replace(tiny_config, image=replace(tiny_config.image, epochs=0, preview_epochs=0))


def test_none_and_nothing_is_written(without: Path, tiny_config: Config, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConsentError, match=r"records/consent.yaml: no consent record of the target speaker"):
        TrainingJob("image", tiny_config, run, without).do()
    with pytest.raises(ConsentError, match=r"nowhere.yaml: no such consent record"):
        TrainingJob("image", tiny_config, run, without, consent=tmp_path / "nowhere.yaml").do()
    assert not run.exists()


def test_a_dry_run_and_speech_alone_need_none(without: Path, tiny_config: Config, tmp_path: Path) -> None:
    assert TrainingJob("image", tiny_config, tmp_path, without, dry_run=True).check_consent() is None
    assert TrainingJob("wavenet", tiny_config, tmp_path, pretrain=(without,)).check_consent() is None


def test_own_responsibility_is_written_down(without: Path, brief: Config, tmp_path: Path) -> None:
    run = tmp_path / "run"
    TrainingJob("image", replace(brief, consent="own_responsibility"), run, without).do()
    assert read_consent(consent_path(run)).own_responsibility


def test_a_named_record_wins_and_can_be_renewed(
    tiny_records: Records, brief: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, named = tmp_path / "run", tmp_path / "named.yaml"
    write_consent(named, Consent("Mary", ("tests",)))
    job = TrainingJob("image", brief, run, tiny_records.folder, consent=named)
    job.do()
    assert read_consent(consent_path(run)).who == "Mary"
    weights = read_digests(run)["image/model.weights.h5"]
    write_consent(named, Consent("Mary", ("tests", "teaching")))
    job.do()
    assert "trained before, reused" in capsys.readouterr().out
    digests = read_digests(run)
    assert digests["consent.yaml"] == sha256_of(consent_path(run)) == sha256_of(named)
    assert digests["image/model.weights.h5"] == weights
    with pytest.raises(ConsentError, match="is the consent of Mary, not of a speaker of noise"):
        replace(job, consent=None).do()
