"""Adam with the schedule, the running average and the loss scaling that the settings ask for."""

from __future__ import annotations

import keras

from avsc_tf.core.config import TrainingConfig

LAST_SHARE = 0.02  # of the rate, at the end of a falling schedule


def adam(
    settings: TrainingConfig, rate: float, *, total_steps: int, beta_1: float = 0.9, beta_2: float = 0.999
) -> keras.optimizers.Optimizer:
    """Gradients are clipped before they reach it (`training.engine.model`); float16 gets its loss scaled."""
    averaging = {"use_ema": True, "ema_momentum": settings.ema_decay} if settings.ema_decay else {}
    schedule = learning_rate(rate, settings, total_steps=total_steps)
    optimizer = keras.optimizers.Adam(schedule, beta_1=beta_1, beta_2=beta_2, **averaging)
    return keras.optimizers.LossScaleOptimizer(optimizer) if settings.compute_dtype == "float16" else optimizer


def learning_rate(
    peak: float, settings: TrainingConfig, *, total_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A linear warm-up to `peak`, then constant, or half a cosine or an exponential down to 2 % of it.

    With a warm-up of n steps, step k of them (from 0) has k / n of the rate; the fall ends at `total_steps`.
    """
    if settings.lr_schedule == "constant" and not settings.warmup_steps:
        return peak
    if settings.lr_schedule == "cosine":
        warmup = settings.warmup_steps
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else peak,
            decay_steps=max(1, total_steps - warmup),
            alpha=LAST_SHARE,
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )
    return WarmUpThenExponential(
        peak,
        warmup_steps=settings.warmup_steps,
        fall_steps=max(1, total_steps - settings.warmup_steps),
        last_share=1.0 if settings.lr_schedule == "constant" else LAST_SHARE,
    )


@keras.saving.register_keras_serializable(package="avsc_tf")
class WarmUpThenExponential(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak`, then peak * last_share^(steps since / fall_steps), and that end for ever after."""

    def __init__(self, peak: float, *, warmup_steps: int, fall_steps: int, last_share: float) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.fall_steps = fall_steps
        self.last_share = last_share

    def __call__(self, step: int) -> float:
        now = keras.ops.cast(step, "float32")
        rising = now / max(1, self.warmup_steps)
        fallen = keras.ops.clip((now - self.warmup_steps) / self.fall_steps, 0.0, 1.0)
        falling = keras.ops.power(keras.ops.cast(self.last_share, "float32"), fallen)
        return self.peak * keras.ops.where(now < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, float]:
        names = ("peak", "warmup_steps", "fall_steps", "last_share")
        return {name: getattr(self, name) for name in names}
