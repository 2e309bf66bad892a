from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

import bradd.data.named as named
from bradd.data.idx import read_idx
from bradd.data.imagenet100 import IMAGENET100_CLASSES, refuse_validation_images
from bradd.data.images import FileImages
from bradd.data.named import NAMES, default_data_root, is_named, named_images, named_splits
from bradd.data.torchvision_sets import TORCHVISION_SETS
from bradd.errors import BraddError
from dataset_trees import LABELS, cifar, imagenet, jpeg, write_idx, write_tree


def names(split: named.LabelledImages) -> list[str]:
    return [split.images.name(row) for row in range(len(split.images))]


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


@pytest.mark.parametrize("name", list(TORCHVISION_SETS))
def test_each_data_set_is_read_in_its_own_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = write_tree(name, tmp_path, monkeypatch)
    monkeypatch.setenv("BRADD_DATA", str(tmp_path))
    has_val = name in ("aircraft", "flowers")
    assert named_splits(name) == (("train", "val", "test") if has_val else ("train", "test"))
    seen: set[str] = set()
    for split in named_splits(name):
        part = named_images(name, split)
        assert part.classes == classes
        # The flowers' splits list their numbers backwards here, so that order is seen to be kept.
        expected = LABELS[split][::-1] if name == "flowers" else LABELS[split]
        assert part.labels.tolist() == expected
        assert part.labels.dtype == np.int64
        assert not seen & set(names(part))
        seen.update(names(part))
        for row, label in enumerate(part.labels):
            image = part.images.load(row)
            assert image.mode == "RGB"
            if isinstance(part.images, FileImages):  # their grey is their label
                assert image.size == (12, 8)
                assert abs(image.getpixel((0, 0))[0] - label) <= 1
    if not has_val:
        with pytest.raises(BraddError, match=f"{name} has the splits train, test, but no .*'val'"):
            named_images(name, "val")


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_has_its_colours_where_they_belong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = cifar(tmp_path, name, LABELS, monkeypatch)
    for split in named_splits(name.lower()):
        part = named_images(name.lower(), split, tmp_path)
        assert names(part)[1] == f"{split}/00001"
        for row, expected in enumerate(pixels[split]):
            np.testing.assert_array_equal(np.asarray(part.images.load(row)), expected)


def test_a_pickle_with_another_checksum_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar(tmp_path, "CIFAR100", LABELS, monkeypatch)
    file = tmp_path / "cifar-100-python/test"
    file.write_bytes(file.read_bytes() + b" ")
    monkeypatch.setattr("pickle.load", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(
        BraddError, match=r"cifar100 in .*cifar-100-python is incomplete or damaged"
    ):
        named_images("cifar100", "train", tmp_path)


@pytest.mark.parametrize("name", list(TORCHVISION_SETS))
def test_files_that_are_not_there_are_named_and_nothing_is_downloaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_: object, **__: object) -> None:
        raise AssertionError("something was downloaded")

    monkeypatch.setattr("urllib.request.urlopen", download)
    monkeypatch.setattr(named, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    with pytest.raises(BraddError) as caught:
        named_images(name, "train", tmp_path)
    message = str(caught.value)
    assert f"{name} is not in {tmp_path}" in message
    assert str(tmp_path / TORCHVISION_SETS[name].folder) in message
    assert "BRADD_DATA" in message
    assert "\n" not in message
    if name == "cars":
        assert "github.com/pytorch/vision/issues/7545" in message
    else:
        assert f"{TORCHVISION_SETS[name].class_name}('bradd-data', download=True)" in message


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cars", "stanford_cars/devkit/cars_meta.mat"),
        ("cars", "stanford_cars/devkit/cars_train_annos.mat"),
        ("aircraft", "fgvc-aircraft-2013b/data/images_variant_train.txt"),
        ("aircraft", "fgvc-aircraft-2013b/data/variants.txt"),
        ("flowers", "flowers-102/setid.mat"),
        ("pets", "oxford-iiit-pet/annotations/trainval.txt"),
        ("fashion-mnist", "FashionMNIST/raw/train-labels-idx1-ubyte"),
    ],
)
@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_an_incomplete_data_set_is_one_message(
    name: str, file: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(name, tmp_path, monkeypatch)
    path = tmp_path / file
    if damage == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2 - 2] if damage == "cut" else b"")
    with pytest.raises(BraddError, match="incomplete or damaged"):
        named_images(name, "train", tmp_path)


@pytest.mark.parametrize("folder", ["imagenet100", "imagenet", "."])
def test_imagenet100_is_taken_out_of_a_larger_tree(folder: str, tmp_path: Path) -> None:
    imagenet(tmp_path / folder, (*IMAGENET100_CLASSES, "n00000000", "n99999999"))
    train = named_images("imagenet100", "train", tmp_path)
    test = named_images("imagenet100", "test", tmp_path)
    assert train.classes == test.classes == list(IMAGENET100_CLASSES)
    assert train.labels.tolist() == sorted(list(range(100)) * 2)
    assert test.labels.tolist() == list(range(100))
    for part, subfolder in ((train, "train"), (test, "val")):
        for name, label in zip(names(part), part.labels, strict=True):
            assert name.startswith(f"{subfolder}/{part.classes[label]}/")


def test_imagenet100_that_is_not_there_or_lacks_a_class(tmp_path: Path) -> None:
    with pytest.raises(BraddError, match=r"register at https://image-net.org") as caught:
        named_images("imagenet100", "train", tmp_path)
    assert str(tmp_path / "imagenet100") in str(caught.value)
    imagenet(tmp_path, IMAGENET100_CLASSES)
    shutil.rmtree(tmp_path / "val" / IMAGENET100_CLASSES[7])
    named_images("imagenet100", "train", tmp_path)
    with pytest.raises(BraddError, match=f"1 of the 100 .* {IMAGENET100_CLASSES[7]}. If"):
        named_images("imagenet100", "test", tmp_path)


def test_the_classes_of_imagenet100() -> None:
    assert len(set(IMAGENET100_CLASSES)) == 100
    assert list(IMAGENET100_CLASSES) == sorted(IMAGENET100_CLASSES)
    assert all(len(name) == 9 and name[1:].isdigit() for name in IMAGENET100_CLASSES)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("val/n01558993/ILSVRC2012_val_00000001.JPEG", True),
        ("train/n01558993/ILSVRC2012_val_00000001.JPEG", True),
        ("ILSVRC2012_val_00000001.png", True),
        ("train/n01558993/n01558993_10.JPEG", False),
        ("ILSVRC2012_val_00000001/photo.jpg", False),
        ("my_ILSVRC2012_val_00000001.jpg", False),
    ],
)
def test_imagenets_validation_images_go_by_their_names(name: str, refused: bool) -> None:
    if not refused:
        refuse_validation_images(["a.jpg", name], "the list")
        return
    with pytest.raises(BraddError, match="the list has 1 of ImageNet's validation images"):
        refuse_validation_images(["a.jpg", name], "the list")


def test_fashion_mnist_as_debian_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    monkeypatch.setattr(named, "DEBIAN_FASHION_MNIST", tmp_path)
    for prefix, count in (("train", 4), ("t10k", 2)):
        arrays = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = random.integers(0, 10, count).astype(np.uint8)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", arrays)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", labels)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        part = named_images("fashion-mnist", split, tmp_path / "empty")
        labels = read_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz")
        arrays = read_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz")
        assert part.labels.tolist() == labels.tolist()
        assert part.classes == torchvision.datasets.FashionMNIST.classes
        assert part.images.name(1) == f"{split}/00001"
        np.testing.assert_array_equal(np.asarray(part.images.load(1))[..., 0], arrays[1])


def test_unknown_names_and_splits() -> None:
    with pytest.raises(BraddError, match=r"'cifar-10'\. Did you mean 'cifar10'\?"):
        named_images("cifar-10", "train")
    with pytest.raises(BraddError, match="Known are digits, fashion-mnist, cifar10") as caught:
        named_images("zzzz", "train")
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(BraddError, match="train, test, but no split 'val'"):
        named_images("digits", "val")
    with pytest.raises(BraddError, match="train, val, test, but no split 'training'"):
        named_images("digits", "training")
    assert set(NAMES) == {
        "digits", "fashion-mnist", "cifar10", "cifar100", "cars", "aircraft", "flowers", "pets",
        "imagenet100",
    }  # fmt: skip
    assert all(map(is_named, (*NAMES, "hf:someone/something")))
    assert not any(map(is_named, ("cifar-10", "./digits", Path("digits"))))


def test_a_file_that_is_gone_is_found_by_the_check_of_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree("pets", tmp_path, monkeypatch)
    gone = tmp_path / "oxford-iiit-pet/images/Abyssinian_101.jpg"
    gone.unlink()
    train = named_images("pets", "train", tmp_path)
    assert names(train)[1] == "oxford-iiit-pet/images/Abyssinian_101.jpg"
    with pytest.raises(BraddError, match=r"Abyssinian_101\.jpg: No such file"):
        train.images.load(1)
    jpeg(gone, 5)
    assert isinstance(train.images.load(1), Image.Image)


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
