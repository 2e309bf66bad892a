from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bradd.comparison.arms import chosen_arms
from bradd.comparison.subsets import Source, images_of, write_subsets
from bradd.data import Manifest, open_labelled
from bradd.errors import BraddError

ARMS = chosen_arms(None)


def test_subsets_of_a_seed(tmp_path: Path) -> None:
    source = Source("digits", "exponential:20")
    subsets = write_subsets(source, ARMS, 3, tmp_path)
    assert subsets.imbalanced
    assert subsets.balanced
    assert subsets.removed
    tail, equal, rest = map(Manifest.read, (subsets.imbalanced, subsets.balanced, subsets.removed))
    assert [part.kind for part in (tail, equal, rest)] == ["longtail", "balanced", "removed"]
    assert len(equal.names) == len(tail.names)
    assert np.ptp(list(equal.counts.values())) <= 1
    everything = open_labelled("digits", "train").images
    names = {everything.name(row) for row in range(len(everything))}
    assert set(tail.names) | set(rest.names) == names
    assert not set(tail.names) & set(rest.names)
    for arm in ARMS:
        assert subsets.of(arm) == (
            subsets.balanced if arm.name == "balanced" else subsets.imbalanced
        )
    before = subsets.imbalanced.read_bytes()
    assert write_subsets(source, ARMS, 3, tmp_path) == subsets
    assert subsets.imbalanced.read_bytes() == before
    other = write_subsets(source, ARMS, 4, tmp_path).imbalanced
    assert other
    assert Manifest.read(other).names != tail.names


def test_only_what_arms_need_is_cut(tmp_path: Path) -> None:
    subsets = write_subsets(Source("digits", "exponential:20"), ARMS[:1], 0, tmp_path)
    assert (subsets.balanced, subsets.removed) == (None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["imbalanced-0.json"]
    assert write_subsets(Source("digits"), ARMS[:1], 0, tmp_path).imbalanced is None


def test_a_manifest_is_the_subset_of_every_seed(tmp_path: Path) -> None:
    first = write_subsets(Source("digits", "exponential:20"), ARMS, 0, tmp_path / "made")
    source = Source("digits", manifest=first.imbalanced)
    for seed in (0, 1):
        again = write_subsets(source, ARMS, seed, tmp_path / "again")
        assert again.imbalanced
        assert first.imbalanced
        assert again.imbalanced.read_bytes() == first.imbalanced.read_bytes()
        assert images_of("digits", str(again.imbalanced)).fingerprint()


def test_manifests_of_something_else_are_refused(tmp_path: Path) -> None:
    write_subsets(Source("digits", "exponential:20"), ARMS, 0, tmp_path)
    with pytest.raises(
        BraddError, match=r"exponential:20 of digits, but .* of exponential:10 of digits"
    ):
        write_subsets(Source("digits", "exponential:10"), ARMS, 0, tmp_path)
