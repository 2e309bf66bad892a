"""Images: where they come from, how they are decoded, and long-tailed subsets of them."""

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
from bradd.data.longtail import Manifest, class_counts, long_tailed
from bradd.data.named import NAMES, named_images
from bradd.data.open import open_images, open_labelled
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
    "class_counts",
    "decode",
    "folder_images",
    "labelled_folder",
    "listed_images",
    "long_tailed",
    "named_images",
    "open_images",
    "open_labelled",
    "scan",
    "write_unreadable",
]
