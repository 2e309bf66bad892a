"""report.html: one self-contained page for a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from bradd.files import write_atomically
from bradd.reporting import figures, tables
from bradd.reporting.embedded_scripts import (
    as_json,
    content_policy,
    page_script,
    plotly_compressed,
)
from bradd.reporting.gallery import Gallery, galleries
from bradd.reporting.map_data import Sample, map_data, read_sample
from bradd.reporting.numbers import share, signal
from bradd.reporting.run_files import Round, Run, read_run
from bradd.reporting.selection_groups import Groups, selection_groups
from bradd.reporting.suspected import suspected_in_run
from bradd.reporting.templates import render

__all__ = ["write_report"]

# Column of metrics.csv -> title of its figure, factor, and whether its axis begins at zero;
# other columns follow under their name.
CURVES = {
    "loss": ("Loss", 1, False),
    "knn": ("kNN accuracy on a sample, %", 1, False),
    "rank_me": ("RankMe of a sample", 1, True),
    "feature_std": ("Spread of embeddings (0: collapsed)", 1, True),
    "alignment": ("Alignment of views (0: equal)", 1, True),
    "uniformity": ("Uniformity (lower: more even)", 1, False),
    "learning_rate": ("Learning rate", 1, False),
    "images_per_second": ("Images per second", 1, True),
    "data_wait": ("Waiting for data, % of the time", 100, True),
    "seconds": ("Seconds per epoch", 1, True),
}
NOT_CURVES = {"epoch", "step"}
UNREADABLE_SHOWN = 100
# Variations nearer to their own anchor than to a random one: chance is a half.
NEARER_OWN_WARNING = 0.6


@dataclass(frozen=True)
class RoundView:
    """A round as the page shows it."""

    cycle: int
    facts: dict[str, Any]
    counts: tables.RoundCounts
    gallery: Gallery
    groups: Groups | None
    cut: float | None
    signal: str
    warning: str


def write_report(run: Path) -> Path:
    """Write `run`/report.html from what the run's folder holds so far.

    The page needs no network and no other file; its own script shows the pictures. A section whose
    files are absent is left out. The same folder gives the same page, byte for byte.

    Args:
        run: A run's folder.

    Returns:
        The path of the page. It is replaced in one step: a reader never sees half a page.

    Raises:
        BraddError: `run` holds no run, one of its files is damaged, or it cannot be written to.
    """
    path = Path(run) / "report.html"
    write_atomically(path, _page(read_run(Path(run))).encode())
    return path


def _page(run: Run) -> str:
    histograms = figures.score_histograms(run.rounds)
    shown, pictures = galleries(run)
    sample = read_sample(run)
    maps = map_data(run, sample)
    return render(
        "page.html.j2",
        kind="bradd report",
        source="the files of this run",
        name=run.folder.resolve().name,
        summary=tables.summary(run),
        key_numbers=tables.key_numbers(run),
        evaluations=tables.evaluations(run),
        group_names=tables.GROUPS,
        histograms=histograms,
        histogram_figure=Markup(figures.histogram_figure(histograms)) if histograms else "",
        rounds=[
            _round_view(run, one, gallery, sample)
            for one, gallery in zip(run.rounds, shown, strict=True)
        ],
        policy=Markup(content_policy()),
        script=page_script(),
        pictures=as_json({"sources": pictures.sources, "tiles": pictures.tiles}),
        maps=maps,
        map_json=as_json(maps),
        plotly=plotly_compressed() if maps else "",
        curves=_curves(run),
        timings=tables.timings(run),
        manifest=run.manifest,
        class_counts_figure=_class_counts(run),
        unreadable=run.unreadable,
        unreadable_shown=UNREADABLE_SHOWN,
        suspected=suspected_in_run(run),
        settings=list(tables.flat_settings(run.settings)),
    )


def _round_view(run: Run, one: Round, gallery: Gallery, sample: Sample) -> RoundView:
    nearer = one.facts.get("nearer_own")
    warning = ""
    if nearer is not None and nearer < NEARER_OWN_WARNING:
        warning = (
            f"Only {share(nearer)} of the variations are nearer to their own anchor than to a "
            "random one, and chance would give 50 %: the generator hardly follows its anchors."
        )
    return RoundView(
        cycle=one.cycle,
        facts=one.facts,
        counts=tables.round_counts(run, one.cycle),
        gallery=gallery,
        groups=selection_groups(one, sample),
        cut=figures.selection_cut(one.selection) if one.selection else None,
        # Rounds of before it was kept say nothing of it.
        signal=signal(one.facts["signal"]) if "signal" in one.facts else "",
        warning=warning,
    )


def _curves(run: Run) -> list[Markup]:
    others = [name for name in run.metrics if name not in CURVES and name not in NOT_CURVES]
    shown = [name for name in (*CURVES, *others) if np.isfinite(run.metrics.get(name, [])).any()]
    curves = []
    for position, name in enumerate(shown):
        title, factor, from_zero = CURVES.get(name, (name, 1, False))
        epochs, values = run.metrics["epoch"], factor * run.metrics[name]
        curves.append(
            Markup(figures.curve_figure(f"curve-{position}", title, epochs, values, from_zero))
        )
    return curves


def _class_counts(run: Run) -> Markup | str:
    counts = run.manifest.get("counts")
    return Markup(figures.class_counts_figure(counts)) if counts else ""
