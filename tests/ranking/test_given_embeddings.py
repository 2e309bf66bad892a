"""Reading embeddings and matching them to images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bradd.data import ArrayImages, FileImages
from bradd.errors import BraddError
from bradd.ranking.given_embeddings import numbered, read_embeddings

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"]


def images(names: list[str]) -> ArrayImages:
    return ArrayImages(np.zeros((len(names), 2, 2), np.uint8), names)


LAYOUTS = {
    "fixed": pa.list_(pa.float32(), 3),
    "variable": pa.list_(pa.float64()),
    "large": pa.large_list(pa.float16()),
}


def write(
    file: Path, values: np.ndarray, layout: str = "fixed", rows: int = 9, **columns: list[str]
) -> Path:
    table = pa.table({"embedding": lists_of(values, LAYOUTS[layout]), **columns})
    pq.write_table(table, file, row_group_size=rows)
    return file


def lists_of(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.array(list(values.astype(kind.value_type.to_pandas_dtype())), kind)


def refused(source: object, names: list[str] = NAMES) -> str:
    with pytest.raises(BraddError) as caught:
        read_embeddings(source).of(images(names))  # type: ignore[arg-type]
    return str(caught.value)


def test_npy_rows_are_in_the_order_of_the_images(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", VALUES.astype(np.float64))
    found = read_embeddings(tmp_path / "e.npy").of(images(NAMES))
    assert found.values.dtype == np.float32
    assert np.array_equal(found.values, VALUES)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(order=st.permutations(range(4)), rows=st.integers(1, 4))
def test_parquet_rows_are_matched_by_name(
    tmp_path_factory: pytest.TempPathFactory, layout: str, order: list[int], rows: int
) -> None:
    path = tmp_path_factory.mktemp("e") / "e.parquet"
    write(path, VALUES[order], layout, rows, name=[NAMES[row] for row in order])
    assert np.array_equal(read_embeddings(path).of(images(NAMES)).values, VALUES)


def test_paths_may_be_absolute(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in reversed(NAMES)]
    path = write(tmp_path / "e.parquet", VALUES[::-1], path=paths)
    found = read_embeddings(path).of(FileImages(tmp_path, NAMES))
    assert np.array_equal(found.values, VALUES)


def test_parquet_without_names_is_in_the_order_of_the_images(tmp_path: Path) -> None:
    path = write(tmp_path / "e.parquet", VALUES)
    assert np.array_equal(read_embeddings(path).of(images(NAMES)).values, VALUES)
    assert "4 rows, but there are 3 images" in refused(path, NAMES[:3])


def test_another_number_of_rows_is_said_with_both_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", VALUES)
    assert "has 4 rows, but there are 3 images" in refused(tmp_path / "e.npy", NAMES[:3])
    assert "sorted names" in refused(VALUES[:2])


@pytest.mark.parametrize("kind", LAYOUTS.values(), ids=LAYOUTS)
def test_a_column_in_several_chunks_is_read_chunk_by_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
) -> None:
    parts = [lists_of(VALUES, kind).slice(*part) for part in ((0, 1), (1, 0), (1, 3))]
    table = pa.table({"embedding": pa.chunked_array(parts)})
    pq.write_table(table, tmp_path / "e.parquet")
    monkeypatch.setattr(pq, "read_table", lambda *_, **__: table)
    assert np.array_equal(read_embeddings(tmp_path / "e.parquet").values, VALUES)


def test_missing_additional_and_repeated_names_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "e.parquet", VALUES, name=NAMES)
    assert "no row for 1 of the images: c.jpg" in refused(path, [*NAMES, "c.jpg"])
    assert "1 rows that are none of the images: b/2.jpg" in refused(path, NAMES[:3])
    path = write(tmp_path / "t.parquet", VALUES, name=["x", "y", "x", "z"])
    assert "several rows for x:" in refused(path)


def test_nan_and_infinity_are_refused_with_the_row(tmp_path: Path) -> None:
    bad = VALUES.copy()
    bad[2, 1] = np.nan
    bad[3, 0] = np.inf
    np.save(tmp_path / "e.npy", bad)
    assert "2 of 4 rows hold NaN or infinity, the first is row 2" in refused(tmp_path / "e.npy")
    path = write(tmp_path / "e.parquet", bad, name=NAMES)
    assert "row 2 (b/1.jpg)" in refused(path)


@pytest.mark.parametrize(
    "values", [np.zeros(3), np.zeros((2, 3, 4)), np.zeros((0, 3)), np.array([["a"]])]
)
def test_what_is_no_matrix_of_numbers_is_refused(values: np.ndarray) -> None:
    assert f"of shape {list(values.shape)}" in refused(values)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for name in ("e.npy", "e.parquet", "e.csv"):
        (tmp_path / name).write_text("no numbers")
        assert str(tmp_path / name) in refused(tmp_path / name)
    assert "no such file" in refused(tmp_path / "none.npy")
    pq.write_table(pa.table({"vector": [1.0]}), tmp_path / "v.parquet")
    assert "no column 'embedding', only vector" in refused(tmp_path / "v.parquet")
    pq.write_table(pa.table({"embedding": [1.0]}), tmp_path / "n.parquet")
    assert "holds double, not lists" in refused(tmp_path / "n.parquet")
    for lists in ([[1.0], [1.0, 2.0]], [[1.0], None]):
        pq.write_table(pa.table({"embedding": lists}), tmp_path / "l.parquet")
        assert "must all have one length, not 1, " in refused(tmp_path / "l.parquet")
    pq.write_table(pa.table({"embedding": [["a"]]}), tmp_path / "s.parquet")
    assert "hold string, not numbers" in refused(tmp_path / "s.parquet")
    empty = pa.table({"embedding": pa.array([], LAYOUTS["large"])})
    pq.write_table(empty, tmp_path / "none.parquet")
    assert "must be a matrix" in refused(tmp_path / "none.parquet")


def test_a_pickle_in_an_npy_file_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "cannot be read" in refused(tmp_path / "e.npy")


@given(st.integers(1, 2000))
def test_numbers_as_names_sort_as_numbers(count: int) -> None:
    assert sorted(numbered(count)) == numbered(count)
