"""The rebalancing loop for anyone's Lightning Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bradd.component import describe
from bradd.embedding import Encoder, part_that_embeds
from bradd.errors import BraddError
from bradd.generate import Generator, RepresentationDiffusion
from bradd.pool import Pool
from bradd.rebalancing import rebalance
from bradd.round_settings import Candidates, RoundSettings, check_round
from bradd.select import Rare, Selector
from bradd.views.photometric import normalise

__all__ = ["Rebalance"]


class Rebalance(L.Callback):
    """Rebalances a pool at the end of each cycle, but the last, of a `Trainer.fit`.

    A round runs when the first epoch of the next cycle begins, after checkpoints of the last one
    were written, so a killed run resumed from its checkpoint does the round it missed. Which
    rounds training sees follows from the epoch alone: a checkpoint older than the ledger sees the
    rounds of its own time, and finds the later ones ready-made when it comes to them.

    Args:
        pool: What the training loader draws from; give the loader `pool.sampler(...)`.
        encoder: Name of the module's attribute that maps normalised images `[B, 3, S, S]` to
            embeddings `[B, D]` or `[B, D, 1, 1]`; dots reach inside, e.g. `"student.backbone"`.
        every_n_epochs: Epochs a cycle.
        image_size: Side of the images that are embedded and generated, in pixels.
        normalise: From 8-bit images `[B, 3, S, S]` to what the encoder was trained on. Default:
            ImageNet's mean and standard deviation.
        n_anchors: Anchors a round.
        n_variations: Variations of each anchor.
        selector: Default `Rare()`.
        generator: Default `RepresentationDiffusion()`.
        seed: Of selection and generation.
        candidates: `"images"` or `"pool"`; see `RoundSettings`.
        guard: Keep images that look broken from being anchors, and count copies once.
        anchor_limit: How many rounds may choose the same image; 0: any number.
        first_round: The cycle that the first round follows. Rarity is found by what the encoder has
            learnt: later is better where it learns slowly.
        acceptance: Refuse variations that left their anchor or are copies.
        draws: How often at most each variation is drawn until one is accepted.
        batch_size: Images embedded at once.
        num_workers: Processes that decode during a round.

    Raises:
        BraddError: A setting does not suit the images.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        encoder: str = "backbone",
        every_n_epochs: int,
        image_size: int,
        normalise: Callable[[Tensor], Tensor] = normalise,
        n_anchors: int,
        n_variations: int = 5,
        selector: Selector | None = None,
        generator: Generator | None = None,
        seed: int = 0,
        candidates: Candidates = "images",
        guard: bool = True,
        anchor_limit: int = 2,
        first_round: int = 1,
        acceptance: bool = True,
        draws: int = 3,
        batch_size: int = 256,
        num_workers: int = 0,
    ) -> None:
        settings = RoundSettings(
            selector=selector or Rare(),
            generator=generator or RepresentationDiffusion(),
            n_anchors=n_anchors,
            n_variations=n_variations,
            seed=seed,
            candidates=candidates,
            guard=guard,
            anchor_limit=anchor_limit,
            acceptance=acceptance,
            draws=draws,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        if every_n_epochs < 1:
            raise BraddError(f"every_n_epochs is {every_n_epochs}: it must be at least 1.")
        if first_round < 1:
            raise BraddError(f"first_round is {first_round}: it must be at least 1.")
        check_round(len(pool.images), settings)
        settings.generator.check()
        self.pool = pool
        self.encoder = encoder
        self.every_n_epochs = every_n_epochs
        self.first_round = first_round
        self.image_size = image_size
        self.normalise = normalise
        self.settings = settings
        self._resumed_epoch: int | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Forget an earlier fit of this callback; a checkpoint is loaded after this."""
        self._resumed_epoch = None

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember how many epochs are done; the trainer itself knows only later."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        self._resumed_epoch = progress["current"]["processed"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Before the loaders are made: show the rounds of this epoch, and do one that is due.

        Raises:
            BraddError: Several processes; no such encoder; or the pool's folder holds rounds of
                another training, or lacks some of this one.
        """
        if trainer.world_size > 1:
            raise BraddError(
                "Rebalance works in one process in this version: use Trainer(devices=1)."
            )
        self._check_first_round(trainer.max_epochs)
        self._encoder(pl_module)
        committed = self.pool.ledger.committed()
        if committed and self._resumed_epoch is None:
            raise BraddError(
                f"{self.pool.ledger.folder} holds rounds of another training: choose an empty "
                "folder for the pool, or resume that training with Trainer.fit(ckpt_path=...)."
            )
        for cycle in committed:
            self._check_settings(cycle)
        if committed:
            self.pool.ledger.settle()  # a run may have been killed before it had
        self.pool.first_epoch = self._resumed_epoch or 0
        self._bring_up_to(self.pool.first_epoch, trainer, pl_module)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check that training draws from the pool.

        Raises:
            BraddError: The training loader does not use the pool's sampler.
        """
        samplers = [
            getattr(loader, "sampler", None) for loader in tree_leaves(trainer.train_dataloader)
        ]
        if not any(getattr(sampler, "pool", None) is self.pool for sampler in samplers):
            raise BraddError(
                "Rebalance needs a training loader that draws from its pool: "
                "DataLoader(pool, batch_size=B, sampler=pool.sampler(seed, B), drop_last=True)."
            )

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do the round that is due, before the epoch's first batch is drawn."""
        self._bring_up_to(trainer.current_epoch, trainer, pl_module)

    def _bring_up_to(self, epoch: int, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the rounds of the cycles ended before `epoch`; do the last one if it is missing."""
        if trainer.max_epochs is not None and epoch >= trainer.max_epochs > 0:
            epoch = trainer.max_epochs - 1
        cycle = epoch // self.every_n_epochs
        self.pool.show_rounds(cycle)
        due = range(self.first_round, cycle + 1)
        missing = [n for n in due if n not in self.pool.ledger.committed()]
        if not missing:
            return
        if missing != [cycle] or epoch % self.every_n_epochs:
            raise BraddError(
                f"{self.pool.ledger.folder} lacks the rounds {missing} of a run that is in epoch "
                f"{epoch}. Restore them, or start the run anew in an empty folder."
            )
        encoder = Encoder(self._encoder(pl_module), self.image_size, self.normalise)
        # A round draws no number that the trainer would have drawn.
        devices = [pl_module.device] if pl_module.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            rebalance(self.pool, encoder, cycle, self.settings)

    def _check_first_round(self, epochs: int | None) -> None:
        one_cycle = epochs is not None and epochs <= self.every_n_epochs
        if epochs is None or epochs < 0 or one_cycle:  # no end, or no round in any case
            return
        if self.first_round * self.every_n_epochs >= epochs:
            raise BraddError(
                f"first_round is {self.first_round}, but {epochs} epochs in cycles of "
                f"{self.every_n_epochs} end before a round after it: choose a smaller number."
            )

    def _check_settings(self, cycle: int) -> None:
        """Refuse a round that was made with other settings than these."""
        summary = self.pool.ledger.summary(cycle)
        for name in ("selector", "generator"):
            mine = describe(getattr(self.settings, name))
            if summary[name] != mine:
                raise BraddError(
                    f"Round {cycle} in {self.pool.ledger.folder} was made with the {name} "
                    f"{summary[name]}, not {mine}: resume with that one, or use another folder."
                )

    def _encoder(self, pl_module: L.LightningModule) -> nn.Module:
        return part_that_embeds(pl_module, self.encoder, "Rebalance(..., encoder=...)")
