from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bradd.pool import Pool
from bradd.round_writer import RoundWriter
from bradd.siblings import Siblings
from bradd.trainer import training_loader
from bradd.views import SimCLRViews
from bradd.views.dataset import ViewBatch
from bradd.views.render import make_views
from samples import SIZE, picture, row

FAMILY = [5, 40, 41, 42]


@pytest.fixture
def pool(folder: Path, tmp_path: Path) -> Pool:
    """Forty images, and three variations of the sixth."""
    pool = Pool(folder, tmp_path / "run")
    writer = RoundWriter(pool.ledger, 1)
    for number in range(3):
        writer.add(picture(1000 + number), **row(1, accepted=True, number=number) | {"anchor": 5})
    writer.commit({"cycle": 1})
    pool.show_rounds(1)
    return pool


def test_others_of_the_family_are_shown_as_often_as_told_and_equally_often(pool: Pool) -> None:
    keys = [(epoch, 41) for epoch in range(2000)]
    shown = Siblings(pool, 0, 0.6)(keys)
    counts = {member: int((shown == member).sum()) for member in FAMILY}
    assert sum(counts.values()) == 2000
    assert abs(counts.pop(41) - 800) < 90  # four standard deviations of a binomial
    assert all(abs(count - 400) < 75 for count in counts.values())


def test_images_without_variations_stay_alone_and_the_choice_is_a_function_of_the_key(
    pool: Pool,
) -> None:
    siblings = Siblings(pool, 0, 1.0)
    alone = [index for index in range(40) if index != 5]
    assert siblings([(0, index) for index in alone]).tolist() == alone
    keys = [(epoch, index) for epoch in range(5) for index in FAMILY]
    together = siblings(keys).tolist()
    assert [int(siblings([key])[0]) for key in reversed(keys)] == together[::-1]
    assert all(
        shown in FAMILY and shown != index for (_, index), shown in zip(keys, together, strict=True)
    )
    assert Siblings(pool, 1, 1.0)(keys).tolist() != together


def test_a_pool_that_grows_is_noticed(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run")
    siblings = Siblings(pool, 0, 1.0)
    assert siblings([(0, 5)]).tolist() == [5]
    writer = RoundWriter(pool.ledger, 1)
    writer.add(picture(1000), **row(1, accepted=True, number=0) | {"anchor": 5})
    writer.commit({"cycle": 1})
    pool.show_rounds(1)
    assert siblings([(0, 5)]).tolist() == [40]


@pytest.mark.parametrize("cache", [None, (SIZE, SIZE)])
def test_every_second_view_is_that_of_the_sibling(
    pool: Pool, cache: tuple[int, int] | None
) -> None:
    """Against views of the sibling's own: same numbers, other pixels."""

    def batches(siblings: float) -> list[ViewBatch]:
        # The whole image, unchanged: what a view shows can be told from its pixels.
        views = SimCLRViews(
            minimum_scale=1.0,
            minimum_aspect_ratio=1.0,
            maximum_aspect_ratio=1.0,
            flip=0.0,
            jitter=0.0,
            grey=0.0,
            blur=0.0,
        )
        sampler = pool.sampler(0, 40)
        return list(training_loader(pool, sampler, views, SIZE, 0, cache, siblings))

    plain, mixed = batches(0.0), batches(1.0)
    checked = 0
    for before, after in zip(plain, mixed, strict=True):
        assert torch.equal(before["index"], after["index"])
        (own, own_second), (first, second) = make_views(before), make_views(after)
        assert torch.equal(own, first)
        for place, index in enumerate(before["index"].tolist()):
            same = torch.allclose(own_second[place], second[place])
            assert same == (index not in FAMILY)
            if index in FAMILY:
                checked += 1
                others = [member for member in FAMILY if member != index]
                pixels = [np.asarray(pool.load(member), np.float32) for member in others]
                got = second[place].permute(1, 2, 0).numpy()
                apart = [np.corrcoef(got.ravel(), each.ravel())[0, 1] for each in pixels]
                assert max(apart) > 0.99
    assert checked
