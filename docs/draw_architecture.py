"""Writes docs/architecture.md from the code: `python docs/draw_architecture.py`. A test compares the page with the code."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "avsc_tf"
PAGE = ROOT / "docs" / "architecture.md"

# Rooms in the order of the data; each imports rooms above it only. `cli` and the public API use all of them.
ORDER = (
    "core media signal features alignment corpus datasets layers losses models vocoder provenance conversion measures "
    "training evaluation export web listening service demo cli"
).split()

# One clip on its way from a file to a converted video: caller, callee. Each callee is used in the caller's module.
CLIP = (
    ("api", "conversion.loading:load_bundle"),
    ("", "conversion.bundle:Bundle.convert"),
    ("conversion.bundle", "conversion.reading:SourceReader"),
    ("conversion.reading", "features.partial_clip:read_clip"),
    ("features.partial_clip", "features.clip:ClipExtractor"),
    ("features.clip", "media.clips:load_clip"),
    ("features.clip", "features.acoustic:mel_spectrogram"),
    ("features.clip", "features.face:face_clip"),
    ("features.clip", "features.appearance:Vgg19Features"),
    ("conversion.bundle", "conversion.features:convert_features"),
    ("conversion.bundle", "conversion.voice:synthesise"),
    ("conversion.voice", "vocoder.sampler:WaveNetSampler.generate"),
    ("conversion.bundle", "conversion.painting:paint"),
    ("", "conversion.converted:ConvertedClip.save"),
    ("conversion.converted", "conversion.writing:write_clip"),
    ("conversion.writing", "media.mux:write_video"),
)
# A training of the conversion network, from two folders of clips to one step.
TRAINING = (
    ("api", "corpus.prepare:prepare"),
    ("corpus.corpus_checks", "alignment.pairs:align_pair"),
    ("corpus.prepare", "corpus.writer:ShardWriter"),
    ("api", "training.job:TrainingJob"),
    ("training.job", "corpus.reader:open_records"),
    ("training.job", "training.conversion.train:train_conversion"),
    ("training.conversion.train", "datasets.conversion:windows"),
    ("training.conversion.train", "models.conversion_net:build_conversion_net"),
    ("training.conversion.train", "training.engine.loop:fit"),
    ("training.engine.loop", "training.engine.steps:Execution.run"),
    ("training.engine.steps", "training.engine.model:TrainingModel.train_step"),
    ("training.engine.loop", "training.engine.checkpoints:save_checkpoint"),
)


def rooms() -> list[str]:
    """Folders of the package that hold code."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def imports_of(path: Path) -> set[str]:
    """Names of the rooms that a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = (module.split(".") for module in modules)
    return {names[1] for names in parts if names[0] == "avsc_tf" and len(names) > 1} & set(rooms())


def arrows() -> dict[str, set[str]]:
    """Rooms that each room imports."""
    return {
        room: set().union(*map(imports_of, sorted((PACKAGE / room).rglob("*.py")))) - {room} for room in rooms()
    }


def module_path(module: str) -> Path:
    return PACKAGE / (module.replace(".", "/") + ".py")


def first_line(place: str) -> str:
    """First line of the docstring of `module:name` or `module:Class.method`.

    Raises:
        KeyError: the code has no such name, or it has no docstring.
    """
    module, _, name = place.partition(":")
    node: ast.AST = ast.parse(module_path(module).read_text(encoding="utf-8"))
    for part in name.split("."):
        children = {child.name: child for child in ast.iter_child_nodes(node) if hasattr(child, "name")}
        if part not in children:
            raise KeyError(f"{place} is not in the code")
        node = children[part]
    text = ast.get_docstring(node)  # type: ignore[arg-type]
    if not text:
        raise KeyError(f"{place} has no docstring")
    return text.splitlines()[0]


def uses(caller: str, place: str) -> bool:
    """Whether the module `caller` names the function, class or method of `place`."""
    name = place.partition(":")[2].split(".")[-1]
    tree = ast.parse(module_path(caller).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    names = imported | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return name in names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def steps(way: Iterable[tuple[str, str]]) -> str:
    """A numbered list: where, what, and the first line of its docstring.

    Raises:
        KeyError: a step is not in the code, or its caller does not use it.
    """
    lines = []
    for number, (caller, place) in enumerate(way, 1):
        if caller and not uses(caller, place):
            raise KeyError(f"{caller} does not use {place}")
        module, _, name = place.partition(":")
        lines.append(f"{number}. `{name}` in `{module}`: {first_line(place)}")
    return "\n".join(lines)


def page() -> str:
    """Text of docs/architecture.md."""
    used = arrows()
    table = []
    for room in ORDER:
        sentence = (ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or "")
        imported = [name for name in ORDER if name in used[room] and name != "core"]
        table.append(f"| `{room}` | {sentence.splitlines()[0]} | {', '.join(imported)} |")
    graph = [f"    {source} --> {room}" for room in ORDER for source in ORDER if source in _direct(used, room)]
    return f"""<!-- Written by docs/draw_architecture.py from the code. Do not edit. -->
# Architecture

Each folder of `avsc_tf/` is one room. Read from top to bottom, they follow the data. A room imports rooms above it
only (and `core`); `tests/conformance/test_imports.py` checks it.

| room | in and out | imports |
|---|---|---|
{chr(10).join(table)}

```mermaid
flowchart TD
{chr(10).join(graph)}
```

An arrow leads from a room to the rooms that use it; where a longer way through other rooms exists, the direct arrow is
left out.

## One clip, from the file to the converted video

{steps(CLIP)}

## One training, from two folders of clips to the step of a network

{steps(TRAINING)}
"""


def _direct(used: dict[str, set[str]], room: str) -> set[str]:
    """Imported rooms that no other imported room reaches (the transitive reduction), `core` left out."""

    def reached(name: str) -> set[str]:
        return set().union(*({other} | reached(other) for other in used[name] - {"core"}))

    imported = used[room] - {"core"}
    return {name for name in imported if not any(name in reached(other) for other in imported - {name})}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
