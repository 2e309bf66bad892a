"""What a run says at its start, of its settings, and at its end, of what it came to."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bradd.component import describe
from bradd.console import say, show_table
from bradd.data.training_set import TrainingSet
from bradd.generate import Generator
from bradd.ledger import Ledger
from bradd.presets import Settings
from bradd.run import Run
from bradd.select import Selector
from bradd.ssl import Backbone, Method
from bradd.ssl.backbone import load_snippet
from bradd.views import Views

__all__ = ["HEADER", "cycle_rows", "say_cycles", "say_settings", "say_what_next"]

HEADER = ["cycle", "loss", "kNN %", "RankMe", "anchors", "accepted", "minutes"]


def say_settings(run: Run, settings: Settings, plan: Backbone, images: TrainingSet) -> None:
    """Say what is trained on what, and by which settings."""
    say(f"bradd pretrain: {len(images.images)} images into {run.folder}")
    if images.unreadable:
        say(f"  {len(images.unreadable)} unreadable images are skipped, see {run.unreadable}")
    if images.manifest is not None:
        counts = ", ".join(f"{name} {count}" for name, count in images.manifest.counts.items())
        say(f"  {images.manifest.describe()}: {counts}")
    say(f"  backbone: {plan.describe()}")
    for name, value in vars(settings).items():
        if name in ("backbone", "backbone_kwargs"):
            continue
        component = isinstance(value, (Method, Views, Selector, Generator))
        shown = describe(value) if component else value
        say(f"  {name}: {shown}")


def say_cycles(run: Run, settings: Settings) -> None:
    """Show a table with a row a cycle."""
    rows = cycle_rows(run, settings.cycles, settings.epochs_per_cycle)
    show_table("Cycles, and the round after each", HEADER, rows)


def say_what_next(run: Run, plan: Backbone, labelled: str | Path | None) -> None:
    """Say the commands that follow a run.

    Args:
        run: It is done.
        plan: Its backbone.
        labelled: Labelled images at hand; None without.
    """
    folder, data = (shlex.quote(str(each)) for each in (run.folder, labelled or "LABELLED_FOLDER"))
    say(f"\nDone. Look at {run.report}")
    say(f"    python -m webbrowser {run.report.resolve().as_uri()}")
    say("Evaluate it:")
    say(f"    bradd evaluate --run {folder} --data {data}")
    say("Load the backbone:")
    for line in load_snippet(plan, run.backbone).splitlines():
        say(f"    {line}")


def cycle_rows(run: Run, cycles: int, epochs_per_cycle: int) -> list[list[str]]:
    """The cells of a table under `HEADER`, a row a cycle with the round that followed it.

    Loss, kNN and RankMe are the last of the cycle; what was not measured is a dash. Minutes are
    those of training and of the round.

    Args:
        run: A run that is done.
        cycles: Its cycles.
        epochs_per_cycle: Epochs of each.
    """
    with run.metrics.open(newline="", encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    ledger = Ledger(run.folder)
    rounds = {cycle: ledger.summary(cycle) for cycle in ledger.committed()}
    rows = []
    for cycle in range(1, cycles + 1):
        of_cycle = [row for row in epochs if int(row["epoch"]) // epochs_per_cycle == cycle - 1]
        made: dict[str, Any] = rounds.get(cycle, {})
        seconds = [*(float(row["seconds"]) for row in of_cycle), *made.get("seconds", {}).values()]
        rows.append(
            [
                str(cycle),
                _last(of_cycle, "loss", 3),
                _last(of_cycle, "knn", 1),
                _last(of_cycle, "rank_me", 1),
                str(made.get("anchors", "-")),
                f"{made['accepted']} of {made['variations']}" if made else "-",
                f"{sum(seconds) / 60:.1f}",
            ]
        )
    return rows


def _last(epochs: Sequence[dict[str, str]], name: str, digits: int) -> str:
    measured = [row[name] for row in epochs if row.get(name)]
    return f"{float(measured[-1]):.{digits}f}" if measured else "-"
