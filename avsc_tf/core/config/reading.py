"""Strict YAML into dataclasses: includes, overrides, every key known, every value of its declared type."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from avsc_tf.core.errors import ConfigError

MAX_PLAIN_BYTES = 256 * 1024
MAX_PLAIN_DEPTH = 20
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")  # of YAML 1.2; for 1.1, 1e-3 is a text


class _Loader(yaml.SafeLoader):
    """SafeLoader to which 1e-3 is a number."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """A mapping whose keys differ: of two that are alike YAML's own reader drops the first without a word."""
    keys = [loader.construct_object(key) for key, _ in node.value]  # type: ignore[no-untyped-call]
    for number, (key, (key_node, _)) in enumerate(zip(keys, node.value, strict=True)):
        if key in keys[:number]:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key} is there twice; keep one of the two", key_node.start_mark
            )
    return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


class _Dumper(yaml.SafeDumper):
    """Its inverse, which puts the text "1e-3" in quotes."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))


def dump_tree(tree: Mapping[str, Any], **options: Any) -> str:
    """Plain values as YAML that `read_tree` and `read_plain_tree` read back; options as of `yaml.dump`."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, **options)


def shipped_settings() -> dict[str, Path]:
    """The settings files that come with the package, by name: in the wheel, or in `configs/` of a checkout."""
    package = Path(__file__).resolve().parents[2]
    folders = (package / "configs", package.parent / "configs")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def find_settings(name: str | Path) -> Path:
    """Path of a settings file: `name` itself, or the shipped file of that name, as `demo`. Raises ConfigError."""
    path, shipped = Path(name), shipped_settings()
    if path.is_file():
        return path
    if str(name) in shipped:
        return shipped[str(name)]
    raise ConfigError(f"{path}: no such settings file. Name a file, or one of {', '.join(sorted(shipped))}.")


def read_tree(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A YAML file merged into the files it includes. Raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such settings file. Correct the include that names it.")
    if path.resolve() in seen:
        raise ConfigError(f"{path}: include goes in a circle. Remove the include that leads back.")
    try:
        tree = yaml.load(path.read_bytes(), Loader=_Loader)
    except yaml.YAMLError as error:
        raise _yaml_fault(path, error) from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: settings must be a mapping of sections, got {type(tree).__name__}.")
    base_name = tree.pop("include", None)
    if base_name is None:
        return tree
    base = read_tree(path.parent / str(base_name), (*seen, path.resolve()))
    return _merge(base, tree)


def read_plain_tree(path: Path) -> dict[str, Any]:
    """A YAML file that need not be ours: a mapping of plain values; no include, no alias, of bounded size and depth.

    Raises:
        ConfigError: anything else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PLAIN_BYTES + 1)
        if len(content) > MAX_PLAIN_BYTES:
            raise ConfigError(f"{path}: has more than {MAX_PLAIN_BYTES} bytes. Use the file that was written here.")
        depth = 0
        for event in yaml.parse(content, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                raise ConfigError(f"{path}: has a YAML alias (*{event.anchor}). Write the value out.")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_PLAIN_DEPTH:
                raise ConfigError(f"{path}: is nested more than {MAX_PLAIN_DEPTH} deep. Use the file as written here.")
        tree = yaml.load(content, Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that is none
        raise _yaml_fault(path, error) from error
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise ConfigError(f"{path}: must be a mapping of names to values, got {type(tree).__name__}.")
    return tree


def _yaml_fault(path: Path, error: Exception) -> ConfigError:
    if isinstance(error, yaml.reader.ReaderError) and error.encoding != "unicode":
        line = path.read_bytes().count(b"\n", 0, error.position) + 1
        return ConfigError(f"{path}, line {line}: is not UTF-8 text. Save the file as UTF-8.")
    return ConfigError(f"{path}: not valid YAML: {error}")


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def apply_override(tree: dict[str, Any], text: str) -> None:
    """Set what `section.key=value` names. Raises ConfigError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {text}: must read section.key=value, for example seed=7.")
    *sections, key = name.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {text}: {section} is a value, not a section.")
    try:
        tree[key] = yaml.load(value, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none
        raise ConfigError(f"--set {text}: the value is not valid YAML ({error}). A list reads [1, 2].") from error


def build(cls: type, tree: Any, *, place: str, prefix: str = "", complete: bool = True) -> Any:
    """A dataclass from plain values, its sections built likewise.

    Args:
        complete: every setting must be there; else those that have a default may be missing.

    Raises:
        ConfigError: unknown or missing key, wrong type.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{place}: {prefix.rstrip('.')} must be a section, got {tree!r}.")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    for key in tree:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.0)
            raise ConfigError(f"{place}: unknown setting {prefix}{key}. The nearest known one is {prefix}{near[0]}.")
    optional = set() if complete else {f.name for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
    missing = [name for name in names if name not in tree and name not in optional]
    if missing:
        raise ConfigError(f"{place}: setting {prefix}{missing[0]} is missing. Start from include: paper.yaml.")
    return cls(
        **{
            name: _convert(hints[name], tree[name], place=place, key=f"{prefix}{name}", complete=complete)
            for name in names
            if name in tree
        }
    )


def _convert(hint: Any, value: Any, *, place: str, key: str, complete: bool) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, place=place, prefix=f"{key}.", complete=complete)
    if typing.get_origin(hint) is Literal:
        options = typing.get_args(hint)
        if value not in options:
            raise ConfigError(f"{place}: {key} is {value!r}; it must be one of {', '.join(options)}.")
        return value
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{place}: {key} is {value!r}; it must be a list.")
        return tuple(_convert(item, v, place=place, key=f"{key}[{i}]", complete=complete) for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{place}: {key} is {value}; it must be a finite number.")
    if (
        isinstance(hint, types.UnionType)
        or not isinstance(value, hint)
        or (isinstance(value, bool) and hint is not bool)
    ):
        raise ConfigError(f"{place}: {key} is {value!r}; it must be of type {hint.__name__}.")
    return value
