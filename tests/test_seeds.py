from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from bradd.seeds import derive_seed, philox, random_generator, uniform_numbers


def test_known_values_never_change() -> None:
    """A change here would break the resuming of every run."""
    assert derive_seed(0) == 4246866556266386882
    assert derive_seed(7, "views", 3, 12) == 5964323653157197912


@given(st.integers(), st.lists(st.integers() | st.text("ab/", max_size=3), max_size=4))
def test_seeds_fit_every_generator(seed: int, keys: list[int | str]) -> None:
    assert 0 <= derive_seed(seed, *keys) < 2**63


def test_different_keys_give_different_numbers() -> None:
    seeds = {derive_seed(s, k, i) for s in range(5) for k in ("a", "b") for i in range(200)}
    assert len(seeds) == 2000


def test_generator_is_the_seeds() -> None:
    assert random_generator(1, "x").random() == random_generator(1, "x").random()
    assert random_generator(1, "x").random() != random_generator(1, "y").random()


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_known_answers_of_random123(counter: str, key: str, expected: str) -> None:
    def words(text: str) -> np.ndarray:
        return np.array([int(word, 16) for word in text.split()], np.uint64)

    first, second = words(key).tolist()
    np.testing.assert_array_equal(philox(words(counter), (first, second)), words(expected))
    # The same as one of many, and of any shape.
    many = np.zeros((4, 2, 3), np.uint64)
    many[:, 1, 2] = words(counter)
    np.testing.assert_array_equal(philox(many, (first, second))[:, 1, 2], words(expected))


def test_uniform_numbers_are_uniform_and_independent() -> None:
    numbers = uniform_numbers(3, "test", indices=np.arange(5000), count=6)
    assert numbers.shape == (5000, 6)
    assert numbers.min() > 0
    assert numbers.max() < 1
    for column in numbers.T:
        assert kstest(column, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(numbers.T) - np.eye(6)).max() < 0.06
    neighbours = np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]
    assert abs(neighbours) < 0.06
    pairs = np.floor(numbers[:, 0] * 4) * 4 + np.floor(numbers[:, 1] * 4)
    assert chisquare(np.bincount(pairs.astype(int), minlength=16)).pvalue > 1e-3


@given(
    st.lists(st.integers(0, 2**62), min_size=1, max_size=8), st.integers(1, 9), st.integers(1, 9)
)
def test_uniform_numbers_are_a_function_of_seed_keys_and_index(
    indices: list[int], count: int, more: int
) -> None:
    numbers = uniform_numbers(1, "a", 2, indices=indices, count=count)
    for row, index in enumerate(indices):
        alone = uniform_numbers(1, "a", 2, indices=[index], count=count + more)
        np.testing.assert_array_equal(numbers[row], alone[0, :count])
    for other in (
        uniform_numbers(2, "a", 2, indices=indices, count=count),
        uniform_numbers(1, "a", 3, indices=indices, count=count),
        uniform_numbers(1, "a", 2, indices=np.array(indices) + 1, count=count),
        uniform_numbers(1, "a", 2, indices=np.array(indices) ^ 2**40, count=count),
    ):
        assert (other != numbers).all()


def test_known_numbers_never_change() -> None:
    """A change here would break the resuming of every run."""
    words = (uniform_numbers(7, "views", 3, indices=[12], count=5) * 2**32).astype(int)
    assert words.tolist() == [[3769329321, 667530416, 602589206, 496912441, 1419268095]]
