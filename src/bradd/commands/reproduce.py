"""`bradd reproduce`: the paper's tables as comparisons, its figures beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bradd.commands.compare import compare
from bradd.comparison.rendering import markdown
from bradd.comparison.reproduction import (
    PLANS,
    Scale,
    TableName,
    beside_the_paper,
    caption,
)
from bradd.console import console_on, say, show_table
from bradd.data import is_named, open_labelled
from bradd.errors import BraddError
from bradd.files import write_atomically
from bradd.lock import locked

__all__ = ["reproduce"]

CIFAR10_CLASSES = {
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
}


def reproduce(
    table: TableName | None = None,
    out: str | Path | None = None,
    *,
    scale: Scale = "small",
    data: str | None = None,
    manifest: str | Path | None = None,
    seeds: int | list[int] = 3,
    matched: bool = False,
    settings: dict[str, Any] | None = None,
    evaluate_on: str | list[str] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Do one of the paper's experiments, several seeds of it, and print its figures beside ours.

    `bradd reproduce table1 --out studies/table1`. What the paper trained on and how long (ImageNet-
    100-LT, Stable unCLIP) is `--scale paper`; `--scale small` does the same on CIFAR-10-LT with a
    small network and the embedded generator; `--dry-run` estimates the time. Runs are kept,
    recognised and gone on with as by bradd compare.

    Args:
        table: table1 (balanced, imbalanced, BRADD), table2 (SDCLR, TS, BRADD), table3a (methods),
            table3b (backbones), table3c (selection), table3d (generation), table3e (cycles) or
            table3f (anchors a round). No default.
        out: The comparison's folder. No default.
        scale: small or paper.
        data: What is trained on: the name of a data set or a labelled folder. Default: cifar10, or
            imagenet100 at the scale of the paper.
        manifest: The imbalanced subset, a file of bradd prepare. Default: exponential:100, or
            imagenet100-lt:pareto at the scale of the paper, drawn anew for each seed.
        seeds: How many (0, 1, ...), or which. The paper has one run of each.
        matched: Let all arms see equally many training samples. Default: as in the paper, where
            arms with more images train longer, which the table marks.
        settings: Of bradd pretrain, for all arms, before those of the paper. Default: none.
        evaluate_on: Labelled data to evaluate on. Default: the paper's at its scale, else data.
        dry_run: Only say which runs there are, and estimate what they cost by a short calibration.

    Returns:
        As of bradd compare.

    Raises:
        BraddError: As of bradd compare.
    """
    if table is None or not out:
        raise BraddError(
            f"Say which table, and where: bradd reproduce {'|'.join(PLANS)} --out studies/NAME."
        )
    plan = PLANS[table].comparison(scale)
    if data is not None:
        plan["data"] = data
    if manifest is not None:
        plan |= {"manifest": manifest, "longtail": None}
    if evaluate_on is not None:
        plan["evaluate_on"] = evaluate_on
    if matched:
        plan["settings"]["epoch_length"] = "matched"
    plan["settings"] |= settings or {}
    with console_on():
        say(f"{table}: {caption(table)}")
        if scale == "small":
            say("At the small scale other data, backbones and a shorter training: the paper's")
            say("figures are for orientation; what to compare is which arm is ahead.")
    found = compare(out=out, seeds=seeds, together=True, dry_run=dry_run, **plan)
    if dry_run:
        return found
    lines = beside_the_paper(table, found, [(one, _known_as(one)) for one in found["evaluated_on"]])
    path = Path(out).expanduser() / f"{table}.md"
    with locked(path):
        write_atomically(path, f"{caption(table)}\n\n{markdown(lines)}")
    with console_on():
        header, *rows = lines
        show_table(
            "Top-1 accuracy in %: ours with its 95 % interval, and the paper's", header, rows
        )
        say(f"Written: {path}")
    return found


def _known_as(data: str) -> str:
    """The name of a data set; that of CIFAR-10 also for a folder of its classes."""
    if not is_named(data) and set(open_labelled(data, "test").classes) == CIFAR10_CLASSES:
        return "cifar10"
    return Path(data).name
