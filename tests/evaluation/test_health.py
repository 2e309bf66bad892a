from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from bradd.errors import BraddError
from bradd.evaluation.health import alignment, feature_std, rank_me, uniformity


def with_singular_values(values, rows=40):
    generator = np.random.default_rng(0)
    width = len(values)
    left = np.linalg.qr(generator.normal(size=(rows, width)))[0]
    right = np.linalg.qr(generator.normal(size=(width, width)))[0]
    return left * np.asarray(values) @ right.T


def test_equal_singular_values_give_the_width():
    assert rank_me(with_singular_values([3.0] * 12)) == pytest.approx(12, rel=1e-4)


@pytest.mark.parametrize("used", [1, 4, 7])
def test_counts_the_dimensions_in_use(used):
    embeddings = with_singular_values([2.0] * used + [0.0] * (12 - used))
    assert rank_me(embeddings) == pytest.approx(used, rel=1e-3)


def test_is_the_exponential_of_scipys_entropy():
    values = np.array([10.0, 5.0, 1.0, 0.3])
    assert rank_me(with_singular_values(values)) == pytest.approx(
        math.exp(entropy(values)), rel=1e-5
    )


def test_constant_of_the_paper():
    # One singular value is not zero; each of the 500 shares is raised by 1e-7.
    shares = np.array([1.0] + [0.0] * 499) + 1e-7
    expected = math.exp(-np.sum(shares * np.log(shares)))
    assert expected > 1.0007
    assert rank_me(np.ones((500, 500))) == pytest.approx(expected, abs=1e-5)


def test_scale_does_not_matter_but_the_offset_does():
    embeddings = np.random.default_rng(0).normal(size=(100, 8))
    assert rank_me(1e4 * embeddings) == pytest.approx(rank_me(embeddings), rel=1e-5)
    assert rank_me(embeddings + 50) < 0.5 * rank_me(embeddings)


def test_all_zero_has_rank_0():
    assert rank_me(np.zeros((5, 3))) == 0.0


def test_too_few_images_are_a_warning(caplog):
    rank_me(np.eye(3, 8))
    assert "3 images of 8 dimensions" in caplog.text
    caplog.clear()
    rank_me(np.eye(8))
    assert caplog.text == ""


def test_wrong_inputs_are_named():
    embeddings = np.ones((5, 3))
    embeddings[3, 1] = np.nan
    with pytest.raises(BraddError, match="row 3"):
        rank_me(embeddings)
    with pytest.raises(BraddError, match="single row"):
        rank_me(embeddings[:1])
    with pytest.raises(BraddError, match="matrix"):
        rank_me(embeddings[0])


def unit(row):
    return row / np.linalg.norm(row)


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_spread_alignment_and_uniformity_are_their_formulas_pair_by_pair(rows, width, seed):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(rows, width)).astype(np.float32)
    second = (first + rng.normal(size=(rows, width))).astype(np.float32)
    ones, others = ([unit(row) for row in part.astype(np.float64)] for part in (first, second))

    pairs = itertools.combinations(ones, 2)
    potentials = [math.exp(-2 * sum((x - y) ** 2)) for x, y in pairs]
    assert uniformity(first) == pytest.approx(math.log(sum(potentials) / len(potentials)))
    distances = [math.dist(x, y) ** 2 for x, y in zip(ones, others, strict=True)]
    assert alignment(first, second) == pytest.approx(sum(distances) / rows, abs=1e-9)
    spread = sum(statistics.pstdev(column) for column in zip(*ones, strict=True)) / width
    assert feature_std(first) == pytest.approx(spread * math.sqrt(width), abs=1e-9)
    assert 0 <= feature_std(first) <= 1 + 1e-12


def test_uniformity_in_blocks_is_uniformity_at_once(monkeypatch):
    embeddings = np.random.default_rng(0).normal(size=(50, 7))
    whole = uniformity(embeddings)
    monkeypatch.setattr("bradd.evaluation.health.BLOCK_ENTRIES", 150)
    assert uniformity(embeddings) == pytest.approx(whole, rel=1e-12)


def test_isotropic_embeddings_are_spread_and_collapsed_ones_are_not():
    rng = np.random.default_rng(0)
    isotropic = rng.normal(size=(4000, 16))
    assert feature_std(isotropic) == pytest.approx(1, abs=0.01)
    assert alignment(isotropic, rng.normal(size=(4000, 16))) == pytest.approx(2, abs=0.05)
    assert uniformity(isotropic) < -3.5
    collapsed = np.ones(16) + 1e-4 * isotropic
    assert feature_std(collapsed) < 2e-4
    assert uniformity(collapsed) == pytest.approx(0, abs=1e-6)


def test_only_directions_count():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30, 5))
    lengths = rng.uniform(0.1, 1e15, size=(30, 1))
    for measure in (feature_std, uniformity):
        assert measure(lengths * first) == pytest.approx(measure(first), rel=1e-5)
    assert alignment(lengths * first, second) == pytest.approx(alignment(first, second), rel=1e-5)
    assert alignment(first, 3 * first) == pytest.approx(0, abs=1e-12)
    assert alignment(first, -first) == pytest.approx(4)
    assert uniformity([[1.0, 0.0], [-2.0, 0.0]]) == pytest.approx(-8)


def test_embeddings_that_are_all_zero_have_collapsed():
    assert feature_std(np.zeros((4, 3))) == 0
    assert uniformity(np.zeros((4, 3))) == 0
    assert alignment(np.zeros((4, 3)), np.zeros((4, 3))) == 0


@pytest.mark.parametrize("measure", [feature_std, uniformity, lambda x: alignment(x, x)])
def test_embeddings_that_are_no_matrix_of_numbers_are_named(measure):
    embeddings = np.ones((5, 3))
    embeddings[3, 1] = np.inf
    with pytest.raises(BraddError, match="row 3"):
        measure(embeddings)
    with pytest.raises(BraddError, match="matrix"):
        measure(embeddings[0])


def test_pairs_must_match_and_uniformity_needs_one():
    with pytest.raises(BraddError, match=r"\(5, 3\).*\(4, 3\)"):
        alignment(np.ones((5, 3)), np.ones((4, 3)))
    with pytest.raises(BraddError, match="single row"):
        uniformity(np.ones((1, 3)))
    assert feature_std(np.ones((1, 3))) == 0


def test_the_warning_of_few_images_can_be_left_out(caplog):
    rank_me(np.eye(3, 8), warn=False)
    assert caplog.text == ""
