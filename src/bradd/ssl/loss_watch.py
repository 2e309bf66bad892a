"""Stops a run whose loss is no number any more."""

from __future__ import annotations

import torch
from torch import Tensor

from bradd.errors import BraddError

__all__ = ["LossWatch"]

COUNT, STEP, LOSS = range(3)  # what the watch keeps on the loss's device


class LossWatch:
    """Counts the losses in a row that are NaN or infinite, and raises when there are too many.

    A GPU is never waited for: the count is kept on the device, and copied to the host while
    training goes on. So the watch may speak some steps late on a GPU; `flush` lets it catch up.

    Args:
        patience: Losses in a row that are not finite before it raises. A single one may be the
            work of mixed precision, which skips that step.
    """

    def __init__(self, patience: int = 3) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1, not {patience}")
        self.patience = patience
        self._state: Tensor | None = None  # [3], see above; float32, exact for 16 million steps
        self._copy: Tensor | None = None  # of the state, in pinned memory
        self._copied: torch.cuda.Event | None = None

    def check(self, loss: Tensor, step: int) -> None:
        """Take up one step's loss.

        Args:
            loss: A scalar, on any device.
            step: The step it belongs to.

        Raises:
            BraddError: `patience` losses in a row were not finite.
        """
        self._state = self._after(loss.detach().float(), step)
        if loss.is_cuda:
            self._look_without_waiting(self._state)
        else:
            self._judge(self._state)

    def flush(self) -> None:
        """Look at every loss so far, waiting for the device; for the end of an epoch.

        Raises:
            BraddError: `patience` losses in a row were not finite.
        """
        if self._state is not None:
            self._judge(self._state)

    def _after(self, loss: Tensor, step: int) -> Tensor:
        """The state after this loss. A state that is bad enough stays, until it is looked at."""
        if self._state is None:
            self._state = torch.zeros(3, device=loss.device)
        count, first_step, first_loss = self._state.unbind()
        bad = ~loss.isfinite()
        first = bad & (count == 0)
        new = torch.stack(
            [
                torch.where(bad, count + 1, 0.0),
                torch.where(first, float(step), first_step),
                torch.where(first, loss, first_loss),
            ]
        )
        return torch.where(count >= self.patience, self._state, new)

    def _look_without_waiting(self, state: Tensor) -> None:
        """Judge the last copy if it has arrived, and send the next one."""
        if self._copy is None or self._copied is None:
            self._copy = torch.zeros(3, pin_memory=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        elif not self._copied.query():  # type: ignore[no-untyped-call]
            return  # one at a time: the state forgets nothing that matters
        self._judge(self._copy)
        self._copy.copy_(state, non_blocking=True)
        self._copied.record()

    def _judge(self, state: Tensor) -> None:
        count, step, loss = state.tolist()
        if count < self.patience:
            return
        raise BraddError(
            f"The loss became {loss} at step {step:.0f} and was no finite number for "
            f"{self.patience} steps in a row: training has diverged. Try a lower learning_rate, "
            "more warmup_epochs, or precision 32-true. The checkpoint of the last whole epoch is "
            "kept."
        )
