"""Where images, anchors and variations lie on the maps of the rounds, as data for the script."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bradd.embedding_map import SAMPLE
from bradd.reporting.run_files import Round, Run, Selection, damaged

__all__ = ["Sample", "map_data", "read_sample"]

Sample = dict[int, str]
"""Pictures of some images as data URIs, by image index."""


def read_sample(run: Run) -> Sample:
    """The small pictures that the first round kept; empty without."""
    for one in run.rounds:
        path = one.folder / SAMPLE
        if not path.exists():
            continue
        try:
            table = pq.read_table(path, columns=["index", "picture"])
        except (OSError, ValueError) as error:  # pyarrow's exceptions are of these
            raise damaged(path, error) from error
        return {
            index: f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
            for index, picture in zip(
                table["index"].to_pylist(), table["picture"].to_pylist(), strict=True
            )
        }
    return {}


def map_data(run: Run, sample: Sample) -> dict[str, Any]:
    """For the script: of every round that has a map, places of images, anchors and variations.

    Images are told by their place in the sample, anchors by their number in the pool, variations by
    anchor, number and attempt. Places are two lists, x of all and y of all. Empty without a map.
    """
    rounds = []
    for one in run.rounds:
        if one.selection is not None and one.selection.places is not None:
            rounds.append(_of_round(run, one, one.selection, one.selection.places, sorted(sample)))
    return {"images": list(sample.values()), "rounds": rounds} if rounds else {}


def _of_round(
    run: Run, one: Round, selection: Selection, places: np.ndarray, images: Sequence[int]
) -> dict[str, Any]:
    drawn = [row for row in run.ledger if row.cycle == one.cycle and row.accepted]
    real = int(one.facts.get("images") or len(places))
    return {
        "cycle": one.cycle,
        # Without the anchors, which lie above them.
        "images": {
            "at": _pairs(places[[index for index in images if index not in selection.anchors]]),
            "of": [at for at, index in enumerate(images) if index not in selection.anchors],
        },
        "anchors": {
            "at": _pairs(places[list(selection.anchors)]),
            "index": list(selection.anchors),
        },
        "variations": {
            "at": _pairs(np.array([[row.map_x, row.map_y] for row in drawn]).reshape(-1, 2)),
            "draw": [[row.anchor, row.number, row.attempt] for row in drawn],
        },
        "earlier": _pairs(places[real:]),
    }


def _pairs(places: np.ndarray) -> list[list[float]]:
    """X of all and y of all, as short as a screen can show."""
    known = np.nan_to_num(places.reshape(-1, 2))
    return [[float(f"{value:.4g}") for value in column] for column in known.T]
