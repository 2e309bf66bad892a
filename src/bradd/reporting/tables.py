"""What the page says in numbers and tables, taken from a run's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bradd.reporting.numbers import duration, error, number, percent, share
from bradd.reporting.run_files import Run

__all__ = [
    "Evaluation",
    "RoundCounts",
    "Timings",
    "evaluations",
    "flat_settings",
    "key_numbers",
    "round_counts",
    "summary",
    "timings",
]

PROBES = {"knn": "k nearest neighbours", "linear": "linear probe"}
GROUPS = ("many", "medium", "few")


@dataclass(frozen=True)
class RoundCounts:
    """A round's pictures.

    Attributes:
        variations: That were wanted.
        draws: Pictures generated; refused ones are drawn again.
        accepted: Of the draws.
        reasons: Why the others were refused and how many of them, most frequent first.
    """

    variations: int
    draws: int
    accepted: int
    reasons: list[tuple[str, int]]

    @property
    def refused(self) -> int:
        """How many draws were not accepted."""
        return self.draws - self.accepted

    @property
    def draws_each(self) -> float:
        """How often a variation was drawn on average; NaN where there is none."""
        return self.draws / self.variations if self.variations else float("nan")


@dataclass(frozen=True)
class Evaluation:
    """One probe of one evaluation, accuracies in percent."""

    result: Mapping[str, Any]
    probe: str
    scores: Mapping[str, Any]
    groups: Mapping[str, Any]


@dataclass(frozen=True)
class Timings:
    """Seconds of each stage (`stages`) for each round: `rows` of (cycle, seconds, total)."""

    stages: list[str]
    rows: list[tuple[int, list[float | None], float]]
    training: float


def round_counts(run: Run, cycle: int) -> RoundCounts:
    """Count a round's pictures in the ledger."""
    rows = [row for row in run.ledger if row.cycle == cycle]
    reasons = Counter(row.reason or "no reason given" for row in rows if not row.accepted)
    return RoundCounts(
        variations=len({(row.anchor, row.number) for row in rows}),
        draws=len(rows),
        accepted=sum(row.accepted for row in rows),
        reasons=reasons.most_common(),
    )


def evaluations(run: Run) -> list[Evaluation]:
    """One entry for each evaluation and probe, in the order of results.json."""
    return [
        Evaluation(result, title, result[probe], result[probe].get("groups") or {})
        for result in run.results
        for probe, title in PROBES.items()
        if isinstance(result.get(probe), Mapping)
    ]


def timings(run: Run) -> Timings:
    """The stages in the order in which they first occur."""
    timed = [(one.cycle, one.facts["seconds"]) for one in run.rounds if one.facts.get("seconds")]
    stages = list(dict.fromkeys(stage for _, seconds in timed for stage in seconds))
    training = run.metrics.get("seconds", np.zeros(0))
    return Timings(
        stages,
        [
            (cycle, [seconds.get(stage) for stage in stages], sum(seconds.values()))
            for cycle, seconds in timed
        ],
        float(np.nansum(training)),
    )


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as (dotted name, value); a component's class stands at its own name."""
    for key, value in settings.items():
        if key == "class_path" and prefix:
            yield prefix, str(value)
            continue
        name = ".".join(part for part in (prefix, str(key)) if part)
        if isinstance(value, Mapping) and value:
            yield from flat_settings(value, prefix if key == "init_args" else name)
        else:
            yield name, "not set" if value is None else str(value)


def _best(run: Run) -> Iterator[tuple[str, str, str]]:
    """The latest figure of each probe, with its standard error."""
    for title in PROBES.values():
        found = [entry for entry in evaluations(run) if entry.probe == title]
        if found:
            last = found[-1]
            note = f"{error(last.scores.get('top1_standard_error_percent'))}, {title}"
            yield "Top-1 accuracy", percent(last.scores.get("top1_percent")), note


def _images(run: Run) -> int | None:
    for one in reversed(run.rounds):
        if one.facts.get("images"):
            return int(one.facts["images"])
        if one.selection is not None:
            return len(one.selection.scores)
    counts = run.manifest.get("counts")
    return sum(counts.values()) if counts else None


def _anchors(run: Run) -> int:
    anchors = {row.anchor for row in run.ledger}
    for one in run.rounds:
        anchors |= set(one.selection.anchors) if one.selection else set()
    return len(anchors)


def _last(run: Run, column: str) -> float:
    values = run.metrics.get(column, np.zeros(0))
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else float("nan")


def key_numbers(run: Run) -> list[tuple[str, str, str]]:
    """What to see first: (name, figure, remark)."""
    numbers: list[tuple[str, str, str]] = []
    if (images := _images(run)) is not None:
        remark = f"{len(run.unreadable):,} more are unreadable" if run.unreadable else "real ones"
        numbers.append(("Images", number(images), remark))
    if run.rounds:
        numbers.append(("Rounds", number(len(run.rounds)), "of select and generate"))
        numbers.append(("Anchors", number(_anchors(run)), "images under-represented"))
    if run.ledger:
        accepted = sum(row.accepted for row in run.ledger)
        remark = f"{share(accepted / len(run.ledger))} of {len(run.ledger):,} generated"
        numbers.append(("Variations accepted", number(accepted), remark))
        numbers.append(_external_data(run))
    nearer = [one.facts["nearer_own"] for one in run.rounds if "nearer_own" in one.facts]
    if nearer:
        numbers.append(("Nearer to own anchor", share(nearer[-1]), "last round; chance: 50 %"))
    numbers.extend(_best(run))
    if len(run.metrics.get("epoch", ())):
        loss = _last(run, "loss")
        numbers.append(("Loss", number(loss), f"epoch {_last(run, 'epoch'):g}, the last"))
        wait = run.metrics.get("data_wait", np.zeros(0))
        if np.isfinite(wait).any():
            mean = share(float(np.nanmean(wait)))
            numbers.append(("Waiting for data", mean, "of the training time"))
        if (seconds := timings(run).training) > 0:
            numbers.append(("Training time", duration(seconds), "without the rounds"))
    return numbers


def _external_data(run: Run) -> tuple[str, str, str]:
    """Whether anything but these images is behind what training sees."""
    external = sorted({row.generator for row in run.ledger if row.external_data and row.accepted})
    if "encoder" in run.settings:  # of bradd balance, which trains no backbone
        if not str(run.settings["encoder"]).startswith("run:"):
            external.append("the encoder, which says what is rare")
    elif run.settings.get("weights", "random") != "random":
        external.append("the weights that training started from")
    remark = f"behind {', '.join(external)}" if external else "generators saw these images only"
    return "External data", "yes" if external else "none", remark


def summary(run: Run) -> str:
    """The run in one line."""
    parts = []
    if epochs := len(run.metrics.get("epoch", ())):
        parts.append(f"trained for {epochs} epoch{'s' * (epochs != 1)}")
    if run.rounds:
        images = _images(run)
        parts.append(
            f"{_anchors(run):,} {f'of {images:,} ' if images else ''}images found "
            f"under-represented in {len(run.rounds)} round{'s' * (len(run.rounds) != 1)}"
        )
    if run.ledger:
        parts.append(f"{sum(row.accepted for row in run.ledger):,} variations of them accepted")
    text = "; ".join(parts) or "nothing has been measured yet"
    return text[0].upper() + text[1:] + "."
