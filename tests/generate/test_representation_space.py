from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from bradd.errors import BraddError
from bradd.generate.autoencoder import DiffusersAutoencoder, trained_autoencoder
from bradd.generate.representation_batches import SizedImages
from bradd.generate.representation_network import VelocityNetwork
from bradd.generate.representation_space import Latents, Pixels

CPU = torch.device("cpu")


def ramps(n: int, size: int) -> Tensor:
    """Smooth colour ramps in several directions, uint8 `[n, 3, size, size]`."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.rand(n, 3, 2, generator=generator) * 2 - 1
    place = torch.linspace(-1, 1, size)
    slope = directions[..., :1, None] * place[:, None] + directions[..., 1:, None] * place
    return (127.5 + 60 * slope).round().to(torch.uint8)


@pytest.mark.parametrize("size", [8, 9, 16, 20, 28, 32, 48, 64])
def test_packing_pixels_is_undone(size: int) -> None:
    space = Pixels(size, multiple=2)
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    encoded = space.encode(pixels)
    assert encoded.shape == (2, space.depth, space.side, space.side)
    assert torch.equal(space.decode(encoded), pixels)
    network = VelocityNetwork(space.depth, space.side, 4, (8, 16))
    times, nothing = torch.rand(2), torch.zeros(2, dtype=torch.bool)
    assert network(encoded, times, torch.randn(2, 4), nothing).shape == encoded.shape


@pytest.mark.parametrize("size", [66, 130])
def test_trained_latents_are_fewer_numbers_and_decode_to_nearly_the_images(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bradd.generate.autoencoder.BATCH_SIZE", 2)
    pixels = ramps(24, size)
    images = SizedImages(list(zip(pixels, range(24), strict=True)), 24)  # type: ignore[arg-type]
    autoencoder = trained_autoencoder(images, 60, 0, None, CPU)
    space = Latents(autoencoder, size, multiple=2)
    space.measure(pixels)
    encoded = space.encode(pixels)
    assert encoded[0].numel() < pixels[0].numel() / 4
    assert float(encoded.mean().abs()) < 0.05
    assert float(encoded.std()) == pytest.approx(1, abs=0.05)
    error = (space.decode(encoded).float() - pixels.float()).abs().mean()
    assert float(error) < 0.4 * float((pixels.float() - pixels.float().mean()).abs().mean())


def test_diffusers_autoencoders_are_read_from_folders(tmp_path: Path) -> None:
    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        latent_channels=5,
    ).save_pretrained(tmp_path / "kl")
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=3,
    ).save_pretrained(tmp_path / "tiny")
    pixels = ramps(2, 30)
    for name, depth, factor in (("kl", 5, 4), ("tiny", 3, 2)):
        space = Latents(DiffusersAutoencoder(tmp_path / name).eval(), 30, multiple=2)
        space.measure(pixels)
        encoded = space.encode(pixels)
        assert encoded.shape == (2, depth, 32 // factor, 32 // factor)
        assert space.decode(encoded).shape == pixels.shape


def test_a_folder_without_an_autoencoder_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(BraddError, match=r"generator\.autoencoder: .*UNet2DModel"):
        DiffusersAutoencoder(tmp_path)
