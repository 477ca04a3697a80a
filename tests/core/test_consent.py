"""Consent records: read strictly, kept with the run, and no longer good after their last day."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from avsc_tf.core.consent import Consent, consent_for, keep_consent, read_consent, write_consent
from avsc_tf.core.errors import ConsentError
from avsc_tf.core.runs import consent_path

MARY = Consent(
    who="Mary Example",
    what_for=('dubbing of "Example" into Japanese', "tests"),
    until=datetime.date(2027, 12, 31),
    given_by="Mary Example",
    given_on=datetime.date(2026, 1, 2),
    evidence="contract 7, page 3",
)
LONG_AGO = datetime.date(2020, 2, 29)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "consent.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("consent", [MARY, Consent("Ä", ("x",)), Consent(own_responsibility=True)])
def test_comes_back(tmp_path: Path, consent: Consent) -> None:
    path = tmp_path / "deep" / "consent.yaml"
    write_consent(path, consent)
    assert read_consent(path) == consent
    assert json.loads(json.dumps(consent.as_dict())) == consent.as_dict()  # as credentials hold it


def test_as_people_write_it(tmp_path: Path) -> None:
    path = written(tmp_path, "who: Mary\nwhat_for: dubbing\nuntil: never\n")
    assert read_consent(path) == Consent("Mary", ("dubbing",), None)
    days = "until: '2027-12-31'  # in quotes\ngiven_on: 2026-01-02 10:00:00\n"
    path = written(tmp_path, "who: Mary\nwhat_for: [a, b]\n" + days)
    assert read_consent(path) == Consent("Mary", ("a", "b"), MARY.until, given_on=MARY.given_on)


def test_the_last_day_counts() -> None:
    assert not MARY.is_expired(datetime.date(2027, 12, 31))
    assert MARY.is_expired(datetime.date(2028, 1, 1))
    assert not Consent("M", ("x",)).is_expired(datetime.date.max)
    MARY.check("place", datetime.date(2027, 12, 31))
    with pytest.raises(ConsentError, match=r"^place: the consent of Mary Example ended on 2027-12-31. Ask"):
        MARY.check("place", datetime.date(2028, 1, 1))
    assert Consent("M", ("x",), LONG_AGO).is_expired()  # by the clock of this machine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("what_for: x\nuntil: never\n", "who is missing"),
        ("who: ''\nwhat_for: x\nuntil: never\n", "who is missing"),
        ("who: M\nuntil: never\n", "what_for is missing"),
        ("who: M\nwhat_for: []\nuntil: never\n", "what_for is missing"),
        ("who: M\nwhat_for: x\n", "until is missing"),
        ("who: M\nwhat_for: x\nuntil: soon\n", "until is 'soon'; it must be a day"),
        ("who: M\nwhat_for: x\nuntil: 2027\n", "until is 2027; it must be a day"),
        ("who: M\nwhat_for: x\nuntil: 2027-13-01\n", "not valid YAML|until is"),
        ("who: [M]\nwhat_for: x\nuntil: never\n", "who must be a text"),
        ("who: M\nwhat_for: [1]\nuntil: never\n", "what_for must be a text"),
        ("who: M\nwhat_for: x\nuntil: never\nunitl: 3\n", "unknown entry 'unitl'. Known are who, what_for, until"),
        ("own_responsibility: true\nwho: M\n", "unknown entry 'own_responsibility'"),
        ("own_responsibility: false\n", "unknown entry 'own_responsibility'"),
        (f"who: {'M' * 3000}\nwhat_for: x\nuntil: never\n", "at most 2000 characters"),
        (f"who: M\nwhat_for: {['x'] * 60}\nuntil: never\n", "names 60 purposes"),
        ("just words", "must be a mapping"),
        ("who: &a M\nwhat_for: *a\nuntil: never\n", "has a YAML alias"),
        ("{", "not valid YAML"),
    ],
)
def test_records_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConsentError, match=message) as caught:
        read_consent(path)
    assert str(path) in str(caught.value)


def test_which_record_training_goes_by(tmp_path: Path) -> None:
    records, other = tmp_path / "records", tmp_path / "other.yaml"
    with pytest.raises(
        ConsentError, match=r"records/consent.yaml: no consent record .* --set consent=own_responsibility"
    ):
        consent_for(records, None, setting="record")
    assert consent_for(records, None, setting="own_responsibility") == Consent(own_responsibility=True)
    write_consent(consent_path(records), MARY)
    assert consent_for(records, None, setting="own_responsibility") == MARY  # a record that is there counts
    write_consent(other, Consent("John", ("x",)))
    assert consent_for(records, other, setting="record").who == "John"
    with pytest.raises(ConsentError, match="no such consent record"):
        consent_for(records, tmp_path / "none.yaml", setting="own_responsibility")
    write_consent(other, Consent("John", ("x",), LONG_AGO))
    with pytest.raises(ConsentError, match=r"other.yaml: the consent of John ended on 2020-02-29"):
        consent_for(records, other, setting="record")


def test_a_run_keeps_one_persons_record(tmp_path: Path) -> None:
    keep_consent(tmp_path, Consent(own_responsibility=True))
    keep_consent(tmp_path, MARY)  # better than none
    keep_consent(tmp_path, Consent(own_responsibility=True))
    assert read_consent(consent_path(tmp_path)) == MARY
    renewed = Consent("Mary Example", ("tests",), datetime.date(2030, 1, 1))
    keep_consent(tmp_path, renewed)
    assert read_consent(consent_path(tmp_path)) == renewed
    with pytest.raises(ConsentError, match=r"is the consent of Mary Example, not of John. Name another --out"):
        keep_consent(tmp_path, Consent("John", ("x",)))
    assert read_consent(consent_path(tmp_path)) == renewed
