"""`bradd prepare`: which images of a labelled data set make a long-tailed or balanced subset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bradd.console import console_on, say
from bradd.data import (
    NAMES,
    Images,
    LabelledImages,
    Manifest,
    SubsetImages,
    absolute_data,
    labelled_splits,
    open_labelled,
)
from bradd.data.balanced import balanced, left_out
from bradd.data.disjoint import Copies, check_disjoint
from bradd.data.imagenet100 import refuse_validation_images
from bradd.data.imagenet100_lt import IMAGENET100_LT
from bradd.data.imbalanced import IMAGENET100_LT_PREFIX, check_imbalanced, imbalanced
from bradd.errors import BraddError
from bradd.files import write_errors

__all__ = ["prepare"]

IMAGENET100 = "imagenet100"


def prepare(
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    longtail: str | None = None,
    list: str | Path | None = None,
    balanced_like: str | Path | None = None,
    removed: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Choose a long-tailed or balanced subset of labelled images, and write which they are.

    Writes manifests: lists of names, from which bradd pretrain --manifest trains. No image is
    copied or changed, and the same settings on the same images give the same file. Says that the
    subset, what it leaves out and the held-out splits have no image in common, after checking it.

    Args:
        data: Labelled images, of which the training split is cut: the name of a data set (digits,
            cifar10, imagenet100, ...; hf:NAME needs bradd[datasets]), or a folder with a subfolder
            for each class (with train/ and test/ above them, or split 80 to 20). Default: with
            balanced_like what that was cut from, with imagenet100-lt imagenet100.
        out: The manifest to write, for example splits/cifar10-lt.json. No default.
        longtail: The shape: exponential:100 or pareto:6, or of ImageNet-100 imagenet100-lt:pareto
            (12,912 images), imagenet100-lt:sdclr (12,205; needs list) or imagenet100-lt:bradd
            (about 15 thousand). Results on different ones are not comparable. No default.
        list: SDCLR's own list of images, for imagenet100-lt:sdclr; its checksum is verified.
            No default.
        balanced_like: A manifest: take as many images as it has, equally many of each class.
            Default: longtail's shape.
        removed: Where to write a second manifest, of the images that the subset leaves out.
            Default: none is written.
        seed: Decides which images are taken.
        overwrite: Replace other manifests at `out` and `removed`.

    Returns:
        The manifest.

    Raises:
        BraddError: A file or a setting is not as needed; the message says what to do.
    """
    if not out:
        raise BraddError("Say where to write the manifest: --out splits/NAME.json.")
    files = {"out": Path(out).expanduser()}
    if removed:
        files["removed"] = Path(removed).expanduser()
    _check_files(files)
    if bool(longtail) == bool(balanced_like):
        raise BraddError(
            "Say what to make, one of: --longtail exponential:100 (or pareto:6, "
            f"{', '.join(IMAGENET100_LT)}), --balanced_like MANIFEST."
        )
    listed = Path(list).expanduser() if list else None
    _check_shape(longtail, listed)
    like = Manifest.read(Path(balanced_like).expanduser()) if balanced_like else None
    data = data or _usual_data(longtail, like)
    with console_on():
        labelled = open_labelled(data, "train")
        refuse_validation_images(_names(labelled.images), f"the training split of {data}")
        indices, subset = _subset(labelled, longtail, listed, like, seed)
        subset = replace(subset, data=absolute_data(data))
        rest, pool = left_out(labelled, indices, subset)
        parts = _parts(data, labelled, indices, rest)
        copies = check_disjoint(parts)
        manifests = {files["out"]: subset}
        if "removed" in files:
            manifests[files["removed"]] = pool
        _write(manifests, overwrite=overwrite)
        _say_subset(subset, labelled)
        _say_disjoint(parts, copies)
        for file, manifest in manifests.items():
            say(f"Written: {file} ({len(manifest.names)} images)")
        say(f"Train on it: bradd pretrain --manifest {files['out']} --out runs/NAME")
    return files["out"]


def _check_files(files: Mapping[str, Path]) -> None:
    for name, file in files.items():
        if file.suffix != ".json":
            raise BraddError(f"{name}: {file} is to be a manifest: call it {file.name}.json.")
        if file.is_dir():
            raise BraddError(f"{name}: {file} is a folder: give a file, {file / 'subset.json'}.")
    if len(set(files.values())) < len(files):
        raise BraddError(f"out and removed are the same file, {files['out']}: choose another.")


def _check_shape(longtail: str | None, listed: Path | None) -> None:
    """Find what is misspelt before the data are opened."""
    if longtail:
        check_imbalanced(longtail, listed)
    elif listed:
        raise BraddError("list is for --longtail imagenet100-lt:sdclr alone.")


def _usual_data(longtail: str | None, like: Manifest | None) -> str:
    if longtail and longtail.startswith(IMAGENET100_LT_PREFIX):
        return IMAGENET100
    if like is not None and like.data:
        return like.data
    raise BraddError(
        f"Say what to cut: --data FOLDER with a subfolder for each class, or one of "
        f"{', '.join(NAMES)}, hf:NAME."
    )


def _subset(
    labelled: LabelledImages,
    longtail: str | None,
    listed: Path | None,
    like: Manifest | None,
    seed: int,
) -> tuple[npt.NDArray[np.int64], Manifest]:
    if like is not None:
        return balanced(labelled, len(like.names), seed)
    return imbalanced(labelled, str(longtail), seed, listed)


def _parts(
    data: str | Path,
    labelled: LabelledImages,
    indices: npt.NDArray[np.int64],
    rest: npt.NDArray[np.int64],
) -> dict[str, Images]:
    """The subset, what it leaves out, and the held-out splits."""
    held_out = [split for split in labelled_splits(data) if split != "train"]
    return {
        "the subset": SubsetImages(labelled.images, indices),
        "the removed pool": SubsetImages(labelled.images, rest),
        **{f"the {split} split": open_labelled(data, split).images for split in held_out},
    }


def _write(manifests: Mapping[Path, Manifest], *, overwrite: bool) -> None:
    """Write all or, where a file holds something else, none."""
    for file, manifest in manifests.items():
        with write_errors(file):
            there = file.read_bytes() if file.exists() else None
        if not overwrite and there not in (None, manifest.to_json().encode()):
            raise BraddError(
                f"{file} holds something else. Replace it by --overwrite, or choose another."
            )
    for file, manifest in manifests.items():
        with write_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        manifest.write(file)


def _say_subset(subset: Manifest, labelled: LabelledImages) -> None:
    counts = subset.counts.values()
    say(
        f"{subset.describe()} of {subset.data}, seed {subset.seed}: {len(subset.names)} of "
        f"{len(labelled.images)} training images in {len(counts)} classes, "
        f"{max(counts)} to {min(counts)} a class"
    )
    say("  " + ", ".join(f"{name} {count}" for name, count in subset.counts.items()))
    sizes = {
        "many (> 100 images)": sum(count > 100 for count in counts),
        "medium (20 to 100)": sum(20 <= count <= 100 for count in counts),
        "few (< 20)": sum(count < 20 for count in counts),
    }
    say("  classes with " + ", ".join(f"{group}: {size}" for group, size in sizes.items()))


def _say_disjoint(parts: Mapping[str, Images], copies: Copies) -> None:
    sizes = ", ".join(f"{name} ({len(images)})" for name, images in parts.items())
    say(f"Disjoint, no image is in two of: {sizes}")
    for (first, second), pairs in copies.items():
        if pairs:
            say(
                f"  but {len(pairs)} images of {second} are byte for byte the same as one of "
                f"{first}, for example {pairs[0][1]} and {pairs[0][0]}"
            )


def _names(images: Images) -> list[str]:
    return [images.name(row) for row in range(len(images))]
