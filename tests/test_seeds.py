from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bradd.seeds import derive_seed, random_generator


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
