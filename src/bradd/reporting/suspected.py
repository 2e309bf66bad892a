"""Images suspected of being broken, as the pages show them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from bradd.reporting.pictures import Picture, embed
from bradd.reporting.run_files import Run

__all__ = ["PICTURES_SHOWN", "Shown", "Suspected", "suspected_in_run"]

PICTURES_SHOWN = 24  # for each reason; a run keeps that many
NAMES_SHOWN = 30  # for each reason, of images without a picture


@dataclass(frozen=True)
class Shown:
    """An image on a page.

    Attributes:
        name: What it is called.
        picture: `None` if it cannot be shown.
        score: `None` where it does not matter.
        rank: By score, from 1; 0 if it has none.
    """

    name: str
    picture: Picture | None
    score: float | None = None
    rank: int = 0


@dataclass(frozen=True)
class Suspected:
    """Images that are suspected for one reason.

    Attributes:
        reason: Why.
        count: How many there are.
        shown: Those shown as pictures.
        names: Of those listed instead.
    """

    reason: str
    count: int
    shown: list[Shown]
    names: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """How many are neither shown nor listed."""
        return self.count - len(self.shown) - len(self.names)


def suspected_in_run(run: Run) -> list[Suspected]:
    """What any round suspected: the most frequent reason first; of each, the lowest index first."""
    found: dict[int, tuple[str, str]] = {}
    for one in run.rounds:
        if one.selection is not None:
            found |= one.selection.suspected
    by_reason: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for index, (name, reason) in sorted(found.items()):
        by_reason[reason].append((index, name))
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_of_reason(run, reason, images) for reason, images in ordered]


def _of_reason(run: Run, reason: str, images: list[tuple[int, str]]) -> Suspected:
    shown, names = [], []
    for index, name in images[:PICTURES_SHOWN]:
        picture = embed(run.folder / "suspected" / f"{index:08d}.png")
        if picture is None:
            names.append(name)
        else:
            shown.append(Shown(name, picture))
    names += [name for _, name in images[PICTURES_SHOWN:]]
    return Suspected(reason, len(images), shown, names[:NAMES_SHOWN])
