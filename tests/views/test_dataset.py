from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bradd.data.resize import centre_view
from bradd.errors import BraddError
from bradd.seeds import random_generator
from bradd.views import SimCLRViews
from bradd.views.crop import crop
from bradd.views.dataset import CentreViewDataset, ViewDataset, Views
from bradd.views.parameters import Parameter
from bradd.views.photometric import photometric


class Noise:
    """Images of noise, each of its own shape."""

    def __len__(self) -> int:
        return 12

    def load(self, index: int) -> Image.Image:
        shape = (20 + index, 30 - index, 3)
        pixels = np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)
        return Image.fromarray(pixels)


def make_dataset(seed: int = 0, views: SimCLRViews | None = None) -> ViewDataset:
    return ViewDataset(Noise(), views or SimCLRViews(), size=16, seed=seed)


def same(first: Views, second: Views) -> bool:
    return torch.equal(first["views"], second["views"]) and torch.equal(
        first["parameters"], second["parameters"]
    )


def test_an_item_is_its_draws_applied_to_the_image() -> None:
    recipe = SimCLRViews(count=3)
    item = make_dataset(seed=5, views=recipe)[2, 7]
    assert item["index"] == 7
    assert item["views"].shape == (3, 3, 16, 16)
    assert item["views"].dtype == torch.uint8
    assert item["parameters"].shape == (3, len(Parameter))
    assert item["parameters"].dtype == torch.float32

    image = Noise().load(7)
    for view in range(3):
        draw = recipe.draw(random_generator(5, "views", 2, 7, view), image.width, image.height)
        np.testing.assert_array_equal(item["views"][view].numpy(), crop(image, draw.box, 16))
        np.testing.assert_array_equal(item["parameters"][view].numpy(), draw.parameters)


def test_a_view_is_a_function_of_seed_epoch_and_index() -> None:
    item = make_dataset(seed=1)[3, 4]
    assert same(item, make_dataset(seed=1)[3, 4])
    assert not same(item, make_dataset(seed=2)[3, 4])
    assert not same(item, make_dataset(seed=1)[4, 4])
    assert not same(item, make_dataset(seed=1)[3, 5])


def test_a_view_does_not_depend_on_how_many_there_are() -> None:
    two, three = make_dataset()[0, 1], make_dataset(views=SimCLRViews(count=3))[0, 1]
    assert torch.equal(two["views"], three["views"][:2])


def test_the_views_of_an_image_differ() -> None:
    dataset = make_dataset()
    for index in range(len(dataset)):
        item = dataset[0, index]
        assert not torch.equal(item["views"][0], item["views"][1])
        assert not torch.equal(item["parameters"][0], item["parameters"][1])


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    dataset = make_dataset()
    keys = [(epoch, index) for epoch in (0, 1) for index in range(len(dataset))]
    alone = list(DataLoader(dataset, batch_size=8, sampler=keys))
    with_workers = list(DataLoader(dataset, batch_size=8, sampler=keys, num_workers=2))
    assert len(alone) == len(with_workers) == 3
    for first, second in zip(alone, with_workers, strict=True):
        assert first["views"].shape == (8, 2, 3, 16, 16)
        assert torch.equal(first["index"], second["index"])
        assert same(first, second)


def test_finished_views_do_not_depend_on_the_batch_size() -> None:
    dataset = make_dataset(views=SimCLRViews(blur=0.5))
    keys = [(1, index) for index in range(len(dataset))]

    def finished(batch_size: int) -> torch.Tensor:
        loader = DataLoader(dataset, batch_size=batch_size, sampler=keys)
        batches = [(b["views"].flatten(0, 1), b["parameters"].flatten(0, 1)) for b in loader]
        return torch.cat([photometric(*batch) for batch in batches])

    torch.testing.assert_close(finished(12), finished(1), rtol=0, atol=1e-6)


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
    assert len(make_dataset()) == 12


@pytest.mark.parametrize("size", [0, -1])
def test_sizes_that_are_not_positive_are_refused(size: int) -> None:
    with pytest.raises(BraddError, match=f"size is {size}"):
        ViewDataset(Noise(), SimCLRViews(), size=size, seed=0)
    with pytest.raises(BraddError, match=f"size is {size}"):
        CentreViewDataset(Noise(), size=size)
