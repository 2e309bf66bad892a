"""The page's figures: inline SVG whose colours follow the reader's light or dark theme."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bradd.reporting.run_files import Round, Selection

__all__ = [
    "COLOURS",
    "Histogram",
    "as_svg",
    "class_counts_figure",
    "curve_figure",
    "histogram_figure",
    "histograms",
    "new_figure",
    "score_histograms",
    "selection_cut",
]

# Drawn in these colours, which are then replaced by the page's variables of the same name.
COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "series-1": "#040404",
    "series-2": "#050505",
}
SIZE = (4.6, 2.9)  # inches: 331 points, so that text keeps its size on a telephone
BINS = 48
NAMED_CLASSES = 24  # more are drawn as a curve, without their names
TIE = 1e-5  # scores nearer than this are a tie, as for the selectors


@dataclass(frozen=True)
class Histogram:
    """The scores of all images, for example in one round.

    Attributes:
        label: What they are called in the figure's legend, for example "round 1".
        edges: Edges of the bins, float `[bins + 1]`, the same for all of a figure.
        counts: Images in each bin, int `[bins]`.
        cut: The lowest score selected; `None` if the selection does not follow the score.
    """

    label: str
    edges: np.ndarray
    counts: np.ndarray
    cut: float | None


def selection_cut(selection: Selection) -> float | None:
    """The score from which on candidates are selected, or `None` if there is no such score."""
    known = np.isfinite(selection.scores)
    chosen = selection.scores[selection.selected & known]
    left = selection.scores[selection.candidates & ~selection.selected & known]
    if len(chosen) == 0 or np.ptp(selection.scores[known]) <= TIE:
        return None
    if len(left) and left.max() > chosen.min() + TIE:
        return None
    return float(chosen.min())


def score_histograms(rounds: Sequence[Round], bins: int = BINS) -> list[Histogram]:
    """The scores of the first and the last round that has any, in the same bins."""
    scored = [(f"round {one.cycle}", one.selection) for one in rounds if one.selection is not None]
    scored = [(label, selection) for label, selection in scored if len(_finite(selection))]
    return histograms(scored if len(scored) < 2 else [scored[0], scored[-1]], bins)


def histograms(labelled: Sequence[tuple[str, Selection]], bins: int = BINS) -> list[Histogram]:
    """The scores of each selection, in the same bins; none is without a finite score."""
    if not labelled:
        return []
    pooled = np.concatenate([_finite(selection) for _, selection in labelled])
    low, high = pooled.min(), pooled.max()
    if high - low <= TIE:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    return [
        Histogram(
            label, edges, np.histogram(_finite(selection), edges)[0], selection_cut(selection)
        )
        for label, selection in labelled
    ]


def _finite(selection: Selection) -> np.ndarray:
    finite: np.ndarray = selection.scores[np.isfinite(selection.scores)]
    return finite


def histogram_figure(
    histograms: Sequence[Histogram],
    title: str = "Score of every image",
    score: str = "score",
) -> str:
    """Shares of images over their score, the cut of each histogram dashed.

    Args:
        histograms: One or two, in the same bins.
        title: Above the figure.
        score: What the score is, below its axis.
    """
    figure, axes = new_figure(title, 3.5)
    for histogram, colour in zip(histograms, ("series-1", "series-2"), strict=False):
        share = 100 * histogram.counts / max(1, histogram.counts.sum())
        first = histogram is histograms[0]
        axes.stairs(
            share,
            histogram.edges,
            color=COLOURS[colour],
            fill=first,
            alpha=0.45 if first else 1,
            linewidth=1.8,
            label=histogram.label,
        )
        if histogram.cut is not None:
            axes.axvline(
                histogram.cut,
                color=COLOURS[colour],
                linestyle="--" if first else ":",
                linewidth=1.6,
                label=f"cut of {histogram.label}" if len(histograms) > 1 else "cut",
            )
    axes.set_xlabel(score)
    axes.set_ylabel("% of the images")
    axes.set_ylim(bottom=0)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, labelcolor=COLOURS["ink"], fontsize=10
    )
    description = "; ".join(
        f"{h.label}: {h.counts.sum()} images, "
        + ("no cut" if h.cut is None else f"selected from {h.cut:.3g} on")
        for h in histograms
    )
    return as_svg(figure, "scores", f"{title}: histogram. {description}.")


def curve_figure(
    name: str, title: str, epochs: np.ndarray, values: np.ndarray, from_zero: bool = False
) -> str:
    """One metric over the epochs; `name` is a word that no other figure of the page has."""
    known = np.isfinite(values)
    epochs, values = epochs[known], values[known]
    figure, axes = new_figure(title)
    axes.plot(epochs, values, color=COLOURS["series-1"], linewidth=1.8)
    axes.plot(epochs[-1:], values[-1:], "o", color=COLOURS["series-1"], markersize=4.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.margins(x=0.03, y=0.12)
    if from_zero:
        axes.set_ylim(0, 1.12 * max(values.max(), 1e-12))
    description = (
        f"{title} by epoch: {values[0]:.4g} at epoch {epochs[0]:g}, "
        f"{values[-1]:.4g} at epoch {epochs[-1]:g}, "
        f"lowest {values.min():.4g}, highest {values.max():.4g}."
    )
    return as_svg(figure, name, description)


def class_counts_figure(counts: Mapping[str, int]) -> str:
    """Images of each class, most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    names, images = [str(name) for name, _ in ranked], [count for _, count in ranked]
    few = len(ranked) <= NAMED_CLASSES
    figure, axes = new_figure("Images of each class", 0.9 + 0.22 * len(ranked) if few else SIZE[1])
    if few:
        short = [name if len(name) <= 22 else name[:21] + "…" for name in names]
        bars = axes.barh(range(len(names)), images, color=COLOURS["series-1"], height=0.7)
        axes.bar_label(bars, [f"{n:,}" for n in images], padding=4, color=COLOURS["ink"])
        axes.set_yticks(range(len(names)), short)
        axes.invert_yaxis()
        axes.margins(x=0.16)
        axes.grid(False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
    else:
        axes.fill_between(range(1, len(images) + 1), images, color=COLOURS["series-1"], step="mid")
        axes.set_xlabel("class, by frequency")
        axes.set_ylim(bottom=0)
    description = f"{len(ranked)} classes, from {images[0]} images to {images[-1]}."
    return as_svg(figure, "classes", description)


STYLE = {
    "font.size": 11,
    "font.family": "sans-serif",
    "text.parse_math": False,  # a class may be called $
    "svg.fonttype": "none",
}


def new_figure(title: str, height: float = SIZE[1]) -> tuple[Figure, Axes]:
    """An empty figure in the page's style, `height` inches high."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=COLOURS["ink"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(COLOURS["line"])
    axes.tick_params(color=COLOURS["line"], labelcolor=COLOURS["muted"])
    axes.xaxis.label.set_color(COLOURS["muted"])
    axes.yaxis.label.set_color(COLOURS["muted"])
    axes.grid(axis="y", color=COLOURS["line"], linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def as_svg(figure: Figure, name: str, description: str) -> str:
    """Render for inlining: no prologue, no date, no fixed size, ids of its own, theme colours."""
    buffer = io.StringIO()
    # The salt makes the ids, and so the page, the same for the same run.
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sid="([^"]+)"', rf' id="{name}-\1"', svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    for variable, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    view_box = re.search(r'viewBox="[^"]+"', svg)
    if view_box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    opening = f'<svg {view_box[0]} role="img" aria-label="{html.escape(description)}">'
    return opening + svg[svg.index(">") + 1 :]
