"""Watches the embedding space while a run trains, and stops a run that has collapsed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from bradd.data import Images, LabelledImages
from bradd.embedding import Encoder, part_that_embeds
from bradd.errors import BraddError
from bradd.evaluation.health import alignment, feature_std, rank_me, uniformity
from bradd.evaluation.knn import knn_predict
from bradd.ssl.health_sample import LabelledSample, Sample, SampleDecoder
from bradd.views import Views
from bradd.views.render import make_views

__all__ = ["Health"]

# Below what living backbones have. New ones of timm (ResNet-18 and -50, a narrow one, ViT-Ti, -S,
# ConvNeXt, at 32, 64 and 224 pixels) have 0.12 to 0.96 on smooth coloured pictures, 0.03 or more on
# pure noise, 0.04 or more on grey pictures of hardly any contrast. SimCLR's first steps raise a
# ResNet's; at a hundred times the usual learning rate it fell to 0.012 and rose again. Collapse
# goes to 0.
COLLAPSED = 0.01
CHECKS = 2  # in a row below the mark, before a run is stopped
KNN_REFERENCE = 4096
KNN_TEST = 1024
# DINO's protocol (Caron et al. 2021).
KNN_NEIGHBOURS = 20
KNN_TEMPERATURE = 0.07


class Health(L.Callback):
    """Logs how alive the embedding space is, and stops a run that has collapsed.

    A fixed sample of the images is embedded at the end of every few epochs and of the last one.
    Logged are `rank_me` (Garrido et al. 2023), `feature_std` (Chen and He 2021), `uniformity` and,
    of two random views of each image, `alignment` (Wang and Isola 2020); and, where labels are at
    hand, `knn`, the top-1 accuracy of 20 weighted neighbours in percent. All of it is decoded once,
    before training, and kept in memory as 8-bit views. Nothing of it changes the training.

    It must stand before callbacks that read what was logged.

    Args:
        images: The images trained on, without variations.
        encoder_name: Name of the module's part that embeds, e.g. `"backbone"`.
        image_size: Side of the centre views and of the random views, in pixels.
        views: The method's views, of which the first two are taken.
        seed: The run's seed.
        every_n_epochs: Epochs from one check to the next.
        sample: At most this many images are embedded.
        reference: Labelled images that vote, of which at most 4096 are taken; None for no `knn`.
        test: Labelled images to classify, of which at most 1024 are taken; None for no `knn`.
        batch_size: Images embedded at once.
        num_workers: Processes that decode; 0 decodes in this one.

    Raises:
        BraddError: A setting is out of range; only one of `reference` and `test` is given, or
            their classes differ; there are fewer than 2 images, or fewer than 2 views.
    """

    def __init__(
        self,
        images: Images,
        *,
        encoder_name: str = "backbone",
        image_size: int,
        views: Views,
        seed: int,
        every_n_epochs: int = 1,
        sample: int = 1024,
        reference: LabelledImages | None = None,
        test: LabelledImages | None = None,
        batch_size: int = 256,
        num_workers: int = 0,
    ) -> None:
        for name, value, least in (
            ("every_n_epochs", every_n_epochs, 1),
            ("sample", sample, 2),
            ("batch_size", batch_size, 1),
            ("the number of images", len(images), 2),
        ):
            if value < least:
                raise BraddError(f"health: {name} is {value}; it must be at least {least}.")
        if (reference is None) != (test is None):
            raise BraddError("health: kNN accuracy needs both reference and test images.")
        if reference is not None and test is not None and reference.classes != test.classes:
            raise BraddError("health: the reference and the test images differ in their classes.")
        if len(views.recipes(image_size)) < 2:
            raise BraddError("health: alignment needs two views of each image, views gives one.")
        self.encoder_name = encoder_name
        self.every_n_epochs = every_n_epochs
        self._images = images
        self._most = sample
        self._reference, self._test = reference, test
        self._decoder = SampleDecoder(image_size, views, seed, batch_size, num_workers)
        self._collapsed_checks = 0
        self._sample: Sample | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"collapsed_checks": self._collapsed_checks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._collapsed_checks = state_dict["collapsed_checks"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Decode, so that an image that cannot be read is found before training.

        Raises:
            BraddError: The module has no such encoder, or an image cannot be read.
        """
        self._encoder(pl_module)
        if self._sample is None:
            self._sample = self._decoder.decode(
                self._images, self._most, self._reference, self._test, KNN_REFERENCE, KNN_TEST
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check, where it is time.

        Raises:
            BraddError: The embeddings are not finite, or have collapsed.
        """
        epochs = trainer.current_epoch + 1
        if epochs % self.every_n_epochs and epochs != trainer.max_epochs:
            return
        where = f"at the end of epoch {trainer.current_epoch} (step {trainer.global_step})"
        devices = [pl_module.device] if pl_module.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # a check draws nothing that training would have drawn
            values = self._measure(pl_module, where)
        for name, value in values.items():
            pl_module.log(name, value, on_step=False, on_epoch=True)
        self._judge(values["feature_std"], where)

    def _measure(self, pl_module: L.LightningModule, where: str) -> dict[str, float]:
        backbone, sample = self._encoder(pl_module), self._sample
        if sample is None:
            raise RuntimeError("a check needs on_fit_start before it")
        size = self._decoder.image_size
        encode = Encoder(backbone, size)
        embeddings = _finite(map(encode, sample.centre_views), where)

        encode_view = Encoder(backbone, size, normalise=_normalised_already)
        first, second = [], []
        for batch in sample.random_views:
            one, other = make_views(move_data_to_device(batch, pl_module.device))[:2]
            first.append(encode_view(one))
            second.append(encode_view(other))

        values = {
            # Of equally many images at every check, so that checks compare even where a warning
            # would say that there are few.
            "rank_me": rank_me(embeddings, warn=False),
            "feature_std": feature_std(embeddings),
            "uniformity": uniformity(embeddings),
            "alignment": alignment(_finite(first, where), _finite(second, where)),
        }
        if sample.reference is not None and sample.test is not None:
            values["knn"] = _knn_accuracy(encode, sample.reference, sample.test, where)
        return values

    def _judge(self, spread: float, where: str) -> None:
        self._collapsed_checks = self._collapsed_checks + 1 if spread < COLLAPSED else 0
        if self._collapsed_checks >= CHECKS:
            raise BraddError(
                f"The embeddings have collapsed: feature_std is {spread:.2g} {where}, below "
                f"{COLLAPSED} for {CHECKS} checks in a row. All images are mapped to nearly the "
                "same direction. Try a lower learning_rate, more warmup_epochs, a "
                "larger batch_size, or another temperature of the method."
            )

    def _encoder(self, pl_module: L.LightningModule) -> nn.Module:
        return part_that_embeds(pl_module, self.encoder_name, "Health(..., encoder_name=...)")


def _knn_accuracy(
    encode: Encoder, reference: LabelledSample, test: LabelledSample, where: str
) -> float:
    """Top-1 accuracy in percent."""
    predicted = knn_predict(
        _finite(map(encode, reference.centre_views), where),
        reference.labelled.labels,
        _finite(map(encode, test.centre_views), where),
        k=min(KNN_NEIGHBOURS, len(reference.labelled.labels)),
        temperature=KNN_TEMPERATURE,
        num_classes=len(reference.labelled.classes),
    )
    return 100 * float(np.mean(predicted == test.labelled.labels))


def _finite(batches: Iterable[npt.NDArray[np.float32]], where: str) -> npt.NDArray[np.float32]:
    embeddings = np.concatenate(list(batches))
    bad = np.count_nonzero(~np.isfinite(embeddings).all(axis=1))
    if bad:
        raise BraddError(
            f"The embeddings of {bad} of {len(embeddings)} images are NaN or infinite {where}: "
            "training has diverged. Try a lower learning_rate, more warmup_epochs, or precision "
            "32-true."
        )
    return embeddings


def _normalised_already(views: Tensor) -> Tensor:
    return views
