"""Balancing a folder without training on it: rank, select, generate, accept, write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bradd.balanced_folder import write_balanced_folder
from bradd.component import describe
from bradd.console import say
from bradd.data.training_set import TrainingSet, open_training_set
from bradd.encoders import NamedEncoder, open_encoder
from bradd.generate import RepresentationDiffusion
from bradd.pool import Pool
from bradd.rebalancing import rebalance
from bradd.reporting import write_report
from bradd.round_settings import RoundSettings, check_round, usual_anchors
from bradd.run import Run
from bradd.run_settings import plain_setting
from bradd.select import Rare

__all__ = ["balance_folder"]

CYCLE = 1  # the only round


def balance_folder(settings: dict[str, Any], run: Run, *, resume: bool, overwrite: bool) -> Path:
    """Do one round on a folder of images with an encoder that is there already.

    Args:
        settings: Those of `bradd.balance` by name, all of them but `out`.
        run: Where everything is written.
        resume: Go on with what an earlier call with the same settings left there.
        overwrite: Replace what is there.

    Returns:
        The folder of accepted variations.

    Raises:
        BraddError: See `bradd.balance`.
    """
    encoder = open_encoder(settings["encoder"], settings["weights"])
    generator = settings["generator"] or RepresentationDiffusion()
    generator.check()
    images = open_training_set(
        settings["data"],
        None,
        settings["seed"],
        settings["num_workers"],
        settings["max_unreadable"],
    )
    how = _round_settings({**settings, "generator": generator}, len(images.images))
    check_round(len(images.images), how)
    if not resume:
        run.prepare(overwrite=overwrite)
        images.write(run.manifest, run.unreadable)
        resolved = {name: getattr(how, name) for name in ("selector", "generator", "n_anchors")}
        plain = {
            name: plain_setting(name, value) for name, value in {**settings, **resolved}.items()
        }
        run.write_config({"out": str(run.folder), **plain})
    pool = Pool(images.images, run.folder)
    _say_settings(run, encoder, images, how)
    if CYCLE not in pool.ledger.committed():
        rebalance(pool, encoder.encoder, CYCLE, how)
    pool.ledger.settle()
    folder = write_balanced_folder(pool.ledger, CYCLE)
    write_report(run.folder)
    return folder


def _round_settings(settings: dict[str, Any], images: int) -> RoundSettings:
    n_anchors = settings["n_anchors"]
    return RoundSettings(
        selector=settings["selector"] or Rare(),
        generator=settings["generator"],
        n_anchors=usual_anchors(images) if n_anchors is None else n_anchors,
        n_variations=settings["n_variations"],
        seed=settings["seed"],
        guard=settings["guard"],
        acceptance=settings["acceptance"],
        draws=settings["draws"],
        batch_size=settings["batch_size"],
        num_workers=settings["num_workers"],
    )


def _say_settings(run: Run, encoder: NamedEncoder, images: TrainingSet, how: RoundSettings) -> None:
    say(f"bradd balance: {len(images.images):,} images into {run.folder}")
    if images.unreadable:
        say(f"  {len(images.unreadable)} unreadable images are left out, see {run.unreadable}")
    say(f"  encoder: {encoder.facts['name']}, images of {encoder.facts['image_size']} pixels")
    say(f"  anchors: {how.n_anchors} by {describe(how.selector)}")
    say(f"  variations: {how.n_variations} of each by {describe(how.generator)}")
