"""A tiny run in a process of its own, which may kill itself at a chosen stage."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Modules are imported once, in a server that forks a clean process for each run.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["bradd.commands.pretrain", "bradd.commands.evaluate"])

SETTINGS: dict[str, Any] = {
    "image_size": 16,
    "backbone": "resnet18",
    "backbone_kwargs": {"channels": [4, 4, 8, 8]},
    "cycles": 3,
    "epochs_per_cycle": 2,
    "n_anchors": 3,
    "n_variations": 2,
    "batch_size": 8,
    "num_workers": 0,
}

# Where to die: a function, and at which of its calls (from 1), or at which of those of `os.replace`
# that give a file of this name its content.
STAGES: dict[str, tuple[str, str, int | str]] = {
    "first step": ("bradd.ssl.pretraining", "Pretraining.training_step", 1),
    "training epoch": ("bradd.ssl.pretraining", "Pretraining.training_step", 13),
    "epoch after a round": ("bradd.ssl.pretraining", "Pretraining.training_step", 18),
    "writing a checkpoint": ("bradd.files", "os.replace", "last.ckpt"),
    "beginning a round": ("bradd.files", "os.replace", "key.json"),
    "embedding": ("bradd.rebalancing", "embed", 2),
    "selection": ("bradd.select.rare", "Rare.select", 1),
    "generator fit": (
        "bradd.generate.representation_diffusion",
        "RepresentationDiffusion._loss",
        8,
    ),
    "generation": ("bradd.round_writer", "RoundWriter.add", 4),
    "finishing a group": ("bradd.round_writer", "RoundWriter.finish_group", 1),
    "between two groups": ("bradd.variations", "VariationMaker._write_group", 2),
    "within the second group": ("bradd.round_writer", "RoundWriter.add_anchor", 3),
    "before the commit": ("bradd.round_writer", "os.rename", 1),
    "after the commit": ("bradd.ledger", "Ledger.settle", 1),
    "writing the ledger's table": ("bradd.files", "os.replace", "ledger.parquet"),
    "saving the backbone": ("bradd.commands.pretrain", "save_backbone", 1),
    "the page": ("bradd.commands.pretrain", "write_report", 1),
}


def die_at(module: str, name: str, call: int | str) -> None:
    """Make the function kill this process at that call."""
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, last)
    calls = 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call or (isinstance(call, str) and Path(args[1]).name == call):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, last, deadly)


def _pretrain(data: str, out: str, resume: bool, death: tuple[str, str, int | str] | None) -> None:
    import torch

    from bradd import pretrain, variations
    from bradd.generate import RepresentationDiffusion

    torch.set_num_threads(1)
    variations.ANCHORS_AT_ONCE = 2  # so that a round has several groups
    if death is not None:
        die_at(*death)
    if resume:
        pretrain(out=out, resume=True)
    else:
        generator = RepresentationDiffusion(steps=5, warm_steps=5, batch_size=4, channels=(8, 8))
        pretrain(data, out, generator=generator, **SETTINGS)


def _evaluate(out: str, data: str, death: tuple[str, str, int | str] | None) -> None:
    import torch

    from bradd import evaluate

    torch.set_num_threads(1)
    if death is not None:
        die_at(*death)
    evaluate(out, data, num_workers=0)


def run_pretrain(
    data: Path, out: Path, *, resume: bool = False, stage: str | None = None
) -> int | None:
    """The exit code; -9 when it was killed."""
    return _run(_pretrain, str(data), str(out), resume, STAGES[stage] if stage else None)


def run_evaluate(
    out: Path, data: Path, death: tuple[str, str, int | str] | None = None
) -> int | None:
    """The exit code; -9 when it was killed."""
    return _run(_evaluate, str(out), str(data), death)


def _run(target: Callable[..., None], *arguments: Any) -> int | None:
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode
