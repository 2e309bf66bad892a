"""How long the page of a large run takes, how much memory, and how large it is.

Five rounds of 500 anchors with five variations each, of synthetic images or a folder's, by
conventional augmentation and an untrained encoder: what is shown does not change what it costs.
The page is written by a process of its own, so that its memory is the page's alone.

    python benchmarks/page.py --out OUT [--data FOLDER] [--images 5000] [--side 32]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image

from bradd import Encoder, Pool, RoundSettings, rebalance
from bradd.generate import Augment
from bradd.select import Rare

GOAL_SECONDS, GOAL_GIB, GOAL_MB = 30, 2, 15


def synthetic_images(folder: Path, count: int, side: int) -> Path:
    """Coloured waves with some noise."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = np.linspace(0, 1, side)
    for number in range(count):
        random = np.random.default_rng(number)
        waves = [
            128 + 90 * np.sin(2 * np.pi * (a * grid[:, None] + b * grid[None] + c))
            for a, b, c in random.uniform(0, 3, (3, 3))
        ]
        noisy = np.stack(waves, axis=2) + random.normal(0, 12, (side, side, 3))
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        image.save(folder / f"{number:05d}.png")
    return folder


def make_run(data: Path, out: Path, cycles: int, side: int) -> None:
    torch.manual_seed(0)
    backbone = timm.create_model("resnet18", num_classes=0, channels=(16, 32, 64, 128))
    pool = Pool(data, out)
    settings = RoundSettings(Rare(), Augment(), n_anchors=500, n_variations=5)
    for cycle in range(1, cycles + 1):
        rebalance(pool, Encoder(backbone, side), cycle, settings)


def write_page(out: Path) -> None:
    from bradd.reporting import write_report

    start = time.perf_counter()
    page = write_report(out)
    seconds = time.perf_counter() - start
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    megabytes = page.stat().st_size / 1e6
    print(f"page: {seconds:.1f} s (goal {GOAL_SECONDS}), {gib:.2f} GiB at most (goal {GOAL_GIB}),")
    print(f"{megabytes:.1f} MB (goal {GOAL_MB}): {page}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--page-only", action="store_true", help="of a run that is there")
    given = parser.parse_args()
    if given.page_only:
        write_page(given.out)
        return
    data = given.data or synthetic_images(given.out / "images", given.images, given.side)
    make_run(data, given.out / "run", given.cycles, given.side)
    command = [sys.executable, __file__, "--out", str(given.out / "run"), "--page-only"]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
