"""The models of a folder, loaded one after the other; which version a request means; the state of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from avsc_tf.errors import BundleError
from avsc_tf.service.codes import CallError, Code
from avsc_tf.service.model_limits import ModelLimits
from avsc_tf.service.model_process.folders import ModelFolder, find_models
from avsc_tf.service.model_process.loaded import LoadedModel
from avsc_tf.service.model_states import ModelStates, VersionState


class Served:
    """What the process holds.

    Args:
        tell: called with the states after each change.

    Raises:
        BundleError: the folder holds no model. One that cannot be loaded only has that as its state.
    """

    def __init__(self, folder: Path, limits: ModelLimits, tell: Callable[[ModelStates], None]) -> None:
        self.limits = limits
        self._loaded: dict[tuple[str, int], LoadedModel] = {}
        found = find_models(folder)
        self._states = ModelStates.starting({model.name: (model.versions, model.labels) for model in found})
        tell(self._states)
        for model in found:
            for version, path in model.versions.items():
                self._load(model, version, path, tell)

    def _load(self, model: ModelFolder, version: int, path: Path, tell: Callable[[ModelStates], None]) -> None:
        self._states = self._states.changed(VersionState(model.name, version, "LOADING"))
        tell(self._states)
        try:
            self._loaded[model.name, version] = LoadedModel(model.name, version, path, self.limits)
            state = VersionState(model.name, version, "AVAILABLE")
        except BundleError as error:
            state = VersionState(model.name, version, "END", Code.FAILED_PRECONDITION.name, str(error))
        self._states = self._states.changed(state)
        tell(self._states)

    def model(self, name: str, version: int | None, label: str | None) -> LoadedModel:
        """The version asked for, or the newest that is loaded. Raises CallError."""
        if label is not None and version is None:
            version = self._states.labelled(name, label)
        if version is None:
            loaded = [number for model, number in self._loaded if model == name]
            if not loaded:
                raise CallError(Code.NOT_FOUND, f"Servable not found for request: Latest({name})")
            return self._loaded[name, max(loaded)]
        if (name, version) not in self._loaded:
            raise CallError(Code.NOT_FOUND, f"Servable not found for request: Specific({name}, {version})")
        return self._loaded[name, version]

    def states(self, name: str, version: int | None, label: str | None) -> list[VersionState]:
        """States of a model's versions. Raises CallError."""
        return self._states.of(name, version, label)
