from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bradd.data.images import ArrayImages
from bradd.data.labelled import LabelledImages
from bradd.data.longtail import class_counts, draw, long_tailed
from bradd.errors import BraddError


def exponential(n_0: int, n_classes: int, ratio: int) -> list[int]:
    """By integers alone: the largest m with m ** (C - 1) * ratio ** i <= n_0 ** (C - 1)."""
    power = max(n_classes - 1, 1)
    counts = []
    for i in range(n_classes):
        low, high = 0, n_0
        while low < high:
            middle = (low + high + 1) // 2
            fits = middle**power * ratio**i <= n_0**power
            low, high = (middle, high) if fits else (low, middle - 1)
        counts.append(low)
    return counts


def test_cifar10_with_the_images_there_are() -> None:
    counts = class_counts("exponential:100", [5000, 2997] + [2500] * 8)
    assert counts.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert counts.sum() == 12_406
    assert class_counts("exponential:100", [5000, 2996] + [2500] * 8)[0] < 5000


def test_the_last_bit_of_a_float_costs_no_image() -> None:
    assert 49 * 49**-1.0 < 1
    assert class_counts("exponential:49", [49, 1]).tolist() == [49, 1]


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=12),
    st.integers(1, 200),
)
@settings(deadline=None)
def test_exponential_is_the_largest_that_fits(available: list[int], ratio: int) -> None:
    n_classes = len(available)

    def fits(n_0: int) -> bool:
        wanted = exponential(n_0, n_classes, ratio)
        return all(count <= there for count, there in zip(wanted, available, strict=True))

    try:
        counts = class_counts(f"exponential:{ratio}", available)
    except BraddError:
        # Refused only where even the largest that fits leaves the last class without an image.
        assert not fits(ratio)
        return
    n_0 = int(counts[0])
    assert counts.tolist() == exponential(n_0, n_classes, ratio)
    assert fits(n_0)
    assert not fits(n_0 + 1)
    assert counts[-1] >= 1


def test_pareto_of_imagenet_100() -> None:
    counts = class_counts("pareto:6", [1280] * 100)
    assert counts.sum() == 12_912
    u = (10 * np.arange(100) + 1) / 1000
    values = 5 + 1275 * (u ** (-1 / 6) - 1) / (0.001 ** (-1 / 6) - 1)
    assert np.all(np.abs(counts - values) < 1)
    assert counts[0] == 1280
    assert counts[-1] in (5, 6)


@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=12),
    st.floats(0.5, 20),
)
@settings(deadline=None)
def test_pareto_is_the_largest_that_fits(available: list[int], alpha: float) -> None:
    def values(n_0: int) -> np.ndarray:
        n_min = max(1, round(n_0 * 5 / 1280))
        u = (10 * np.arange(len(available)) + 1) / (10 * len(available))
        scale = (10 * len(available)) ** (1 / alpha) - 1
        return np.asarray(n_min + (n_0 - n_min) * (u ** (-1 / alpha) - 1) / scale)

    counts = class_counts(f"pareto:{alpha}", available)
    assert np.all(counts >= 1)
    assert np.all(counts <= available)
    assert np.all(np.diff(counts) <= 0)
    expected = values(int(counts[0]))
    assume(abs(expected.sum() % 1 - 0.5) > 1e-6)
    assert counts.sum() == round(expected.sum())
    assert np.all(np.abs(counts - expected) < 1 + 1e-6)
    # No larger one fits: even rounded down it asks for too much, or, one by one, it does rounded.
    for larger in range(int(counts[0]) + 1, available[0] + 1):
        bigger = values(larger)
        floor = np.floor(bigger + 1e-9).astype(int)
        extra = np.argsort(-(bigger - floor), kind="stable")[: round(bigger.sum()) - floor.sum()]
        floor[extra] += 1
        assert np.any(floor > available)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "100",
        "exponential",
        "exponential:",
        "exponential:x",
        "exponential:0.5",
        "exponential:nan",
        "exponential:inf",
        "pareto:0",
        "pareto:-1",
        "pareto:inf",
        "zipf:2",
        "Pareto 6",
    ],
)
def test_malformed_shapes(spec: str) -> None:
    with pytest.raises(BraddError, match=r"not understood.*exponential:RATIO.*pareto:ALPHA"):
        class_counts(spec, [10, 10])


@pytest.mark.parametrize(
    ("spec", "near"),
    [("exponental:100", "exponential:100"), ("Pareto:6", "pareto:6"), ("pareto 6", "pareto:...")],
)
def test_a_misspelt_shape_is_answered_with_the_nearest(spec: str, near: str) -> None:
    with pytest.raises(BraddError, match=f"not understood. Did you mean {near}\\? Accepted"):
        class_counts(spec, [10, 10])


def test_a_class_must_not_vanish() -> None:
    with pytest.raises(BraddError, match=r"leaves 1 of 3 classes without an image.*class 2"):
        class_counts("exponential:100", [99, 99, 99])
    assert class_counts("exponential:100", [100, 99, 99]).tolist() == [100, 10, 1]
    for spec in ("exponential:2", "pareto:6"):
        with pytest.raises(BraddError, match="without an image"):
            class_counts(spec, [10, 0, 10])
        with pytest.raises(BraddError, match="at least one class"):
            class_counts(spec, [])


def labelled(order: np.ndarray) -> LabelledImages:
    """60 images of three classes, listed in some order."""
    names = [f"{index:02d}" for index in order]
    arrays = order.astype(np.uint8).reshape(-1, 1, 1)
    return LabelledImages(ArrayImages(arrays, names), order % 3, ["a", "b", "c"])


def test_a_long_tailed_subset() -> None:
    images = labelled(np.arange(60))
    indices, manifest = long_tailed(images, "exponential:10", seed=0)
    assert manifest.counts == {"a": 20, "b": 6, "c": 2}
    assert np.bincount(images.labels[indices]).tolist() == [20, 6, 2]
    assert np.all(np.diff(indices) > 0)
    assert manifest.names == [images.images.name(index) for index in indices]
    assert (manifest.spec, manifest.seed) == ("exponential:10", 0)


def test_the_draw_depends_on_the_seed_and_not_on_the_listing() -> None:
    names = [
        set(long_tailed(labelled(np.arange(60)), "exponential:10", s)[1].names) for s in (0, 1)
    ]
    assert names[0] != names[1]
    for shuffle in range(3):
        order = np.random.default_rng(shuffle).permutation(60)
        assert set(long_tailed(labelled(order), "exponential:10", 0)[1].names) == names[0]


def test_classes_are_drawn_independently() -> None:
    # Equal positions in every class would mean that one draw served all.
    images = labelled(np.arange(60))
    indices, _ = long_tailed(images, "exponential:10", seed=0)
    second, third = (set(indices[indices % 3 == label] // 3) for label in (1, 2))
    other = long_tailed(
        LabelledImages(images.images, images.labels, ["a", "x", "c"]), "exponential:10", seed=0
    )[0]
    assert set(other[other % 3 == 1] // 3) != second
    assert set(other[other % 3 == 2] // 3) == third


def test_larger_draws_hold_the_smaller_ones() -> None:
    images = labelled(np.arange(60))
    few, many = draw(images, [1, 5, 0], 0), draw(images, [9, 5, 2], 0)
    assert set(few) < set(many)
    assert np.bincount(images.labels[many]).tolist() == [9, 5, 2]
    assert set(draw(images, [9, 5, 2], 1)) != set(many)
