"""Training samples a second from decoded images to applied gradients, beside plain peers.

    python benchmarks/train_step.py [--models resnet18,resnet50,vit_small_patch16_224] [--steps 8]

A sample is an image, of which SimCLR takes two views, with blur at every size. All run the same
plain loop over the same timm backbone, optimiser and images, without what a trainer adds: ours the
step of `bradd.ssl.pretraining.Pretraining` on images held in memory, as a run with `cache` has it;
lightly its modules and transforms, in loader workers as its examples have them;
stable-pretraining its transforms and loss, where that package is installed. On a GPU everything
is bf16, batches hold 256 images, and our convolutions are channels-last, as a run has them there;
on a CPU it is float32 and smaller batches. Rounds of all contestants are interleaved; the medians
are printed. The roofline is the rate at which this machine multiplies large matrices of
the same type; the share is what the model's own forward and backward passes make of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import timm
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from bradd.data import ArrayImages
from bradd.facts import usable_cores
from bradd.ssl import SimCLR
from bradd.ssl.backbone import Backbone, create_backbone
from bradd.ssl.optimizer import build_optimizer
from bradd.ssl.pretraining import Pretraining
from bradd.views import SimCLRViews
from bradd.views.cache import ImageCache
from bradd.views.dataset import CachedViewDataset, as_is

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
SIZES = {"resnet18": 32, "resnet50": 224, "vit_small_patch16_224": 224}
CPU_BATCH = {"resnet18": 32, "resnet50": 4, "vit_small_patch16_224": 4}
IMAGES = 512


def make_images(size: int) -> np.ndarray:
    """Smooth noise, a little larger than the views where they are large, [N, S, S, 3]."""
    side = size if size <= 64 else 256
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side))) for image in coarse])


def precision() -> Any:
    return torch.autocast("cuda", torch.bfloat16) if CUDA else nullcontext()


def forever(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def ours(name: str, images: np.ndarray, batch_size: int, compiled: bool) -> Callable[[], None]:
    """`Pretraining`'s own step; what Lightning adds around it is left out for all contestants."""
    size = SIZES[name]
    module = Pretraining(
        create_backbone(Backbone.choose(name, size)), SimCLR(), image_size=size,
        images=len(images), seed=0, optimizer="sgd", learning_rate=0.01, weight_decay=1e-4,
        final_weight_decay=1e-4, steps=10**6, epochs=100, warmup_steps=0,
        channels_last=CUDA and not name.startswith("vit"), compile=compiled,
    ).to(DEVICE)  # fmt: skip
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    optimizer = module.configure_optimizers()
    views = SimCLRViews()  # with blur at every size, as the peers have it
    cache = ImageCache(ArrayImages(images, [str(n) for n in range(len(images))]), images.shape[1:3])
    dataset = CachedViewDataset(cache, views, size, seed=0)
    keys = [(0, index) for index in range(len(images))]
    batches = forever(
        DataLoader(dataset, batch_size, sampler=keys, collate_fn=as_is, drop_last=True)
    )

    def step() -> None:
        batch = next(batches)
        batch["images"] = batch["images"].to(DEVICE, non_blocking=True)
        with precision():
            loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


class Transformed(Dataset[Any]):
    def __init__(self, images: np.ndarray, transform: Callable[[Any], Any]) -> None:
        self.images = [Image.fromarray(image) for image in images]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.images[index])


def plain_loop(
    name: str, batch_size: int, workers: int, dataset: Dataset[Any], criterion: nn.Module
) -> Callable[[], None]:
    """What a peer's user writes around its transforms and its loss."""
    backbone = create_backbone(Backbone.choose(name, SIZES[name])).to(DEVICE)
    width = backbone.num_features
    head = SimCLRProjectionHead(width, width, 128).to(DEVICE)
    optimizer = build_optimizer(nn.ModuleList([backbone, head]), "sgd", 0.01, 1e-4)
    batches = forever(
        DataLoader(
            dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers,
            persistent_workers=workers > 0, pin_memory=CUDA,
        )
    )  # fmt: skip

    def step() -> None:
        first, second = (view.to(DEVICE, non_blocking=True) for view in next(batches))
        with precision():
            loss = criterion(head(backbone(first)), head(backbone(second)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def lightly_script(
    name: str, images: np.ndarray, batch_size: int, workers: int
) -> Callable[[], None]:
    transform = SimCLRTransform(input_size=SIZES[name], cj_strength=0.5)
    return plain_loop(name, batch_size, workers, Transformed(images, transform), NTXentLoss())


def stable_pretraining_script(
    name: str, images: np.ndarray, batch_size: int, workers: int
) -> Callable[[], None]:
    import stable_pretraining as spt
    from stable_pretraining.data import transforms

    one = transforms.Compose(
        transforms.RGB(),
        transforms.RandomResizedCrop((SIZES[name], SIZES[name]), scale=(0.08, 1.0)),
        transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
        transforms.RandomGrayscale(p=0.2),
        transforms.PILGaussianBlur(p=0.5),
        transforms.RandomHorizontalFlip(p=0.5),
        transforms.ToImage(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    )
    two = transforms.MultiViewTransform({"first": one, "second": one})

    def views(image: Any) -> list[torch.Tensor]:
        made = two({"image": image})
        return [made[view]["image"] for view in ("first", "second")]

    criterion = spt.losses.NTXEntLoss(temperature=0.5)
    return plain_loop(name, batch_size, workers, Transformed(images, views), criterion)


def seconds(step: Callable[[], None], count: int) -> float:
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        step()
    if CUDA:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def roofline() -> float:
    """Multiplications and additions a second of large matrix products."""
    side = 8192 if CUDA else 1024
    matrix = torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16 if CUDA else None)
    matrix @ matrix
    times = [seconds(lambda: matrix @ matrix, 3) for _ in range(5)]
    return 2 * side**3 / statistics.median(times)


def operations(name: str) -> int:
    """Of one view's forward and backward pass."""
    backbone = create_backbone(Backbone.choose(name, SIZES[name]))
    image = torch.randn(2, 3, SIZES[name], SIZES[name])
    with FlopCounterMode(display=False) as counter:
        backbone(image).sum().backward()
    return int(counter.get_total_flops() // 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps a round")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="of peers' loaders")
    parser.add_argument("--compile", action="store_true", help="also ours with torch.compile")
    options = parser.parse_args()

    peak = roofline()
    threads = f"{torch.get_num_threads()} threads, {peak / 1e12:.2f} TFLOP/s in matrix products"
    print(f"torch {torch.__version__}, timm {timm.__version__}, {DEVICE}, {threads}")
    for name in options.models.split(","):
        images = make_images(SIZES[name])
        batch_size = 256 if CUDA else CPU_BATCH[name]
        contestants = {"bradd": ours(name, images, batch_size, compiled=False)}
        if options.compile:
            contestants["bradd, compiled"] = ours(name, images, batch_size, compiled=True)
        contestants["lightly"] = lightly_script(name, images, batch_size, options.workers)
        try:
            peer = stable_pretraining_script(name, images, batch_size, options.workers)
            contestants["stable-pretraining"] = peer
        except ImportError as error:
            print(f"stable-pretraining is left out: {error}")
        times: dict[str, list[float]] = {contestant: [] for contestant in contestants}
        for step in contestants.values():
            seconds(step, 2)
        for _ in range(options.rounds):
            for contestant, step in contestants.items():
                times[contestant].append(seconds(step, options.steps))
        print(f"\n{name}, {SIZES[name]} pixels, batches of {batch_size} images")
        print("| | samples/s | share of roofline | against lightly |")
        print("|---|---|---|---|")
        reference = statistics.median(times["lightly"])
        for contestant, measured in times.items():
            median = statistics.median(measured)
            share = 2 * batch_size * operations(name) / median / peak
            print(f"| {contestant} | {batch_size / median:.1f} | {100 * share:.0f} % "
                  f"| x {reference / median:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
