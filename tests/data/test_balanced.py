from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bradd.data.balanced import balanced, balanced_counts, left_out
from bradd.data.images import ArrayImages
from bradd.data.labelled import LabelledImages
from bradd.data.longtail import long_tailed
from bradd.errors import BraddError


def labelled(images: int = 60) -> LabelledImages:
    names = [f"{index:02d}" for index in range(images)]
    arrays = np.zeros((images, 1, 1), np.uint8)
    return LabelledImages(ArrayImages(arrays, names), np.arange(images) % 3, ["a", "b", "c"])


@given(st.integers(1, 12), st.integers(0, 1000))
def test_classes_differ_by_one_at_most(classes: int, total: int) -> None:
    counts = balanced_counts(total, [1000] * classes)
    assert counts.sum() == total
    assert counts.max() - counts.min() <= 1
    assert np.all(np.diff(counts) <= 0)


def test_the_size_of_cifar10_lt() -> None:
    counts = balanced_counts(12_406, [5000, 2997] + [2500] * 8)
    assert counts.tolist() == [1241] * 6 + [1240] * 4


def test_a_class_with_too_few_images_is_named() -> None:
    with pytest.raises(BraddError, match="needs 4 of class 1, which has 2"):
        balanced_counts(12, [9, 2, 3])


def test_a_balanced_subset_shares_what_it_can_with_the_long_tail() -> None:
    images = labelled()
    tail, manifest = long_tailed(images, "exponential:10", seed=0)
    even, even_manifest = balanced(images, len(tail), seed=0)
    assert even_manifest.counts == {"a": 10, "b": 9, "c": 9}
    assert (even_manifest.kind, even_manifest.spec) == ("balanced", "balanced:28")
    assert len(even) == len(tail) == len(manifest.names)
    shared = np.minimum([20, 6, 2], [10, 9, 9]).sum()
    assert len(np.intersect1d(tail, even)) == shared


def test_what_is_left_out_is_everything_else() -> None:
    images = labelled()
    indices, subset = long_tailed(images, "exponential:10", seed=3)
    rest, manifest = left_out(images, indices, subset)
    assert sorted([*indices, *rest]) == list(range(60))
    assert manifest.counts == {"a": 0, "b": 14, "c": 18}
    assert (manifest.kind, manifest.spec, manifest.seed) == ("removed", "exponential:10", 3)
    assert manifest.rows_in(images.images).tolist() == rest.tolist()
