"""Random views a second: ours beside lightly's, torchvision's and kornia's, in one run.

    pip install kornia   # needed here alone; a peer that is missing is left out
    python benchmarks/views.py [--rounds 5] [--images 1024]

All make SimCLR's two views of the same synthetic images with the same probabilities and ranges, in
the two workers of a DataLoader: lightly and torchvision image by image, as their documentation does
it, kornia batch by batch, bradd as it trains without a GPU, small images from its cache in memory.
Run it on two cores (`taskset -c 0,1`), so that the main process has none of its own. Passes of all
are interleaved and the medians printed, so that what else the machine does falls on all alike; the
second number, views a second of CPU time of all processes together, hardly depends on it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bradd.data import ArrayImages, FileImages, Images
from bradd.views import SimCLRViews
from bradd.views.cache import ImageCache
from bradd.views.dataset import CachedViewDataset, ViewDataset, as_is
from bradd.views.photometric import IMAGENET_MEAN, IMAGENET_STD
from bradd.views.render import WorkerViews, make_views

PROCESSES = 2
BATCH = {32: 256, 224: 32}  # images, by the views' size
PEERS = ("lightly", "torchvision", "kornia")

Batches = Callable[[], Iterator[Any]]  # each batch is a list of two views, [B, 3, S, S]


class Transformed(Dataset[Any]):
    """What a peer's transform makes of each image."""

    def __init__(self, images: Images, transform: Callable[[Image.Image], Any]) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.images.load(index))


def ours(images: Images, size: int, cached: bool) -> Batches:
    views = SimCLRViews.for_image_size(size)
    keys = [(0, index) for index in range(len(images))]
    if cached:
        cache = ImageCache(images, (size, size))
        cache.fill()
        dataset = WorkerViews(CachedViewDataset(cache, views, size, seed=0))
    else:
        dataset = WorkerViews(ViewDataset(images, views, size, seed=0))
    made = loaded(dataset, size, sampler=keys, collate_fn=as_is)
    return lambda: map(make_views, made())


def loaded(dataset: Dataset[Any], size: int, **options: Any) -> Batches:
    loader = DataLoader(dataset, batch_size=BATCH[size], num_workers=PROCESSES, **options)
    return lambda: iter(loader)


def lightlys(images: Images, size: int) -> Batches:
    from lightly.transforms import SimCLRTransform

    views = SimCLRViews.for_image_size(size)
    transform = SimCLRTransform(
        input_size=size,
        cj_strength=0.5,  # of SimCLR's own, as ours
        min_scale=views.minimum_scale,
        gaussian_blur=views.blur,
    )
    return loaded(Transformed(images, transform), size)


def torchvisions(images: Images, size: int) -> Batches:
    from torchvision.transforms import v2

    views = SimCLRViews.for_image_size(size)
    jitter = v2.ColorJitter(views.brightness, views.contrast, views.saturation, views.hue)
    kernel = max(3, size // 10 | 1)
    blur = v2.GaussianBlur(kernel, (views.minimum_blur_sigma, views.maximum_blur_sigma))
    one_view = v2.Compose(
        [
            v2.RandomResizedCrop(size, (views.minimum_scale, views.maximum_scale)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([jitter], views.jitter),
            v2.RandomGrayscale(views.grey),
            v2.RandomApply([blur], views.blur),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)),
        ]
    )

    def transform(image: Image.Image) -> list[torch.Tensor]:
        pixels = v2.functional.pil_to_tensor(image)
        return [one_view(pixels), one_view(pixels)]

    return loaded(Transformed(images, transform), size)


def kornias(images: Images, size: int) -> Batches:
    from kornia import augmentation
    from torchvision.transforms.v2 import functional

    views = SimCLRViews.for_image_size(size)
    kernel = max(3, size // 10 | 1)
    sigmas = (views.minimum_blur_sigma, views.maximum_blur_sigma)
    one_view = torch.nn.Sequential(
        augmentation.RandomResizedCrop((size, size), (views.minimum_scale, views.maximum_scale)),
        augmentation.RandomHorizontalFlip(),
        augmentation.ColorJitter(
            views.brightness, views.contrast, views.saturation, views.hue, p=views.jitter
        ),
        augmentation.RandomGrayscale(p=views.grey),
        augmentation.RandomGaussianBlur((kernel, kernel), sigmas, p=views.blur),
        augmentation.Normalize(torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)),
    )

    def transform(images: list[torch.Tensor]) -> list[torch.Tensor]:
        scaled = torch.stack(images).float().div_(255)
        return [one_view(scaled), one_view(scaled)]

    return loaded(Transformed(images, functional.pil_to_tensor), size, collate_fn=transform)


def synthetic_images(count: int, width: int, height: int) -> np.ndarray:
    """Smooth colours with some texture, uint8 `[N, height, width, 3]`."""
    rng = np.random.default_rng(0)
    images = np.empty((count, height, width, 3), np.uint8)
    for image in images:
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        image[:] = (smooth + rng.normal(0, 12, smooth.shape)).clip(0, 255)
    return images


def jpeg_files(folder: Path, images: np.ndarray, copies: int) -> FileImages:
    names = []
    for number, image in enumerate(images):
        for copy in range(copies):
            names.append(f"{number:04d}_{copy:02d}.jpg")
            Image.fromarray(image).save(folder / names[-1], quality=90)
    return FileImages(folder, names)


def measure(batches: Batches) -> tuple[float, float]:
    """Views a second, of time and of CPU time, of one pass, the workers' start included."""
    cpu_start, start, made = cpu_seconds(), time.perf_counter(), 0
    for first, second in batches():
        made += len(first) + len(second)
    seconds = time.perf_counter() - start
    return made / seconds, made / (cpu_seconds() - cpu_start)


def cpu_seconds() -> float:
    """Of this process and those of its children that have ended, as workers have after a pass."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare(title: str, contestants: dict[str, Batches], rounds: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, batches in contestants.items():
            found[name].append(measure(batches))
    rates = {
        name: [statistics.median(column) for column in zip(*pairs, strict=True)]
        for name, pairs in found.items()
    }
    print(f"\n{title}\n{'':14}{'views/s':>10}{'ours is':>9}{'views/CPU s':>13}{'ours is':>9}")
    for name, (per_second, per_cpu_second) in rates.items():
        ratios = rates["ours"][0] / per_second, rates["ours"][1] / per_cpu_second
        print(
            f"{name:14}{per_second:10.0f}{ratios[0]:8.1f}x{per_cpu_second:13.0f}{ratios[1]:8.1f}x"
        )


def contestants(images: Images, size: int, cached: bool, missing: set[str]) -> dict[str, Batches]:
    peers = {"lightly": lightlys, "torchvision": torchvisions, "kornia": kornias}
    return {
        "ours": ours(images, size, cached),
        **{name: make(images, size) for name, make in peers.items() if name not in missing},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="passes of each, interleaved")
    parser.add_argument(
        "--images", type=int, default=1024, help="of 500 x 375 pixels; 16 times as many of 32 x 32"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    missing = set()
    print(f"torch {version('torch')}, {PROCESSES} workers")
    for name in PEERS:
        try:
            print(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.add(name)
            print(f"{name} is not installed and left out: pip install {name}")

    def named(arrays: np.ndarray) -> ArrayImages:
        return ArrayImages(arrays, [str(number) for number in range(len(arrays))])

    small = named(synthetic_images(16 * arguments.images, 32, 32))
    compare(
        "32 pixels, images in memory",
        contestants(small, 32, cached=True, missing=missing),
        arguments.rounds,
    )
    photos = synthetic_images(arguments.images, 500, 375)
    compare(
        "224 pixels from 500 x 375, images in memory",
        contestants(named(photos), 224, cached=False, missing=missing),
        arguments.rounds,
    )
    # kornia takes batches of images of one size, which files are not.
    missing.add("kornia")
    with tempfile.TemporaryDirectory() as folder:
        files = jpeg_files(Path(folder), photos, copies=1)
        compare(
            "224 pixels from 500 x 375, JPEG files",
            contestants(files, 224, cached=False, missing=missing),
            arguments.rounds,
        )
    with tempfile.TemporaryDirectory() as folder:
        large = jpeg_files(Path(folder), synthetic_images(1, 4000, 3000), copies=3 * BATCH[224])
        compare(
            "224 pixels from 12 megapixels, JPEG files",
            contestants(large, 224, cached=False, missing=missing),
            rounds=1,
        )


if __name__ == "__main__":
    main()
