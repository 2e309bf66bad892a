"""Tiny data sets in the formats in which the real ones are published."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat


def jpeg(path: Path, colour: int = 0) -> None:
    """A JPEG of 12 x 8 pixels, of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 8), (colour, colour, colour)).save(path)


def write_idx(file: Path, array: np.ndarray, kind: int = 8, zipped: bool = True) -> None:
    header = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content) if zipped else content)


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings: that is how CIFAR's files are."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, obj: bytes) -> None:
        short = len(obj) < 256
        self.write(b"U" + bytes([len(obj)]) if short else b"T" + struct.pack("<i", len(obj)))
        self.write(obj)
        self.memoize(obj)

    dispatch[bytes] = save_bytes


def python2_pickle(path: Path, content: Any) -> str:
    """Write a file and return its MD5 checksum."""
    stream = BytesIO()
    Python2Pickler(stream, protocol=2).dump(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue())
    return hashlib.md5(stream.getvalue()).hexdigest()


def cifar(
    root: Path, name: str, labels: dict[str, list[int]], patch: pytest.MonkeyPatch
) -> dict[str, np.ndarray]:
    """CIFAR-10 or CIFAR-100 for Python; returns each split's pixels, `[N, 32, 32, 3]`."""
    hundred = name == "CIFAR100"
    folder = root / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    files: dict[str, list[str]] = {
        "train": ["train"] if hundred else [f"data_batch_{number}" for number in range(1, 6)],
        "test": ["test"] if hundred else ["test_batch"],
    }
    random = np.random.default_rng(0)
    cls = getattr(torchvision.datasets, name)
    pixels = {}
    for split, names in files.items():
        of_split, checksums = [], []
        for file, chosen in zip(names, np.array_split(labels[split], len(names)), strict=True):
            rows = random.integers(0, 256, (len(chosen), 3072), np.uint8)
            entry = {
                b"data": rows,
                b"filenames": [b"a.png"] * len(chosen),
                b"batch_label": file.encode(),
                (b"fine_labels" if hundred else b"labels"): [int(label) for label in chosen],
            }
            if hundred:
                entry[b"coarse_labels"] = [0] * len(chosen)
            checksums.append([file, python2_pickle(folder / file, entry)])
            of_split.append(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        pixels[split] = np.concatenate(of_split)
        patch.setattr(cls, f"{split}_list", checksums)
    meta = {
        (b"fine_label_names" if hundred else b"label_names"): [b"apple", b"bear", b"crab"],
        b"coarse_label_names": [b"fruit"],
    }
    file = "meta" if hundred else "batches.meta"
    patch.setattr(cls, "meta", {**cls.meta, "md5": python2_pickle(folder / file, meta)})
    return pixels


def fashion_mnist(root: Path, labels: dict[str, list[int]]) -> None:
    for split, prefix in (("train", "train"), ("test", "t10k")):
        of_split = np.array(labels[split], np.uint8)
        pixels = np.zeros((len(of_split), 28, 28), np.uint8)
        pixels[:] = 10 * of_split[:, None, None]
        folder = root / "FashionMNIST/raw"
        write_idx(folder / f"{prefix}-images-idx3-ubyte", pixels, zipped=False)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", of_split, zipped=False)


def cars(root: Path, labels: dict[str, list[int]]) -> None:
    """The development kit's MATLAB files, whose classes begin at 1."""
    folder = root / "stanford_cars"
    annotations = {
        "train": folder / "devkit/cars_train_annos.mat",
        "test": folder / "cars_test_annos_withlabels.mat",
    }
    (folder / "devkit").mkdir(parents=True)
    for split, file in annotations.items():
        of_split = labels[split]
        fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
        table = np.zeros((1, len(of_split)), [(field, object) for field in fields])
        for row, label in enumerate(of_split):
            name = f"{row + 1:05d}.jpg"
            table[0, row] = (1, 2, 3, 4, np.uint8(label + 1), name)
            jpeg(folder / f"cars_{split}" / name, label)
        savemat(file, {"annotations": table})
    classes = np.empty((1, 3), object)
    classes[0] = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo 2012"]
    savemat(folder / "devkit/cars_meta.mat", {"class_names": classes})


def aircraft(root: Path, labels: dict[str, list[int]]) -> None:
    data = root / "fgvc-aircraft-2013b/data"
    data.mkdir(parents=True)
    variants = ["707-320", "ATR-42", "Cessna 172"]
    (data / "variants.txt").write_text("\n".join(variants) + "\n")
    number = 34309
    for split, of_split in labels.items():
        lines = []
        for label in of_split:
            number += 1
            jpeg(data / f"images/{number:07d}.jpg", label)
            lines.append(f"{number:07d} {variants[label]}\n")
        (data / f"images_variant_{split}.txt").write_text("".join(lines))


def flowers(root: Path, labels: dict[str, list[int]], patch: pytest.MonkeyPatch) -> None:
    """Images by number, and MATLAB files of the labels and of the splits' numbers."""
    folder = root / "flowers-102"
    every: list[int] = []
    numbers = {}
    # The splits' numbers lie in one another, as they do in the real files.
    for split in ("test", "train", "val"):
        start = len(every)
        every += labels[split]
        numbers[split] = np.arange(start + 1, len(every) + 1, dtype=np.uint16)[None, ::-1]
    for number, label in enumerate(every, start=1):
        jpeg(folder / f"jpg/image_{number:05d}.jpg", label)
    savemat(folder / "imagelabels.mat", {"labels": np.array(every, np.uint8)[None] + 1})
    ids = {"trnid": numbers["train"], "valid": numbers["val"], "tstid": numbers["test"]}
    savemat(folder / "setid.mat", ids)
    checksums = {
        key: (file, hashlib.md5((folder / file).read_bytes()).hexdigest())
        for key, file in (("label", "imagelabels.mat"), ("setid", "setid.mat"))
    }
    patch.setattr(torchvision.datasets.Flowers102, "_file_dict", checksums)


def pets(root: Path, labels: dict[str, list[int]]) -> None:
    """Image names, classes from 1, species and breed, in text files."""
    folder = root / "oxford-iiit-pet"
    breeds = ["Abyssinian", "american_bulldog", "Bengal"]
    (folder / "annotations").mkdir(parents=True)
    number = 99
    for split, file in (("train", "trainval.txt"), ("test", "test.txt")):
        lines = []
        for label in labels[split]:
            number += 1
            name = f"{breeds[label]}_{number}"
            jpeg(folder / f"images/{name}.jpg", label)
            lines.append(f"{name} {label + 1} {1 + (label == 1)} 1\n")
        (folder / "annotations" / file).write_text("".join(lines))


def imagenet(tree: Path, classes: tuple[str, ...], per_class: int = 2) -> None:
    """Class folders with ImageNet's file names; the files are no whole images."""
    for number, name in enumerate(classes):
        for image in range(per_class):
            path = tree / f"train/{name}/{name}_{image + 10}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d %d" % (number, image))
        path = tree / f"val/{name}/ILSVRC2012_val_{number + 1:08d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"validation %d" % number)


LABELS = {"train": [2, 0, 1, 1, 0, 2, 2], "val": [1, 2, 0], "test": [0, 1, 2, 2]}
"""Labels of each split; every split has every class, and no two are alike."""


def write_tree(name: str, root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Write the tree of a named data set with `LABELS`, and return its classes."""
    of: dict[str, Callable[[], object]] = {
        "cifar10": lambda: cifar(root, "CIFAR10", LABELS, patch),
        "cifar100": lambda: cifar(root, "CIFAR100", LABELS, patch),
        "fashion-mnist": lambda: fashion_mnist(root, LABELS),
        "cars": lambda: cars(root, LABELS),
        "aircraft": lambda: aircraft(root, LABELS),
        "flowers": lambda: flowers(root, LABELS, patch),
        "pets": lambda: pets(root, LABELS),
    }
    of[name]()
    return {
        "cifar10": ["apple", "bear", "crab"],
        "cifar100": ["apple", "bear", "crab"],
        "fashion-mnist": torchvision.datasets.FashionMNIST.classes,
        "cars": ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo 2012"],
        "aircraft": ["707-320", "ATR-42", "Cessna 172"],
        "flowers": torchvision.datasets.Flowers102.classes,
        "pets": ["Abyssinian", "American Bulldog", "Bengal"],
    }[name]
