"""Which images are under-represented."""

from __future__ import annotations

from bradd.select.band import Band
from bradd.select.cluster_inverse import ClusterInverse
from bradd.select.duplicates import duplicates_of
from bradd.select.guard import pixel_guard, shape_guard
from bradd.select.guarded import select_guarded
from bradd.select.knn_distance import KNNDistance
from bradd.select.local_density import LocalDensity
from bradd.select.neighbours import neighbour_distances
from bradd.select.outliers import Outliers, top_outliers
from bradd.select.perceptual_hash import perceptual_hash
from bradd.select.rare import Rare
from bradd.select.selector import EnsembleSelector, ScoreSelector, Selection, Selector
from bradd.select.signal import Signal, signal_strength
from bradd.select.uniform import Uniform

__all__ = [
    "Band",
    "ClusterInverse",
    "EnsembleSelector",
    "KNNDistance",
    "LocalDensity",
    "Outliers",
    "Rare",
    "ScoreSelector",
    "Selection",
    "Selector",
    "Signal",
    "Uniform",
    "duplicates_of",
    "neighbour_distances",
    "perceptual_hash",
    "pixel_guard",
    "select_guarded",
    "shape_guard",
    "signal_strength",
    "top_outliers",
]
