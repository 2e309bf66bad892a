"""The fixed sample of images on which a run's embedding space is watched."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bradd.data import Images, LabelledImages, SubsetImages, scan
from bradd.seeds import derive_seed, random_generator
from bradd.views import DINOViews, Views
from bradd.views.dataset import CentreViewDataset, ViewBatch, ViewDataset, as_is

__all__ = ["LabelledSample", "Sample", "SampleDecoder", "stratified_sample"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelledSample:
    """Labelled images and their centre views, batches of uint8 `[B, 3, S, S]` on the CPU."""

    labelled: LabelledImages
    centre_views: list[Tensor]


@dataclass(frozen=True, eq=False)
class Sample:
    """What is embedded at each check, decoded, on the CPU.

    Attributes:
        centre_views: Of the images, batches of uint8 `[B, 3, S, S]`.
        random_views: Of the same images, two or more of each.
        reference: Labelled images that vote; None where there are no labels.
        test: Labelled images to classify.
    """

    centre_views: list[Tensor]
    random_views: list[ViewBatch]
    reference: LabelledSample | None
    test: LabelledSample | None


@dataclass(frozen=True)
class SampleDecoder:
    """How images become a sample.

    Attributes:
        image_size: Side S of the views in pixels.
        views: The method's views; local ones are left out.
        seed: The run's seed.
        batch_size: Images in a batch.
        num_workers: Processes that decode; 0 decodes in this one.
    """

    image_size: int
    views: Views
    seed: int
    batch_size: int
    num_workers: int

    def decode(
        self,
        images: Images,
        most: int,
        reference: LabelledImages | None,
        test: LabelledImages | None,
        most_reference: int,
        most_test: int,
    ) -> Sample:
        """Draw a sample and decode it.

        Args:
            images: All of which can be read.
            most: How many of them to take.
            reference: Labelled images that vote, or None.
            test: Labelled images to classify, or None.
            most_reference: How many of `reference` to take.
            most_test: How many of `test` to take.

        Raises:
            BraddError: An image, or every labelled one, cannot be read.
        """
        chosen = random_generator(self.seed, "health").permutation(len(images))[:most]
        sample = SubsetImages(images, np.sort(chosen))
        views = self.views
        if isinstance(views, DINOViews):
            views = replace(views, local_count=0)
        random_views = ViewDataset(sample, views, self.image_size, derive_seed(self.seed, "health"))
        keys = [(0, index) for index in range(len(sample))]
        return Sample(
            centre_views=self._centre_views(sample),
            random_views=list(self._loader(random_views, sampler=keys, collate_fn=as_is)),
            reference=None if reference is None else self._labelled(reference, most_reference),
            test=None if test is None else self._labelled(test, most_test),
        )

    def _labelled(self, labelled: LabelledImages, most: int) -> LabelledSample:
        """Images that cannot be read are left out: labelled ones were not checked before."""
        sample = stratified_sample(labelled, most, self.seed)
        checked = scan(sample.images, self.num_workers, max_unreadable=1.0)
        if checked.unreadable:
            name, reason = checked.unreadable[0]
            logger.warning(
                "kNN accuracy leaves out %d of %d labelled images that cannot be read, as %s: %s",
                len(checked.unreadable),
                len(sample.images),
                name,
                reason,
            )
            sample = sample.subset(checked.readable)
        return LabelledSample(sample, self._centre_views(sample.images))

    def _centre_views(self, images: Images) -> list[Tensor]:
        return [batch for batch, _ in self._loader(CentreViewDataset(images, self.image_size))]

    def _loader(self, dataset: Dataset[Any], **settings: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            # Its own generator: iterating must not draw from the global one, which is training's.
            generator=torch.Generator().manual_seed(0),
            **settings,
        )


def stratified_sample(labelled: LabelledImages, most: int, seed: int) -> LabelledImages:
    """At most `most` images, of each class its share, rounded.

    Args:
        labelled: N labelled images.
        most: How many to take.
        seed: Of the draw within each class.

    Returns:
        The images in their order; all of them if there are no more than `most`.
    """
    if len(labelled.labels) <= most:
        return labelled
    # Each class's images lie evenly along a line from 0 to 1: its beginning has each class's share.
    place = np.empty(len(labelled.labels))
    for label in np.unique(labelled.labels).tolist():
        members = np.flatnonzero(labelled.labels == label)
        shuffled = random_generator(seed, "stratified sample", label).permutation(members)
        place[shuffled] = (np.arange(len(members)) + 0.5) / len(members)
    return labelled.subset(np.sort(np.argsort(place, kind="stable")[:most]))
