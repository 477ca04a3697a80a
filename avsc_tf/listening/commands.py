"""The three commands of tools/listening_test.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avsc_tf.core.errors import ListeningError


def build(
    out: Path,
    *,
    systems: Sequence[str],
    reference: Path,
    source: Path | None,
    labels: Path | None,
    title: str,
    n_pages: int,
    seed: int,
) -> str:
    """`build.build_test` with systems as NAME=DIR. Raises ListeningError where one is not, or is named twice."""
    from avsc_tf.listening.build import build_test

    folders: dict[str, Path] = {}
    for text in systems:
        name, sign, folder = text.partition("=")
        if not (sign and name and folder) or name in folders:
            raise ListeningError(f"--system {text}: must be NAME=DIR, each name once, for example joint=runs/a/videos.")
        folders[name] = Path(folder)
    return build_test(
        out,
        systems=folders,
        reference=reference,
        source=source,
        labels=labels,
        title=title,
        n_pages=n_pages,
        seed=seed,
    )


def serve(test: Path, db: Path, *, host: str, port: int) -> None:
    """`server.serve`. Raises ListeningError where FastAPI is not installed."""
    try:
        from avsc_tf.listening import server
    except ImportError as error:
        raise _lacking(error) from error
    server.serve(test, db, host=host, port=port)


def analyse(test: Path, db: Path, out: Path) -> str:
    """`results.analyse_test`. Raises ListeningError where statsmodels is not installed."""
    try:
        from avsc_tf.listening.results import analyse_test
    except ImportError as error:
        raise _lacking(error) from error
    return analyse_test(test, db, out)


def _lacking(error: ImportError) -> ListeningError:
    return ListeningError(f"{error.name} is not installed: pip install 'avsc_tf[listening]'")
