from __future__ import annotations

import io
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bradd.data.decode import Reduction, decode
from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.views import DINOViews, SimCLRViews, Views
from bradd.views.cache import ImageCache
from bradd.views.crop import Box, crop
from bradd.views.dataset import (
    CachedViewDataset,
    CentreViewDataset,
    ViewBatch,
    ViewDataset,
    as_is,
)
from bradd.views.draw import draw_boxes, draw_numbers, draw_parameters
from bradd.views.parameters import Parameter


class Noise:
    """Images of noise, each of its own shape."""

    def __len__(self) -> int:
        return 12

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        shape = (20 + index, 30 - index, 3)
        pixels = np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)
        return Image.fromarray(pixels)


class Photos:
    """JPEGs of smooth texture; `decoded` says how large each was decoded."""

    def __init__(self, width: int, height: int, orientation: int = 1) -> None:
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
        pixels = np.asarray(smooth) + rng.normal(0, 12, (height, width, 3))
        exif = Image.Exif()
        exif[0x0112] = orientation
        stream = io.BytesIO()
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        picture.save(stream, "JPEG", exif=exif, quality=90)
        self.file = stream.getvalue()
        self.decoded: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return 100

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        image = decode(io.BytesIO(self.file), reduction)
        self.decoded.append(image.size)
        return image


class WholePhotos(Photos):
    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        return super().load(index)


def make_dataset(seed: int = 0, views: Views | None = None) -> ViewDataset:
    return ViewDataset(Noise(), views or SimCLRViews(), size=16, seed=seed)


def make_cached(seed: int = 0) -> CachedViewDataset:
    return CachedViewDataset(ImageCache(Noise(), (16, 16)), SimCLRViews(), size=16, seed=seed)


def same(first: ViewBatch, second: ViewBatch) -> bool:
    assert first.keys() == second.keys()
    equal = torch.equal(first["index"], second["index"])
    equal &= np.array_equal(first["parameters"], second["parameters"])
    if "views" in first:
        pairs = zip(first["views"], second["views"], strict=True)
        return equal and all(torch.equal(*pair) for pair in pairs)
    equal &= torch.equal(first["images"], second["images"])
    return equal and np.array_equal(first["boxes"], second["boxes"])


def test_a_batch_is_its_draws_applied_to_the_images() -> None:
    views = DINOViews(local_count=2)
    recipes = views.recipes(16)
    keys = [(2, 7), (2, 3), (5, 7)]
    batch = make_dataset(seed=5, views=views).__getitems__(keys)
    assert batch["index"].tolist() == [7, 3, 7]
    assert batch["index"].dtype == torch.int64
    assert [view.shape for view in batch["views"]] == [(3, 3, s, s) for s in (16, 16, 7, 7)]
    assert {view.dtype for view in batch["views"]} == {torch.uint8}
    assert batch["parameters"].shape == (4, 3, len(Parameter))

    numbers = draw_numbers(5, keys, 4)
    np.testing.assert_array_equal(batch["parameters"], draw_parameters(recipes, numbers))
    images = [Noise().load(index) for _, index in keys]
    boxes = draw_boxes(recipes, numbers, [i.width for i in images], [i.height for i in images])
    for view, recipe in enumerate(recipes):
        for row, image in enumerate(images):
            expected = crop(image, Box(*boxes[view, row].tolist()), recipe.size)
            np.testing.assert_array_equal(batch["views"][view][row].numpy(), expected)


@pytest.mark.parametrize("make", [make_dataset, make_cached])
def test_a_view_is_a_function_of_seed_epoch_and_index(
    make: Callable[[int], ViewDataset | CachedViewDataset],
) -> None:
    batch = make(1).__getitems__([(3, 4)])
    assert same(batch, make(1).__getitems__([(3, 4)]))
    assert not same(batch, make(2).__getitems__([(3, 4)]))
    assert not same(batch, make(1).__getitems__([(4, 4)]))
    assert not same(batch, make(1).__getitems__([(3, 5)]))


def test_a_view_does_not_depend_on_how_many_there_are() -> None:
    two = make_dataset().__getitems__([(0, 1)])
    three = make_dataset(views=SimCLRViews(count=3)).__getitems__([(0, 1)])
    assert all(torch.equal(*pair) for pair in zip(two["views"], three["views"][:2], strict=True))


def test_the_views_of_an_image_differ() -> None:
    batch = make_dataset().__getitems__([(0, index) for index in range(12)])
    for row in range(12):
        assert not torch.equal(batch["views"][0][row], batch["views"][1][row])
        assert not np.array_equal(batch["parameters"][0, row], batch["parameters"][1, row])


@pytest.mark.parametrize("make", [make_dataset, make_cached])
def test_batches_do_not_depend_on_the_number_of_workers(
    make: Callable[[], ViewDataset | CachedViewDataset],
) -> None:
    dataset = make()
    keys = [(epoch, index) for epoch in (0, 1) for index in range(len(dataset))]

    def batches(workers: int) -> list[ViewBatch]:
        loader = DataLoader(
            dataset, batch_size=8, sampler=keys, num_workers=workers, collate_fn=as_is
        )
        return list(loader)

    alone, with_workers = batches(0), batches(2)
    assert len(alone) == len(with_workers) == 3
    assert all(same(*pair) for pair in zip(alone, with_workers, strict=True))


@pytest.mark.parametrize("make", [make_dataset, make_cached])
def test_a_batch_survives_pickling(make: Callable[[], ViewDataset | CachedViewDataset]) -> None:
    batch = make().__getitems__([(0, 1), (0, 2)])
    assert same(batch, pickle.loads(pickle.dumps(batch)))


@pytest.mark.gpu
def test_a_batch_can_be_pinned() -> None:
    loader = DataLoader(
        make_cached(), batch_size=4, sampler=[(0, 1)] * 4, collate_fn=as_is, pin_memory=True
    )
    batch = next(iter(loader))
    assert batch["images"].is_pinned()
    assert isinstance(batch["parameters"], np.ndarray)


def test_cached_batches_draw_what_others_draw() -> None:
    keys = [(1, index) for index in (4, 2, 9)]
    cached = make_cached().__getitems__(keys)
    plain = make_dataset().__getitems__(keys)
    np.testing.assert_array_equal(cached["parameters"], plain["parameters"])
    assert cached["images"].shape == (3, 3, 16, 16)
    assert cached["sizes"] == [16, 16]
    images = [Noise().load(index) for _, index in keys]
    boxes = draw_boxes(
        SimCLRViews().recipes(16),
        draw_numbers(0, keys, 2),
        [image.width for image in images],
        [image.height for image in images],
    )
    for row, image in enumerate(images):
        scale = [16 / image.width, 16 / image.height] * 2
        np.testing.assert_allclose(cached["boxes"][:, row], boxes[:, row] * scale, rtol=1e-6)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photos_decoded_smaller_give_nearly_the_same_views(orientation: int) -> None:
    views = SimCLRViews(minimum_scale=0.3)
    width, height = (901, 603) if orientation == 1 else (912, 608)
    reduced, whole = Photos(width, height, orientation), WholePhotos(width, height, orientation)
    keys = [(0, index) for index in range(20)]
    ours = ViewDataset(reduced, views, 32, 0).__getitems__(keys)["views"]
    theirs = ViewDataset(whole, views, 32, 0).__getitems__(keys)["views"]
    upright = (width, height) if orientation < 5 else (height, width)
    assert whole.decoded == [upright] * 20
    assert len(reduced.decoded) == 20  # once for both views
    assert max(width for width, _ in reduced.decoded) <= upright[0] // 2 + 1
    for first, second in zip(ours, theirs, strict=True):
        error = (first.int() - second.int()).abs().float()
        assert error.mean() < 1
        assert error.flatten(1).mean(1).max() < 1.5


def test_a_photo_is_not_decoded_smaller_than_twice_what_any_view_shows() -> None:
    photos = Photos(900, 600)
    dataset = ViewDataset(photos, SimCLRViews(), 48, 0)
    keys = [(0, index) for index in range(40)]
    dataset.__getitems__(keys)
    boxes = draw_boxes(SimCLRViews().recipes(48), draw_numbers(0, keys, 2), [900] * 40, [600] * 40)
    smallest = boxes[..., 2:].min(axis=(0, 2))
    factors = np.array([900 / width for width, _ in photos.decoded])
    assert set(np.rint(factors).tolist()) >= {1, 2, 4}
    assert (smallest / factors >= 2 * 48 - 1)[factors > 1].all()
    assert (smallest / factors < 4 * 48 + 1)[factors < 8].all()


@pytest.mark.parametrize("orientation", [1, 6])
def test_centre_views_of_photos_decoded_smaller_are_nearly_the_same(orientation: int) -> None:
    reduced, whole = Photos(900, 600, orientation), WholePhotos(900, 600, orientation)
    ours = CentreViewDataset(reduced, 48)[0][0].int()
    theirs = CentreViewDataset(whole, 48)[0][0].int()
    assert max(reduced.decoded[0]) == 225
    assert (ours - theirs).abs().float().mean() < 1


def test_centre_views_come_with_their_index() -> None:
    dataset = CentreViewDataset(Noise(), size=16)
    assert len(dataset) == 12
    view, index = dataset[3]
    assert index == 3
    np.testing.assert_array_equal(view.numpy(), centre_view(Noise().load(3), 16))
    views, indices = next(iter(DataLoader(dataset, batch_size=5)))
    assert views.shape == (5, 3, 16, 16)
    assert views.dtype == torch.uint8
    assert indices.tolist() == [0, 1, 2, 3, 4]


def test_length_is_the_number_of_images() -> None:
    assert len(make_dataset()) == len(make_cached()) == 12


@pytest.mark.parametrize("size", [0, -1])
def test_sizes_that_are_not_positive_are_refused(size: int) -> None:
    with pytest.raises(BraddError, match=f"size is {size}"):
        ViewDataset(Noise(), SimCLRViews(), size=size, seed=0)
    with pytest.raises(BraddError, match=f"size is {size}"):
        CachedViewDataset(ImageCache(Noise(), (16, 16)), SimCLRViews(), size=size, seed=0)
    with pytest.raises(BraddError, match=f"size is {size}"):
        CentreViewDataset(Noise(), size=size)
