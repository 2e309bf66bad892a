"""Embeddings that others have made: reading them and matching them to images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bradd.data.images import FileImages, Images
from bradd.errors import BraddError

__all__ = ["GivenEmbeddings", "numbered", "read_embeddings"]

FORMS = (
    "Give a .npy file of a matrix [N, D], or a .parquet file with a column 'embedding' of lists of "
    "D numbers and, if they are not in the order of the images, a column 'name' or 'path'."
)
# Parquet lists of any of Arrow's layouts: which one depends on the library that wrote the file.
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
SHOWN = 5  # how many rows or names an error message lists


@dataclass(frozen=True, eq=False)
class GivenEmbeddings:
    """Embeddings with the names of what was embedded, where those are known.

    Attributes:
        values: float32 `[N, D]`, finite.
        names: One for each row, if they are known.
        source: Where they come from, for messages and the page.
    """

    values: npt.NDArray[np.float32]
    names: list[str] | None
    source: str

    def rows(self, rows: npt.NDArray[np.int64]) -> GivenEmbeddings:
        """Some of the rows."""
        names = None if self.names is None else [self.names[row] for row in rows]
        return GivenEmbeddings(self.values[rows], names, self.source)

    def of(self, images: Images) -> GivenEmbeddings:
        """The rows in the order of the images: by name, or as they are if they have no names.

        Args:
            images: What was embedded; those of a folder or list are in the order of their names.

        Raises:
            BraddError: There are more or fewer rows than images, or the names are not the images'.
        """
        if self.names is None:
            if len(self.values) != len(images):
                raise BraddError(
                    f"{self.source} has {len(self.values):,} rows, but there are "
                    f"{len(images):,} images: one row an image is needed, in the order of the "
                    "images' sorted names. A .parquet file can name its rows."
                )
            return self
        wanted = [images.name(index) for index in range(len(images))]
        rows = {name: row for row, name in enumerate(_relative(self.names, images))}
        missing = [name for name in wanted if name not in rows]
        if missing:
            raise BraddError(
                f"{self.source} has no row for {len(missing):,} of the images: {_few(missing)}. "
                "Embed them too, or give a text file that lists the images that have embeddings."
            )
        if additional := sorted(set(rows) - set(wanted)):
            raise BraddError(
                f"{self.source} has {len(additional):,} rows that are none of the images: "
                f"{_few(additional)}. Names must be as in the data: relative to the folder."
            )
        return self.rows(np.array([rows[name] for name in wanted]))


def read_embeddings(embeddings: str | Path | npt.ArrayLike) -> GivenEmbeddings:
    """Read embeddings from a file, or check those of an array.

    Args:
        embeddings: A `.npy` file or an array `[N, D]`, or a `.parquet` file with a column
            `embedding` of lists and, optionally, a column `name` or `path`.

    Raises:
        BraddError: The file cannot be read, the shape is another, a value is not finite, or a name
            occurs twice.
    """
    names: list[str] | None = None
    if not isinstance(embeddings, (str, Path)):
        source = "embeddings"
        values = np.asarray(embeddings)
    else:
        path = Path(embeddings).expanduser()
        source = f"embeddings ({path})"
        if not path.is_file():
            raise BraddError(f"{source}: there is no such file. {FORMS}")
        if path.suffix == ".npy":
            values = _read_npy(path, source)
        elif path.suffix == ".parquet":
            values, names = _read_parquet(path, source)
        else:
            raise BraddError(f"{source} is of another kind. {FORMS}")
    if values.ndim != 2 or values.dtype.kind not in "fiu" or 0 in values.shape:
        raise BraddError(
            f"{source} must be a matrix of numbers [N, D], not {values.dtype} of shape "
            f"{list(values.shape)}."
        )
    values = np.ascontiguousarray(values, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        called = f" ({names[bad[0]]})" if names else ""
        raise BraddError(
            f"{source}: {len(bad):,} of {len(values):,} rows hold NaN or infinity, the first is "
            f"row {bad[0]}{called}. Embed these images again, or leave them out."
        )
    if names is not None and len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise BraddError(f"{source} has several rows for {_few(twice)}: one an image is needed.")
    return GivenEmbeddings(values, names, source)


def numbered(count: int) -> list[str]:
    """Names for what has none: its numbers, from 0, with zeros before them so that they sort."""
    return [f"{index:0{len(str(max(0, count - 1)))}d}" for index in range(count)]


def _read_npy(path: Path, source: str) -> npt.NDArray[np.generic]:
    try:
        values: npt.NDArray[np.generic] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BraddError(f"{source} cannot be read: {error}. {FORMS}") from error
    return values


def _read_parquet(path: Path, source: str) -> tuple[npt.NDArray[np.generic], list[str] | None]:
    try:
        columns = pq.read_schema(path).names
        named = next((column for column in ("name", "path") if column in columns), None)
        if "embedding" not in columns:
            raise BraddError(f"{source} has no column 'embedding', only {', '.join(columns)}.")
        table = pq.read_table(path, columns=["embedding", *([named] if named else [])])
    except (pa.ArrowException, OSError) as error:
        raise BraddError(f"{source} cannot be read: {error}") from error
    names = None if named is None else [str(name) for name in table[named].to_pylist()]
    return _matrix(table["embedding"], source), names


def _matrix(column: pa.ChunkedArray, source: str) -> npt.NDArray[np.float32]:
    """A column of lists of one length D as float32 `[N, D]`; chunk by chunk, as it may be large."""
    kind = column.type
    if not any(is_list(kind) for is_list in LISTS):
        raise BraddError(f"{source}: the column 'embedding' holds {kind}, not lists.")
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise BraddError(
            f"{source}: the lists in the column 'embedding' hold {kind.value_type}, not numbers."
        )
    lengths = list(
        dict.fromkeys(
            length
            for chunk in column.chunks
            for length in pc.unique(pc.list_value_length(chunk)).to_pylist()
        )
    )
    if len(lengths) > 1 or None in lengths:
        raise BraddError(
            f"{source}: the lists in the column 'embedding' must all have one length, not "
            f"{_few(['none' if length is None else str(length) for length in lengths])}."
        )
    values = np.empty((len(column), lengths[0] if lengths else 0), dtype=np.float32)
    start = 0
    for chunk in column.chunks:
        rows = values[start : start + len(chunk)]
        rows[:] = chunk.flatten().to_numpy(zero_copy_only=False).reshape(rows.shape)
        start += len(chunk)
    return values


def _relative(names: Sequence[str], images: Images) -> list[str]:
    """Absolute paths as the names of files below the images' folder."""
    if not isinstance(images, FileImages):
        return list(names)
    known = set(images.names)
    root = os.path.abspath(images.root)
    return [
        os.path.relpath(name, root).replace(os.sep, "/")
        if name not in known and os.path.isabs(name)
        else name
        for name in names
    ]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
