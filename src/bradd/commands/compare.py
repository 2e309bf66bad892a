"""`bradd compare`: arms x seeds at one budget, with intervals and paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bradd.commands.evaluate import evaluate
from bradd.commands.pretrain import pretrain
from bradd.comparison.arms import Arm, chosen_arms, settings_of_seed
from bradd.comparison.cost import estimate, say_estimate
from bradd.comparison.outcome import outcome_of, say_outcome, write_outcome
from bradd.comparison.page import write_comparison_page
from bradd.comparison.settled import SettledArm, differing_budgets, plain_settings, settle_arm
from bradd.comparison.study import Evaluation, StudyRun, do_runs
from bradd.comparison.subsets import Source, Subsets, write_subsets
from bradd.console import console_on, say
from bradd.data import Manifest, absolute_data, is_named, open_labelled
from bradd.data.imbalanced import check_imbalanced
from bradd.errors import BraddError
from bradd.evaluation.protocol import PROTOCOLS, ProtocolName
from bradd.files import write_errors
from bradd.lock import locked
from bradd.run import Run
from bradd.training import quiet_lightning

__all__ = ["compare"]

REFERENCES = ("none", "ood+generate")


def compare(
    data: str | None = None,
    out: str | Path | None = None,
    *,
    longtail: str | None = None,
    manifest: str | Path | None = None,
    arms: list[str] | dict[str, dict[str, Any] | None] | None = None,
    seeds: int | list[int] = 3,
    settings: dict[str, Any] | None = None,
    evaluate_on: str | list[str] | None = None,
    protocol: ProtocolName = "standard",
    references: list[str] | None = None,
    together: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train arms with the same seeds at one budget, evaluate them, and test their differences.

    `bradd compare plan.yaml` reads all this from a file. Finished runs are recognised and not done
    again, stopped ones gone on with; several processes or machines may work on one plan at once,
    each run is done by one of them. Writes comparison.json, comparison.md and report.html.

    Args:
        data: What is trained on, and unless told evaluated on: the name of a data set or a labelled
            folder. No default.
        out: The comparison's folder; the runs lie in its runs/ARM/seed-SEED. No default.
        longtail: Shape of the imbalanced subset, drawn anew for each seed: exponential:100,
            pareto:6 or imagenet100-lt:pareto (SDCLR's list: by bradd prepare, as the manifest).
            Default: none.
        manifest: Or the imbalanced subset itself, a file of bradd prepare. Default: none; with
            neither all of the data are trained on, and the arms balanced and readd cannot be had.
        arms: Names of standard arms (none, balanced, duplicate, augment, uniform+generate,
            ood+generate, readd, sdclr, ts), or by name their own settings of bradd pretrain; an arm
            of your own starts from the one that its entry like names (default: ood+generate).
            Default: all standard ones.
        seeds: How many (0, 1, ...), or which. A seed decides the subset, the first weights, the
            order of the images, views and variations: arms differ in what their names say alone.
        settings: Of bradd pretrain, for all arms. Default: its defaults.
        evaluate_on: Labelled data that each run is evaluated on, one or several. Default: data.
        protocol: Of the evaluation: standard, paper or sgd, see bradd evaluate.
        references: The arms that the others are tested against. Default: none and ood+generate,
            those of them that are compared.
        together: Put arms of different budgets into one table, where they are marked. Default: a
            table for each budget.
        dry_run: Only say which runs there are, and estimate what they cost by a short calibration.

    Returns:
        What comparison.json holds, see `outcome_of`; empty after a dry run.

    Raises:
        BraddError: A setting is wrong, or a run failed; finished ones are kept.
    """
    if not data or not out:
        raise BraddError("Say what to compare on, and where: --data NAME --out studies/NAME.")
    if longtail and manifest:
        raise BraddError("Give longtail or manifest: either says which images are trained on.")
    if longtail:
        check_imbalanced(longtail)
    numbers = list(range(seeds)) if isinstance(seeds, int) else seeds
    if not numbers or len(set(numbers)) < len(numbers):
        raise BraddError(f"seeds is {seeds!r}: give a number above 0, or different seeds.")
    chosen = _plain_arms(chosen_arms(arms))
    shared = plain_settings(pretrain, settings or {}, "settings")
    against = _references(references, chosen)
    source = Source(data, longtail, Path(manifest).expanduser() if manifest else None)
    named = [evaluate_on] if isinstance(evaluate_on, str) else evaluate_on or [data]
    evaluation = Evaluation(
        tuple(absolute_data(each) for each in named), f"{PROTOCOLS[protocol].describe()}, seed 0"
    )
    _check_source(source, chosen, evaluation)
    images_evaluated = _check_evaluated(named)
    folder = Path(out).expanduser()
    with console_on(), quiet_lightning():
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        subsets = {seed: write_subsets(source, chosen, seed, folder / "splits") for seed in numbers}
        with locked(folder / "arms"):
            settled = _settled(chosen, shared, subsets[numbers[0]], source, folder, dry_run)
        runs = _runs(folder, source, settled, subsets)
        _say_budgets(settled, together)
        if dry_run:
            costs = estimate(settled, runs[: len(chosen)], images_evaluated)
            say_estimate(runs, costs, evaluation)
            return {}
        failures = do_runs(runs, evaluation, _train, lambda run, on: _measure(run, on, protocol))
        with locked(folder / "comparison"):  # processes that share the plan may end together
            found = outcome_of(runs, evaluation, [arm.name for arm in chosen], against, together)
            write_outcome(found, folder, against)
            page = write_comparison_page(found, folder, against, runs)
        say_outcome(found, folder, against)
        say(f"Look at {page}")
    if failures:
        name, why = next(iter(failures.items()))
        raise BraddError(
            f"{len(failures)} of {len(runs)} runs failed, the first of them {name}: {why}"
        )
    return found


def _plain_arms(arms: Sequence[Arm]) -> list[Arm]:
    return [
        replace(arm, own=plain_settings(pretrain, arm.own, f"The arm {arm.name}")) for arm in arms
    ]


def _settled(
    arms: Sequence[Arm],
    shared: dict[str, Any],
    subsets: Subsets,
    source: Source,
    folder: Path,
    dry_run: bool,
) -> list[SettledArm]:
    return [
        settle_arm(
            pretrain,
            arm,
            shared,
            _of_seed(arm, 0, subsets),
            absolute_data(source.data),
            folder / "arms" / f"{arm.name}.json",
            dry_run=dry_run,
        )
        for arm in arms
    ]


def _say_budgets(settled: Sequence[SettledArm], together: bool) -> None:
    budgets = differing_budgets(settled)
    if len(budgets) > 1:
        for budget, names in budgets.items():
            say(f"{', '.join(names)}: {budget:,} training samples a run")
        where = "in one table, marked" if together else "in a table for each budget"
        say(f"The arms' budgets differ; they will stand {where}.")


def _references(given: Sequence[str] | None, arms: Sequence[Arm]) -> list[str]:
    names = [arm.name for arm in arms]
    if given is None:
        found = []
        for usual in REFERENCES:
            # Under a name of its own it may be there too: `imbalanced: {like: none}`.
            alike = [arm.name for arm in arms if arm.like == usual and not arm.own]
            found += [usual] if usual in names else alike[:1]
        return found
    for name in given:
        if name not in names:
            raise BraddError(f"references: {name!r} is none of the arms, {', '.join(names)}.")
    return list(given)


def _check_evaluated(data: Sequence[str]) -> int:
    """Find out before the first run what would end each of them after its training.

    Returns:
        How many labelled images there are, all splits together.
    """
    images = 0
    for each in data:
        splits = [open_labelled(each, split) for split in ("train", "test")]
        if splits[0].classes != splits[1].classes:
            raise BraddError(f"evaluate_on: the splits of {each} differ in their classes.")
        images += sum(len(split.images) for split in splits)
    return images


def _check_source(source: Source, arms: Sequence[Arm], evaluation: Evaluation) -> None:
    if source.cuts:
        return
    for arm in arms:
        if arm.readds or arm.subset == "balanced":
            raise BraddError(
                f"The arm {arm.name} needs an imbalanced subset to be cut from the data: give "
                "longtail or manifest, or name the arms without it."
            )
    here = absolute_data(source.data)
    if not is_named(here) and Path(here).is_dir() and here in evaluation.data:
        raise BraddError(
            f"All images in {here} would be trained on, those of the test split too: give longtail "
            "or manifest, or evaluate_on other data."
        )


def _runs(
    folder: Path, source: Source, settled: Sequence[SettledArm], subsets: dict[int, Subsets]
) -> list[StudyRun]:
    """All arms with the first seed, then with the next: pairs are whole as early as possible."""
    data = absolute_data(source.data)
    return [
        StudyRun(
            one.arm,
            seed,
            {"data": data, **one.plain, **_of_seed(one.arm, seed, of_seed)},
            folder / "runs" / one.arm.name / f"seed-{seed}",
            of_seed.imbalanced,
        )
        for seed, of_seed in subsets.items()
        for one in settled
    ]


def _of_seed(arm: Arm, seed: int, subsets: Subsets) -> dict[str, Any]:
    manifest, removed = (
        str(path.resolve()) if path else None for path in (subsets.of(arm), subsets.removed)
    )
    return settings_of_seed(seed, manifest, removed if arm.readds else None)


def _train(run: StudyRun) -> None:
    begun = Run(run.folder).exists()
    pretrain(out=run.folder, **run.settings, resume=begun, overwrite=not begun)


def _measure(run: StudyRun, data: str, protocol: ProtocolName) -> None:
    evaluate(
        run=run.folder,
        data=data,
        protocol=protocol,
        labels=_groups_by(run, data),
        num_workers=run.settings.get("num_workers", 2),
    )


def _groups_by(run: StudyRun, data: str) -> str | None:
    """The imbalanced subset's manifest, where it is of the same classes as the data."""
    if run.groups_by is None:
        return None
    counts = Manifest.read(run.groups_by).counts
    return str(run.groups_by) if set(counts) == set(open_labelled(data, "test").classes) else None
