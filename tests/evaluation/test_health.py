from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy

from bradd.errors import BraddError
from bradd.evaluation.health import rank_me


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
