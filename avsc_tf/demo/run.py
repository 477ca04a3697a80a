"""The demo: the documented commands from making a corpus to a report, as stages of one folder.

OUT/corpus  clips of both speakers        OUT/held_out/VOCODER  every held-out sentence, converted
OUT/records prepared features             OUT/evaluation        figures.json
OUT/run     the three networks            OUT/converted, OUT/side_by_side.mp4, OUT/report.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avsc_tf.core.config import Config, save_config
from avsc_tf.core.files import claim_folder, own_folder
from avsc_tf.core.runs import NETWORKS, STATISTICS_NAME, network_dir, weights_path
from avsc_tf.demo.showcase import held_out_clips, make_showcase
from avsc_tf.demo.stages import STAMPS_NAME, Stage, StageRunner, duration_text
from avsc_tf.vocoder import VOCODERS

CONFIG_NAME = "demo.yaml"
LOCK_NAME = "demo"


@dataclass(frozen=True)
class DemoFolders:
    """Where the demo's parts lie."""

    out: Path

    @property
    def config(self) -> Path:
        return self.out / CONFIG_NAME

    @property
    def corpus(self) -> Path:
        return self.out / "corpus"

    @property
    def source(self) -> Path:
        return self.corpus / "source"

    @property
    def target(self) -> Path:
        return self.corpus / "target"

    @property
    def records(self) -> Path:
        return self.out / "records"

    @property
    def run(self) -> Path:
        return self.out / "run"

    @property
    def held_out(self) -> Path:
        return self.out / "held_out"

    @property
    def copy_synthesis(self) -> Path:
        return self.out / "copy_synthesis.json"

    @property
    def figures(self) -> Path:
        return self.out / "figures.json"

    @property
    def report(self) -> Path:
        return self.out / "report.html"

    @property
    def side_by_side(self) -> Path:
        return self.out / "side_by_side.mp4"

    @property
    def converted(self) -> Path:
        return self.out / "converted"


def run_demo(config: Config, out: Path) -> None:
    """Run all stages that are not done and name the files.

    Raises:
        OutputError: `out` holds other things than a demo, or another one is running there.
        StageError: a stage failed. KeyboardInterrupt: it was stopped; the same call goes on.
    """
    folders = DemoFolders(out)
    with own_folder(out, LOCK_NAME, signs=(STAMPS_NAME,)):
        save_config(config, folders.config)
        runner = StageRunner(out, demo_stages(config, folders))
        ran = runner.run()
        print(summary(folders, runner, ran))


def demo_stages(config: Config, folders: DemoFolders) -> list[Stage]:
    """The stages in order; each one's settings are those it depends on and no more."""
    tree = config.as_dict()
    settings = ("--config", str(folders.config))
    corpus = Stage(
        "corpus",
        lambda: [
            *("demo", "corpus", "--out", f"{folders.corpus}", "--seed", f"{config.seed}"),
            *("--emotions", *config.demo.emotions),
            *("--sentences-per-emotion", f"{config.demo.sentences_per_emotion}"),
            *("--held-out", f"{config.demo.held_out_per_emotion}", "--size-px", f"{config.demo.clip_px}"),
        ],
        {"seed": config.seed, **tree["demo"]},
        (folders.source, folders.target),
        stale=(folders.corpus,),
    )
    prepare = Stage(
        "prepare",
        lambda: [
            *("prepare", *settings, "--source", f"{folders.source}"),
            *("--target", f"{folders.target}", "--out", f"{folders.records}"),
        ],
        config.record_settings,
        (folders.records / "manifest.json",),
        after=("corpus",),
        stale=(folders.run / STATISTICS_NAME,),
    )
    convert = Stage(
        "convert",
        lambda: [
            *("convert", *(f"{clip.video}" for clip in held_out_clips(folders.source))),
            *("--bundle", f"{folders.run}", "--out", f"{folders.held_out}", "--vocoder", *VOCODERS),
            *("--seed", f"{config.seed}", "--keep-features"),
        ],
        config.seed,
        tuple(folders.held_out / vocoder for vocoder in VOCODERS),
        after=tuple(f"train {network}" for network in NETWORKS),
        stale=(folders.held_out,),
    )
    training = [train_stage(config, network, folders) for network in NETWORKS]
    return [corpus, prepare, *training, convert, *closing_stages(config, folders)]


def train_stage(config: Config, network: str, folders: DemoFolders) -> Stage:
    """Training of one network; an unfinished one goes on. A WaveNet of converted features needs their network."""
    needs_conversion = network == "wavenet" and config.wavenet.train_features != "natural"
    return Stage(
        f"train {network}",
        lambda: [
            *("train", network, "--config", f"{folders.config}"),
            *("--records", f"{folders.records}", "--out", f"{folders.run}", "--resume"),
        ],
        config.as_dict()[network],
        (weights_path(folders.run, network),),
        after=("prepare", "train conversion") if needs_conversion else ("prepare",),
        stale=(network_dir(folders.run, network),),
    )


def closing_stages(config: Config, folders: DemoFolders) -> list[Stage]:
    """The vocoders judged, the side-by-side video, the figures and the page that shows them."""
    common = ("--config", f"{folders.config}", "--records", f"{folders.records}", "--run", f"{folders.run}")
    gate = Stage(
        "judge vocoders",
        lambda: ["diagnose", "copy-synthesis", *common, "--out", f"{folders.out}"],
        config.seed,
        (folders.copy_synthesis,),
        after=tuple(f"train {network}" for network in NETWORKS),
        stale=(folders.copy_synthesis,),
    )
    showcase = Stage(
        "side by side",
        lambda: [
            *("demo", "side-by-side", "--config", f"{folders.config}", "--out", f"{folders.out}"),
        ],
        0,
        (folders.converted, folders.side_by_side),
        after=("convert", "judge vocoders"),
        stale=(folders.converted, folders.side_by_side),
    )
    evaluate = Stage(
        "evaluate",
        lambda: [
            *("diagnose", "run", *common, "--converted", f"{folders.held_out}"),
            *("--corpus", f"{folders.corpus}", "--out", f"{folders.out}"),
        ],
        0,
        (folders.figures, folders.report),
        after=("side by side",),
        stale=(folders.figures, folders.report),
    )
    return [gate, showcase, evaluate]


def show_demo(config: Config, out: Path) -> None:
    """One converted video an emotion, and all side by side. Raises MediaError, StageError, OutputError."""
    claim_folder(out, (f"{LOCK_NAME}.lock", STAMPS_NAME))
    folders = DemoFolders(out)
    make_showcase(
        config,
        source=folders.source,
        target=folders.target,
        held_out=folders.held_out,
        copy_synthesis=folders.copy_synthesis,
        out=out,
    )


def summary(folders: DemoFolders, runner: StageRunner, ran: Sequence[str]) -> str:
    """The last words: times, and where to look."""
    stamps = [runner.stamps[stage.name] for stage in runner.stages]
    total, peak = sum(s.seconds for s in stamps), max(s.peak_memory_bytes for s in stamps)
    head = f"All stages took {duration_text(total)} (peak memory {peak / 2**30:.1f} GiB)"
    head += f"; {len(ran)} ran now, {len(stamps) - len(ran)} were reused." if len(ran) < len(stamps) else "."
    files = (*sorted(folders.converted.glob("*.mp4")), folders.side_by_side, folders.report)
    return "\n".join([head, *(f"  {path}" for path in files)])
