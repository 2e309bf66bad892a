"""Long-tailed sets with 1 % of garbage, and encoders for them: what `rarity.py` measures with."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from torch import Tensor, nn

from bradd.data import (
    ArrayImages,
    Images,
    LabelledImages,
    Manifest,
    folder_images,
    long_tailed,
    open_labelled,
)
from bradd.data.resize import centre_view
from bradd.embedding import Encoder, embed
from bradd.inspection import Inspection, inspect_images
from bradd.run import Run
from bradd.seeds import random_generator
from bradd.ssl import load_backbone
from bradd.views.photometric import normalise

GARBAGE = "garbage"
GARBAGE_SHARE = 0.01
PCA_COMPONENTS = 64
EPOCHS = 10  # of the supervised network
BATCH = 64


@dataclass(frozen=True)
class LongTail:
    """A long-tailed set with garbage.

    Attributes:
        name: For people.
        parts: The images.
        ranks: 0 for the most frequent class and so on, -1 for garbage, `[N]`.
        sizes: Images of each class, the most frequent first, `[C]`.
    """

    name: str
    parts: list[Images]
    ranks: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of_labels(cls, name: str, parts: list[Images], labels: list[str]) -> LongTail:
        classes, counts = np.unique([x for x in labels if x != GARBAGE], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        rank_of = {str(classes[index]): rank for rank, index in enumerate(order)} | {GARBAGE: -1}
        return cls(name, parts, np.array([rank_of[label] for label in labels]), counts[order])

    @classmethod
    def of_folder(cls, folder: Path) -> LongTail:
        """As `prepare` writes them."""
        images = folder_images(folder)
        return cls.of_labels(str(folder), [images], [name.split("/")[0] for name in images.names])

    @classmethod
    def of_run(cls, run: Run) -> LongTail:
        """What the run was trained on."""
        data = run.read_config()["data"]
        if (Path(data) / GARBAGE).is_dir():
            return cls.of_folder(Path(data))
        manifest = Manifest.read(run.manifest)
        everything = open_labelled(data, "train")
        row_of = {everything.images.name(row): row for row in range(len(everything.images))}
        chosen = everything.subset([row_of[name] for name in manifest.names])
        planted = garbage(chosen.images, manifest.seed)
        labels = [chosen.classes[label] for label in chosen.labels] + [GARBAGE] * len(planted)
        names = [str(number) for number in range(len(planted))]
        return cls.of_labels(str(run.folder), [chosen.images, ArrayImages(planted, names)], labels)

    def inspect(self) -> Inspection:
        """What keeps images from being selected."""
        seen = [inspect_images(part) for part in self.parts]
        names = [field.name for field in fields(Inspection)]
        return Inspection(*(np.concatenate([getattr(x, name) for x in seen]) for name in names))


def garbage(images: Images, seed: int) -> np.ndarray:
    """Noise, black and white images in turn, 1 % of the images, of their size and colour."""
    example = np.asarray(images.load(0))
    grey = bool((example == example[:, :, :1]).all())
    shape = example.shape[:2] if grey else example.shape
    planted = np.zeros((round(GARBAGE_SHARE * len(images)), *shape), dtype=np.uint8)
    generator = random_generator(seed, "garbage")
    planted[0::3] = generator.integers(0, 256, planted[0::3].shape, dtype=np.uint8)
    planted[2::3] = 255
    return planted


def prepare(data: str, seeds: list[int], out: Path, shape: str, largest: int) -> None:
    """Write OUT/<seed>/<class>/*.png: a long-tailed subset and garbage, for each seed."""
    labelled = open_labelled(data, "train")
    for seed in seeds:
        subset = long_tail(labelled, shape, largest, seed)
        folders = [out / str(seed) / name.replace("/", "-") for name in [*subset.classes, GARBAGE]]
        for folder in folders:
            folder.mkdir(parents=True)
        for index, label in enumerate(subset.labels):
            subset.images.load(index).save(folders[label] / f"{index:05d}.png")
        for index, pixels in enumerate(garbage(subset.images, seed)):
            Image.fromarray(pixels).save(folders[-1] / f"{index:05d}.png")
        print(f"{out / str(seed)}: {np.bincount(subset.labels).tolist()} of {subset.classes}")


def long_tail(labelled: LabelledImages, shape: str, largest: int, seed: int) -> LabelledImages:
    """A long-tailed subset whose first class, of `largest` images at most, is a random one."""
    order = random_generator(seed, "class order").permutation(len(labelled.classes))
    labels = np.argsort(order)[labelled.labels]
    members = [np.flatnonzero(labels == rank)[:largest] for rank in range(len(order))]
    shuffled = LabelledImages(labelled.images, labels, [labelled.classes[i] for i in order])
    capped = shuffled.subset(np.sort(np.concatenate(members)))
    return capped.subset(long_tailed(capped, shape, seed)[0])


Embed = Callable[[LongTail], np.ndarray]  # to float32 `[N, D]`


def to_measure(arguments: Namespace) -> tuple[str, list[tuple[LongTail, Embed]]]:
    """What the encoders are, for people, and each set with the encoder it is measured with."""
    if arguments.runs:
        own = [(LongTail.of_run(Run(folder)), run_encoder(folder)) for folder in arguments.runs]
        return "Each set with the encoder trained on it without labels.", own
    sets = [LongTail.of_folder(Path(folder)) for folder in arguments.sets]
    encoders: list[Embed] = [components]
    if arguments.encoder == ["pca"]:
        about = "Principal components of the pixels."
    elif arguments.encoder == ["supervised"]:
        encoder, accuracy = supervised_encoder(arguments.data)
        encoders = [encoder]
        about = (
            "Features of a small network trained WITH labels on the test split, of which nothing "
            f"is in a set ({100 * accuracy:.0f} % right on others): not to be had in practice, the "
            "upper end."
        )
    else:
        encoders = [run_encoder(folder) for folder in arguments.encoder]
        trained_on = [str(Run(folder).read_config()["data"]) for folder in arguments.encoder]
        about = (
            "Encoders trained without labels, one a set in turn, but on other sets "
            f"({', '.join(trained_on)}), where the same classes had other frequencies."
        )
        for subject, folder in zip(sets, cycle(arguments.encoder), strict=False):
            # By content: a set prepared again in another folder is the same set.
            seen = json.loads((Path(folder) / "pool.json").read_text(encoding="utf-8"))
            if seen["fingerprint"] == subject.parts[0].fingerprint():
                about += f" Not so {subject.name}, which met the encoder trained on it."
    return about, list(zip(sets, cycle(encoders), strict=False))


def components(subject: LongTail) -> np.ndarray:
    """Principal components of the pixels."""
    side = min(subject.parts[0].load(0).size)
    pixels = np.concatenate([centre_views(part, side) for part in subject.parts])
    pca = PCA(PCA_COMPONENTS, svd_solver="randomized", random_state=0)
    embeddings: np.ndarray = pca.fit_transform(pixels.reshape(len(pixels), -1) / np.float32(255))
    return embeddings


def run_encoder(folder: str) -> Embed:
    """The encoder that a run trained."""
    model, plan, _ = load_backbone(Run(folder).backbone)
    return partial(embed_set, encoder=Encoder(model, plan.image_size))


def supervised_encoder(data: str) -> tuple[Embed, float]:
    """A network trained with labels on the test split, which no set holds anything of.

    Also its accuracy on some images of the training split.
    """
    train, test = open_labelled(data, "train"), open_labelled(data, "test")
    size = min(test.images.load(0).size)
    network = convolutions()
    classify = nn.Sequential(network, nn.Linear(128, len(test.classes)))
    train_classifier(classify, torch.from_numpy(centre_views(test.images, size)), test.labels)
    drawn = random_generator(0, "accuracy").permutation(len(train.labels))[:2000]
    others = train.subset(drawn)
    logits = embed(others.images, Encoder(classify, size))
    accuracy = float(np.mean(logits.argmax(axis=1) == others.labels))
    return partial(embed_set, encoder=Encoder(network, size)), accuracy


def convolutions() -> nn.Module:
    """Four convolutions from normalised images `[B, 3, S, S]` to features `[B, 128]`."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels, wider, stride in ((3, 24, 1), (24, 48, 2), (48, 96, 2), (96, 128, 2)):
        convolution = nn.Conv2d(channels, wider, 3, stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(wider), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def train_classifier(classify: nn.Module, pixels: Tensor, labels: np.ndarray) -> None:
    """By cross-entropy, with flips and shifts of up to 3 pixels."""
    steps = EPOCHS * (len(pixels) // BATCH)
    optimizer = torch.optim.AdamW(classify.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    targets = torch.from_numpy(labels)
    classify.train()
    for step in range(steps):
        generator = random_generator(0, "supervised", step)
        rows = generator.choice(len(pixels), BATCH, replace=False)
        batch = normalise(pixels[rows])
        if generator.random() < 0.5:
            batch = batch.flip(3)
        batch = batch.roll(tuple(generator.integers(-3, 4, 2).tolist()), (2, 3))
        loss = nn.functional.cross_entropy(classify(batch), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def embed_set(subject: LongTail, encoder: Encoder) -> np.ndarray:
    return np.concatenate([embed(part, encoder) for part in subject.parts])


def centre_views(images: Images, side: int) -> np.ndarray:
    """The central square of each image, uint8 `[N, 3, S, S]`."""
    return np.stack([centre_view(images.load(index), side) for index in range(len(images))])
