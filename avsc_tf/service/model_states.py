"""The state of each version of each model, as TensorFlow Serving tells it, without TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from avsc_tf.service.codes import CallError, Code, invalid


@dataclass(frozen=True)
class VersionState:
    """`state` is START, LOADING, AVAILABLE or END; END with an error means that it could not be loaded."""

    name: str
    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""

    def as_status(self) -> dict[str, Any]:
        """As in the JSON of GetModelStatusResponse; a version is a string there, for it has 64 bits."""
        error = {"error_code": self.error_code, "error_message": self.error_message}
        return {"version": str(self.version), "state": self.state, "status": error}


@dataclass(frozen=True)
class ModelStates:
    """All versions, and the labels of each model's versions."""

    versions: tuple[VersionState, ...] = ()
    labels: tuple[tuple[str, str, int], ...] = ()  # model, label, version

    @classmethod
    def starting(cls, models: Mapping[str, tuple[Iterable[int], Mapping[str, int]]]) -> ModelStates:
        """Before anything is loaded."""
        versions = tuple(VersionState(name, n, "START") for name, (numbers, _) in models.items() for n in numbers)
        labels = tuple((name, label, n) for name, (_, named) in models.items() for label, n in named.items())
        return cls(versions, labels)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> ModelStates:
        """From the header that `as_message` makes."""
        versions = tuple(VersionState(*row) for row in message["versions"])
        return cls(versions, tuple((name, label, number) for name, label, number in message["labels"]))

    def as_message(self) -> dict[str, Any]:
        """For a header of `model_messages`."""
        return {"versions": [dataclasses.astuple(version) for version in self.versions], "labels": self.labels}

    def changed(self, new: VersionState) -> ModelStates:
        """With one version's state replaced."""
        key = (new.name, new.version)
        versions = tuple(new if (old.name, old.version) == key else old for old in self.versions)
        return dataclasses.replace(self, versions=versions)

    def interrupted(self) -> ModelStates:
        """When the process that held them is gone: what was available is to be loaded again."""
        versions = tuple(
            VersionState(old.name, old.version, "START") if old.state == "AVAILABLE" else old for old in self.versions
        )
        return dataclasses.replace(self, versions=versions)

    def labelled(self, name: str, label: str) -> int:
        """The version a label stands for. Raises CallError."""
        for model, known, version in self.labels:
            if (model, known) == (name, label):
                return version
        raise invalid(f"Unrecognized servable version label: {label}")

    def of(self, name: str, version: int | None = None, label: str | None = None) -> list[VersionState]:
        """States of one model's versions, newest first. Raises CallError."""
        if label is not None and version is None:
            version = self.labelled(name, label)
        found = [state for state in self.versions if state.name == name and version in (None, state.version)]
        if not found and version is not None:
            raise CallError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        if not found:
            raise CallError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return sorted(found, key=lambda state: -state.version)
