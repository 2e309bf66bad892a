"""Images: where they come from, how they are decoded, and subsets of them."""

from __future__ import annotations

from bradd.data.decode import MAX_PIXELS, UnreadableImage, decode
from bradd.data.images import (
    ArrayImages,
    FileImages,
    Images,
    SubsetImages,
    folder_images,
    listed_images,
)
from bradd.data.labelled import LabelledImages, Split, labelled_folder
from bradd.data.longtail import class_counts, long_tailed
from bradd.data.manifest import Manifest
from bradd.data.named import NAMES, is_named, named_images, named_splits
from bradd.data.open import absolute_data, labelled_splits, open_images, open_labelled
from bradd.data.scan import Scan, scan, write_unreadable

__all__ = [
    "MAX_PIXELS",
    "NAMES",
    "ArrayImages",
    "FileImages",
    "Images",
    "LabelledImages",
    "Manifest",
    "Scan",
    "Split",
    "SubsetImages",
    "UnreadableImage",
    "absolute_data",
    "class_counts",
    "decode",
    "folder_images",
    "is_named",
    "labelled_folder",
    "labelled_splits",
    "listed_images",
    "long_tailed",
    "named_images",
    "named_splits",
    "open_images",
    "open_labelled",
    "scan",
    "write_unreadable",
]
