from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from bradd.embedding import Encoder
from bradd.embedding_map import SAMPLE, EmbeddingMap, groups, places_before, sample_table
from bradd.generate import Duplicate
from bradd.pool import Pool
from bradd.rebalancing import rebalance
from bradd.round_settings import RoundSettings
from bradd.select import KNNDistance


@pytest.fixture
def embeddings() -> np.ndarray:
    """Three clumps of different sizes."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16))
    sizes = (200, 100, 60)
    return np.concatenate(
        [rng.normal(centre, 0.2, (size, 16)) for centre, size in zip(centres, sizes, strict=True)]
    ).astype(np.float32)


def test_the_first_map_is_that_of_principal_components(embeddings: np.ndarray) -> None:
    places = EmbeddingMap(embeddings)(embeddings)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = PCA(2).fit_transform(units)
    assert np.allclose(np.abs(places), np.abs(expected), atol=1e-4)


def test_a_turned_encoder_gives_the_same_map(embeddings: np.ndarray) -> None:
    before = EmbeddingMap(embeddings)(embeddings)
    turned = (embeddings @ ortho_group.rvs(16, random_state=1)).astype(np.float32)
    after = EmbeddingMap(turned, before)(turned)
    assert np.allclose(before, after, atol=1e-3)


def test_later_maps_stretch_nothing(embeddings: np.ndarray) -> None:
    """Distances on a map are at most those between the normalised embeddings."""
    before = 100 * EmbeddingMap(embeddings)(embeddings)
    changed = np.random.default_rng(1).normal(size=embeddings.shape).astype(np.float32)
    places = EmbeddingMap(changed, before)(changed)
    units = changed / np.linalg.norm(changed, axis=1, keepdims=True)
    on_map = np.linalg.norm(places[:, None] - places[None], axis=2)
    apart = np.linalg.norm(units[:, None] - units[None], axis=2)
    assert (on_map <= apart + 1e-4).all()


def test_embeddings_of_one_number_lie_on_a_line() -> None:
    places = EmbeddingMap(np.ones((5, 1), np.float32))(np.array([[1.0], [-1.0]], np.float32))
    assert places.tolist() == [[0.0, 0.0], [-2.0, 0.0]]


def test_groups_are_the_clumps_largest_first(embeddings: np.ndarray) -> None:
    found = groups(embeddings, 0)
    counts = np.bincount(found)
    assert (np.diff(counts) <= 0).all()
    clump = np.repeat([0, 1, 2], [200, 100, 60])
    for group in range(len(counts)):
        assert len(np.unique(clump[found == group])) == 1
    assert np.array_equal(found, groups(embeddings, 0))
    assert not groups(embeddings[:30], 0).any()


def test_the_sample_is_small_pictures_of_the_images() -> None:
    views = np.zeros((2000, 3, 48, 48), np.uint8)
    views += np.arange(2000).astype(np.uint8)[:, None, None, None]
    table = sample_table(views, 0)
    indices = table["index"].to_pylist()
    assert len(set(indices)) == 1500
    assert indices == sorted(indices)
    for row in (0, 700, 1499):
        image = Image.open(io.BytesIO(table["picture"][row].as_py()))
        assert image.size == (32, 32)
        assert abs(int(np.asarray(image).mean()) - indices[row] % 256) <= 2


def test_rounds_keep_one_map(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    pool = Pool(folder, tmp_path / "run")
    settings = RoundSettings(KNNDistance(3), Duplicate(), n_anchors=4, n_variations=2)
    tables = []
    for cycle in (1, 2):
        rebalance(pool, encoder, cycle, settings)
        tables.append(pq.read_table(pool.ledger.round_folder(cycle) / "selection.parquet"))
    first, second = (np.column_stack([t["map_x"], t["map_y"]]) for t in tables)
    assert np.allclose(first, second[:40], atol=1e-4)  # the encoder has not changed
    assert np.array_equal(places_before(pool.ledger, 40), first)
    for row in pool.ledger.variations(1):  # copies of their anchors
        assert np.allclose([row.map_x, row.map_y], first[row.anchor], atol=1e-4)
    assert (pool.ledger.round_folder(1) / SAMPLE).exists()
    assert not (pool.ledger.round_folder(2) / SAMPLE).exists()
