"""Consent records: who allows their voice and face to be made, what for, and until when.

    who: Mary Example
    what_for: [dubbing of the film "Example" into Japanese]
    until: 2027-12-31            # the last day; or: never
    given_by: Mary Example       # optional, with given_on and evidence (where the signed paper lies)

The record lies beside the target's clips, travels with records and run folder, and is named in the credentials of
every converted video. Who trains without one says so by the setting `consent: own_responsibility`, and the run folder
then says that instead.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc_tf.core.config.reading import dump_tree, read_plain_tree
from avsc_tf.core.errors import ConfigError, ConsentError
from avsc_tf.core.files import write_atomically
from avsc_tf.core.runs import consent_path

NEVER = "never"
OWN_RESPONSIBILITY = "own_responsibility"
OWN_WORDS = "no record: whoever trained this answers for the target's consent"
MAX_CHARACTERS = 2000  # of one value
MAX_PURPOSES = 50
_REQUIRED = ("who", "what_for", "until")
_OPTIONAL = ("given_by", "given_on", "evidence")
_EXAMPLE = "who: NAME, what_for: [PURPOSE], until: 2027-12-31 (see docs/consent.md)"


@dataclass(frozen=True)
class Consent:
    """One record; `own_responsibility` stands for a record that nobody gave.

    Args:
        until: the last day on which conversions are allowed; None: no end.
    """

    who: str = ""
    what_for: tuple[str, ...] = ()
    until: datetime.date | None = None
    given_by: str = ""
    given_on: datetime.date | None = None
    evidence: str = ""
    own_responsibility: bool = False

    def is_expired(self, today: datetime.date | None = None) -> bool:
        """Whether `today` (of UTC) lies after the last day."""
        today = today or datetime.datetime.now(datetime.UTC).date()
        return self.until is not None and today > self.until

    def check(self, place: Path | str, today: datetime.date | None = None) -> None:
        """Raise ConsentError where the record has expired; `place` is where it lies."""
        if self.is_expired(today):
            raise ConsentError(
                f"{place}: the consent of {self.who} ended on {self.until}. Ask for a new one, and put it into the run "
                "folder with the command that trained it and --consent FILE; nothing is trained again."
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in the file and in credentials."""
        if self.own_responsibility:
            return {OWN_RESPONSIBILITY: True, "note": OWN_WORDS}
        values: dict[str, Any] = {"who": self.who, "what_for": list(self.what_for)}
        values["until"] = self.until.isoformat() if self.until else NEVER
        if self.given_by:
            values["given_by"] = self.given_by
        if self.given_on:
            values["given_on"] = self.given_on.isoformat()
        if self.evidence:
            values["evidence"] = self.evidence
        return values

    def describe(self) -> str:
        """One line for people."""
        if self.own_responsibility:
            return OWN_WORDS
        return f"{self.who}, for {'; '.join(self.what_for)}, until {self.until or NEVER}"


def read_consent(path: Path) -> Consent:
    """The record in a file.

    Raises:
        ConsentError: missing, not readable, or without who, what for or until when.
    """
    if not path.is_file():
        raise ConsentError(f"{path}: no such consent record. Write one: {_EXAMPLE}.")
    try:
        tree = read_plain_tree(path)
    except ConfigError as error:
        raise ConsentError(f"{error} A consent record reads: {_EXAMPLE}.") from error
    if tree.get(OWN_RESPONSIBILITY) is True and set(tree) <= {OWN_RESPONSIBILITY, "note"}:
        return Consent(own_responsibility=True)
    for key in tree:
        if key not in (*_REQUIRED, *_OPTIONAL):
            raise ConsentError(f"{path}: unknown entry {key!r}. Known are {', '.join((*_REQUIRED, *_OPTIONAL))}.")
    for key in _REQUIRED:
        if not tree.get(key):
            raise ConsentError(f"{path}: {key} is missing. A consent record reads: {_EXAMPLE}.")
    return Consent(
        who=_text(tree["who"], path, "who"),
        what_for=_purposes(tree["what_for"], path),
        until=None if tree["until"] == NEVER else _day(tree["until"], path, "until"),
        given_by=_text(tree.get("given_by", ""), path, "given_by"),
        given_on=_day(tree["given_on"], path, "given_on") if tree.get("given_on") else None,
        evidence=_text(tree.get("evidence", ""), path, "evidence"),
    )


def write_consent(path: Path, consent: Consent) -> None:
    """Write a record; PATH appears only when it is whole."""
    write_atomically(path, dump_tree(consent.as_dict(), allow_unicode=True))


def consent_for(records: Path, named: Path | None, *, setting: str) -> Consent:
    """The record that a training goes by: the one that is named, else that of the records.

    Args:
        setting: `Config.consent`.

    Raises:
        ConsentError: there is none, it is damaged, or it has expired.
    """
    path = named or consent_path(records)
    if named is None and not path.is_file():
        if setting == OWN_RESPONSIBILITY:
            return Consent(own_responsibility=True)
        raise ConsentError(
            f"{path}: no consent record of the target speaker. Name one with --consent FILE, or lay consent.yaml "
            f"beside the target's clips and prepare again ({_EXAMPLE}). Who answers for the consent themselves adds "
            f"--set consent={OWN_RESPONSIBILITY}."
        )
    consent = read_consent(path)
    consent.check(path)
    return consent


def keep_consent(run: Path, consent: Consent) -> None:
    """Lay the record into the run folder; a newer one of the same person takes the place of the last.

    Raises:
        ConsentError: the run folder holds the record of somebody else.
    """
    path = consent_path(run)
    if path.is_file():
        kept = read_consent(path)
        if kept == consent:
            return
        if kept.who and consent.who and kept.who != consent.who:
            raise ConsentError(f"{path}: is the consent of {kept.who}, not of {consent.who}. Name another --out.")
        if kept.who and consent.own_responsibility:
            return
    write_consent(path, consent)


def _text(value: Any, path: Path, key: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        raise ConsentError(f"{path}: {key} must be a text of at most {MAX_CHARACTERS} characters.")
    return value.strip()


def _purposes(value: Any, path: Path) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_PURPOSES:
        raise ConsentError(f"{path}: what_for names {len(values)} purposes; at most {MAX_PURPOSES} are kept.")
    return tuple(_text(v, path, "what_for") for v in values)


def _day(value: Any, path: Path, key: str) -> datetime.date:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ConsentError(f"{path}: {key} is {value!r}; it must be a day such as 2027-12-31.") from error
