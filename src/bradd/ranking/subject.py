"""What is ranked: images with an encoder or embeddings, or embeddings alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bradd.console import stage
from bradd.data import ArrayImages, Images, Scan, SubsetImages, open_images, scan
from bradd.embedding import Encoder, embed
from bradd.encoders import NamedEncoder, open_encoder
from bradd.errors import BraddError
from bradd.ranking.given_embeddings import GivenEmbeddings, numbered, read_embeddings

__all__ = ["Subject", "open_subject"]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is ranked, opened; nothing is decoded or embedded yet.

    Attributes:
        data: What the images were opened from, in words; empty without images.
        images: N images; `None` if embeddings alone were given.
        encoder: What embeds them; `None` if embeddings were given.
        given: The embeddings given, one row an image.
    """

    data: str
    images: Images | None
    encoder: NamedEncoder | None
    given: GivenEmbeddings | None

    def __len__(self) -> int:
        if self.images is not None:
            return len(self.images)
        return 0 if self.given is None else len(self.given.values)

    def names(self) -> list[str]:
        """One for each image or row."""
        if self.images is not None:
            return [self.images.name(row) for row in range(len(self.images))]
        named = None if self.given is None else self.given.names
        return numbered(len(self)) if named is None else named

    def readable(self, num_workers: int, max_unreadable: float) -> tuple[Subject, Scan | None]:
        """The images that can be decoded, and what was found out about all; see `scan`."""
        if self.images is None:
            return self, None
        with stage(f"check {len(self)} images", len(self)) as progress:
            checked = scan(self.images, num_workers, max_unreadable, progress.reach)
        if not checked.unreadable:
            return self, checked
        given = None if self.given is None else self.given.rows(checked.readable)
        images = SubsetImages(self.images, checked.readable)
        return replace(self, images=images, given=given), checked

    def embed(self, batch_size: int, num_workers: int) -> npt.NDArray[np.float32]:
        """The embeddings, given or made, float32 `[N, D]`.

        Raises:
            BraddError: The encoder's output is not one finite vector an image.
        """
        if self.given is not None:
            return self.given.values
        if self.images is None or self.encoder is None:
            raise ValueError("a subject without embeddings needs images and an encoder")
        values = embed(
            self.images,
            self.encoder.encoder,
            batch_size=batch_size,
            num_workers=num_workers,
            description=f"embed {len(self)} images",
        )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise BraddError(
                f"{self.encoder.facts['name']} embeds {len(bad):,} of {len(self):,} images as NaN "
                f"or infinity, the first is {self.images.name(int(bad[0]))}: its weights are "
                "damaged, or not made for images. Choose another encoder."
            )
        return values


def open_subject(
    images: str | Path | Images | npt.NDArray[np.uint8] | None,
    encoder: str | Path | Encoder | None,
    embeddings: str | Path | npt.ArrayLike | None,
    weights: str | Path | None,
) -> Subject:
    """Open images, encoder and embeddings, so that anything wrong ends it before long work.

    Args:
        images: See `bradd.rank`.
        encoder: See `bradd.rank`.
        embeddings: See `bradd.rank`.
        weights: See `bradd.rank`.

    Raises:
        BraddError: One of them cannot be opened, or they do not fit each other.
    """
    if (encoder is None) == (embeddings is None):
        raise BraddError(
            "Say what embeds the images, an encoder such as timm:vit_small_patch16_224.dino, or "
            "give embeddings of them; one of the two."
        )
    if images is None and embeddings is None:
        raise BraddError("Say which images to rank: a folder, a list of files or a data set.")
    if weights is not None and not isinstance(encoder, (str, Path)):
        raise BraddError("weights are those of a timm encoder: leave them out.")
    given = None if embeddings is None else read_embeddings(embeddings)
    opened = None if images is None else _open_images(images)
    if given is not None and opened is not None:
        given = given.of(opened)
    return Subject(_in_words(images), opened, _open_encoder(encoder, weights), given)


def _open_images(images: str | Path | Images | npt.NDArray[np.uint8]) -> Images:
    if isinstance(images, np.ndarray):
        return ArrayImages(images, numbered(len(images)))
    return open_images(images)


def _open_encoder(
    encoder: str | Path | Encoder | None, weights: str | Path | None
) -> NamedEncoder | None:
    if encoder is None:
        return None
    if isinstance(encoder, (str, Path)):
        return open_encoder(encoder, weights)
    if not isinstance(encoder, Encoder):
        raise BraddError(
            f"encoder is a {type(encoder).__name__}: give a name, or wrap a module that maps "
            "normalised images to embeddings, bradd.Encoder(module, image_size=224)."
        )
    facts = {
        "name": type(encoder.backbone).__name__,
        "weights": "as given",
        "pooling": "its own",
        "image_size": encoder.image_size,
    }
    return NamedEncoder(encoder, facts)


def _in_words(images: Any) -> str:
    if images is None:
        return ""
    return str(images) if isinstance(images, (str, Path)) else type(images).__name__
