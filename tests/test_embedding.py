from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bradd.data import Images, folder_images
from bradd.data.resize import centre_view
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.views.photometric import IMAGENET_MEAN, IMAGENET_STD
from samples import SIZE, TinyBackbone

PIXELS = torch.from_numpy(
    np.random.default_rng(0).integers(0, 256, (5, 3, SIZE, SIZE), dtype=np.uint8)
)


@pytest.fixture
def images(folder: Path) -> Images:
    return folder_images(folder)


class Shaped(nn.Module):
    """Gives what it is told to."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.ones(shape))

    def forward(self, images: Tensor) -> Tensor:
        return self.output


def test_an_embedding_is_the_backbone_in_eval_mode_on_normalised_pixels() -> None:
    backbone = TinyBackbone()
    backbone.norm.running_mean.uniform_()  # type: ignore[union-attr]
    backbone.norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    mean, std = (np.array(x).reshape(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = torch.from_numpy(((PIXELS.numpy() / 255 - mean) / std).astype(np.float32))
    expected = backbone.eval()(normalised).detach().numpy()
    embeddings = Encoder(backbone.train(), SIZE)(PIXELS)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-5)


def test_the_normalisation_can_be_ones_own() -> None:
    encoder = Encoder(nn.Flatten(), SIZE, normalise=lambda pixels: pixels.float() * 2)
    assert np.array_equal(encoder(PIXELS), PIXELS.flatten(1).numpy() * 2.0)


def test_each_part_is_left_in_its_mode_even_after_an_error() -> None:
    backbone = nn.Sequential(TinyBackbone(), Shaped(2, 12)).train()
    backbone[0].norm.eval()
    before = [part.training for part in backbone.modules()]
    seen: list[list[bool]] = []
    backbone.register_forward_hook(lambda *_: seen.append([m.training for m in backbone.modules()]))
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    Encoder(backbone, SIZE)(PIXELS[:2])
    with pytest.raises(BraddError, match="shape"):
        Encoder(backbone, SIZE)(PIXELS)
    with pytest.raises(ValueError, match="uint8"):
        Encoder(backbone, SIZE)(PIXELS.float())
    assert seen == [[False] * len(before)] * 2
    assert [part.training for part in backbone.modules()] == before
    assert all(torch.equal(state[name], value) for name, value in backbone.state_dict().items())


def test_autocast_outside_does_not_lower_the_precision() -> None:
    encoder = Encoder(TinyBackbone(), SIZE)
    expected = encoder(PIXELS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.array_equal(encoder(PIXELS), expected)


def test_no_gradient_is_kept() -> None:
    backbone = TinyBackbone()
    outputs: list[Tensor] = []
    backbone.register_forward_hook(lambda *call: outputs.append(call[-1]))
    Encoder(backbone, SIZE)(PIXELS)
    assert not outputs[0].requires_grad


def test_a_pooled_map_counts_as_a_vector() -> None:
    output = torch.randn(5, 7, 1, 1)
    shaped = Shaped(5, 7, 1, 1)
    shaped.output.data = output
    assert np.array_equal(Encoder(shaped, SIZE)(PIXELS), output.flatten(1).numpy())


@pytest.mark.parametrize("shape", [(5, 7, 2, 2), (5, 7, 1, 2), (5, 9, 7), (5,), (4, 7), (10, 7)])
def test_other_shapes_are_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(BraddError, match=r"shape \[" + ", ".join(map(str, shape)) + r"\] for 5"):
        Encoder(Shaped(*shape), SIZE)(PIXELS)


def test_any_weight_and_any_buffer_changes_the_fingerprint() -> None:
    encoder = Encoder(TinyBackbone(), SIZE)
    original = encoder.fingerprint()
    assert Encoder(copy.deepcopy(encoder.backbone), SIZE).fingerprint() == original
    found = {original}
    for value in encoder.backbone.state_dict().values():
        flat = value.view(-1)
        before = flat[-1].clone()
        flat[-1] += 1
        found.add(encoder.fingerprint())
        flat[-1] = before
    assert len(found) == 1 + len(encoder.backbone.state_dict()) == 8
    assert encoder.fingerprint() == original
    encoder.backbone.train()
    assert encoder.fingerprint() == original


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (7, 2), (40, 0), (256, 1)])
def test_row_i_is_image_i_whatever_the_batches(
    images: Images, encoder: Encoder, batch_size: int, workers: int
) -> None:
    embeddings = embed(images, encoder, batch_size=batch_size, num_workers=workers)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (40, 12)
    for index in (0, 17, 39):
        alone = encoder(torch.from_numpy(centre_view(images.load(index), SIZE))[None])
        np.testing.assert_allclose(embeddings[index], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 1])
def test_embedding_draws_no_random_number(images: Images, encoder: Encoder, workers: int) -> None:
    """The trainer's own stream goes on as if nothing had been embedded."""
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before: list[Any] = [torch.get_rng_state().tolist(), str(np.random.get_state())]  # noqa: NPY002
    embed(images, encoder, num_workers=workers)
    assert [torch.get_rng_state().tolist(), str(np.random.get_state())] == before  # noqa: NPY002


def test_every_image_is_inspected_once_as_it_was_embedded(images: Images, encoder: Encoder) -> None:
    seen: dict[int, np.ndarray] = {}

    def note(indices: np.ndarray, pixels: np.ndarray) -> None:
        assert not seen.keys() & set(indices.tolist())
        seen.update(zip(indices.tolist(), pixels, strict=True))

    embed(images, encoder, batch_size=9, inspect=note)
    assert sorted(seen) == list(range(40))
    assert np.array_equal(seen[11], centre_view(images.load(11), SIZE))


def test_no_images_is_an_error(encoder: Encoder) -> None:
    class Nothing:
        def __len__(self) -> int:
            return 0

        def load(self, index: int) -> Any:
            raise IndexError

    with pytest.raises(BraddError, match="no images"):
        embed(Nothing(), encoder)
