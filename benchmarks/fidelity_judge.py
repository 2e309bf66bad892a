"""A long-tailed set, an encoder trained on it and a judge: what `fidelity.py` measures with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import linalg
from torch import Tensor, nn

import bradd
import long_tails
from bradd.data import LabelledImages, folder_images, open_labelled
from bradd.data.resize import centre_view
from bradd.embedding import Encoder, embed
from bradd.run import Run
from bradd.seeds import random_generator
from bradd.ssl import load_backbone
from long_tails import centre_views, convolutions, train_classifier

SAMPLES_JUDGED_BY = 200_000  # about as many are shown to the judge in its training
LARGEST, RATIO = 600, 100  # images of the largest class, and how many times the smallest
VARIATIONS = 8  # of an anchor
GROUPS = ("head", "middle", "tail")  # the first 3 classes, the next 4, the last 3 of ten


@dataclass(frozen=True)
class LongTail:
    """A long-tailed set with everything that variations of its images are compared with.

    Attributes:
        pixels: Of the images, uint8 `[N, 3, S, S]`.
        classes: 0 for the most frequent class and so on, `[N]`.
        label_of: The judge's label of each class, `[C]`.
        encoder: Trained on these images without labels.
        embeddings: Of the images, float32 `[N, D]`.
        earlier_embeddings: When the encoder had been trained for two thirds of the time.
    """

    pixels: np.ndarray
    classes: np.ndarray
    label_of: np.ndarray
    encoder: Encoder
    embeddings: np.ndarray
    earlier_embeddings: np.ndarray

    def group(self, images: np.ndarray) -> np.ndarray:
        """0 for head, 1 for middle and 2 for tail, of each image."""
        groups: np.ndarray = np.digitize(self.classes[images], [3, 7])
        return groups

    def pictures(self, images: np.ndarray) -> list[Image.Image]:
        return [Image.fromarray(self.pixels[image].transpose(1, 2, 0)) for image in images]


def long_tail(data: str, seed: int, epochs: int, cache: Path) -> LongTail:
    """The set of this seed, and the encoder, trained where the cache lacks it.

    The largest class is the data set's first for seed 0, and so on in its order; a random one
    otherwise.
    """
    labelled = open_labelled(data, "train")
    classes = len(labelled.classes)
    order = np.arange(classes)
    if seed:
        order = random_generator(seed, "class order").permutation(classes)
    folder = cache / f"{Path(data).name}-{seed}"
    if not (folder / "images").is_dir():
        write_images(labelled, order, seed, folder / "images")
    if not (folder / "encoder" / "backbone.safetensors").exists():
        bradd.pretrain(
            folder / "images",
            folder / "encoder",
            cycles=3,
            epochs_per_cycle=epochs // 3,
            generator=KeepEmbeddings(str(folder)),
            n_anchors=2,
            n_variations=1,
            backbone="resnet18",
            backbone_kwargs={
                "channels": [12, 24, 48, 128],
                "layers": [1, 1, 1, 1],
                "stem_stride": 2,
            },
            seed=seed,
            num_workers=0,
            overwrite=True,
        )
    images = folder_images(folder / "images")
    model, plan, _ = load_backbone(Run(folder / "encoder").backbone)
    encoder = Encoder(model, plan.image_size)
    ranks = np.array([int(name.split("/")[0]) for name in images.names])
    pixels = centre_views(images, plan.image_size)
    earlier = np.load(folder / "embeddings.npy")
    return LongTail(pixels, ranks, order, encoder, embed(images, encoder), earlier)


class KeepEmbeddings(bradd.Duplicate):
    """Keeps the embeddings that each round would fit a generator on."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def fit(self, images: Any, embeddings: np.ndarray, *arguments: Any, **others: Any) -> None:
        np.save(Path(self.folder) / "embeddings.npy", embeddings)
        super().fit(images, embeddings, *arguments, **others)


def write_images(labelled: LabelledImages, order: np.ndarray, seed: int, folder: Path) -> None:
    """FOLDER/<rank of the class>/<index>.png."""
    sizes = np.rint(LARGEST * RATIO ** (-np.arange(len(order)) / (len(order) - 1))).astype(int)
    for rank, (label, size) in enumerate(zip(order, sizes, strict=True)):
        (folder / str(rank)).mkdir(parents=True)
        members = np.flatnonzero(labelled.labels == label)
        for index in random_generator(seed, "images", rank).permutation(members)[:size]:
            labelled.images.load(int(index)).save(folder / str(rank) / f"{index:05d}.png")


@dataclass
class Made:
    """Variations: their pixels `[V, 3, S, S]`, and which of the anchors each is of, `[V]`."""

    pixels: np.ndarray
    own: np.ndarray
    wanted: int
    draws: int


class Judge:
    """A classifier trained with labels on the full, balanced training split.

    Attributes:
        accuracy: On the test split.
        features: Of the test split's images, float32 `[T, F]`.
        labels: Of the test split's images, `[T]`.
        spread: Mean distance between the features of two images of a class, `[C]`.
    """

    def __init__(self, data: str, cache: Path) -> None:
        train, test = open_labelled(data, "train"), open_labelled(data, "test")
        self._size = size = min(test.images.load(0).size)
        self._network = convolutions()
        self._head = nn.Linear(128, len(train.classes))
        classify = nn.Sequential(self._network, self._head)
        weights = cache / f"{Path(data).name}-judge.safetensors"
        if weights.exists():
            classify.load_state_dict(load_file(weights))
        else:
            pixels = torch.from_numpy(centre_views(train.images, size))
            long_tails.EPOCHS = 1 + SAMPLES_JUDGED_BY // len(pixels)
            train_classifier(classify, pixels, train.labels)
            weights.parent.mkdir(parents=True, exist_ok=True)
            save_file(classify.state_dict(), weights)
        self._encoder = Encoder(self._network, size)
        self.labels = test.labels
        self.features = embed(test.images, self._encoder)
        self.accuracy = float(np.mean(self.classes_of(self.features) == test.labels))
        self.spread = np.array(
            [
                mean_distance(self.features[test.labels == label][:200])
                for label in range(len(test.classes))
            ]
        )

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Features of uint8 `[B, 3, S, S]` of any size S, float32 `[B, F]`."""
        pictures = [Image.fromarray(picture.transpose(1, 2, 0)) for picture in pixels]
        sized = np.stack([centre_view(picture, self._size) for picture in pictures])
        parts = torch.from_numpy(sized).split(256)
        return np.concatenate([self._encoder(part) for part in parts])

    @torch.no_grad()
    def classes_of(self, features: np.ndarray) -> np.ndarray:
        logits: Tensor = self._head.eval()(torch.from_numpy(features))
        return logits.argmax(dim=1).numpy()


def mean_distance(points: np.ndarray) -> float:
    """Between two different points of `[P, F]`."""
    total = float(np.sqrt(squared_distances(points, points)).sum())
    return total / (len(points) * (len(points) - 1))


def squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    a, b = points.astype(np.float64), others.astype(np.float64)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    if points is others:
        np.fill_diagonal(squares, 0)
    return squares.clip(0)


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Between normal distributions fitted to both (Heusel et al., NeurIPS 2017)."""
    a, b = features.astype(np.float64), others.astype(np.float64)
    covariances = [np.cov(part, rowvar=False) for part in (a, b)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    traces = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root.real)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + traces)


class Copies:
    """Which pictures are copies of a training image.

    A copy's distance to its nearest training image is less than half of that image's distance to
    its own nearest neighbour, and less than half of what this distance usually is (the median over
    the set): rare images are far from all others. Euclidean, of pixels.
    """

    def __init__(self, images: np.ndarray) -> None:
        self._images = images.reshape(len(images), -1).astype(np.float32)
        squares = squared_distances(self._images, self._images)
        np.fill_diagonal(squares, np.inf)
        self._own = np.sqrt(squares.min(axis=1))

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether each is one, and whether it would be by the first half of the rule alone."""
        distances = np.sqrt(squared_distances(pixels.reshape(len(pixels), -1), self._images))
        nearest = distances.argmin(axis=1)
        near = distances.min(axis=1) < 0.5 * self._own[nearest]
        return near & (distances.min(axis=1) < 0.5 * np.median(self._own)), near
