"""The record of a subset: which images of a data set it consists of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from bradd.data.images import Images
from bradd.data.labelled import LabelledImages
from bradd.errors import BraddError
from bradd.files import write_atomically

__all__ = ["Manifest", "SubsetKind"]

SubsetKind = Literal["longtail", "balanced", "removed"]
"""Long-tailed, balanced, or what a subset left out of the training split."""


@dataclass(frozen=True)
class Manifest:
    """What a subset consists of, so that it can be made or checked again.

    Attributes:
        spec: The shape, see `class_counts`; of removed images, that of the subset without them.
        seed: The seed that the images were drawn with.
        counts: How many images each class has, in the order of the classes.
        names: The names of the images, in the order of their indices.
        kind: What the subset is.
        data: The data set, as `open_labelled` takes it: a name, or a folder's absolute path. Empty
            where it is not known.
        split: The split that the images are of.
    """

    spec: str
    seed: int
    counts: dict[str, int]
    names: list[str]
    kind: SubsetKind = "longtail"
    data: str = ""
    split: str = "train"

    @classmethod
    def of(
        cls,
        labelled: LabelledImages,
        indices: npt.NDArray[np.int64],
        spec: str,
        seed: int,
        kind: SubsetKind = "longtail",
        data: str = "",
    ) -> Manifest:
        """Describe the images at sorted `indices` of a training split."""
        counts = np.bincount(labelled.labels[indices], minlength=len(labelled.classes)).tolist()
        return cls(
            spec=spec,
            seed=seed,
            counts=dict(zip(labelled.classes, counts, strict=True)),
            names=[labelled.images.name(int(index)) for index in indices],
            kind=kind,
            data=data,
        )

    def describe(self) -> str:
        """What the subset is, in a few words."""
        if self.kind == "removed":
            return f"what the subset {self.spec} leaves out"
        return f"{'balanced' if self.kind == 'balanced' else 'long-tailed'} subset {self.spec}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the names, one a line, in hexadecimal."""
        lines = "".join(f"{name}\n" for name in self.names)
        return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()

    def write(self, path: Path) -> None:
        """Write the manifest as JSON, wholly or not at all. The same subset has the same bytes."""
        write_atomically(path, self.to_json())

    def to_json(self) -> str:
        """The text that `write` writes."""
        content = {
            "kind": self.kind,
            "data": self.data,
            "split": self.split,
            "spec": self.spec,
            "seed": self.seed,
            "images": len(self.names),
            "counts": self.counts,
            "checksum": self.checksum,
            "names": self.names,
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises:
            BraddError: The file is missing or is not a manifest, its names are not those it was
                written with, or one of them leads out of the data set's folder.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            manifest = cls(
                spec=str(content["spec"]),
                seed=int(content["seed"]),
                counts={str(name): int(count) for name, count in content["counts"].items()},
                names=[str(name) for name in content["names"]],
                kind=content.get("kind", "longtail"),
                data=str(content.get("data", "")),
                split=str(content.get("split", "train")),
            )
            checksum = content.get("checksum", manifest.checksum)
        except OSError as error:
            raise BraddError(f"the manifest {path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BraddError(f"{path} is not a manifest of a subset: {error!r}") from error
        if problem := manifest._problem(checksum):
            raise BraddError(f"the manifest {path} {problem}. Make it anew by bradd prepare")
        return manifest

    def rows_in(self, images: Images) -> npt.NDArray[np.int64]:
        """Where the subset's images are in their data set.

        Args:
            images: The split that the subset was drawn from; others may have been added to it.

        Returns:
            Sorted indices, `[N]`.

        Raises:
            BraddError: Some of the subset's images are not there.
        """
        row_of = {images.name(row): row for row in range(len(images))}
        missing = [name for name in self.names if name not in row_of]
        if missing:
            raise BraddError(
                f"{len(missing)} of the manifest's {len(self.names)} images are not in the "
                f"training split of the data, the first of them {missing[0]}. The manifest was "
                f"made for {self.data or 'other data'}: give that as data"
            )
        return np.sort(np.asarray([row_of[name] for name in self.names], np.int64))

    def _problem(self, checksum: Any) -> str | None:
        """What is wrong with a manifest that was read, if anything."""
        if self.kind not in get_args(SubsetKind):
            return f"is of the kind {self.kind!r}; known are {', '.join(get_args(SubsetKind))}"
        if self.split != "train":
            return f"is of the split {self.split!r}, but only the training split is trained on"
        if checksum != self.checksum:
            return "was changed after it was written: its names do not have its checksum"
        if sum(self.counts.values()) != len(self.names):
            return f"counts {sum(self.counts.values())} images and names {len(self.names)}"
        if len(set(self.names)) != len(self.names):
            return "names an image twice"
        if unsafe := _first_unsafe(self.names):
            return f"names {unsafe!r}, which is no file inside of a data set's folder"
        return None


def _first_unsafe(names: Sequence[str]) -> str | None:
    """The first name that could lead out of the folder it is relative to."""
    for name in names:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            return name or "an empty name"
    return None
