from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from bradd import console
from bradd.errors import BraddError
from bradd.pool import EpochLength, Pool
from bradd.round_writer import RoundWriter
from bradd.ssl import DINO, SDCLR, Method, MoCoV3, SimCLR
from bradd.ssl.method import Progress, TrainingFacts
from bradd.ssl.pretraining import Pretraining
from bradd.ssl.schedules import learning_rate_at
from bradd.trainer import EpochMetrics, SaveLast, TrainingProgress, training_loader
from bradd.views import SimCLRViews
from bradd.views.render import make_views
from samples import SIZE, TinyBackbone, row
from training import resnet

BATCH = 8
VIEWS = SimCLRViews.for_image_size(SIZE)


def make_loader(
    pool: Pool, seed: int = 0, workers: int = 0, length: EpochLength = "matched", cache: Any = None
) -> Any:
    return training_loader(pool, pool.sampler(seed, BATCH, length), VIEWS, SIZE, workers, cache)


def epoch_of(loader: Any, epoch: int) -> list[list[Tensor]]:
    """Each batch as its images' indices and its finished views."""
    loader.sampler.set_epoch(epoch)
    return [[batch["index"], *make_views(batch)] for batch in loader]


def same(first: list[list[Tensor]], second: list[list[Tensor]]) -> bool:
    return len(first) == len(second) and all(
        all(map(torch.equal, a, b)) for a, b in zip(first, second, strict=True)
    )


def make_module(
    method: Method | None = None, steps: int = 15, backbone: nn.Module | None = None
) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(
        backbone or TinyBackbone(),
        method or SimCLR(projection_size=4),
        image_size=SIZE,
        images=40,
        seed=0,
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=1e-4,
        final_weight_decay=1e-2,
        steps=steps,
        epochs=3,
        warmup_steps=5,
    )


def make_trainer(epochs: int, *callbacks: L.Callback) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, SaveLast) for callback in callbacks),
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def pool(folder: Path, tmp_path: Path) -> Pool:
    return Pool(folder, tmp_path / "run")


def test_batches_are_a_function_of_seed_and_epoch(pool: Pool) -> None:
    batches = epoch_of(make_loader(pool), 3)
    assert len(batches) == 5
    assert [tensor.shape[1:] for tensor in batches[0]] == [(), *[(3, SIZE, SIZE)] * 2]
    assert sorted(torch.cat([batch[0] for batch in batches]).tolist()) == list(range(40))
    for workers in (0, 2):
        torch.manual_seed(workers)  # the global generator has no say
        assert same(epoch_of(make_loader(pool, workers=workers), 3), batches)
    loader = make_loader(pool)
    other = epoch_of(loader, 4)
    assert not same(other, batches)
    of_image_0 = [
        next(first[index == 0] for index, first, _ in epoch if (index == 0).any())
        for epoch in (batches, other)
    ]
    assert not torch.equal(*of_image_0)
    assert same(epoch_of(loader, 3), batches)
    assert not same(epoch_of(make_loader(pool, seed=1), 3), batches)


def test_images_in_memory_give_the_views_of_files(pool: Pool) -> None:
    files, memory = (epoch_of(make_loader(pool, cache=cache), 3) for cache in (None, (SIZE, SIZE)))
    assert len(files) == len(memory) == 5
    for mine, theirs in zip(memory, files, strict=True):
        assert torch.equal(mine[0], theirs[0])
        for view, other in zip(mine[1:], theirs[1:], strict=True):
            assert (view - other).abs().mean() < 1 / 255 / 0.225


@pytest.mark.parametrize("cache", [None, (SIZE, SIZE), (24, 24)])
def test_a_grown_epoch_is_the_whole_pool(pool: Pool, cache: Any) -> None:
    matched = make_loader(pool, cache=cache)
    grown = make_loader(pool, length="grown", cache=cache)
    writer = RoundWriter(pool.ledger, 1)
    for anchor in range(10):
        writer.add(Image.new("RGB", (SIZE, SIZE)), **row(anchor))
    writer.commit({})
    pool.show_rounds(1)
    assert len(epoch_of(matched, 1)) == len(matched) == 40 // BATCH
    assert len(epoch_of(grown, 1)) == 50 // BATCH
    with pytest.raises(TypeError, match="grown"):
        len(grown)


def test_each_epoch_has_its_row(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    module = make_module()
    make_trainer(3, EpochMetrics(path, BATCH)).fit(module, make_loader(pool))
    rows = rows_of(path)
    assert list(rows[0])[:2] == ["epoch", "step"]
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "5"), ("1", "10"), ("2", "15")]
    for number, line in enumerate(rows):
        assert 0 < float(line["loss"]) < 10
        assert 0 <= float(line["data_wait"]) <= 1
        assert float(line["images_per_second"]) > 0
        assert float(line["seconds"]) > 0
        rates = [learning_rate_at(step, 15, 5, 0.1) for step in range(5 * number, 5 * number + 5)]
        assert float(line["learning_rate"]) == pytest.approx(sum(rates) / 5, rel=1e-5)


def test_data_wait_is_the_share_of_time_without_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("bradd.trainer.time.perf_counter", lambda: now)
    metrics = EpochMetrics(tmp_path / "metrics.csv", 32)
    any_: Any = SimpleNamespace(callback_metrics={})
    assert (metrics.data_wait, metrics.images_per_second) == (0, 0)
    for _ in range(2):  # the second epoch does not remember the first
        metrics.on_train_epoch_start(any_, any_)
        for waits, computes in [(3.0, 1.0), (0.0, 4.0)]:
            now += waits
            metrics.on_train_batch_start(any_, any_, any_, 0)
            now += computes
            metrics.on_train_batch_end(any_, any_, any_, any_, 0)
        now += 100  # what follows the last batch is not waiting
        assert metrics.data_wait == pytest.approx(3 / 8)
        assert metrics.images_per_second == pytest.approx(2 * 32 / 8)


def test_rows_of_epochs_done_again_replace_the_old_ones(pool: Pool, tmp_path: Path) -> None:
    """A run that was at epoch 3 and is resumed from a checkpoint of epoch 1."""
    path, checkpoint = tmp_path / "metrics.csv", tmp_path / "last.ckpt"
    make_trainer(2, EpochMetrics(path, BATCH), SaveLast(checkpoint)).fit(
        make_module(), make_loader(pool)
    )
    first = rows_of(path)
    with path.open("a", encoding="utf-8") as file:
        file.write("2,15,9,9,9,9,9\n3,20,9,9,9,9,9\n")
    again = make_trainer(3, EpochMetrics(path, BATCH))
    again.fit(make_module(), make_loader(pool), ckpt_path=checkpoint, weights_only=True)
    rows = rows_of(path)
    assert rows[:2] == first
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert float(rows[2]["loss"]) != 9


METHODS: dict[str, Callable[[], Method]] = {
    "simclr": lambda: SimCLR(projection_size=4, temperature_schedule="cosine"),
    "mocov3": lambda: MoCoV3(hidden_size=8, projection_size=4),
    "dino": lambda: DINO(output_size=16, hidden_size=8, bottleneck_size=4),
    "sdclr": lambda: SDCLR(pruned=0.5, projection_size=4),
}


@pytest.mark.parametrize("name", METHODS)
def test_an_undisturbed_and_a_resumed_run_have_the_same_weights(
    name: str, pool: Pool, tmp_path: Path
) -> None:
    def module() -> Pretraining:
        return make_module(METHODS[name](), backbone=resnet())

    whole = module()
    make_trainer(3).fit(whole, make_loader(pool))
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    make_trainer(2, SaveLast(checkpoint)).fit(module(), make_loader(pool))
    resumed = module()
    make_trainer(3).fit(resumed, make_loader(pool), ckpt_path=checkpoint, weights_only=True)
    state = resumed.state_dict()
    assert all(torch.equal(state[name], value) for name, value in whole.state_dict().items())


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    class Trainer:
        content, fails = b"whole", False

        def save_checkpoint(self, path: Path) -> None:
            path.write_bytes(self.content)
            if self.fails:
                raise OSError(28, "No space left on device")

    trainer: Any = Trainer()
    save = SaveLast(tmp_path / "checkpoints" / "last.ckpt")
    save.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    trainer.content, trainer.fails = b"hal", True
    with pytest.raises(BraddError, match="disk is full"):
        save.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert save.path.read_bytes() == b"whole"
    assert list(save.path.parent.iterdir()) == [save.path]


class Diverging(Method):
    """Its loss is no number from the third batch on."""

    def build(self, backbone: nn.Module, facts: TrainingFacts) -> None:
        self.scale = nn.Parameter(torch.ones(()))
        self.batches = 0

    def loss(self, backbone: nn.Module, views: list[Tensor], progress: Progress) -> Tensor:
        self.batches += 1
        loss: Tensor = backbone(views[0]).mean() * self.scale
        return loss * float("nan") if self.batches > 2 else loss


def test_a_diverging_loss_names_the_step(pool: Pool) -> None:
    with pytest.raises(BraddError, match=r"loss became nan at step 2 .* learning_rate"):
        make_trainer(3).fit(make_module(Diverging()), make_loader(pool))


def test_numbers_measured_now_and_then_have_empty_cells(pool: Pool, tmp_path: Path) -> None:
    class Sometimes(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                pl_module.log("knn", 50.0)

    path = tmp_path / "metrics.csv"
    metrics = EpochMetrics(path, BATCH)
    make_trainer(3, Sometimes(), metrics).fit(make_module(), make_loader(pool))
    assert [row["knn"] for row in rows_of(path)] == ["", "50.0", ""]
    assert all(row["loss"] for row in rows_of(path))


def test_what_the_optimiser_holds_follows_the_schedules(pool: Pool) -> None:
    class Notes(L.Callback):
        def __init__(self) -> None:
            self.steps: list[list[tuple[float, float]]] = []

        def on_before_optimizer_step(
            self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any
        ) -> None:
            self.steps.append([(g["lr"], g["weight_decay"]) for g in optimizer.param_groups])

    notes = Notes()
    make_trainer(3, notes).fit(make_module(), make_loader(pool))
    assert len(notes.steps) == 15
    for step, groups in enumerate(notes.steps):
        share = (1 + math.cos(math.pi * step / 14)) / 2
        decays = [1e-2 + (1e-4 - 1e-2) * share, 0.0]
        assert sorted(rate for rate, _ in groups) == [learning_rate_at(step, 15, 5, 0.1)] * 2
        assert sorted(decay for _, decay in groups) == pytest.approx(sorted(decays))


def test_every_step_has_its_own_learning_rate_and_randomness(pool: Pool) -> None:
    class Notes(L.Callback):
        def __init__(self) -> None:
            self.steps: list[tuple[float, float]] = []

        def on_before_optimizer_step(
            self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any
        ) -> None:
            rates = {group["lr"] for group in optimizer.param_groups}
            self.steps.append((rates.pop(), torch.rand(()).item()))
            assert not rates

    notes, again = Notes(), Notes()
    make_trainer(3, notes).fit(make_module(), make_loader(pool))
    assert [rate for rate, _ in notes.steps] == [learning_rate_at(s, 15, 5, 0.1) for s in range(15)]
    assert len({number for _, number in notes.steps}) == 15
    module = make_module()
    torch.manual_seed(99)
    make_trainer(3, again).fit(module, make_loader(pool))
    assert again.steps == notes.steps


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_of_a_cycle_is_closed_at_its_end_and_by_an_error(
    terminal: bool, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    shown_on = Console(file=text, force_terminal=terminal, width=80)
    monkeypatch.setattr(console, "_console", shown_on)
    metrics = EpochMetrics(tmp_path / "metrics.csv", BATCH)
    progress = TrainingProgress(metrics, pool.sampler(0, BATCH), 2, 2)
    with console.console_on():
        make_trainer(4, metrics, progress).fit(make_module(steps=20), make_loader(pool))
    shown = text.getvalue()
    assert "cycle 1 of 2: train" in shown
    assert "cycle 2 of 2: train" in shown
    assert ("10/10" in shown) is ("data_wait" in shown) is ("GiB" in shown) is terminal
    assert progress._bar is None

    with console.console_on(), pytest.raises(BraddError, match="diverged"):
        make_trainer(4, metrics, progress).fit(make_module(Diverging()), make_loader(pool))
    assert progress._bar is None
    assert text.getvalue().count("\x1b[?25l") == text.getvalue().count("\x1b[?25h")


def test_the_live_line_keeps_the_latest_knn(pool: Pool, tmp_path: Path) -> None:
    class Sometimes(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                pl_module.log("knn", 45.67)

    class Notes(L.Callback):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            self.notes.append(progress._note(trainer))

    metrics = EpochMetrics(tmp_path / "metrics.csv", BATCH)
    progress = TrainingProgress(metrics, pool.sampler(0, BATCH), 1, 4)
    notes = Notes()
    make_trainer(4, notes, Sometimes(), metrics, progress).fit(
        make_module(steps=20), make_loader(pool)
    )
    assert ["kNN 45.7%" in note for note in notes.notes] == [False, False, True, True]
