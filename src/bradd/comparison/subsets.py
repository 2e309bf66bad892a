"""The subsets of a labelled data set that the arms of a comparison are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bradd.comparison.arms import Arm
from bradd.data import (
    Images,
    LabelledImages,
    Manifest,
    SubsetImages,
    absolute_data,
    open_images,
    open_labelled,
)
from bradd.data.balanced import balanced, left_out
from bradd.data.imbalanced import imbalanced
from bradd.errors import BraddError
from bradd.files import write_errors
from bradd.lock import locked

__all__ = ["Source", "Subsets", "images_of", "write_subsets"]


@dataclass(frozen=True)
class Subsets:
    """Manifests of one seed; None where there is no such subset."""

    imbalanced: Path | None
    balanced: Path | None
    removed: Path | None

    def of(self, arm: Arm) -> Path | None:
        """What an arm is trained on; None for all images."""
        return self.balanced if arm.subset == "balanced" else self.imbalanced


@dataclass(frozen=True)
class Source:
    """What the subsets are cut from, and how; with neither shape nor manifest all is trained on.

    Attributes:
        data: As for `open_labelled`, or with neither as for `open_images`.
        longtail: The shape of the imbalanced subset, drawn anew for each seed.
        manifest: The imbalanced subset, the same one for all seeds.
    """

    data: str
    longtail: str | None = None
    manifest: Path | None = None

    @property
    def cuts(self) -> bool:
        """Whether a subset is trained on."""
        return self.longtail is not None or self.manifest is not None


def write_subsets(source: Source, arms: Sequence[Arm], seed: int, folder: Path) -> Subsets:
    """Write the manifests of a seed; the same source and seed give the same files.

    Args:
        source: What is cut.
        arms: Whose subsets are needed.
        seed: Decides which images are taken.
        folder: Where the manifests lie.

    Raises:
        BraddError: The data cannot be cut so, or manifests that lie there are of something else.
    """
    if not source.cuts:
        return Subsets(None, None, None)
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    needed = {
        "imbalanced": True,
        "balanced": any(arm.subset == "balanced" for arm in arms),
        "removed": any(arm.readds for arm in arms),
    }
    paths = {kind: folder / f"{kind}-{seed}.json" for kind, wanted in needed.items() if wanted}
    with locked(folder / f"seed-{seed}"):
        missing = {kind: path for kind, path in paths.items() if not path.exists()}
        if missing:
            _write(source, seed, missing)
    _check_same(source, paths["imbalanced"])
    return Subsets(paths["imbalanced"], paths.get("balanced"), paths.get("removed"))


def images_of(data: str, manifest: str | None) -> Images:
    """What a run is trained on: the images of a manifest, or all."""
    if manifest is None:
        return open_images(data)
    images = open_labelled(data, "train").images
    return SubsetImages(images, Manifest.read(Path(manifest)).rows_in(images))


def _write(source: Source, seed: int, paths: dict[str, Path]) -> None:
    labelled = open_labelled(source.data, "train")
    indices, subset = _imbalanced(source, labelled, seed)
    subset = replace(subset, data=absolute_data(source.data))
    if "imbalanced" in paths:
        subset.write(paths["imbalanced"])
    if "balanced" in paths:
        _, equal = balanced(labelled, len(indices), seed)
        replace(equal, data=subset.data).write(paths["balanced"])
    if "removed" in paths:
        left_out(labelled, indices, subset)[1].write(paths["removed"])


def _imbalanced(source: Source, labelled: LabelledImages, seed: int) -> tuple[np.ndarray, Manifest]:
    if source.manifest is not None:
        manifest = Manifest.read(source.manifest)
        return manifest.rows_in(labelled.images), manifest
    return imbalanced(labelled, str(source.longtail), seed)


def _check_same(source: Source, path: Path) -> None:
    """What lies there may be of an earlier comparison, of another data set or shape."""
    there = Manifest.read(path)
    same = there.data == absolute_data(source.data)
    if source.manifest is None:
        wanted = f"{source.longtail} of {source.data}"
        same = same and there.spec == source.longtail
    else:
        wanted = str(source.manifest)
        same = same and there.checksum == Manifest.read(source.manifest).checksum
    if not same:
        raise BraddError(
            f"{path} is the {there.describe()} of {there.data}, but this comparison is of "
            f"{wanted}: choose another out."
        )
