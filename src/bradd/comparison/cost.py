"""What a comparison will cost, from a short calibration on this machine."""

from __future__ import annotations

import copy
import io
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bradd.comparison.settled import SettledArm
from bradd.comparison.study import Evaluation, StudyRun
from bradd.comparison.subsets import images_of
from bradd.console import say, show_table
from bradd.data import Images, SubsetImages
from bradd.data.resize import centre_view
from bradd.data.training_set import TrainingSet
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.generate import Duplicate, Generator, RepresentationDiffusion
from bradd.generate.representation_space import LARGEST_IN_PIXELS
from bradd.presets import Settings
from bradd.run import Run
from bradd.select import Uniform
from bradd.ssl import Backbone
from bradd.training import build_module, fit

__all__ = ["Cost", "estimate", "say_estimate"]

log = logging.getLogger(__name__)

BATCHES, EPOCHS = 3, 2  # of the training that is timed; the first epoch warms up
PICTURES = 8  # that are generated
STEPS = 10  # of the fit that is timed
DRAWS = 1.3  # of a variation, as a usual round needs them


@dataclass(frozen=True)
class Cost:
    """Of one run, without the probes of its evaluation.

    Attributes:
        seconds: Of training, of its rounds as far as is known, and of embedding what it is
            evaluated on.
        disk: Bytes that stay, the cached features among them.
        unknown: What could not be measured, and why; empty if everything was.
    """

    seconds: float
    disk: int
    unknown: str = ""


@dataclass(frozen=True)
class _Training:
    seconds_per_sample: float
    seconds_per_embedding: float
    embedding_size: int
    disk: int


def estimate(
    settled: Sequence[SettledArm], runs: Sequence[StudyRun], evaluated: int
) -> dict[str, Cost]:
    """Estimate the cost of a run of each arm by doing a little of each.

    Args:
        settled: The arms.
        runs: One of each, in the same order.
        evaluated: How many labelled images each is evaluated on, all splits together.

    Returns:
        By arm.

    Raises:
        BraddError: The few training steps failed.
    """
    trainings: dict[str, _Training] = {}
    found = {}
    for one, run in zip(settled, runs, strict=True):
        chosen = one.settings
        images = images_of(run.settings["data"], run.settings.get("manifest"))
        of_round = ("selector", "generator", "n_anchors", "n_variations", "cycles")
        of_length = ("epochs_per_cycle", "first_round", "warmup_epochs", "health_every_n_epochs")
        config = {
            name: value
            for name, value in chosen.to_config().items()
            if name not in (*of_round, *of_length, "seed")
        }
        key = repr(config)
        if key not in trainings:
            say(f"calibrate: {BATCHES * EPOCHS} training steps of {one.arm.name}")
            trainings[key] = _timed_training(chosen, images)
        found[one.arm.name] = _with_evaluation(
            _cost(one, images, trainings[key]), trainings[key], evaluated
        )
    return found


def say_estimate(runs: Sequence[StudyRun], costs: dict[str, Cost], evaluation: Evaluation) -> None:
    """Print which runs there are, which are finished, and what the others will cost."""
    rows, seconds, disk = [], 0.0, 0
    for arm, cost in costs.items():
        mine = [run for run in runs if run.arm.name == arm]
        left = sum(not run.is_finished(evaluation) for run in mine)
        seconds += left * cost.seconds
        disk += left * cost.disk
        more = " + ?" if cost.unknown else ""
        rows.append(
            [
                arm,
                str(len(mine)),
                str(left),
                f"{cost.seconds / 3600:.2f}{more}",
                f"{cost.disk / 1e6:.0f}",
            ]
        )
    header = ["arm", "runs", "to do", "hours a run", "MB a run"]
    show_table("Runs, without kNN and linear probe", header, rows)
    for arm, cost in costs.items():
        if cost.unknown:
            say(f"{arm}: {cost.unknown}")
    say(
        f"In all about {seconds / 3600:.1f} hours on this machine and {disk / 1e9:.2f} GB, "
        "extrapolated from a few steps."
    )


def _timed_training(settings: Settings, images: Images) -> _Training:
    count = min(len(images), BATCHES * settings.batch_size)
    few = SubsetImages(images, np.linspace(0, len(images) - 1, count).astype(np.int64))
    sizes = np.array([few.load(row).size for row in range(count)], np.int32)
    short = replace(
        settings,
        cycles=1,
        epochs_per_cycle=EPOCHS,
        warmup_epochs=0,
        health_every_n_epochs=EPOCHS + 1,
        # Of rounds, which there are none of, nothing is to be looked for.
        selector=Uniform(),
        generator=Duplicate(),
        n_anchors=2,
        n_variations=1,
    )
    plan = Backbone.choose(
        short.backbone, short.image_size, short.backbone_kwargs, len(short.view_sizes()) > 1
    )
    module = build_module(plan, short, count, from_checkpoint=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        fit(run, short, module, TrainingSet(few, sizes, [], None), None, resume=False)
        speed = float(run.metrics.read_text().splitlines()[-1].split(",")[_column(run.metrics)])
        disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    module.to(_device())  # Lightning leaves it on the CPU
    encoder = Encoder(module.get_submodule(short.method.encoder), short.image_size)
    start = time.perf_counter()
    found = embed(few, encoder, num_workers=short.num_workers, description="calibrate: embed")
    each = (time.perf_counter() - start) / count
    return _Training(1 / speed, each, found.shape[1], disk)


def _with_evaluation(cost: Cost, training: _Training, evaluated: int) -> Cost:
    features = 4 * evaluated * training.embedding_size
    seconds = evaluated * training.seconds_per_embedding
    return replace(cost, seconds=cost.seconds + seconds, disk=cost.disk + features)


def _column(metrics: Path) -> int:
    return metrics.read_text().splitlines()[0].split(",").index("images_per_second")


def _cost(settled: SettledArm, images: Images, training: _Training) -> Cost:
    settings = settled.settings
    rounds = max(0, settings.cycles - settings.first_round)
    pictures = settings.n_anchors * settings.n_variations
    seconds = settled.budget * training.seconds_per_sample
    if not rounds:
        return Cost(seconds, training.disk)
    pools = [len(images) + number * pictures for number in range(rounds)]
    seconds += sum(pools) * training.seconds_per_embedding
    try:
        settings.generator.check()
        fitting, making, size = _timed_generator(settings, images, rounds)
    except BraddError as error:
        return Cost(seconds, training.disk, f"without the time of the generator: {error}")
    draws = DRAWS if settings.acceptance and settings.generator.judged else 1.0
    seconds += fitting + rounds * pictures * draws * (making + training.seconds_per_embedding)
    return Cost(seconds, training.disk + int(rounds * pictures * draws * size))


def _timed_generator(settings: Settings, images: Images, rounds: int) -> tuple[float, float, float]:
    """Seconds of all fits, seconds a picture, bytes a picture."""
    generator: Generator = copy.copy(settings.generator)
    generator.device = _device()
    views = _Views(images, settings.image_size)
    embeddings = np.random.default_rng(0).normal(size=(len(views), 64)).astype(np.float32)
    if isinstance(generator, RepresentationDiffusion):
        fitting = _timed_fits(generator, views, embeddings, rounds)
    else:
        fitting = rounds * _seconds(lambda: generator.fit(views, embeddings, 0))
    anchors = [images.load(row) for row in range(min(PICTURES, len(images)))]
    start = time.perf_counter()
    made = generator.generate(anchors, embeddings[: len(anchors)], list(range(len(anchors))))
    making = (time.perf_counter() - start) / len(made)
    buffer = io.BytesIO()
    for picture in made:
        picture.save(buffer, "png")
    return fitting, making, buffer.tell() / len(made)


def _timed_fits(
    generator: RepresentationDiffusion, views: _Views, embeddings: np.ndarray, rounds: int
) -> float:
    """Seconds of the first round's fit and of the warm ones, from two short ones."""
    steps = generator.steps + (rounds - 1) * generator.fit_steps(warm=True)
    autoencoder_steps = generator.autoencoder_steps

    def seconds(steps: int, autoencoder_steps: int) -> float:
        generator.steps, generator.autoencoder_steps = steps, autoencoder_steps
        return _seconds(lambda: generator.fit(views, embeddings, 0))

    least = seconds(STEPS, STEPS)
    a_step = max(0.0, seconds(2 * STEPS, STEPS) - least) / STEPS
    found = rounds * least + steps * a_step
    if _trains_autoencoder(generator, views):
        found += autoencoder_steps * max(0.0, seconds(STEPS, 2 * STEPS) - least) / STEPS
    return found


def _trains_autoencoder(generator: RepresentationDiffusion, views: _Views) -> bool:
    """Whether one is trained on the images, in the first round."""
    size = generator.image_size or views.size
    return generator.autoencoder is None and size > LARGEST_IN_PIXELS


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Views(Dataset[tuple[Tensor, int]]):
    """Centre views of the first images."""

    def __init__(self, images: Images, size: int) -> None:
        self._images = images
        self.size = size

    def __len__(self) -> int:
        return min(256, len(self._images))

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(centre_view(self._images.load(index), self.size)), index
