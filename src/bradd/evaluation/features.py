"""Features on disk, so that an encoder embeds a data set once, however often it is evaluated."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bradd.files import replace_atomically, write_atomically, write_errors
from bradd.lock import locked

__all__ = ["Features", "cached_features"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Features:
    """The embeddings of a split's readable images.

    Attributes:
        embeddings: `[N, D]`, float32.
        readable: Sorted indices of the images in the split, `[N]`, int64.
        images: Images in the split, readable or not.
    """

    embeddings: NDArray[np.float32]
    readable: NDArray[np.int64]
    images: int


def cached_features(
    folder: Path, encoder: str, data: str, split: str, make: Callable[[], Features]
) -> tuple[Features, bool]:
    """The features of a split: read from `folder` if they lie there, else made and written to it.

    They are two files, an array and a JSON file beside it that says what it is of and is written
    last; both are written atomically. A second process that asks for the same features waits, and
    reads them. Files that are damaged are made anew, with a warning.

    Args:
        folder: Where they lie; made if it is not there.
        encoder: Fingerprint of the encoder, with all that decides how it sees an image.
        data: Fingerprint of the split's images.
        split: Name of the split.
        make: Embeds the split.

    Returns:
        The features, and whether they were read.

    Raises:
        BraddError: The folder cannot be written to; or what `make` raises.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    identity = {"encoder": encoder, "data": data, "split": split}
    name = hashlib.blake2b(json.dumps(identity).encode(), digest_size=8).hexdigest()
    facts = folder / f"{split}-{name}.json"
    array = facts.with_suffix(".npy")
    with locked(facts):
        found = _read(array, facts, identity) if facts.exists() else None
        if found is not None:
            return found, True
        features = make()
        _write(array, facts, identity, features)
        return features, False


def _read(array: Path, facts: Path, identity: dict[str, str]) -> Features | None:
    try:
        told: dict[str, Any] = json.loads(facts.read_text(encoding="utf-8"))
        embeddings: NDArray[np.float32] = np.load(array, allow_pickle=False)
        features = Features(
            embeddings,
            np.setdiff1d(np.arange(told["images"]), np.asarray(told["unreadable"], np.int64)),
            int(told["images"]),
        )
        as_written = (
            all(told[key] == value for key, value in identity.items())
            and told["checksum"] == _checksum(embeddings)
            and len(features.readable) == len(embeddings)
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        logger.warning("the features in %s cannot be read (%s): made anew", array, error)
        return None
    if not as_written:
        logger.warning("the features in %s are not as they were written: made anew", array)
        return None
    return features


def _write(array: Path, facts: Path, identity: dict[str, str], features: Features) -> None:
    unreadable = np.setdiff1d(np.arange(features.images), features.readable)
    told = {
        **identity,
        "images": features.images,
        "unreadable": unreadable.tolist(),
        "shape": list(features.embeddings.shape),
        "checksum": _checksum(features.embeddings),
    }
    # While the two do not belong together, there is no JSON file.
    with write_errors(facts):
        facts.unlink(missing_ok=True)
    with replace_atomically(array) as temporary, temporary.open("wb") as file:
        np.save(file, features.embeddings)
    write_atomically(facts, json.dumps(told, indent=1) + "\n")


def _checksum(embeddings: NDArray[np.float32]) -> str:
    content = np.ascontiguousarray(embeddings)
    return hashlib.blake2b(content.view(np.uint8).reshape(-1).data, digest_size=16).hexdigest()
