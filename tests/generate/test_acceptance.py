from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bradd.generate import Acceptance, Verdict, acceptance
from bradd.seeds import derive_seed
from bradd.select.thumbnail import SAME, largest_difference


@dataclass(frozen=True)
class World:
    """A pool and pictures to judge."""

    embeddings: np.ndarray
    images: int
    anchors: np.ndarray
    scores: np.ndarray
    stands_for: np.ndarray
    thumbnails: np.ndarray
    pictures: np.ndarray
    small: np.ndarray
    own: list[int]
    seeds: list[int]

    def judge(self) -> Acceptance:
        return Acceptance(
            self.embeddings,
            self.images,
            self.anchors,
            self.scores,
            self.stands_for,
            lambda rows: self.thumbnails[rows],
        )

    def verdicts(self) -> list[Verdict]:
        return self.judge().judge(self.pictures, self.small, self.own, self.seeds)


def world(seed: int) -> World:
    """Clumps of images, some of them copies, and pictures near and far from their anchors."""
    rng = np.random.default_rng(seed)
    images, depth = int(rng.integers(8, 40)), int(rng.integers(2, 6))
    pool = images + 5
    centres = rng.normal(size=(4, depth))
    embeddings = centres[rng.integers(0, 4, pool)] + rng.normal(size=(pool, depth)) * 0.3
    thumbnails = rng.integers(60, 180, (pool, 3, 3, 3))
    stands_for = np.arange(pool)
    for copy in range(1, images, 7):
        stands_for[copy] = 0
        embeddings[copy] = embeddings[0] + 1e-3
        thumbnails[copy] = thumbnails[0]
    embeddings[rng.integers(0, images)] = 0
    anchors = np.sort(rng.choice(pool, 4, replace=False))
    own = np.repeat(np.arange(4), 6)
    like = np.where(rng.uniform(size=24) < 0.6, anchors[own], rng.integers(0, images, 24))
    away = 10.0 ** rng.uniform(-3, 0.3, (24, 1))
    pictures = embeddings[like] + away * rng.normal(size=(24, depth))
    changed = rng.normal(size=(24, 3, 3, 3)) * 10 ** rng.uniform(-1, 2, (24, 1, 1, 1))
    small = np.clip(thumbnails[like] + changed, 0, 255).astype(np.uint8)
    for twin in range(3, 24, 6):  # of its sibling
        pictures[twin], small[twin] = pictures[twin - 1] + 1e-3, small[twin - 1]
    return World(
        embeddings.astype(np.float32),
        images,
        anchors,
        rng.integers(0, 6, pool).astype(float),
        stands_for,
        thumbnails.astype(np.uint8),
        (pictures * rng.uniform(0.5, 2, (24, 1))).astype(np.float32),
        small,
        own.tolist(),
        [int(number) for number in rng.integers(0, 2**60, 24)],
    )


def by_hand(given: World) -> list[Verdict]:
    """The rules, one picture and one image after the other."""

    def unit(row: np.ndarray) -> np.ndarray:
        row = row.astype(float)
        return row / np.linalg.norm(row) if row.any() else row

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.linalg.norm(one - other))

    def nearest(point: np.ndarray, anchor: int) -> tuple[float, int]:
        found = [
            (apart(point, unit(given.embeddings[row])), row)
            for row in range(given.images)
            if given.stands_for[row] != given.stands_for[anchor]
        ]
        return min(found, default=(float("inf"), 0))

    def pixels(one: np.ndarray, other: np.ndarray) -> float:
        left, right = one - one.mean(), other - other.mean()
        return float(np.abs(left - right).max())

    verdicts = []
    kept: list[tuple[int, np.ndarray, np.ndarray]] = []
    for point, small, place, seed in zip(
        given.pictures, given.small, given.own, given.seeds, strict=True
    ):
        point, anchor = unit(point), int(given.anchors[place])
        own = apart(point, unit(given.embeddings[anchor]))
        others = len(given.anchors) - 1
        other = (place + 1 + derive_seed(seed, "other anchor") % others) % len(given.anchors)
        random = apart(point, unit(given.embeddings[given.anchors[other]]))
        distance, image = nearest(point, anchor)
        to_next, following = nearest(unit(given.embeddings[anchor]), anchor)
        reach = min(to_next, 1) / 2 if to_next < np.inf else 0
        pixel_reach = min(pixels(given.thumbnails[anchor], given.thumbnails[following]) / 2, 24)
        exceeded = sorted(s for s in given.scores[: given.images] if s < given.scores[anchor])
        ordinary = exceeded and given.scores[image] <= exceeded[(len(exceeded) - 1) // 2]
        to_anchor = pixels(given.thumbnails[anchor], small)
        reason = ""
        if not own < random:
            reason = "nearer to another anchor"
        elif distance < own and ordinary:
            reason = "lost among frequent images"
        elif own <= reach and to_anchor <= pixel_reach:
            reason = "copy of its anchor"
        elif distance <= reach and pixels(given.thumbnails[image], small) <= pixel_reach:
            reason = "copy of an image"
        elif any(
            sibling == place and apart(point, p) <= reach and pixels(s, small) <= pixel_reach
            for sibling, p, s in kept
        ):
            reason = "copy of a sibling"
        else:
            kept.append((place, point, small))
        verdicts.append(Verdict(own, random, distance, to_anchor, reason))
    return verdicts


def same(found: list[Verdict], expected: list[Verdict]) -> None:
    assert [one.reason for one in found] == [one.reason for one in expected]
    for name in ("own_distance", "random_distance", "nearest_distance", "pixel_distance"):
        mine, theirs = ([getattr(one, name) for one in part] for part in (found, expected))
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_verdicts_are_those_found_one_by_one(seed: int) -> None:
    given = world(seed)
    same(given.verdicts(), by_hand(given))


def test_every_verdict_occurs_in_those_worlds() -> None:
    found = {one.reason for seed in range(60) for one in world(seed).verdicts()}
    assert found == {"", *acceptance.STEPS}


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [world(seed).verdicts() for seed in range(20)]
    monkeypatch.setattr(acceptance, "_IMAGES_PER_BLOCK", 7)
    monkeypatch.setattr(acceptance, "_PICTURES_PER_BLOCK", 5)
    monkeypatch.setattr(acceptance, "_CANDIDATES", 2)
    for seed, verdicts in enumerate(expected):
        same(world(seed).verdicts(), verdicts)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_a_verdict_does_not_depend_on_what_else_is_judged(seed: int) -> None:
    """Other anchors' pictures do not matter, nor how many are judged at once."""
    given, alone = world(seed), world(seed).judge()
    together = given.verdicts()
    order = np.argsort(np.random.default_rng(seed).permutation(4)[given.own], kind="stable")
    for number in order.tolist():
        one = slice(number, number + 1)
        found = alone.judge(given.pictures[one], given.small[one], given.own[one], given.seeds[one])
        same(found, together[one])


def test_nearest_images_are_found_among_near_duplicates() -> None:
    """A product of float32 cannot tell these apart."""
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=40) * 10 + rng.normal(size=(300, 40)) * 1e-3).astype(np.float32)
    rows = np.concatenate([rows, rng.normal(size=(2, 40)).astype(np.float32)])
    given = replace(
        world(0),
        embeddings=rows,
        images=302,
        anchors=np.array([300, 301]),
        scores=np.zeros(302),
        stands_for=np.arange(302),
        thumbnails=np.zeros((302, 3, 3, 3), np.uint8),
        pictures=rows[:24] + rng.normal(size=(24, 40)).astype(np.float32) * 1e-3,
        own=[0] * 24,
    )
    exact = rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    points = given.pictures / np.linalg.norm(given.pictures.astype(float), axis=1, keepdims=True)
    expected = np.linalg.norm(points[:, None] - exact[None, :300], axis=2).min(axis=1)
    found = [one.nearest_distance for one in given.verdicts()]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_without_any_relation_half_are_nearer_to_another_anchor() -> None:
    rng = np.random.default_rng(1)
    given = replace(
        world(0),
        embeddings=rng.normal(size=(60, 16)),
        images=60,
        anchors=np.arange(50),
        scores=np.zeros(60),
        stands_for=np.arange(60),
        thumbnails=np.zeros((60, 3, 3, 3), np.uint8),
        pictures=rng.normal(size=(3000, 16)),
        small=np.zeros((3000, 3, 3, 3), np.uint8),
        own=rng.integers(0, 50, 3000).tolist(),
        seeds=list(range(3000)),
    )
    refused = [one.reason == "nearer to another anchor" for one in given.verdicts()]
    assert abs(np.mean(refused) - 0.5) < 0.04


def on_a_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def simple(picture: float, levels: int = 100, **change: object) -> str:
    """An anchor at 0 degrees, a rare image at 20, frequent ones from 50 on; a picture of it."""
    given = World(
        embeddings=on_a_circle(0, 20, 50, 51, 52, 53, 180),
        images=7,
        anchors=np.array([0, 6]),
        scores=np.array([9.0, 8, 1, 1, 1, 1, 9]),
        stands_for=np.arange(7),
        thumbnails=np.stack([np.full((3, 9, 9), 10 * i) for i in range(7)]).astype(np.uint8),
        pictures=on_a_circle(picture),
        small=np.zeros((1, 3, 9, 9), np.uint8),
        own=[0],
        seeds=[1],
    )
    given.thumbnails[1:, 0, 0, 0] = 255
    given.small[0, 0, 0, 0] = levels
    return replace(given, **change).verdicts()[0].reason  # type: ignore[arg-type]


def test_each_reason() -> None:
    assert simple(-3) == ""
    assert simple(-100) == "nearer to another anchor"
    assert simple(40) == "lost among frequent images"
    assert simple(-3, levels=5) == "copy of its anchor"
    assert simple(-15, levels=5) == ""  # as far as another image could be


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("", 0),
        ("embedding not finite", 0),
        ("nearer to another anchor", 1),
        ("lost among frequent images", 1),
        ("copy of an image", 1),
        ("copy of its anchor", -1),
        ("copy of a sibling", -1),
    ],
)
def test_what_the_next_draw_should_keep_of_the_anchor(reason: str, step: int) -> None:
    assert Verdict(0.1, 0.2, 0.3, 0.4, reason).step == step


def test_like_another_rare_image_is_not_lost() -> None:
    assert simple(19) == ""
    frequent = np.array([9.0, 1, 1, 1, 1, 1, 9])
    assert simple(19, scores=frequent) == "lost among frequent images"


def test_nothing_is_lost_beside_an_anchor_that_is_not_rare() -> None:
    assert simple(40, scores=np.zeros(7)) == ""
    assert simple(40, scores=np.array([1.0, 1, 1, 8, 8, 8, 9])) == ""


def test_copies_of_the_anchor_are_no_other_images() -> None:
    """A copy at 1 degree would else say that nothing farther than half a degree is a copy."""
    near = on_a_circle(0, 1, 50, 51, 52, 53, 180)
    grouped = np.array([0, 0, 2, 3, 4, 5, 6])
    assert simple(-3, levels=5, embeddings=near) == ""
    assert simple(-3, levels=5, embeddings=near, stands_for=grouped) == "copy of its anchor"


def test_where_no_image_is_different_only_the_same_embedding_is_a_copy() -> None:
    alone = np.zeros(7, dtype=int)
    assert simple(-3, levels=5, stands_for=alone) == ""
    assert simple(0, levels=0, stands_for=alone) == "copy of its anchor"


def test_a_picture_without_a_finite_embedding_is_refused_and_harms_no_other() -> None:
    given = world(3)
    broken = given.pictures.copy()
    broken[5] = np.nan
    found = replace(given, pictures=broken).verdicts()
    assert found[5].reason == "embedding not finite"
    expected = given.verdicts()
    others = [number for number in range(24) if number not in range(6)]
    same([found[i] for i in others], [expected[i] for i in others])
    same(found[:5], expected[:5])


def test_pixels_are_compared_as_selection_compares_them() -> None:
    rng = np.random.default_rng(0)
    one, others = rng.integers(0, 256, (2, 8, 3, 9, 9)).astype(np.uint8)
    found = acceptance._pixel_distances(one[:1], others)
    np.testing.assert_allclose(found, largest_difference(one[0], others), atol=1e-9)
    assert acceptance.SAME_LEVELS == SAME


def test_memory_does_not_grow_with_pictures_times_images() -> None:
    rng = np.random.default_rng(0)
    count, pictures = 100_000, 600
    embeddings = rng.normal(size=(count, 8)).astype(np.float32)
    given = replace(
        world(0),
        embeddings=embeddings,
        images=count,
        anchors=np.arange(2),
        scores=np.zeros(count),
        stands_for=np.arange(count),
        thumbnails=np.broadcast_to(np.zeros((1, 3, 3, 3), np.uint8), (count, 3, 3, 3)),
        pictures=rng.normal(size=(pictures, 8)).astype(np.float32),
        small=np.zeros((pictures, 3, 3, 3), np.uint8),
        own=[0] * pictures,
        seeds=list(range(pictures)),
    )
    tracemalloc.start()
    given.verdicts()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6  # all distances at once would be 480 MB


def test_a_single_anchor_has_no_other() -> None:
    with pytest.raises(ValueError, match="no other to compare with"):
        replace(world(0), anchors=np.array([0])).judge()
