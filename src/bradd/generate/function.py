"""Variations by a function of the user's."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bradd.errors import BraddError
from bradd.generate.generator import Generator

__all__ = ["Function"]


class Function(Generator):
    """Any model, by the import path of a function that calls it.

    `--generator Function --generator.function my_models:vary`, with `my_models.py` where Python
    finds modules (installed, or in a folder named in PYTHONPATH):

        def vary(anchors, embeddings, seeds):
            return [my_model(anchor, seed) for anchor, seed in zip(anchors, seeds)]

    It is given what `Generator.generate` is, and must keep its promise: a picture depends on its
    own anchor, embedding and seed alone.

    A model with settings is better a class, `--generator my_models.Mirrored`. All it needs:

        from PIL import Image, ImageOps
        from bradd.generate import Generator

        class Mirrored(Generator):
            licence = "mine"

            def __init__(self, colours: int = 8):
                self.colours = colours

            def generate(self, anchors, embeddings, seeds):
                mirrored = [ImageOps.mirror(anchor) for anchor in anchors]
                return [ImageOps.posterize(picture, self.colours) for picture in mirrored]

    Args:
        function: `package.module:function`.
        external_data: Whether the model was trained on anything but the user's images.
        licence: Of its weights, in words.

    Raises:
        BraddError: There is no such function.
    """

    def __init__(
        self, function: str, external_data: bool = True, licence: str = "not stated"
    ) -> None:
        self.function = function
        self.external_data = external_data
        self.licence = licence
        self._vary = _imported(function)

    def generate(
        self, anchors: Sequence[Image.Image], embeddings: np.ndarray, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `Generator.generate`.

        Raises:
            BraddError: What the function returns is not one RGB picture for each seed.
        """
        pictures = list(self._vary(anchors, embeddings, seeds))
        wrong = [picture for picture in pictures if getattr(picture, "mode", "") != "RGB"]
        if wrong or len(pictures) != len(seeds):
            found = f"{len(pictures)} pictures"
            found += f", among them {type(wrong[0]).__name__} {wrong[0]!r:.80}" if wrong else ""
            raise BraddError(
                f"{self.function} must return one PIL image in mode RGB for each of the "
                f"{len(seeds)} seeds; it returned {found}."
            )
        return pictures

    def revision(self) -> str:
        """A hash of the module's source; which weights it loads is its own affair."""
        source = getattr(inspect.getmodule(self._vary), "__file__", None)
        return (
            hashlib.blake2b(Path(source).read_bytes(), digest_size=16).hexdigest() if source else ""
        )


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    if not module or not name:
        raise BraddError(
            f"generator.function is {path!r}: give its import path, package.module:function."
        )
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BraddError(
            f"generator.function: {path} cannot be imported ({error}). Give package.module:"
            "function; the module must be installed, or its folder named in PYTHONPATH."
        ) from error
    if not callable(function):
        raise BraddError(f"generator.function: {path} is not a function but {function!r:.80}.")
    found: Callable[..., Any] = function
    return found
