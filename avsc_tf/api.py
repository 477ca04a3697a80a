"""The Python interface: each function does what the `avsc` command of its name does."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from avsc_tf.core.config import Config
from avsc_tf.core.config import load_config as load_config
from avsc_tf.vocoder import VOCODERS, Vocoder

if TYPE_CHECKING:
    from avsc_tf.conversion.bundle import Bundle

Network = Literal["conversion", "wavenet", "image"]
Settings = Config | str | Path
PATH_LISTS = ("bundle", "versus", "drift")  # inputs of an evaluation
NO_PATHS = ("vocoder", "seed", "config")


def load(run: str | Path, second: str | Path | None = None, *, vocoders: Sequence[Vocoder] = VOCODERS) -> Bundle:
    """Load the trained networks of a run folder.

    Args:
        run: run folder; its parts are checked before they are loaded, so the folder may come from a stranger.
        second: run folder of the other one of the paper's two baselines.
        vocoders: without "wavenet" its network is neither needed nor loaded.

    Raises:
        BundleError: a part is missing, damaged, or does not fit the others.
        ConsentError: the target's consent has ended.

    Examples:
        >>> import avsc_tf as avsc
        >>> bundle = avsc.load(run, vocoders=["griffin-lim"])
        >>> bundle.has_voice, bundle.has_face
        (True, True)
    """
    from avsc_tf.conversion.loading import load_bundle

    return load_bundle(Path(run), None if second is None else Path(second), vocoders=vocoders)


def prepare(
    config: Settings,
    source: str | Path,
    target: str | Path,
    out: str | Path,
    *,
    skip_bad: bool = False,
    workers: int | None = None,
    ray_address: str | None = None,
) -> None:
    """Turn clips of two speakers into aligned records in `out`, with a report of the corpus.

    Args:
        config: settings, or what `load_config` takes.
        source, target: folders of clips of the speaker to convert and of the speaker to become.
        skip_bad: leave out unusable clips and pairs.
        workers: processes that compute features; all cores by default.
        ray_address: compute features on this Ray cluster instead.

    Raises:
        AvscError: bad settings or clips, see docs/prepare.md.
    """
    from joblib import cpu_count

    from avsc_tf.corpus.prepare import prepare as prepare_corpus
    from avsc_tf.corpus.workers import Workforce

    workforce = Workforce(cpu_count() if workers is None else workers, ray_address=ray_address)
    prepare_corpus(_settings(config), Path(source), Path(target), Path(out), skip_bad=skip_bad, workforce=workforce)


def train(
    network: Network,
    config: Settings,
    records: str | Path,
    run: str | Path,
    *,
    resume: bool = False,
    init_from: str | Path | None = None,
    devices: int = 1,
    consent: str | Path | None = None,
) -> None:
    """Train one network on prepared records and write its weights into a run folder.

    Args:
        network: "conversion", "wavenet" or "image".
        config: settings, or what `load_config` takes.
        run: run folder, shared by the three networks.
        resume: continue an unfinished training.
        init_from: file of initial weights.
        devices: number of GPUs.
        consent: consent record of the target; the records' by default.

    Raises:
        AvscError: see docs/train.md.
    """
    from avsc_tf.training.job import TrainingJob

    TrainingJob(
        network=network,
        config=_settings(config),
        run=Path(run),
        records=Path(records),
        resume=resume,
        init_from=None if init_from is None else Path(init_from),
        n_devices=devices,
        consent=None if consent is None else Path(consent),
    ).do()


def evaluate(out: str | Path, **inputs: Any) -> str:
    """Measure finished videos beside trivial answers, write report.html and report.json, return the summary.

    Args:
        out: folder of the report.
        inputs: options of `avsc evaluate`: `bundle` (one or two run folders) with `records`, `videos` with `reference`,
            or `drift` (videos); further ones, for example `versus`, `corpus`, `vocoder`, `seed`. Paths may be texts.

    Raises:
        AvscError: see docs/evaluate.md.
    """
    from avsc_tf.evaluation.inputs import evaluate as evaluate_inputs

    unknown = set(inputs) - set(inspect.signature(evaluate_inputs).parameters)
    if unknown:
        raise TypeError(f"evaluate() takes no {', '.join(sorted(unknown))}")
    paths = {name: _paths(name, value) for name, value in inputs.items() if name not in NO_PATHS and value is not None}
    return evaluate_inputs(out=Path(out), **{**inputs, **paths})


def _paths(name: str, value: Any) -> Path | list[Path]:
    """An input of an evaluation as a path, or as a list where several are possible."""
    if name not in PATH_LISTS:
        return Path(value)
    return [Path(value)] if isinstance(value, str | Path) else [Path(one) for one in value]


def _settings(config: Settings) -> Config:
    return config if isinstance(config, Config) else load_config(config)
