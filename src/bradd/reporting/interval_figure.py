"""Means with their confidence intervals, one line an arm, and the single values behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bradd.reporting.figures import COLOURS, as_svg, new_figure

__all__ = ["Interval", "interval_figure"]


@dataclass(frozen=True)
class Interval:
    """A mean, in percent or points.

    Attributes:
        name: Of the arm.
        mean: The mean.
        half_width: Of its 95 % confidence interval; None for a single value.
        values: The single values, where they are to be shown.
    """

    name: str
    mean: float
    half_width: float | None
    values: Sequence[float] = field(default_factory=tuple)


def interval_figure(
    name: str, title: str, unit: str, rows: Sequence[Interval], zero: bool = False
) -> str:
    """Draw intervals below each other.

    Args:
        name: A word that no other figure of the page has.
        title: Above the figure.
        unit: Of the axis.
        rows: From top to bottom.
        zero: Draw a line at 0, for differences.
    """
    figure, axes = new_figure(title, 1.1 + 0.32 * len(rows))
    if zero:
        axes.axvline(0, color=COLOURS["muted"], linewidth=1)
    for place, row in enumerate(rows):
        if row.half_width is not None:
            ends = [row.mean - row.half_width, row.mean + row.half_width]
            axes.plot(ends, [place, place], color=COLOURS["series-1"], linewidth=2.2)
        axes.plot(row.values, [place] * len(row.values), "|", color=COLOURS["series-2"])
        axes.plot([row.mean], [place], "o", color=COLOURS["series-1"], markersize=6)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=COLOURS["line"], linewidth=0.7)
    axes.set_xlabel(unit)
    described = "; ".join(
        f"{row.name} {row.mean:.1f}"
        + ("" if row.half_width is None else f" ± {row.half_width:.1f}")
        for row in rows
    )
    return as_svg(figure, name, f"{title}, {unit}: {described}.")
