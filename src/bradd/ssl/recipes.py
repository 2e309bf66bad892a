"""Optimisation recipes: what a network and a method are trained with unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from bradd.ssl.dino import DINO
from bradd.ssl.method import Method
from bradd.ssl.mocov3 import MoCoV3

__all__ = ["Recipe", "recipe_for"]


@dataclass(frozen=True)
class Recipe:
    """How a network is optimised.

    Attributes:
        learning_rate: Peak, for a global batch of `batch_size`; it goes with the batch.
        batch_size: See there.
        weight_decay: At the start.
        final_weight_decay: At the end; None where it does not change.
        gradient_clip: Largest norm of the gradients; 0 leaves them.
    """

    learning_rate: float
    batch_size: int
    weight_decay: float
    final_weight_decay: float | None = None
    gradient_clip: float = 0.0


# The paper's open settings; LARS as in SimCLR (Chen et al. 2020).
RECIPES = {
    "adamw": Recipe(3e-4, 512, 0.05),
    "sgd": Recipe(0.5, 256, 1e-4),
    "lars": Recipe(0.3, 256, 1e-6),
}

# What transformers were published with where that differs, and a gentler DINO for convolutions; not
# for the paper preset, which has one recipe for all methods.
METHOD_RECIPES: dict[tuple[type[Method], str], Recipe] = {
    (MoCoV3, "adamw"): Recipe(1.5e-4, 256, 0.1),
    (DINO, "adamw"): Recipe(5e-4, 256, 0.04, final_weight_decay=0.4, gradient_clip=3.0),
    (DINO, "sgd"): Recipe(0.03, 256, 1e-4, gradient_clip=3.0),
}


def recipe_for(optimizer: str, method: Method | None = None) -> Recipe:
    """The recipe of an optimiser.

    Args:
        optimizer: Its name; an unknown one gets SGD's.
        method: With the method's own recipe where it has one; None: the same for all methods.
    """
    recipe = RECIPES.get(optimizer, RECIPES["sgd"])
    return recipe if method is None else METHOD_RECIPES.get((type(method), optimizer), recipe)
