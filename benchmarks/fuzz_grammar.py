"""Clips of the grammar in `tests/grammar` without end: every one is read as it was drawn, or refused in one line.

    python benchmarks/fuzz_grammar.py [--seconds 3600] [--seed 0] [--log FILE]

Recipes are drawn at random, built, read as a clip folder and as conversion reads them, and checked (see
`tests/grammar/laws.py`). Each batch is a process of its own, so that a crash or a hang is a finding, too. A broken law
is simplified: what is odd about the recipe is made plain again as long as the same law breaks. Prints each kind of
fault once with its simplest recipe, writes all of them to the log (a JSON object per line), and leaves with 1 if there
were any. A recipe of the log is tried again with --recipe 'Recipe(...)'.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import faulthandler
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "grammar"))

import av.error
import av.logging
from bench_cli import parse_arguments
from clip_grammar import recipes
from containers import is_plain_enough
from hypothesis import HealthCheck, Phase, given, seed, settings
from laws import BrokenLawError, examine
from recipes import Recipe

from avsc_tf.cli.running import run_tool

RUNS, RECIPES = 10, 12  # of one process; Hypothesis varies the recipes of a run, so many short ones differ more
HANG_SECONDS = 120
SMOKE = "--seconds 4 --seed 3 --log {out}/log.jsonl"


av.logging.set_level(None)


def outcome_of(recipe: Recipe) -> tuple[str, str]:
    """ "read", "refused" or a fault's kind; and what was seen."""
    with tempfile.TemporaryDirectory(prefix="grammar-") as folder:
        try:
            seen = examine(recipe, Path(folder) / recipe.folder)
            return ("read", "") if seen == "read" else ("refused", seen)
        except BrokenLawError as error:
            return f"BROKEN {error.kind}", str(error)
        except (av.error.FFmpegError, ValueError, OverflowError, IndexError) as error:
            return "not written", f"{type(error).__name__}: {error}"


def simplified(recipe: Recipe, kind: str) -> Recipe:
    """The recipe with every oddity made plain that the fault does not need."""
    changed = True
    while changed:
        changed = False
        for field in dataclasses.fields(Recipe):
            plainer = dataclasses.replace(recipe, **{field.name: field.default})
            if plainer != recipe and is_plain_enough(plainer) and outcome_of(plainer)[0] == kind:
                recipe, changed = plainer, True
    return recipe


def run_batch(number: int, until: float, log: Path) -> None:
    """Draw, try and log recipes, as many as there is time for."""

    @settings(
        max_examples=RECIPES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes())
    def run(recipe: Recipe) -> None:
        if time.time() > until:
            return
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        _write(log, {"batch": number, "outcome": "begun", "recipe": repr(recipe)})
        kind, seen = outcome_of(recipe)
        faulthandler.cancel_dump_traceback_later()
        _write(log, {"batch": number, "outcome": kind, "seen": seen, "recipe": repr(recipe)})

    for k in range(RUNS):
        seed(number * RUNS + k)(run)()


def _write(log: Path, line: dict[str, object]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def fuzz(seconds: float, first_seed: int, log: Path) -> dict[str, list[dict[str, str]]]:
    """Outcome -> what was logged of it."""
    until = time.time() + seconds
    found: dict[str, list[dict[str, str]]] = collections.defaultdict(list)
    log.unlink(missing_ok=True)
    batch = first_seed * 1_000_000
    while time.time() < until:
        part = log.with_name(log.name + ".part")
        part.unlink(missing_ok=True)
        command = [sys.executable, __file__, "--batch", str(batch), "--until", str(until), "--log", str(part)]
        code = subprocess.run(command, check=False).returncode
        lines = [json.loads(line) for line in part.read_text(encoding="utf-8").splitlines()] if part.exists() else []
        if code:
            last = lines[-1] if lines else {"recipe": ""}
            lines.append(last | {"outcome": "BROKEN died", "seen": f"exit code {code}"})
        for line in lines:
            if line["outcome"] != "begun":
                found[line["outcome"]].append(line)
                _write(log, line)
        print({kind: len(lines) for kind, lines in sorted(found.items())}, flush=True)
        batch += 1
    return found


def report(found: dict[str, list[dict[str, str]]], *, most: int = 6) -> None:
    """Print the kinds of faults, each with a few recipes made as plain as they can be."""
    for kind, lines in sorted(found.items()):
        if not kind.startswith(("BROKEN", "not written")):
            continue
        print(f"\n{kind}: {len(lines)}")
        seen: set[str] = set()
        for line in lines[:most]:
            recipe = _recipe(line["recipe"])
            plain = recipe if kind == "BROKEN died" else simplified(recipe, kind)
            if repr(plain) not in seen:
                seen.add(repr(plain))
                print(
                    f"  {plain!r}\n      {outcome_of(plain)[1] if kind != 'BROKEN died' else line['seen']}", flush=True
                )


def _recipe(text: str) -> Recipe:
    return eval(text, {"__builtins__": {}, "Recipe": Recipe, "Fraction": Fraction})  # as this program logs it


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600.0, metavar="S")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--log", type=Path, default=Path("fuzz_grammar.jsonl"), metavar="FILE")
    parser.add_argument("--recipe", metavar="TEXT", help="try this one alone")
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    if args.recipe:
        print(*outcome_of(_recipe(args.recipe)), sep=": ")
        return 0
    if args.batch is not None:
        run_batch(args.batch, args.until, args.log)
        return 0
    found = fuzz(args.seconds, args.seed, args.log)
    report(found)
    return 1 if any(kind.startswith("BROKEN") for kind in found) else 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
