"""Ranking images by how under-represented they are, without training or generating anything."""

from __future__ import annotations

from bradd.ranking.rank_images import DEFAULT_SELECTOR, rank
from bradd.ranking.ranking import Ranking

__all__ = ["DEFAULT_SELECTOR", "Ranking", "rank"]
