"""A row of the ledger, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import get_type_hints

import pyarrow as pa

__all__ = ["SCHEMA", "Variation", "as_table"]


@dataclass(frozen=True)
class Variation:
    """One row of the ledger: one picture that was generated, accepted or not.

    Distances are between L2-normalised embeddings.

    Attributes:
        variation: Its number within the round.
        cycle: The cycle at whose end it was generated, from 1.
        anchor: The anchor's number in the pool.
        anchor_name: The anchor's name, for a folder its path in it.
        number: Which of its anchor's variations it is, from 0.
        attempt: Which draw of that variation it is, from 0: refused ones are drawn again.
        seed: The generator's seed.
        generator: The generator's class and settings.
        generator_revision: Which weights: a hub revision, or a hash of what was fitted.
        licence: Of the generator's weights; empty where they are learnt from the user's images.
        external_data: Whether the generator was trained on anything but the user's images.
        anchor_score: The anchor's score, larger means more under-represented.
        own_distance: Distance to its own anchor.
        random_distance: Distance to another anchor, drawn at random.
        nearest_distance: Distance to the nearest real image but its anchor.
        pixel_distance: By how many levels (of 255) its thumbnail differs from its anchor's.
        accepted: Whether training draws from it.
        reason: Why it was refused; empty when accepted.
        map_x: Where it lies on the round's map of the embedding, see `bradd.embedding_map`.
        map_y: Likewise.
        file: The picture, relative to the run's folder.
        sha256: The file's checksum.
    """

    variation: int
    cycle: int
    anchor: int
    anchor_name: str
    number: int
    attempt: int
    seed: int
    generator: str
    generator_revision: str
    licence: str
    external_data: bool
    anchor_score: float
    own_distance: float
    random_distance: float
    nearest_distance: float
    pixel_distance: float
    accepted: bool
    reason: str
    map_x: float
    map_y: float
    file: str
    sha256: str

    @property
    def nearer_own(self) -> bool:
        """Whether it is nearer to its own anchor than to a random one."""
        return self.own_distance < self.random_distance


_COLUMN_TYPES = {int: pa.int64(), str: pa.string(), bool: pa.bool_(), float: pa.float64()}

SCHEMA = pa.schema(
    [(name, _COLUMN_TYPES[kind]) for name, kind in get_type_hints(Variation).items()]
)


def as_table(rows: Iterable[Variation]) -> pa.Table:
    """Rows as a table, for example for `pyarrow.parquet.write_table`."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)
