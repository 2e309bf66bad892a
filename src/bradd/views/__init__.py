"""Random views of an image for self-supervised training.

A view is a function of (seed, epoch, index, view number) and of nothing else: its numbers are drawn
in the data loader's worker, which crops and resizes (`dataset`); everything photometric is done
with these numbers for the whole batch on its device (`photometric`).
"""

from __future__ import annotations

from bradd.views.specification import Box, Draw, SimCLRViews

__all__ = ["Box", "Draw", "SimCLRViews"]
