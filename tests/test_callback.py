from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bradd import Duplicate, KNNDistance, Pool, Rebalance
from bradd.errors import BraddError
from samples import SIZE, TinyBackbone

README = Path(__file__).parents[1] / "README.md"


def to_tensor(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image)).permute(2, 0, 1).float() / 255


class OwnLoop(L.LightningModule):
    """Somebody's module: it draws from the global generator and notes what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = TinyBackbone()
        self.seen: list[list[int]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        images, indices = batch
        if batch_idx == 0:
            self.seen.append([])
        self.seen[-1] += indices.tolist()
        noise = torch.randn_like(images) * 0.1
        loss: torch.Tensor = self.backbone(images + noise).square().mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(
    folder: Path,
    out: Path,
    epochs: int,
    every: int = 2,
    ckpt: Path | None = None,
    first_round: int = 1,
    **loader: Any,
) -> tuple[OwnLoop, Pool]:
    pool = Pool(folder, out, transform=to_tensor)
    torch.manual_seed(0)
    module = OwnLoop()
    rebalance = Rebalance(
        pool,
        every_n_epochs=every,
        first_round=first_round,
        image_size=SIZE,
        n_anchors=4,
        n_variations=5,
        selector=KNNDistance(3),
        generator=Duplicate(),
    )
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[rebalance],
        default_root_dir=out,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=ckpt is not None and epochs < 6,
    )
    settings = {"batch_size": 8, "sampler": pool.sampler(0, 8), "drop_last": True} | loader
    resumed = ckpt if ckpt is not None and ckpt.exists() else None
    trainer.fit(module, DataLoader(pool, **settings), ckpt_path=resumed, weights_only=True)
    if ckpt is not None:
        trainer.save_checkpoint(ckpt)
    return module, pool


def test_a_round_at_the_end_of_each_cycle_but_the_last(folder: Path, tmp_path: Path) -> None:
    module, pool = fit(folder, tmp_path / "run", epochs=6)
    assert pool.ledger.committed() == [1, 2]
    highest = [max(indices) for indices in module.seen]
    assert [len(indices) for indices in module.seen] == [40] * 6  # the budget is kept
    assert max(highest[:2]) < 40  # none before the first round
    assert max(highest[2:4]) in range(40, 60)
    assert max(highest[4:]) in range(60, 80)


def test_rounds_may_begin_later(folder: Path, tmp_path: Path) -> None:
    module, pool = fit(folder, tmp_path / "run", epochs=6, first_round=2)
    assert pool.ledger.committed() == [2]
    highest = [max(indices) for indices in module.seen]
    assert max(highest[:4]) < 40
    assert max(highest[4:]) in range(40, 60)


def test_a_first_round_that_would_never_come_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BraddError, match="first_round is 3, but 6 epochs in cycles of 2"):
        fit(folder, tmp_path / "run", epochs=6, first_round=3)


@pytest.mark.parametrize("workers", [0, 1])
def test_resuming_does_the_round_it_missed_and_draws_the_same(
    folder: Path, tmp_path: Path, workers: int
) -> None:
    """Stopped after epoch 2, when the round is due but not done; and where workers prefetch."""
    loader = {"num_workers": workers}
    whole, whole_pool = fit(folder, tmp_path / "whole", epochs=6, **loader)
    checkpoint = tmp_path / "stopped.ckpt"
    fit(folder, tmp_path / "parts", epochs=2, ckpt=checkpoint, **loader)
    resumed, pool = fit(folder, tmp_path / "parts", epochs=6, ckpt=checkpoint, **loader)
    assert pool.ledger.committed() == [1, 2]
    assert resumed.seen == whole.seen[2:]
    first, second = (
        [(row.anchor_name, row.sha256) for row in p.ledger.variations(1)]
        for p in (whole_pool, pool)
    )
    assert len(first) == len(second) == 20


def test_a_checkpoint_older_than_the_ledger_sees_the_rounds_of_its_time(
    folder: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "old.ckpt"
    out = tmp_path / "run"
    fit(folder, out, epochs=1, ckpt=checkpoint)
    old = checkpoint.read_bytes()
    _, pool = fit(folder, out, epochs=6, ckpt=checkpoint)
    before = [row.sha256 for cycle in (1, 2) for row in pool.ledger.variations(cycle)]
    checkpoint.write_bytes(old)
    again, pool = fit(folder, out, epochs=6, ckpt=checkpoint)
    assert max(again.seen[0]) < 40  # epoch 1 belongs to the first cycle
    assert max(again.seen[1] + again.seen[2]) in range(40, 60)
    assert [row.sha256 for c in (1, 2) for row in pool.ledger.variations(c)] == before


def test_a_round_leaves_the_trainers_randomness_alone(folder: Path, tmp_path: Path) -> None:
    """Duplicating nothing new: with and without rounds the first epochs' weights are equal."""
    torch.manual_seed(0)
    states = []
    for every in (1, 100):
        module, _ = fit(folder, tmp_path / str(every), epochs=2, every=every)
        states.append((module.seen[0], torch.rand(1).item()))
    assert states[0] == states[1]


def test_a_loader_that_does_not_draw_from_the_pool_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BraddError, match=r"pool\.sampler"):
        fit(folder, tmp_path / "run", epochs=2, sampler=None)


def test_a_module_without_that_part_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path, transform=to_tensor)
    rebalance = Rebalance(pool, encoder="nett", every_n_epochs=1, image_size=8, n_anchors=2)
    with pytest.raises(BraddError, match="no part called 'nett'; it has backbone"):
        rebalance.on_fit_start(L.Trainer(logger=False, accelerator="cpu"), OwnLoop())


def test_rounds_of_another_training_are_refused(folder: Path, tmp_path: Path) -> None:
    fit(folder, tmp_path / "run", epochs=3)
    with pytest.raises(BraddError, match="holds rounds of another training"):
        fit(folder, tmp_path / "run", epochs=3)


def test_rounds_of_another_selector_are_refused(folder: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "late.ckpt"
    fit(folder, tmp_path / "run", epochs=3, ckpt=checkpoint)
    round_json = tmp_path / "run" / "rounds" / "01" / "round.json"
    round_json.write_text(round_json.read_text().replace("KNNDistance(k=3)", "Uniform()"))
    with pytest.raises(BraddError, match=r"with the selector Uniform\(\), not KNNDistance\(k=3\)"):
        fit(folder, tmp_path / "run", epochs=6, ckpt=checkpoint)


def test_the_same_callback_starts_a_new_fit_anew(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run")
    rebalance = Rebalance(pool, every_n_epochs=1, image_size=8, n_anchors=2, generator=Duplicate())
    trainer = L.Trainer(logger=False, accelerator="cpu")
    saved = {"loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 3}}}}}
    rebalance.on_load_checkpoint(trainer, OwnLoop(), saved)
    rebalance.setup(trainer, OwnLoop(), "fit")
    rebalance.on_fit_start(trainer, OwnLoop())  # would else miss the rounds 1 to 3
    assert pool.first_epoch == 0


def test_the_encoder_gets_images_as_it_was_trained_on(folder: Path, tmp_path: Path) -> None:
    given: list[torch.Tensor] = []

    def normalise(images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        given.append(images.float() / 255)
        return given[-1]

    pool = Pool(folder, tmp_path / "run", transform=to_tensor)
    rebalance = Rebalance(
        pool,
        every_n_epochs=1,
        image_size=SIZE,
        normalise=normalise,
        n_anchors=2,
        generator=Duplicate(),
    )
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[rebalance],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    trainer.fit(OwnLoop(), DataLoader(pool, 8, sampler=pool.sampler(0, 8)))
    assert sum(map(len, given)) == 40 + 10  # the images, and the variations of two anchors


def test_missing_rounds_are_named(folder: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "late.ckpt"
    fit(folder, tmp_path / "run", epochs=5, ckpt=checkpoint)
    with pytest.raises(BraddError, match=r"lacks the rounds \[1, 2\]"):
        fit(folder, tmp_path / "empty", epochs=6, ckpt=checkpoint)


@pytest.mark.parametrize("setting", [{"every_n_epochs": 0}, {"n_anchors": 41}])
def test_impossible_settings_are_refused_when_the_callback_is_made(
    folder: Path, tmp_path: Path, setting: dict[str, int]
) -> None:
    settings = {"every_n_epochs": 1, "image_size": 8, "n_anchors": 4} | setting
    with pytest.raises(BraddError, match=next(iter(setting))):
        Rebalance(Pool(folder, tmp_path), **settings)  # type: ignore[arg-type]


def test_the_readmes_example_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "Rebalance(" in block)
    assert example.count("\n") <= 40
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / "my-photos")
    for pattern, small in [(r'"photos"', '"my-photos"'), (r"batch_size = \d+", "batch_size = 8")]:
        example, count = re.subn(pattern, small, example)
        assert count == 1
    example = re.sub(r"RepresentationDiffusion\(\)", "RepresentationDiffusion(steps=5)", example)
    example = re.sub(r"n_anchors=\d+", "n_anchors=4", example)
    exec(compile(example, "README.md", "exec"), {})
    assert list((tmp_path / "runs").rglob("variations/*.png"))
