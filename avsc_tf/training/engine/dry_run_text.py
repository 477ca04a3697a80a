"""The report of a dry run, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from avsc_tf.training.engine.dry_run import MIB, Memory, Plan, Rate, Timing
from avsc_tf.training.engine.layer_table import Part, Row


def plan_text(plan: Plan) -> str:
    """All of a plan in lines of at most about a hundred characters."""
    blocks = [
        [f"{plan.network}: a dry run, nothing is written", "", "batch"],
        [f"  {line}" for line in plan.batch],
        *(["", *_part_lines(part)] for part in plan.parts),
        ["", "steps", *_step_lines(plan), *_rate_lines(plan.rates, plan.settings.lr_schedule)],
        ["", "memory", *_memory_lines(plan.memory)],
        ["", "time", *_time_lines(plan, plan.timing)],
    ]
    return "\n".join(line for block in blocks for line in block)


def _part_lines(part: Part) -> Iterator[str]:
    yield f"{part.network.name}{'' if part.active else ' (is not trained: its loss has no weight)'}"
    width = max(len(_title(row)) for row in part.rows)
    shapes = [" ".join("x".join(map(str, shape)) for shape in row.output) for row in part.rows]
    wide = min(40, max(map(len, shapes)))
    for row, shape in zip(part.rows, shapes, strict=True):
        fixed = f" + {row.fixed:,} fixed" if row.fixed else ""
        yield f"  {_title(row):{width}}  {shape:{wide}}  {row.trainable:>12,}{fixed}".rstrip()
    total = part.trainable + part.fixed
    yield f"  parameters: {total:,}, of them trainable {part.trainable:,}, fixed {part.fixed:,}"


def _title(row: Row) -> str:
    return f"{row.name} ({row.n_alike} alike)" if row.n_alike > 1 else row.name


def _step_lines(plan: Plan) -> Iterator[str]:
    settings = plan.settings
    an_epoch = f"{plan.steps_per_epoch:,} of {settings.batch_size} examples each an epoch"
    yield f"  {an_epoch}; {settings.epochs:,} epochs, {plan.total_steps:,} steps"
    if settings.early_stop_epochs:
        yield f"  ends before, after {settings.early_stop_epochs} epochs without a better held-out figure"
    held_out = plan.n_held_out_batches
    yield f"  {held_out:,} held-out batches after each epoch" if held_out else "  nothing is held out"


def _rate_lines(rates: tuple[Rate, ...], schedule: str) -> Iterator[str]:
    for rate in rates:
        points = ", ".join(f"{value:.3g} at step {step:,}" for step, value in rate.points)
        yield f"  {rate.label}learning rate, {schedule}: {points}"


def _memory_lines(memory: Memory) -> Iterator[str]:
    counted = (
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("optimizer's slots and running average", memory.optimizer),
        ("outputs of all layers for one batch", memory.layer_outputs),
    )
    for name, n_bytes in counted:
        yield f"  {name:38} {bytes_text(n_bytes):>10}"
    yield f"  {'together, counted':38} {bytes_text(sum(n for _, n in counted)):>10}"
    yield f"  {'measured: this process before steps':38} {bytes_text(memory.before_steps):>10}"
    yield f"  {'measured: its peak during steps':38} {bytes_text(memory.peak):>10}"
    if memory.on_gpu is not None:
        yield f"  {'measured: peak on the first GPU':38} {bytes_text(memory.on_gpu):>10}"


def _time_lines(plan: Plan, timing: Timing) -> Iterator[str]:
    waiting, reading = (100 * seconds / timing.step for seconds in (timing.waiting, timing.reading))
    yield f"  first step, with making its graph: {seconds_text(timing.first_step)}"
    yield f"  a warm step: {seconds_text(timing.step)}, of which {waiting:.1f} % is waiting for its batch"
    yield f"  reading a batch: {seconds_text(timing.reading)}, {reading:.1f} % of a step, beside it on other threads"
    if plan.settings.steps_per_execution > 1:
        yield f"  (measured with one step a call, not {plan.settings.steps_per_execution})"
    if plan.n_held_out_batches:
        yield f"  scoring what is held out: {seconds_text(timing.held_out)} an epoch"
    whole, epoch = seconds_text(plan.whole_seconds), seconds_text(plan.epoch_seconds)
    yield f"  the whole training: about {whole} on this machine ({epoch} an epoch; previews not counted)"


def bytes_text(n_bytes: int) -> str:
    """ "3.4 MiB", "1.21 GiB"."""
    return f"{n_bytes / MIB:.1f} MiB" if n_bytes < 1024 * MIB else f"{n_bytes / MIB / 1024:.2f} GiB"


def seconds_text(seconds: float) -> str:
    """ "3 ms", "1.20 s", "7 min 5 s", "2 h 10 min", "3 days 4 h"."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"
