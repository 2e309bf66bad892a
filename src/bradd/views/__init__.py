"""Random views of an image for self-supervised training.

A view is a function of (seed, epoch, index, view number) and of nothing else. A method's views are
a `Views` with all their numbers (`specification`). A data set (`dataset`) draws boxes and
parameters for a batch (`draw`); it crops in the loader's workers, or hands over whole images that
are held in memory (`cache`). `render.make_views` does the rest on the images' own device, for the
whole batch at once.
"""

from __future__ import annotations

from bradd.views.specification import DINOViews, MoCoV3Views, SimCLRViews, ViewRecipe, Views

__all__ = ["DINOViews", "MoCoV3Views", "SimCLRViews", "ViewRecipe", "Views"]
