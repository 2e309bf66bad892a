"""What the groups of a selection are: folders of the images where they say it, else clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bradd.reporting.map_data import Sample
from bradd.reporting.run_files import Round

__all__ = ["Groups", "selection_groups"]

PICTURES = 6  # of each cluster


@dataclass(frozen=True)
class Group:
    """Images that belong together.

    Attributes:
        name: Of the folder, or the cluster's number.
        images: How many.
        share: Of all images.
        anchors: How many of them were selected.
        anchor_share: Of all anchors.
        pictures: Some of them as data URIs, for clusters.
    """

    name: str
    images: int
    share: float
    anchors: int
    anchor_share: float
    pictures: list[str]

    @property
    def times(self) -> float:
        """How often it was selected, in parts of what chance would give."""
        return self.anchor_share / self.share


@dataclass(frozen=True)
class Groups:
    """All groups of a round, the most over-selected first.

    Attributes:
        kind: `"folder"` or `"cluster"`.
        rows: The groups.
    """

    kind: str
    rows: list[Group]


def selection_groups(one: Round, sample: Sample) -> Groups | None:
    """The groups of a round's images; None where nothing says what belongs together."""
    selection = one.selection
    if selection is None:
        return None
    images = int(one.facts.get("images") or len(selection.scores))
    if selection.folders is not None:
        kind, codes, names = "folder", selection.folders[:images], selection.folder_names
    elif selection.groups is not None and selection.groups.any():
        codes = selection.groups[:images]
        kind, names = "cluster", [f"cluster {number + 1}" for number in range(codes.max() + 1)]
    else:
        return None
    selected = selection.selected[:images]
    all_counts = np.bincount(codes, minlength=len(names))
    anchor_counts = np.bincount(codes[selected], minlength=len(names))
    rows = [
        Group(
            name=names[code],
            images=int(all_counts[code]),
            share=all_counts[code] / images,
            anchors=int(anchor_counts[code]),
            anchor_share=anchor_counts[code] / max(1, selected.sum()),
            pictures=_pictures(codes, code, sample) if kind == "cluster" else [],
        )
        for code in np.flatnonzero(all_counts).tolist()
    ]
    return Groups(kind, sorted(rows, key=lambda group: (-group.times, -group.images)))


def _pictures(codes: np.ndarray, code: int, sample: Sample) -> list[str]:
    found = [index for index in sample if index < len(codes) and codes[index] == code]
    return [sample[index] for index in found[:PICTURES]]
