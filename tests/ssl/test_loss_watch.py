from __future__ import annotations

import math

import pytest
import torch

from bradd.errors import BraddError
from bradd.ssl.loss_watch import LossWatch

NAN, INF = math.nan, math.inf


def watch_all(watch: LossWatch, losses: list[float], device: str = "cpu") -> None:
    for step, loss in enumerate(losses):
        watch.check(torch.tensor(loss, device=device), step)


def test_three_losses_in_a_row_that_are_no_number_stop_the_run() -> None:
    watch = LossWatch()
    watch_all(watch, [1.0, 2.0, NAN, NAN])
    with pytest.raises(BraddError, match=r"became nan at step 2 .*3 steps in a row") as caught:
        watch.check(torch.tensor(NAN), 4)
    for remedy in ("learning_rate", "warmup_epochs", "32-true", "last whole epoch"):
        assert remedy in str(caught.value)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_infinite_losses_count_and_the_first_is_named(bad: float) -> None:
    watch = LossWatch()
    with pytest.raises(BraddError, match=f"became {bad} at step 1 "):
        watch_all(watch, [0.5, bad, NAN, INF])


def test_a_finite_loss_starts_the_count_anew() -> None:
    watch = LossWatch()
    watch_all(watch, [NAN, INF, 1.0, NAN, NAN, 0.0] * 5)
    watch.flush()
    with pytest.raises(BraddError, match="at step 2 "):
        watch_all(watch, [1.0, 1.0, NAN, NAN, NAN])


def test_patience_is_kept() -> None:
    with pytest.raises(BraddError, match=r"at step 0 .*1 steps in a row"):
        LossWatch(patience=1).check(torch.tensor(NAN), 0)
    watch_all(LossWatch(patience=5), [NAN] * 4)
    with pytest.raises(ValueError, match="patience"):
        LossWatch(patience=0)


def test_flush_before_any_loss_says_nothing() -> None:
    LossWatch().flush()


def test_the_count_goes_on_from_one_epoch_to_the_next() -> None:
    watch = LossWatch()
    watch_all(watch, [1.0, NAN, NAN])
    watch.flush()
    with pytest.raises(BraddError, match="at step 1 "):
        watch.check(torch.tensor(NAN), 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_precision_is_watched_and_the_graph_is_left_alone(dtype: torch.dtype) -> None:
    watch = LossWatch(patience=2)
    loss = torch.tensor(2.0, dtype=dtype, requires_grad=True)
    watch.check(loss, 0)
    watch.check(loss * INF, 1)
    with pytest.raises(BraddError, match="became inf at step 1 "):
        watch.check(loss * INF, 123_456)


@pytest.mark.gpu
def test_on_a_gpu_a_run_of_bad_losses_is_found_late_but_never_lost() -> None:
    watch = LossWatch()
    with torch.cuda.device(0):
        torch.cuda.set_sync_debug_mode("error")  # a wait for the device would raise
        try:
            # Queued behind this, no copy arrives before the finite losses that follow.
            torch.cuda._sleep(10**8)
            losses = torch.full((10,), 1.0, device="cuda")
            losses[2:5] = NAN
            for step in range(10):
                watch.check(losses[step], step)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    with pytest.raises(BraddError, match="became nan at step 2 "):
        watch.flush()


@pytest.mark.gpu
def test_on_a_gpu_the_watch_speaks_without_flush() -> None:
    watch = LossWatch()
    watch_all(watch, [1.0, NAN, NAN, NAN], "cuda")
    torch.cuda.synchronize()  # what was sent so far has arrived, before the last loss or with it
    with pytest.raises(BraddError, match="became nan at step 1 "):
        watch_all(watch, [1.0] * 1000, "cuda")
