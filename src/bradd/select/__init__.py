"""Which images are under-represented."""

from __future__ import annotations

from bradd.select.guard import pixel_guard
from bradd.select.knn_distance import KNNDistance
from bradd.select.neighbours import neighbour_distances
from bradd.select.selector import Selection, Selector
from bradd.select.uniform import Uniform

__all__ = [
    "KNNDistance",
    "Selection",
    "Selector",
    "Uniform",
    "neighbour_distances",
    "pixel_guard",
]
