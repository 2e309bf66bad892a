"""What changes in the course of a run, as pure functions of the step or epoch."""

from __future__ import annotations

import math

from lightly.utils.scheduler import cosine_schedule, cosine_warmup_schedule

__all__ = ["cosine", "cosine_period", "learning_rate_at", "linear_warmup"]


def learning_rate_at(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017) over the whole run.

    Args:
        step: From 0.
        steps: Steps of the run.
        warmup_steps: Steps of the warm-up.
        peak: The highest learning rate.

    Returns:
        The learning rate of that step.
    """
    return peak * float(
        cosine_warmup_schedule(
            step=step,
            max_steps=steps,
            start_value=1.0,
            end_value=0.0,
            warmup_steps=warmup_steps,
            warmup_start_value=0.0,
        )
    )


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """Half a cosine from one value to another over the whole run.

    It is how DINO (Caron et al. 2021) raises the weight decay, and how BYOL (Grill et al. 2020)
    and its followers raise the momentum of the teacher to 1.

    Args:
        step: From 0.
        steps: Steps of the run.
        start: Value at step 0.
        end: Value at step `steps - 1`, also where that is step 0, and after it.

    Returns:
        The value at that step.
    """
    if step >= steps:  # of which lightly would warn
        return end
    return float(cosine_schedule(step, steps, start, end))


def cosine_period(epoch: float, low: float, high: float, half_period: float) -> float:
    """A cosine that swings between two values, beginning with the higher.

    The temperature schedule of TS (Kukleva et al. 2023, "Temperature Schedules for
    Self-Supervised Contrastive Methods on Long-Tail Data"):

        low + (high - low) (1 + cos(pi epoch / half_period)) / 2

    Args:
        epoch: From 0; fractions count.
        low: Value at `half_period`, 3 `half_period`, ...
        high: Value at 0, 2 `half_period`, ...
        half_period: Epochs from the one to the other.

    Returns:
        The value at that epoch.

    Raises:
        ValueError: `half_period` is not above 0.
    """
    if not half_period > 0:
        raise ValueError(f"half_period must be above 0, not {half_period}")
    return low + (high - low) * (1 + math.cos(math.pi * epoch / half_period)) / 2


def linear_warmup(epoch: float, warmup_epochs: float, start: float, end: float) -> float:
    """A straight line from one value to another, then constant.

    It is the temperature of DINO's teacher (Caron et al. 2021).

    Args:
        epoch: From 0; fractions count.
        warmup_epochs: Epochs until `end` is reached; 0 gives `end` from the first.
        start: Value at epoch 0.
        end: Value from `warmup_epochs` on.

    Returns:
        The value at that epoch.
    """
    if epoch >= warmup_epochs:
        return end
    return start + (end - start) * epoch / warmup_epochs
