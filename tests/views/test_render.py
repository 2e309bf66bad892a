from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bradd.data.decode import Reduction
from bradd.views import DINOViews, MoCoV3Views, SimCLRViews, Views
from bradd.views.cache import ImageCache
from bradd.views.crop import crop_batch
from bradd.views.dataset import CachedViewDataset, ViewBatch, ViewDataset, as_is
from bradd.views.photometric import normalise, photometric
from bradd.views.render import WorkerViews, make_views
from samples import picture

METHODS = [SimCLRViews(count=3), MoCoV3Views(), DINOViews(local_count=3)]
KEYS = [(1, index) for index in range(20)]
ONE_LEVEL = 1 / (255 * 0.224)  # of 255, as it is after normalising


class Pictures:
    def __init__(self, size: int = 32) -> None:
        self.size = size

    def __len__(self) -> int:
        return 20

    def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
        return picture(index, self.size)


def cropped(views: Views, size: int = 24, keys: list[tuple[int, int]] = KEYS) -> ViewBatch:
    return ViewDataset(Pictures(), views, size, 0).__getitems__(keys)


def whole(views: Views, size: int = 24, keys: list[tuple[int, int]] = KEYS) -> ViewBatch:
    return CachedViewDataset(ImageCache(Pictures(), (32, 32)), views, size, 0).__getitems__(keys)


@pytest.mark.parametrize("views", METHODS)
def test_views_are_the_photometric_part_of_the_crops(views: Views) -> None:
    batch = cropped(views)
    finished = make_views(batch)
    assert len(finished) == len(views.recipes(24))
    for number, view in enumerate(finished):
        expected = photometric(batch["views"][number], batch["parameters"][number])
        assert torch.equal(view, expected)
        assert view.dtype == torch.float32


@pytest.mark.parametrize("views", METHODS)
def test_whole_images_are_cropped_first(views: Views) -> None:
    batch = whole(views)
    for number, (view, recipe) in enumerate(zip(make_views(batch), views.recipes(24), strict=True)):
        crops = crop_batch(batch["images"], batch["boxes"][number], recipe.size)
        assert torch.equal(view, photometric(crops, batch["parameters"][number]))


@pytest.mark.parametrize("views", METHODS)
@pytest.mark.parametrize("size", [24, 64])
def test_images_in_memory_give_the_same_views_as_others(views: Views, size: int) -> None:
    plain, cached = make_views(cropped(views, size)), make_views(whole(views, size))
    for first, second in zip(plain, cached, strict=True):
        assert (first - second).abs().mean() < ONE_LEVEL / 4


def test_squeezed_images_give_nearly_the_same_views() -> None:
    """A crop is drawn in the image's own geometry, whatever shape it is kept in."""

    class Wide(Pictures):
        def load(self, index: int, reduction: Reduction | None = None) -> Image.Image:
            return picture(index, 120).crop((0, 0, 120, 80))

    views = SimCLRViews(minimum_scale=0.5)
    plain = make_views(ViewDataset(Wide(), views, 32, 0).__getitems__(KEYS))
    cached = make_views(
        CachedViewDataset(ImageCache(Wide(), (72, 72)), views, 32, 0).__getitems__(KEYS)
    )
    for first, second in zip(plain, cached, strict=True):
        assert (first - second).abs().mean() < 2 * ONE_LEVEL


@pytest.mark.parametrize("dataset", [ViewDataset(Pictures(), views, 72, 0) for views in METHODS])
def test_workers_make_the_same_views_but_for_rounding(dataset: ViewDataset) -> None:
    in_workers = DataLoader(
        WorkerViews(dataset), batch_size=8, sampler=KEYS, num_workers=2, collate_fn=as_is
    )
    here = DataLoader(dataset, batch_size=8, sampler=KEYS, collate_fn=as_is)
    for first, second in zip(in_workers, here, strict=True):
        assert torch.equal(first["index"], second["index"])
        assert all(view.dtype == torch.uint8 for view in first["views"])
        for view, expected in zip(make_views(first), make_views(second), strict=True):
            assert (view - expected).abs().max() < 0.51 * ONE_LEVEL


@pytest.mark.parametrize("make", [cropped, whole])
@pytest.mark.parametrize("views", METHODS)
def test_a_view_does_not_depend_on_its_batch(make: type[ViewBatch], views: Views) -> None:
    together = make_views(make(views))
    for row, key in enumerate(KEYS[:6]):
        alone = make_views(make(views, keys=[key]))
        for first, second in zip(alone, together, strict=True):
            assert torch.equal(first[0], second[row])


def test_neutral_views_of_whole_images_are_the_images() -> None:
    whole_image = {"minimum_scale": 1, "minimum_aspect_ratio": 1, "maximum_aspect_ratio": 1}
    neutral = SimCLRViews(**whole_image, flip=0, jitter=0, grey=0, blur=0)
    images = np.stack([np.asarray(picture(index, 32)) for _, index in KEYS])
    expected = normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    for make in (cropped, whole):
        for view in make_views(make(neutral, size=32)):
            torch.testing.assert_close(view, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("views", METHODS)
def test_the_host_does_not_wait_for_the_device(views: Views) -> None:
    batch = whole(views)
    expected = make_views(batch)
    batch["images"] = batch["images"].cuda()
    make_views(batch)  # what cuBLAS does once
    torch.cuda.set_sync_debug_mode("error")
    try:
        finished = make_views(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for first, second in zip(finished, expected, strict=True):
        assert (first.cpu() - second).abs().mean() < ONE_LEVEL / 4
