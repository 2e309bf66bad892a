"""Embedding images with a backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bradd.console import track
from bradd.errors import BraddError
from bradd.fingerprint import state_fingerprint
from bradd.views.dataset import CentreViewDataset, ImageSource
from bradd.views.photometric import normalise

__all__ = ["Encoder", "embed", "part_that_embeds"]


class Encoder:
    """A backbone as a function from 8-bit images to embeddings.

    It always runs in eval mode, without gradients and in float32, on the device the backbone is
    on, and leaves the backbone in the mode it found it in.

    Args:
        backbone: Maps normalised images `[B, 3, S, S]` to embeddings `[B, D]` (or `[B, D, 1, 1]`).
        image_size: Side S of the centre view, in pixels.
        normalise: From uint8 `[B, 3, S, S]` to what the backbone takes. Default: ImageNet's mean
            and standard deviation.
    """

    def __init__(
        self,
        backbone: nn.Module,
        image_size: int,
        normalise: Callable[[Tensor], Tensor] = normalise,
    ) -> None:
        self.backbone = backbone
        self.image_size = image_size
        self._normalise = normalise

    @torch.no_grad()
    def __call__(self, images: Tensor) -> np.ndarray:
        """Embed a batch of centre views.

        Args:
            images: uint8 `[B, 3, S, S]`.

        Returns:
            float32 `[B, D]`.

        Raises:
            BraddError: The backbone's output is not one vector an image.
        """
        device = next((part.device for part in self.backbone.parameters()), images.device)
        with (
            _eval_mode(self.backbone),
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        ):
            embeddings = self.backbone(self._normalise(images.to(device)))
        if embeddings.ndim == 4 and embeddings.shape[2:] == (1, 1):
            embeddings = embeddings.flatten(1)
        if embeddings.ndim != 2 or len(embeddings) != len(images):
            raise BraddError(
                f"The encoder's output has shape {list(embeddings.shape)} for {len(images)} "
                "images; one vector an image is needed, [B, D]. Add a pooling layer, or name the "
                "part of the module that ends in one."
            )
        array: np.ndarray = embeddings.float().cpu().numpy()
        return array

    def fingerprint(self) -> str:
        """A hash of the backbone's weights and buffers."""
        return state_fingerprint(self.backbone.state_dict())


def embed(
    images: ImageSource,
    encoder: Encoder,
    *,
    batch_size: int = 256,
    num_workers: int = 0,
    inspect: Callable[[np.ndarray, np.ndarray], None] | None = None,
    description: str = "embed",
) -> np.ndarray:
    """Embed the centre view of every image.

    Args:
        images: N images.
        encoder: The backbone.
        batch_size: Images a forward pass.
        num_workers: Processes that decode; 0 decodes in this one.
        inspect: Called with each batch's indices `[B]` and 8-bit centre views `[B, 3, S, S]`.
        description: What the progress bar says.

    Returns:
        Embeddings, row i of image i, float32 `[N, D]`.

    Raises:
        BraddError: The backbone's weights changed meanwhile, or its output has a wrong shape.
    """
    before = encoder.fingerprint()
    loader = DataLoader(
        CentreViewDataset(images, encoder.image_size),
        batch_size=batch_size,
        num_workers=num_workers,
        # Its own generator: iterating must not draw from the global one, which is the trainer's.
        generator=torch.Generator().manual_seed(0),
    )
    embeddings: np.ndarray | None = None
    for pixels, indices in track(loader, description, len(loader)):
        batch = encoder(pixels)
        if embeddings is None:
            embeddings = np.empty((len(images), batch.shape[1]), dtype=np.float32)
        embeddings[indices.numpy()] = batch
        if inspect is not None:
            inspect(indices.numpy(), pixels.numpy())
    if embeddings is None:
        raise BraddError("There are no images to embed.")
    if encoder.fingerprint() != before:
        raise BraddError(
            "The encoder's weights or buffers changed while it embedded. A module that updates "
            "itself in eval mode cannot be used as the encoder."
        )
    return embeddings


def part_that_embeds(module: nn.Module, name: str, setting: str) -> nn.Module:
    """A module's part by its name; dots reach inside.

    Args:
        module: For example a Lightning module.
        name: Of the part, such as `"backbone"` or `"student.backbone"`.
        setting: What the message says to change.

    Raises:
        BraddError: There is no such part.
    """
    try:
        part: nn.Module = module.get_submodule(name)
    except AttributeError as error:
        names = ", ".join(child for child, _ in module.named_children())
        raise BraddError(
            f"The module has no part called {name!r}; it has {names}. Name the one that embeds "
            f"images: {setting}."
        ) from error
    return part


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
