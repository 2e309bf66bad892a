from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from bradd.data import imagenet100_lt
from bradd.data.imagenet100 import IMAGENET100_CLASSES
from bradd.data.imagenet100_lt import expected_counts, imagenet100_long_tailed
from bradd.data.images import FileImages
from bradd.data.labelled import LabelledImages
from bradd.errors import BraddError


def like_imagenet100(per_class: list[int]) -> LabelledImages:
    """Names as ImageNet's; there are no files."""
    names = [
        f"train/{wordnet}/{wordnet}_{number}.JPEG"
        for wordnet, count in zip(IMAGENET100_CLASSES, per_class, strict=True)
        for number in range(count)
    ]
    labels = np.repeat(np.arange(100), per_class)
    return LabelledImages(FileImages(Path("/data"), names), labels, list(IMAGENET100_CLASSES))


# As in ImageNet: most classes have 1,300 images, the smallest of all 732.
COUNTS = [1300, 1290, *[1300] * 60, 1053, 732, 980, *[1300] * 35]


@pytest.fixture(scope="module")
def images() -> LabelledImages:
    return like_imagenet100(COUNTS)


def test_pareto_has_12912_images(images: LabelledImages) -> None:
    indices, manifest = imagenet100_long_tailed(images, "imagenet100-lt:pareto", seed=0)
    counts = np.array(list(manifest.counts.values()))
    assert len(indices) == len(set(manifest.names)) == counts.sum() == 12_912
    assert (counts[0], counts.min()) == (1280, 6)  # the formula tends to 5
    u = (10 * np.arange(100) + 1) / 1000
    formula = 5 + 1275 * (u ** (-1 / 6) - 1) / (0.001 ** (-1 / 6) - 1)
    assert np.all(np.abs(counts - formula) < 1)
    assert list(manifest.counts) == list(IMAGENET100_CLASSES)
    # Many > 100, medium 20 to 100, few < 20 images.
    groups = [(counts > 100).sum(), ((counts >= 20) & (counts <= 100)).sum(), (counts < 20).sum()]
    rounded = np.rint(formula)
    assert groups == [
        (rounded > 100).sum(),
        ((rounded >= 20) & (rounded <= 100)).sum(),
        (rounded < 20).sum(),
    ]


def test_pareto_needs_a_whole_first_class() -> None:
    with pytest.raises(BraddError, match=r"needs 1280 images of the first class.*allow 1200"):
        imagenet100_long_tailed(like_imagenet100([1200] * 100), "imagenet100-lt:pareto", 0)


def test_bradd_is_expected_to_have_14909_images() -> None:
    expected = expected_counts()
    assert round(expected.sum()) == 14_909
    assert expected[0] == 1280
    assert expected[-1] == pytest.approx(5)
    # By another way: equal steps of k ** -0.4 are equal steps of size.
    steps = np.diff(np.arange(1, 101) ** -0.4)
    np.testing.assert_allclose(np.diff(expected) / steps, 1275 / (1 - 100**-0.4))


def test_bradd_keeps_each_image_by_chance() -> None:
    images = like_imagenet100([1280] * 100)
    spread = np.sqrt((expected_counts() * (1 - expected_counts() / 1280)).sum())
    orders = []
    for seed in (0, 1):
        indices, manifest = imagenet100_long_tailed(images, "imagenet100-lt:bradd", seed)
        assert abs(len(indices) - 14_909) < 4 * spread  # false alarm once in 15,000 seeds
        counts = np.array(list(manifest.counts.values()))
        assert counts.max() == 1280
        np.testing.assert_allclose(np.sort(counts)[::-1], expected_counts(), atol=75)
        orders.append(np.argsort(-counts).tolist())
        again = imagenet100_long_tailed(images, "imagenet100-lt:bradd", seed)[0]
        assert indices.tolist() == again.tolist()
    assert orders[0] != orders[1]


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list in SDCLR's format, taken for its own."""
    file = tmp_path / "imageNet_100_LT_train.txt"
    first, last = IMAGENET100_CLASSES[0], IMAGENET100_CLASSES[99]
    lines = [f"train/{last}/{last}_2.JPEG 0", f"train/{first}/{first}_1.JPEG 26"]
    file.write_text("".join(f"{line}\n" for line in lines))
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(imagenet100_lt, "SDCLR_CHECKSUM", checksum)
    return file


def test_sdclr_is_its_list(listed: Path) -> None:
    images = like_imagenet100([3] * 100)
    indices, manifest = imagenet100_long_tailed(images, "imagenet100-lt:sdclr", 0, listed)
    assert indices.tolist() == [1, 99 * 3 + 2]
    assert sum(manifest.counts.values()) == 2
    assert manifest.counts[IMAGENET100_CLASSES[99]] == 1


def test_another_list_is_refused(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = like_imagenet100([3] * 100)

    def refused(match: str, file: Path | None = listed, spec: str = "sdclr") -> None:
        with pytest.raises(BraddError, match=match):
            imagenet100_long_tailed(images, f"imagenet100-lt:{spec}", 0, file)

    refused("needs SDCLR's list, --list imageNet_100_LT_train.txt", None)
    refused("list is for imagenet100-lt:sdclr alone", listed, "pareto")
    refused("cannot be read: No such file", listed.with_name("none.txt"))
    content = listed.read_bytes()
    listed.write_bytes(content.replace(b"\n", b"\r\n"))
    refused(f"SHA-256 is {hashlib.sha256(listed.read_bytes()).hexdigest()}, not ")
    for line, message in (
        (b"train/n00000000/n00000000_1.JPEG 5\n", "1 of the 3 images in .* are not in the data"),
        (b"val/n01558993/ILSVRC2012_val_00000001.JPEG 5\n", "ImageNet's validation images"),
    ):
        listed.write_bytes(content + line)
        checksum = hashlib.sha256(content + line).hexdigest()
        monkeypatch.setattr(imagenet100_lt, "SDCLR_CHECKSUM", checksum)
        refused(message)


def test_the_checksum_is_that_of_the_published_list() -> None:
    published = "0f94d6eef6935578a1e287a35d337cc0fe4c41059b023247d35a4119c93820bb"
    assert published == imagenet100_lt.SDCLR_CHECKSUM


def test_unknown_variants_and_other_classes() -> None:
    images = like_imagenet100([3] * 100)
    with pytest.raises(BraddError, match=r"Did you mean imagenet100-lt:pareto\? There are"):
        imagenet100_long_tailed(images, "imagenet100-lt:paretto", 0)
    two = LabelledImages(FileImages(Path("/data"), ["a", "b"]), np.array([0, 1]), ["x", "y"])
    with pytest.raises(BraddError, match="a subset of 100 classes, but the data have 2"):
        imagenet100_long_tailed(two, "imagenet100-lt:pareto", 0)
