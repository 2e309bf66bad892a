r"""Do variations of rare images stay what their anchors are, without being copies?

    python benchmarks/fidelity.py --data fashion-mnist --cache runs/fidelity --out results/fidelity
    python benchmarks/fidelity.py --data CIFAR10_FOLDER --cache runs/fidelity --out results/fidelity

A long-tailed set (600 images of the largest class down to 6, 1,489 in all), an encoder trained on
it without labels, and a generator trained on it and on the encoder's embeddings, make variations of
anchors of all classes: head are the 3 most frequent of the ten, tail the 3 least. A classifier
trained with labels on the full, balanced training split judges them; anchors are images to which
it gives their own class. Printed, and written to OUT:

- *keep*: the share of variations that the classifier gives the anchor's class, for head, middle
  and tail;
- *diversity*: the mean distance between an anchor's variations over the mean distance between two
  real images of its class, in the classifier's features;
- *copies*: the share whose distance to its nearest training image, in pixels, is less than half of
  that image's distance to its own nearest neighbour and less than half of the median of these
  distances over the set; and *near*, the share for which the first alone is true;
- *FD*: the Frechet distance of the variations to as many held-out images of the same classes, in
  the classifier's features (lower is better).

In each row one part of the default is switched off or changed; *warped anchors* have no generator
at all, and the last row is what held-out images themselves get. With acceptance: what a round of
`bradd` keeps, refused pictures drawn again up to twice. Intervals: 95 % over anchors (Student's t).
Data, encoder, judge and generators are made once and kept in the cache.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import stats
from torch import Tensor
from torch.utils.data import Dataset

from bradd.data.resize import centre_view
from bradd.generate import RepresentationDiffusion
from bradd.generate.acceptance import Acceptance
from bradd.generate.warping import warp
from bradd.seeds import derive_seed, random_generator
from bradd.select import Rare
from bradd.select.thumbnail import thumbnails
from fidelity_judge import (
    GROUPS,
    VARIATIONS,
    Copies,
    Judge,
    LongTail,
    Made,
    frechet_distance,
    long_tail,
    mean_distance,
)
from fidelity_sheet import sheet, table

MOST_ANCHORS = 12  # of a class
DRAWS = 3  # of a variation, with acceptance
EMBEDDING_NOISE = 0.5  # times the embeddings' spread, in the row that noises them


class NoisedEmbedding(RepresentationDiffusion):
    """Conditioned on embeddings with noise, as unCLIP (Ramesh et al. 2022) can be."""

    def _loss(self, network: Any, space: Any, pixels: Any, condition: Any, *place: int) -> Tensor:
        random = torch.Generator().manual_seed(derive_seed(place[0], "embedding", place[1]))
        noise = torch.randn(condition.shape, generator=random)
        return super()._loss(network, space, pixels, condition + EMBEDDING_NOISE * noise, *place)

    def generate_closer(
        self, anchors: Any, embeddings: np.ndarray, seeds: Any, steps: Any
    ) -> list[Image.Image]:
        directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        spread = float(self._fitted()[1].scale)
        noise = [random_generator(seed, "noise").normal(size=directions.shape[1]) for seed in seeds]
        noised = directions + EMBEDDING_NOISE * spread * np.stack(noise).astype(np.float32)
        return super().generate_closer(anchors, noised.astype(np.float32), seeds, steps)


@dataclass(frozen=True)
class Configuration:
    """A generator and how it is fitted.

    Attributes:
        make: Builds the generator.
        fit: Those of the same name are fitted once.
        told: Whether it is told the embeddings.
        warm: Whether it is first fitted on the earlier embeddings.
    """

    make: Callable[..., RepresentationDiffusion] = RepresentationDiffusion
    fit: str = "default"
    told: bool = True
    warm: bool = False


class WarpedAnchors(RepresentationDiffusion):
    """What sampling starts from, before it is noised."""

    def fit(self, *arguments: Any, **others: Any) -> None:
        pass

    def generate(self, anchors: Any, embeddings: Any, seeds: Any) -> list[Image.Image]:
        pixels = torch.from_numpy(np.stack([np.asarray(anchor) for anchor in anchors]))
        amounts = np.full(len(seeds), self.warp)
        warped = warp(pixels.permute(0, 3, 1, 2), seeds, amounts)
        return [Image.fromarray(one) for one in warped.permute(0, 2, 3, 1).numpy()]


def configurations() -> dict[str, Configuration]:
    make = partial(partial, RepresentationDiffusion)
    few = RepresentationDiffusion().fit_steps(warm=True)
    return {
        "default": Configuration(),
        "warped anchors, not generated": Configuration(WarpedAnchors, "nothing"),
        "not warped": Configuration(make(warp=0.0)),
        "from noise alone": Configuration(make(strength=1.0)),
        "strength 0.7": Configuration(make(strength=0.7)),
        "strength 0.7, not warped": Configuration(make(strength=0.7, warp=0.0)),
        "guidance 1": Configuration(make(guidance=1.0)),
        "noise-only img2img": Configuration(make(guidance=1.0), "untold", told=False),
        "noised embedding": Configuration(NoisedEmbedding, "noised"),
        "learning rate 1e-3": Configuration(make(learning_rate=1e-3), "slow"),
        "no average of weights": Configuration(make(average=0.0), "last"),
        "warm start": Configuration(fit="warm", warm=True),
        "as many steps, not warm": Configuration(make(steps=few), "few"),
    }


class Stored(Dataset[tuple[Tensor, int]]):
    """The set's pixels as a generator learns from them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self._pixels[index]), index


def fitted(
    configuration: Configuration, subject: LongTail, seed: int, cache: Path
) -> tuple[RepresentationDiffusion, float]:
    """The generator, and the CPU seconds that its last fit took."""
    folder = cache / f"{configuration.fit}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    generator = configuration.make()
    images = Stored(subject.pixels)
    if configuration.warm and not (folder / "seconds.json").exists():
        generator.fit(images, subject.earlier_embeddings, seed + 1, folder)
    start = time.process_time()
    generator.fit(images, subject.embeddings, seed, folder)
    seconds = time.process_time() - start
    if not (folder / "seconds.json").exists():
        (folder / "seconds.json").write_text(json.dumps(seconds))
    return generator, float(json.loads((folder / "seconds.json").read_text()))


def untold(subject: LongTail) -> LongTail:
    """The same with embeddings that tell nothing, neither in training nor in sampling."""
    return replace(subject, embeddings=np.ones_like(subject.embeddings))


def anchors_of(subject: LongTail, judge: Judge, seed: int) -> np.ndarray:
    """Some images of each class, such as the judge gives that class."""
    known = judge.classes_of(judge(subject.pixels)) == subject.label_of[subject.classes]
    chosen = []
    for rank in range(len(subject.label_of)):
        members = np.flatnonzero((subject.classes == rank) & known)
        chosen.append(random_generator(seed, "anchors", rank).permutation(members)[:MOST_ANCHORS])
    return np.concatenate(chosen)


def made_by(
    generator: RepresentationDiffusion, subject: LongTail, anchors: np.ndarray, seed: int
) -> Made:
    """What the generator makes, all of it."""
    own = np.repeat(np.arange(len(anchors)), VARIATIONS)
    seeds = [variation_seed(seed, place, 0) for place in range(len(own))]
    pictures = generator.generate(
        subject.pictures(anchors[own]), subject.embeddings[anchors[own]], seeds
    )
    return Made(views(pictures, subject), own, len(own), len(own))


def accepted_of(
    generator: RepresentationDiffusion, subject: LongTail, anchors: np.ndarray, seed: int
) -> Made:
    """What a round would keep of it: refused pictures are drawn again, nearer or farther."""
    scores = Rare().select(subject.embeddings, len(anchors), 0).scores
    small = thumbnails(subject.pixels)
    rows = np.arange(len(subject.pixels))
    acceptance = Acceptance(
        subject.embeddings, len(rows), anchors, scores, rows, lambda chosen: small[chosen]
    )
    own = np.repeat(np.arange(len(anchors)), VARIATIONS)
    kept: dict[int, np.ndarray] = {}
    steps = np.zeros(len(own), dtype=np.int64)
    waiting, draws = np.arange(len(own)), 0
    for attempt in range(DRAWS):
        mine = anchors[own[waiting]]
        seeds = [variation_seed(seed, place, attempt) for place in waiting.tolist()]
        pictures = generator.generate_closer(
            subject.pictures(mine), subject.embeddings[mine], seeds, steps[waiting].tolist()
        )
        pixels = views(pictures, subject)
        draws += len(pixels)
        verdicts = acceptance.judge(
            subject.encoder(torch.from_numpy(pixels)), thumbnails(pixels), own[waiting], seeds
        )
        for place, image, verdict in zip(waiting.tolist(), pixels, verdicts, strict=True):
            steps[place] += verdict.step
            if not verdict.reason:
                kept[place] = image
        waiting = np.array([place for place in waiting if place not in kept], dtype=np.int64)
        if not len(waiting):
            break
    places = sorted(kept)
    return Made(np.stack([kept[place] for place in places]), own[places], len(own), draws)


def variation_seed(seed: int, place: int, attempt: int) -> int:
    return derive_seed(seed, "variation", place, attempt)


def views(pictures: list[Image.Image], subject: LongTail) -> np.ndarray:
    return np.stack([centre_view(picture, subject.pixels.shape[-1]) for picture in pictures])


def measured(
    made: Made, subject: LongTail, anchors: np.ndarray, judge: Judge, copies: Copies
) -> dict[str, Any]:
    """The numbers of a row, with what they are the means of: one for each anchor."""
    features = judge(made.pixels)
    wanted = subject.label_of[subject.classes[anchors]]
    right = judge.classes_of(features) == wanted[made.own]
    copied, near = copies(made.pixels)
    groups = subject.group(anchors)
    keep, diversity, copy, close = (np.full(len(anchors), np.nan) for _ in range(4))
    for anchor in range(len(anchors)):
        mine = np.flatnonzero(made.own == anchor)
        if len(mine):
            keep[anchor] = right[mine].mean()
            copy[anchor], close[anchor] = copied[mine].mean(), near[mine].mean()
        if len(mine) > 1:
            diversity[anchor] = mean_distance(features[mine]) / judge.spread[wanted[anchor]]
    real = held_out_like(wanted[made.own], judge)
    row: dict[str, Any] = {
        "kept_share": len(made.own) / made.wanted,
        "frechet": frechet_distance(features, judge.features[real]),
    }
    for group, name in enumerate(GROUPS):
        of = groups == group
        row[name] = {
            "keep": summary(keep[of]),
            "diversity": summary(diversity[of]),
            "copies": summary(copy[of]),
            "near": summary(close[of]),
            "accepted": float(np.isin(made.own, np.flatnonzero(of)).sum() / of.sum() / VARIATIONS),
        }
    return row


def held_out_like(labels: np.ndarray, judge: Judge) -> np.ndarray:
    """As many test images of each class."""
    chosen = []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        members = np.flatnonzero(judge.labels == label)
        chosen.append(random_generator(0, "real", int(label)).permutation(members[::2])[:count])
    return np.concatenate(chosen)


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean and half the width of its 95 % interval."""
    known = values[np.isfinite(values)]
    half = stats.t.ppf(0.975, len(known) - 1) * stats.sem(known) if len(known) > 1 else np.nan
    return {"mean": float(np.mean(known)), "half": float(half)}


def real_images(subject: LongTail, anchors: np.ndarray, judge: Judge, data: str) -> Made:
    """Held-out images of the anchors' classes in the place of variations."""
    from bradd.data import open_labelled

    test = open_labelled(data, "test")
    labels = subject.label_of[subject.classes[anchors]]
    own = np.repeat(np.arange(len(anchors)), VARIATIONS)
    rows = []
    for anchor, label in enumerate(labels.tolist()):
        members = np.flatnonzero(judge.labels == label)
        rows.append(random_generator(1, "real", anchor).permutation(members[1::2])[:VARIATIONS])
    pictures = [test.images.load(int(row)) for row in np.concatenate(rows)]
    return Made(views(pictures, subject), own, len(own), len(own))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="fashion-mnist, cifar10 or a labelled folder")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the set, the anchors and the fits")
    parser.add_argument("--encoder_epochs", type=int, default=240)
    parser.add_argument("--only", nargs="+", help="names of configurations; default: all")
    parser.add_argument("--sheet", type=Path, help="where to draw the default's variations")
    arguments = parser.parse_args()
    data, seed = arguments.data, arguments.seed
    subject = long_tail(data, seed, arguments.encoder_epochs, arguments.cache)
    judge = Judge(data, arguments.cache)
    copies = Copies(subject.pixels)
    anchors = anchors_of(subject, judge, seed)
    measure = partial(measured, subject=subject, anchors=anchors, judge=judge, copies=copies)
    print(
        f"{len(subject.pixels)} images, {len(anchors)} anchors; the judge is right on "
        f"{100 * judge.accuracy:.1f} % of the test images",
        flush=True,
    )
    rows = []
    for name, configuration in configurations().items():
        if arguments.only and name not in arguments.only:
            continue
        told = subject if configuration.told else untold(subject)
        generator, seconds = fitted(
            configuration, told, seed, arguments.cache / f"{Path(data).name}-{seed}"
        )
        for acceptance, make in (("no", made_by), ("yes", accepted_of)):
            if acceptance == "yes" and name != "default":
                continue
            made = make(generator, told, anchors, seed)
            facts = {"configuration": name, "acceptance": acceptance, "seconds": seconds}
            rows.append(facts | measure(made))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
            if name == "default" and acceptance == "yes" and arguments.sheet:
                sheet(subject, made, anchors, arguments.sheet)
    real = real_images(subject, anchors, judge, data)
    facts = {"configuration": "held-out images", "acceptance": "", "seconds": None}
    rows.append(facts | measure(real))
    print(table(rows))
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"fidelity-{Path(data).name}-{seed}"
    (arguments.out / f"{name}.md").write_text(table(rows), encoding="utf-8")
    (arguments.out / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
