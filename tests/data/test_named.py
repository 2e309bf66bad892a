from __future__ import annotations

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from sklearn.datasets import load_digits

import bradd.data.named as named
from bradd.data.idx import read_idx
from bradd.data.named import NAMES, Split, default_data_root, named_images
from bradd.errors import BraddError


def write_idx(file: Path, array: np.ndarray, kind: int = 8) -> None:
    header = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every download fails; the list tells which were tried."""
    tried: list[str] = []
    for name in ("CIFAR10", "FashionMNIST"):

        def download(self: object, name: str = name) -> None:
            tried.append(name)
            raise URLError("no route to host")

        monkeypatch.setattr(getattr(torchvision.datasets, name), "download", download)
    return tried


def test_digits_match_scikit_learn() -> None:
    digits = load_digits()
    train, test = named_images("digits", "train"), named_images("digits", "test")
    assert train.classes == test.classes == [str(digit) for digit in range(10)]
    seen = []
    for split, part in (("train", train), ("test", test)):
        for position in range(len(part.images)):
            given_split, index = part.images.name(position).split("/")
            assert given_split == split
            assert part.labels[position] == digits.target[int(index)]
            pixels = np.asarray(part.images.load(position))[..., 0]
            np.testing.assert_allclose(pixels, digits.images[int(index)] / 16 * 255, atol=0.5)
            seen.append(int(index))
    assert sorted(seen) == list(range(1797))
    shares = np.bincount(train.labels) / np.bincount(digits.target)
    np.testing.assert_allclose(shares, 0.7, atol=0.01)


def test_fashion_mnist_from_idx_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[str]
) -> None:
    random = np.random.default_rng(0)
    expected = {}
    for split, prefix, count in (("train", "train", 4), ("test", "t10k", 2)):
        arrays = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = random.integers(0, 10, count).astype(np.uint8)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", arrays)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", labels)
        expected[split] = (arrays, labels)
    monkeypatch.setattr(named, "DEBIAN_FASHION_MNIST", tmp_path)
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        part = named_images("fashion-mnist", split, root=tmp_path / "empty")
        arrays, labels = expected[split]
        assert part.labels.tolist() == labels.tolist()
        assert part.classes == torchvision.datasets.FashionMNIST.classes
        assert part.images.name(1) == f"{split}/00001"
        np.testing.assert_array_equal(np.asarray(part.images.load(1))[..., 0], arrays[1])
    assert no_network == []


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_torchvision_files_that_are_there_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dataset(root: Path, train: bool, download: bool) -> SimpleNamespace:
        assert (root, train, download) == (tmp_path, False, False)
        data = np.full((2, 4, 4, 3), 9, np.uint8)
        return SimpleNamespace(data=data, targets=[1, 0], classes=["plane", "car"])

    class_name = {"cifar10": "CIFAR10", "fashion-mnist": "FashionMNIST"}[name]
    monkeypatch.setattr(torchvision.datasets, class_name, dataset)
    monkeypatch.setenv("BRADD_DATA", str(tmp_path))
    part = named_images(name, "test")
    assert part.labels.tolist() == [1, 0]
    assert part.labels.dtype == np.int64
    assert part.classes == ["plane", "car"]
    assert part.images.load(0).getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_a_failed_download_says_where_and_how(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[str]
) -> None:
    monkeypatch.setattr(named, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    with pytest.raises(BraddError, match="no route to host") as caught:
        named_images(name, "train", root=tmp_path / "data")
    assert str(tmp_path / "data") in str(caught.value)
    assert "BRADD_DATA" in str(caught.value)
    assert len(no_network) == 1
    assert no_network[0] in str(caught.value)
    assert ("dataset-fashion-mnist" in str(caught.value)) == (name == "fashion-mnist")


def test_unknown_names_and_splits() -> None:
    with pytest.raises(BraddError, match=r"'cifar-10'\. Did you mean 'cifar10'\?"):
        named_images("cifar-10", "train")
    with pytest.raises(BraddError, match="Known are digits, fashion-mnist, cifar10") as caught:
        named_images("zzzz", "train")
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(BraddError, match="'train' or 'test'"):
        named_images("digits", "val")  # type: ignore[arg-type]
    assert NAMES == ("digits", "fashion-mnist", "cifar10")


def test_the_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRADD_DATA", "/somewhere")
    assert default_data_root() == Path("/somewhere")
    monkeypatch.delenv("BRADD_DATA")
    assert default_data_root() == Path.home() / ".cache/bradd"


def test_idx_files_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "x.gz"
    with pytest.raises(BraddError, match=r"x\.gz cannot be read"):
        read_idx(file)
    file.write_bytes(b"not gzip")
    with pytest.raises(BraddError, match=r"x\.gz cannot be read"):
        read_idx(file)
    write_idx(file, np.zeros((2, 2), np.uint8))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(BraddError, match=r"x\.gz cannot be read"):
        read_idx(file)
    write_idx(file, np.zeros((2, 2), np.float32), kind=13)
    with pytest.raises(BraddError, match="unsigned bytes"):
        read_idx(file)
    file.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 5, 1, 2, 3])))
    with pytest.raises(BraddError, match=r"3 values for the shape \[5\]"):
        read_idx(file)
