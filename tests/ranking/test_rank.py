"""Ranking folders, arrays and embeddings, and what it refuses before long work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bradd.data import folder_images
from bradd.embedding import Encoder
from bradd.errors import BraddError
from bradd.ranking import Ranking, rank
from bradd.round_settings import usual_anchors
from bradd.select import Band, KNNDistance, Rare, Uniform
from planted import COPIES, PICTURES, SUSPECTED
from samples import SIZE, TinyBackbone, picture

UNREADABLE = 2
ENCODER = Encoder(TinyBackbone(), SIZE)
READABLE = PICTURES + 1 + len(SUSPECTED) + len(COPIES)


@pytest.fixture(scope="module")
def ranking(planted: Path) -> Ranking:
    return rank(planted, ENCODER, n_anchors=5, max_unreadable=0.1)


def refused(*arguments: Any, **settings: Any) -> str:
    with pytest.raises(BraddError) as caught:
        rank(*arguments, **settings)
    return str(caught.value)


def points(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)


def test_the_outlier_is_first_though_it_has_a_copy(ranking: Ranking) -> None:
    assert ranking.names[ranking.anchors[0]] in ("other.png", "outlier.png")
    assert ranking.names[ranking.order[0]] == ranking.names[ranking.anchors[0]]
    assert ranking.facts["counts"]["anchors"] == 5


def test_suspected_images_have_their_reason_and_are_no_anchors(ranking: Ranking) -> None:
    found = {ranking.names[row]: ranking.reasons[row] for row in np.flatnonzero(ranking.reasons)}
    assert found == SUSPECTED
    assert not set(found) & {ranking.names[row] for row in ranking.order}


def test_copies_are_counted_once_and_share_a_score(ranking: Ranking) -> None:
    row_of = {name: row for row, name in enumerate(ranking.names)}
    copies = np.flatnonzero(ranking.stands_for != np.arange(len(ranking)))
    groups = {frozenset((ranking.names[a], ranking.names[ranking.stands_for[a]])) for a in copies}
    assert groups == {frozenset(pair) for pair in COPIES.items()}
    for copy, original in COPIES.items():
        assert ranking.scores[row_of[copy]] == ranking.scores[row_of[original]]
    assert ranking.facts["counts"]["copies"] == len(COPIES)


def test_unreadable_images_are_listed_and_have_no_row(ranking: Ranking, planted: Path) -> None:
    assert sorted(name for name, _ in ranking.unreadable) == ["cut.png", "text.jpg"]
    assert all(reason for _, reason in ranking.unreadable)
    assert len(ranking) == READABLE
    assert set(ranking.names) == {path.name for path in planted.iterdir()} - {"cut.png", "text.jpg"}
    assert "max_unreadable" in refused(planted, ENCODER)


def test_scores_are_those_of_the_selector_on_what_is_left(ranking: Ranking) -> None:
    kept = ranking.stands_for == np.arange(len(ranking))
    expected = KNNDistance(5).score(ranking.embeddings[kept])
    assert np.array_equal(ranking.scores[kept], expected)
    assert np.array_equal(np.sort(ranking.ranks[ranking.order]), ranking.ranks[ranking.order])
    assert np.array_equal(ranking.order[:5], ranking.anchors)
    assert (ranking.ranks == 0).sum() == len(SUSPECTED) + len(COPIES)


def test_given_embeddings_rank_as_the_encoder_that_made_them(
    ranking: Ranking, planted: Path, tmp_path: Path
) -> None:
    every = np.zeros((READABLE + UNREADABLE, ranking.embeddings.shape[1]), np.float32)
    names = [path.name for path in sorted(planted.iterdir())]
    every[[names.index(name) for name in ranking.names]] = ranking.embeddings
    np.save(tmp_path / "e.npy", every)
    settings: dict[str, Any] = {"n_anchors": 5, "max_unreadable": 0.1}
    given = rank(planted, embeddings=tmp_path / "e.npy", **settings)
    assert given.names == ranking.names
    for name in ("anchors", "reasons", "scores", "stands_for"):
        assert np.array_equal(getattr(given, name), getattr(ranking, name)), name
    array = rank(folder_images(planted), embeddings=every, **settings)
    assert np.array_equal(array.anchors, ranking.anchors)


def test_the_guard_sees_noise_however_far_the_encoder_enlarges_it(planted: Path) -> None:
    """At 14 times its size, noise is as smooth as a photo."""
    found = rank(planted, Encoder(ENCODER.backbone, 14 * 48), max_unreadable=0.1, batch_size=8)
    assert {found.names[row]: found.reasons[row] for row in np.flatnonzero(found.reasons)} == (
        SUSPECTED
    )


def test_without_the_guard_everything_may_be_an_anchor(planted: Path) -> None:
    found = rank(planted, ENCODER, guard=False, max_unreadable=0.1)
    assert found.candidates.all()
    assert "guard is off" in found.facts["notes"][0]
    assert "black.png" in {found.names[row] for row in found.order}


def test_batches_and_workers_change_nothing(ranking: Ranking, planted: Path) -> None:
    other = rank(
        planted,
        ENCODER,
        n_anchors=5,
        batch_size=7,
        num_workers=2,
        max_unreadable=0.1,
    )
    assert np.array_equal(other.anchors, ranking.anchors)
    assert np.array_equal(other.reasons, ranking.reasons)
    assert np.array_equal(other.stands_for, ranking.stands_for)
    np.testing.assert_allclose(other.scores, ranking.scores, atol=1e-5)


def test_embeddings_alone_suffice() -> None:
    values = points(40)
    values[7] = -10 * values[[6, 8]].sum(axis=0)
    found = rank(embeddings=torch.from_numpy(values), n_anchors=3, seed=1)
    assert np.array_equal(found.scores, KNNDistance().score(values))
    assert found.names[:11] == [f"{row:02d}" for row in range(11)]
    assert found.images is None
    assert "there are no pixels to guard" in found.facts["notes"][0]


def test_arrays_are_images_named_by_their_numbers() -> None:
    pixels = np.stack([np.asarray(picture(seed)) for seed in range(12)])
    found = rank(pixels, ENCODER)
    assert found.names == [f"{row:02d}" for row in range(12)]
    assert len(found.anchors) == usual_anchors(12) == 2


def test_selectors_that_draw_follow_the_seed() -> None:
    values = points(50)
    first, same, other = (
        rank(embeddings=values, selector=Uniform(), n_anchors=10, seed=seed).anchors
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_signal_and_neighbourhood_are_said() -> None:
    found = rank(embeddings=points(400), selector=Rare(neighbourhood=100), n_anchors=10)
    assert found.signal is not None
    assert found.facts["signal"]["stability"] == found.signal.stability
    assert "fewer than 100 images" in found.facts["selector"]["neighbourhood"]
    assert found.facts["selector"]["exact"] == f"to {Rare().draws} random subsamples of 20 images"
    everything = rank(embeddings=points(400), selector=KNNDistance(7), n_anchors=10)
    assert everything.signal is None
    assert everything.facts["selector"]["neighbourhood"] == "k = 7, of all 400 images"


def test_as_text_it_says_what_is_rare(ranking: Ranking) -> None:
    text = str(ranking)
    assert f"{READABLE} images, 5 of them anchors by Rare(neighbourhood=None, draws=3): " in text
    assert "groups of fewer than 5 images count as rare" in text
    assert ranking.names[ranking.anchors[0]] in text


def test_anchors_that_do_not_follow_the_score_are_not_called_the_most_under_represented() -> None:
    by_score = rank(embeddings=points(200), n_anchors=5)
    assert by_score.best_first
    assert "the most under-represented:" in str(by_score)
    band = rank(embeddings=points(200), selector=Band(), n_anchors=5)
    assert not band.best_first
    assert "most under-represented" not in str(band)
    assert "the first chosen, not by score alone:" in str(band)


def test_fewer_possible_anchors_than_wanted_are_noted(planted: Path) -> None:
    found = rank(planted, ENCODER, n_anchors=READABLE - 1, max_unreadable=0.1)
    assert len(found.anchors) == PICTURES + 1
    assert f"Only {PICTURES + 1} images could be selected" in found.facts["notes"][0]


def test_what_is_missing_or_impossible_is_said_at_once(planted: Path) -> None:
    assert "Say what embeds the images" in refused(planted)
    assert "one of the two" in refused(planted, ENCODER, embeddings=points(3))
    assert "Say which images" in refused(None, ENCODER)
    assert "n_anchors is 900, but there are 69 images" in refused(planted, ENCODER, n_anchors=900)
    assert "n_anchors is 0" in refused(embeddings=points(9), n_anchors=0)
    assert "KNNDistance(k=20) needs at least 21 images; there are 9" in refused(
        embeddings=points(9), selector=KNNDistance(20)
    )
    assert "batch_size is 0" in refused(planted, ENCODER, batch_size=0)
    assert "bradd.Encoder(module, image_size=224)" in refused(planted, TinyBackbone())
    assert "leave them out" in refused(planted, ENCODER, weights="x.pth")
    assert "neither a file or folder" in refused("nowhere", ENCODER)
    assert "69 images" in refused(planted, embeddings=points(10))


def test_an_encoder_that_embeds_as_nan_is_named(planted: Path) -> None:
    broken = TinyBackbone()
    broken.mix.weight.data.fill_(float("nan"))
    message = refused(planted, Encoder(broken, SIZE), max_unreadable=0.1)
    assert "TinyBackbone embeds 67 of 67 images as NaN" in message
