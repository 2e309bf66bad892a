"""Building a run's module and training it."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from torch import nn

from bradd.callback import Rebalance
from bradd.data import LabelledImages
from bradd.data.training_set import TrainingSet
from bradd.errors import BraddError
from bradd.loggers import LoggerName, close_loggers, run_loggers
from bradd.pool import Pool, PoolSampler
from bradd.presets import Settings
from bradd.run import Run
from bradd.sample_grids import SampleGrids
from bradd.seeds import derive_seed
from bradd.ssl import Backbone, create_backbone
from bradd.ssl.backbone import load_weights
from bradd.ssl.health import Health
from bradd.ssl.pretraining import Pretraining
from bradd.trainer import EpochMetrics, SaveLast, TrainingProgress, training_loader
from bradd.views.cache import cache_shape

__all__ = ["build_module", "fit", "kept_shape", "quiet_lightning", "steps_of_cycles"]


def kept_shape(settings: Settings, training_set: TrainingSet) -> tuple[int, int] | None:
    """Width and height in which images are kept in memory; None if they are not."""
    if settings.cache == 0:
        return None
    return cache_shape(training_set.sizes, settings.cache, settings.image_size)


def build_module(
    plan: Backbone, settings: Settings, images: int, from_checkpoint: bool
) -> Pretraining:
    """The Lightning module of a run.

    Args:
        plan: The backbone.
        settings: Of the run.
        images: How many there are.
        from_checkpoint: Its weights will come from a checkpoint: no others are loaded.

    Raises:
        BraddError: The weights to start from cannot be loaded.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(settings.seed, "initial weights"))
        backbone = create_backbone(plan, settings.view_sizes())
        if settings.weights != "random" and not from_checkpoint:
            load_weights(backbone, plan, settings.weights)
        return _pretraining(backbone, settings, images)


def steps_of_cycles(settings: Settings, images: int) -> list[int]:
    """Training steps of an epoch in each cycle."""
    variations = settings.n_anchors * settings.n_variations
    steps = []
    for cycle in range(1, settings.cycles + 1):
        rounds = max(0, cycle - settings.first_round)  # that were done before this cycle
        grown = variations * rounds if settings.epoch_length == "grown" else 0
        steps.append((images + grown) // settings.batch_size)
    return steps


def _pretraining(backbone: nn.Module, settings: Settings, images: int) -> Pretraining:
    steps = steps_of_cycles(settings, images)
    return Pretraining(
        backbone,
        settings.method,
        image_size=settings.image_size,
        images=images,
        pretrained=settings.weights != "random",
        seed=settings.seed,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        final_weight_decay=settings.final_weight_decay,
        steps=settings.epochs_per_cycle * sum(steps),
        epochs=settings.epochs,
        warmup_steps=settings.warmup_epochs * steps[0],
        channels_last=settings.channels_last,
        compile=settings.compile,
    )


def fit(
    run: Run,
    settings: Settings,
    module: Pretraining,
    training_set: TrainingSet,
    labelled: tuple[LabelledImages, LabelledImages] | None,
    resume: bool,
    logger: LoggerName = "none",
) -> None:
    """Train to the end, rebalancing between the cycles.

    Args:
        run: The run's folder.
        settings: Of the run.
        module: Of `build_module`.
        training_set: The images.
        labelled: Reference and test split on which kNN accuracy is followed; None without labels.
        resume: Go on from the run's checkpoint, if there is one.
        logger: Where numbers and pictures go beside metrics.csv and TensorBoard.

    Raises:
        BraddError: The images or the batch do not fit into memory, or the run came to grief.
        KeyboardInterrupt: The user stopped it.
    """
    pool = Pool(training_set.images, run.folder)
    sampler = pool.sampler(
        settings.seed, settings.batch_size, settings.epoch_length, settings.real_share
    )
    trainer = L.Trainer(
        max_epochs=settings.epochs,
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision=settings.precision,  # type: ignore[arg-type]
        gradient_clip_val=settings.gradient_clip or None,
        callbacks=_callbacks(run, settings, pool, sampler, training_set, labelled),
        logger=run_loggers(run, logger),
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    loader = training_loader(
        pool,
        sampler,
        settings.views,
        settings.image_size,
        settings.num_workers,
        kept_shape(settings, training_set),
        settings.siblings,
    )
    checkpoint = run.checkpoint if resume and run.checkpoint.exists() else None
    try:
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
    except torch.OutOfMemoryError as error:
        raise BraddError(
            f"The GPU's memory does not suffice for batch_size {settings.batch_size} with "
            f"{settings.backbone} at {settings.image_size} pixels. Start anew with --overwrite and "
            "a smaller batch_size, or precision bf16-mixed."
        ) from error
    except SystemExit as error:  # so Lightning answers an interrupt, and ignores further ones
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from error
    finally:
        close_loggers(trainer.loggers)


def _callbacks(
    run: Run,
    settings: Settings,
    pool: Pool,
    sampler: PoolSampler,
    training_set: TrainingSet,
    labelled: tuple[LabelledImages, LabelledImages] | None,
) -> list[L.Callback]:
    """In the order in which they are called: a round first, the checkpoint last."""
    metrics = EpochMetrics(run.metrics, settings.batch_size)
    return [
        Rebalance(
            pool,
            encoder=settings.method.encoder,
            every_n_epochs=settings.epochs_per_cycle,
            image_size=settings.image_size,
            first_round=settings.first_round,
            **vars(settings.round_settings()),
        ),
        SampleGrids(pool, settings.epochs_per_cycle),
        Health(
            training_set.images,
            encoder_name=settings.method.encoder,
            image_size=settings.image_size,
            views=settings.views,
            seed=settings.seed,
            every_n_epochs=settings.health_every_n_epochs,
            reference=labelled[0] if labelled else None,
            test=labelled[1] if labelled else None,
            num_workers=settings.num_workers,
        ),
        metrics,
        TrainingProgress(metrics, sampler, settings.cycles, settings.epochs_per_cycle),
        SaveLast(run.checkpoint),
    ]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's greetings and hints off the terminal while a command runs."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
