"""The images a run trains on: opened, cut to a subset if asked, and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bradd.console import stage
from bradd.data.imagenet100 import refuse_validation_images
from bradd.data.images import Images, SubsetImages
from bradd.data.longtail import long_tailed
from bradd.data.manifest import Manifest
from bradd.data.open import absolute_data, open_images, open_labelled
from bradd.data.scan import scan, write_unreadable

__all__ = ["TrainingSet", "open_training_set"]


@dataclass(frozen=True)
class TrainingSet:
    """Readable images, without labels.

    Attributes:
        images: What is trained on.
        sizes: Width and height of each image in pixels, `[N, 2]`.
        unreadable: Name and reason of each image that was skipped.
        manifest: Of the subset, where one was asked for.
    """

    images: Images
    sizes: npt.NDArray[np.int32]
    unreadable: list[tuple[str, str]]
    manifest: Manifest | None

    @property
    def shorter_side(self) -> int:
        """Median of the images' shorter sides, in pixels."""
        return int(np.median(self.sizes.min(axis=1)))

    def write(self, manifest: Path, unreadable: Path) -> None:
        """Write the manifest and the list of unreadable images, where there are any."""
        if self.manifest is not None:
            self.manifest.write(manifest)
        if self.unreadable:
            write_unreadable(unreadable, self.unreadable)


def open_training_set(
    data: str | Path,
    longtail: str | None,
    seed: int,
    num_workers: int,
    max_unreadable: float,
    manifest: str | Path | None = None,
) -> TrainingSet:
    """Open the images and decode each once, so that training meets no surprise.

    Args:
        data: As for `open_images`; with `longtail` or `manifest`, as for `open_labelled` (its
            training split).
        longtail: Shape of a long-tailed subset, as for `class_counts`.
        seed: Decides which images a long-tailed subset holds.
        num_workers: Processes that decode.
        max_unreadable: Share of unreadable images that is skipped rather than refused.
        manifest: File of a subset, as `bradd prepare` writes it; not with `longtail`.

    Raises:
        BraddError: No images, too many unreadable ones, or a subset that cannot be had.
    """
    subset: Manifest | None = None
    if longtail is not None:
        labelled = open_labelled(data, "train")
        indices, subset = long_tailed(labelled, longtail, seed)
        subset = replace(subset, data=absolute_data(data))
        images: Images = SubsetImages(labelled.images, indices)
    elif manifest is not None:
        subset = Manifest.read(Path(manifest).expanduser())
        refuse_validation_images(subset.names, str(manifest))
        everything = open_labelled(data, "train").images
        images = SubsetImages(everything, subset.rows_in(everything))
    else:
        images = open_images(data)
    with stage(f"check {len(images)} images", len(images)) as progress:
        checked = scan(images, num_workers, max_unreadable, progress.reach)
    if checked.unreadable:
        images = SubsetImages(images, checked.readable)
    return TrainingSet(images, checked.sizes, checked.unreadable, subset)
