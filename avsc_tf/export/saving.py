"""SavedModels of traced functions: the variables they read, once each, and nothing of Keras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from avsc_tf.core.consent import Consent
from avsc_tf.core.errors import ExportError
from avsc_tf.export.signatures import DEFAULT_KEY, ServedFunction, traced


def save_model(
    folder: Path,
    functions: Sequence[ServedFunction],
    sizes: Mapping[str, int],
    variables: Iterable[Any],
    consents: Sequence[Consent],
) -> None:
    """Write the functions as signatures; the first one is the default, too.

    Args:
        variables: those the functions may read; the others are left out.
        consents: of the target; after the end of one every signature refuses.

    Raises:
        ExportError: the folder cannot be written.
    """
    signatures = {function.signature.name: traced(function, sizes, consents) for function in functions}
    signatures[DEFAULT_KEY] = signatures[functions[0].signature.name]
    captured = {id(handle) for concrete in signatures.values() for handle, _ in concrete.graph.captures}
    root = tf.Module(name="served")
    root.weights = [variable for variable in variables if id(variable.handle) in captured]
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    try:
        tf.saved_model.save(root, str(folder), signatures=signatures, options=options)
    except tf.errors.OpError as error:  # what TensorFlow makes of a full disk
        reason = error.message.rsplit(";", 1)[-1].split("[Op:")[0].strip()
        raise ExportError(
            f"{folder}: cannot be written ({reason}). Name a folder with room that you may write."
        ) from error


def variables_of(*owners: Any) -> list[Any]:
    """Of Keras models and modules, None left out."""
    found: list[Any] = []
    for owner in owners:
        if owner is not None:
            found += [
                getattr(variable, "value", variable) if _is_keras(owner) else variable for variable in owner.variables
            ]
    return found


def _is_keras(owner: Any) -> bool:
    return not isinstance(owner, tf.Module) or hasattr(owner, "count_params")
