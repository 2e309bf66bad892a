from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from bradd.errors import BraddError
from bradd.pool import Pool
from bradd.round_writer import RoundWriter
from samples import picture, row


def grow(pool: Pool, cycle: int, accepted: int, refused: int = 0) -> None:
    writer = RoundWriter(pool.ledger, cycle)
    for number in range(accepted + refused):
        image = picture(1000 * cycle + number)
        writer.add(image, **row(cycle, accepted=number < accepted, number=number))
    writer.commit({"cycle": cycle})


def to_array(image: object) -> np.ndarray:
    return np.asarray(image)


def test_images_keep_their_index_and_accepted_variations_follow(
    folder: Path, tmp_path: Path
) -> None:
    pool = Pool(folder, tmp_path / "run")
    before = [np.asarray(pool[index][0]) for index in range(40)]
    grow(pool, 1, accepted=3, refused=2)
    assert len(pool) == 40  # not yet shown
    pool.show_rounds(1)
    grow(pool, 2, accepted=2)
    pool.show_rounds(2)
    assert len(pool) == 45
    for index in range(40):
        assert np.array_equal(np.asarray(pool[index][0]), before[index])
        assert pool[index][1] == index
    assert np.array_equal(np.asarray(pool[42][0]), np.asarray(picture(1002)))
    assert np.array_equal(np.asarray(pool[43][0]), np.asarray(picture(2000)))
    assert pool.name(43) == "rounds/02/variations/00000002_000_0.png"
    pool.show_rounds(1)
    assert len(pool) == 43


def test_names_are_those_of_the_files(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run")
    for index in range(len(pool)):
        number = int(Path(pool.name(index)).stem)
        assert np.array_equal(np.asarray(pool[index][0]), np.asarray(picture(number)))


def test_workers_that_live_on_notice_a_new_round(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run", transform=to_array)
    sampler = pool.sampler(seed=0, batch_size=40)
    loader = DataLoader(
        pool, batch_size=40, sampler=sampler, num_workers=1, persistent_workers=True
    )
    assert max(int(i) for _, indices in loader for i in indices) < 40
    grow(pool, 1, accepted=40)
    pool.show_rounds(1)
    sampler.set_epoch(1)
    indices = [int(i) for _, batch in loader for i in batch]
    assert any(index >= 40 for index in indices)


def test_reading_past_the_end_is_an_error_and_shows_nothing(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run")
    grow(pool, 1, accepted=3)
    with pytest.raises(IndexError):
        pool[40]
    assert len(list(pool)) == len(pool) == 40  # type: ignore[call-overload]


def test_other_images_are_refused(folder: Path, tmp_path: Path) -> None:
    Pool(folder, tmp_path / "run")
    Pool(folder, tmp_path / "run")
    (folder / "new.png").write_bytes((folder / "a" / "01.png").read_bytes())
    with pytest.raises(BraddError, match="holds variations of other images"):
        Pool(folder, tmp_path / "run")


def test_an_epoch_draws_without_replacement_and_keeps_its_length(
    folder: Path, tmp_path: Path
) -> None:
    pool = Pool(folder, tmp_path / "run")
    grow(pool, 1, accepted=20)
    pool.show_rounds(1)
    matched, grown = pool.sampler(0, 8), pool.sampler(0, 8, "grown")
    assert (len(matched), matched.batches(), grown.batches()) == (40, 5, 7)
    assert max(Counter(matched).values()) == 1
    assert len(list(grown)) == 56
    with pytest.raises(TypeError, match="grown epoch"):
        len(grown)


def test_the_order_is_a_function_of_seed_and_epoch(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run")
    sampler, again, other = pool.sampler(1, 4), pool.sampler(1, 4), pool.sampler(2, 4)
    first = list(sampler)
    list(sampler)  # what was drawn before does not matter
    again.set_epoch(3)
    sampler.set_epoch(3)
    assert list(sampler) == list(again)
    sampler.set_epoch(0)
    assert list(sampler) == first != list(other)


def test_every_item_is_drawn_equally_often(folder: Path, tmp_path: Path) -> None:
    pool = Pool(folder, tmp_path / "run")
    grow(pool, 1, accepted=40)
    pool.show_rounds(1)
    sampler = pool.sampler(0, 40)
    counts = Counter()  # type: ignore[var-annotated]
    for epoch in range(400):
        sampler.set_epoch(epoch)
        counts.update(sampler)
    # 200 expected for each of the 80; a binomial's standard deviation is 10.
    assert min(counts[index] for index in range(80)) > 150
    assert max(counts.values()) < 250


def test_ranks_share_each_global_batch(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(folder, tmp_path / "run")
    alone = list(pool.sampler(0, 8))
    monkeypatch.setattr("bradd.distributed.world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr("bradd.distributed.rank", lambda rank=rank: rank)
        shares.append(list(pool.sampler(0, 8)))
    for step in range(5):
        together = {i for share in shares for i in share[4 * step : 4 * step + 4]}
        assert together == set(alone[8 * step : 8 * step + 8])


@pytest.mark.parametrize("batch_size", [0, 41])
def test_impossible_batches_are_refused(folder: Path, tmp_path: Path, batch_size: int) -> None:
    with pytest.raises(BraddError, match=f"batch_size is {batch_size}, but there are 40 images"):
        Pool(folder, tmp_path / "run").sampler(0, batch_size)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_share_of_real_images_holds_in_every_epoch(
    folder: Path, tmp_path: Path, share: float
) -> None:
    pool = Pool(folder, tmp_path / "run")
    sampler = pool.sampler(0, 8, real_share=share)
    assert sorted(sampler) == list(range(40))  # nothing to share yet
    grow(pool, 1, accepted=12)
    pool.show_rounds(1)
    first = list(sampler)
    sampler.set_epoch(1)
    for drawn in (first, list(sampler)):
        counts = Counter(drawn)
        assert sum(counts[index] for index in range(40)) == round(40 * share)
        for group in (range(40), range(40, 52)):  # either kind as evenly as can be
            times = [counts[index] for index in group]
            assert max(times) - min(times) <= 1
    assert first != list(sampler)


def test_an_impossible_share_of_real_images_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BraddError, match=r"real_share is 1.5: it must be from 0 to 1"):
        Pool(folder, tmp_path / "run").sampler(0, 8, real_share=1.5)


def test_families_go_back_to_real_images_also_from_variations_of_variations(
    folder: Path, tmp_path: Path
) -> None:
    pool = Pool(folder, tmp_path / "run")
    for cycle, anchors in ((1, [3, 3, 7]), (2, [41, 7])):  # 41 is a variation of image 3
        writer = RoundWriter(pool.ledger, cycle)
        for number, anchor in enumerate(anchors):
            facts = row(cycle, accepted=True, number=number) | {"anchor": anchor}
            writer.add(picture(100 * cycle + number), **facts)
        writer.commit({"cycle": cycle})
        pool.show_rounds(cycle)
    assert pool.families() == {3: [3, 40, 41, 43], 7: [7, 42, 44]}
    assert [pool.original(index) for index in (3, 5, 42, 43)] == [3, 5, 7, 3]
