"""Images a second of `StableUnCLIP`, beside diffusers' plain call for each image.

    python benchmarks/generate.py [--architecture tiny|sd21-unclip | --model FOLDER] [--compile]

The plain contestant is the loop that the paper's authors ran: for each variation one call of
`StableUnCLIPImg2ImgPipeline` with one anchor. Ours gets the same anchors, steps, guidance and
weights; `fast` is ours with DPM-Solver++ and fewer steps, whose pictures are others. Random weights
of the real architecture will do, since what is measured does not depend on their values. Rounds of
all contestants are interleaved; the medians are printed. On a GPU everything is bf16, on a CPU
float32 with the tiny architecture. The roofline is the rate at which this machine multiplies large
matrices of the same type; the share is what the multiplications that the pictures take make of it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import StableUnCLIPImg2ImgPipeline
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from bradd.generate import StableUnCLIP

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from random_pipelines import SD21_UNCLIP, TINY, unclip

ARCHITECTURES = {"tiny": TINY, "sd21-unclip": SD21_UNCLIP}
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
DTYPE = torch.bfloat16 if CUDA else torch.float32


def make_anchors(count: int) -> list[Image.Image]:
    """Smooth noise at the size of a photo's shorter side."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(image).resize((500, 375)) for image in coarse]


def plain(folder: Path, anchors: list[Image.Image], steps: int) -> Callable[[], None]:
    pipeline: Any = StableUnCLIPImg2ImgPipeline.from_pretrained(folder).to(DEVICE, DTYPE)
    pipeline.set_progress_bar_config(disable=True)

    def make() -> None:
        for seed, anchor in enumerate(anchors):
            random = torch.Generator().manual_seed(seed)
            pipeline(
                image=anchor, prompt="", num_inference_steps=steps, guidance_scale=10.0,
                generator=random,
            )  # fmt: skip

    return make


def ours(folder: Path, anchors: list[Image.Image], **settings: Any) -> Callable[[], None]:
    generator = StableUnCLIP(model=str(folder), **settings)
    generator.device = DEVICE
    seeds = list(range(len(anchors)))

    def make() -> None:
        generator.generate(anchors, np.zeros((len(anchors), 1), np.float32), seeds)

    return make


def seconds(make: Callable[[], None]) -> float:
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    make()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def roofline() -> float:
    """Multiplications and additions a second of large matrix products."""
    side = 8192 if CUDA else 1024
    matrix = torch.randn(side, side, device=DEVICE, dtype=DTYPE)
    matrix @ matrix
    times = [seconds(lambda: matrix @ matrix) for _ in range(10)]
    return 2 * side**3 / statistics.median(times)


def operations(make: Callable[[], None]) -> int:
    """Multiplications and additions of one picture made alone."""
    with FlopCounterMode(display=False) as counter:
        make()
    return int(counter.get_total_flops())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="tiny")
    parser.add_argument("--model", type=Path, help="a folder with weights, instead")
    parser.add_argument("--anchors", type=int, default=4)
    parser.add_argument("--variations", type=int, default=4, help="of each anchor")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--fast_steps", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="also ours with torch.compile")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.model or Path(temporary)
        if options.model is None:
            unclip(ARCHITECTURES[options.architecture]).to(DTYPE).save_pretrained(folder)
        compare(folder, options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    anchors = [one for one in make_anchors(options.anchors) for _ in range(options.variations)]
    usual: dict[str, Any] = {"steps": options.steps}
    fast: dict[str, Any] = {"steps": options.fast_steps, "scheduler": "dpm++"}
    configurations = {"bradd": usual, f"bradd, fast ({options.fast_steps} steps)": fast}
    if options.compile:
        configurations |= {
            f"{name}, compiled": {**settings, "compile": True}
            for name, settings in configurations.items()
        }
    contestants = {"diffusers, a call an image": plain(folder, anchors, options.steps)}
    counts = {}
    for name, settings in configurations.items():
        contestants[name] = ours(folder, anchors, batch_size=options.batch_size, **settings)
        alone = {**settings, "compile": False, "batch_size": 1}
        counts[name] = operations(ours(folder, anchors[:1], **alone))
    counts["diffusers, a call an image"] = counts["bradd"]

    peak = roofline()
    threads = f"{torch.get_num_threads()} threads, {peak / 1e12:.2f} TFLOP/s in matrix products"
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}, {DEVICE}, {threads}")
    print(f"{options.model or options.architecture}, {DTYPE}, {options.anchors} anchors with "
          f"{options.variations} variations each, {options.steps} steps, batches of "
          f"{options.batch_size}; {counts['bradd'] / 1e12:.3g} TFLOP an image")  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for make in contestants.values():
        make()
    for _ in range(options.rounds):
        for name, make in contestants.items():
            times[name].append(seconds(make) / len(anchors))
    print("| | images/s | share of roofline | against diffusers |")
    print("|---|---|---|---|")
    reference = statistics.median(times["diffusers, a call an image"])
    for name, measured in times.items():
        median = statistics.median(measured)
        share = counts[name] / median / peak
        print(f"| {name} | {1 / median:.3g} | {100 * share:.0f} % | x {reference / median:.2f} |")


if __name__ == "__main__":
    main()
