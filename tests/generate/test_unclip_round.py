"""Stable unCLIP's real class through the whole path: select, generate, accept, ledger, training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from bradd.commands.pretrain import pretrain
from bradd.embedding import Encoder
from bradd.errors import BraddError
from bradd.generate import StableUnCLIP
from bradd.ledger import Ledger
from bradd.pool import Pool
from bradd.rebalancing import rebalance
from bradd.round_settings import RoundSettings
from bradd.select import KNNDistance
from various_anchors import largest_difference

STEPS = 2


def generator(folder: Path) -> StableUnCLIP:
    return StableUnCLIP(str(folder), steps=STEPS, batch_size=3, stored_size=16)


def test_a_rounds_pictures_are_what_diffusers_makes_of_their_anchors_and_seeds(
    unclip_folder: Path, folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    from diffusers import StableUnCLIPImg2ImgPipeline

    model = generator(unclip_folder)
    settings = RoundSettings(
        KNNDistance(3), model, n_anchors=3, n_variations=2, acceptance=False, draws=1
    )
    pool = Pool(folder, tmp_path / "run")
    summary = rebalance(pool, encoder, 1, settings)
    assert (summary["anchors"], summary["accepted"], len(pool)) == (3, 6, 46)

    pipeline = StableUnCLIPImg2ImgPipeline.from_pretrained(unclip_folder)
    pipeline.set_progress_bar_config(disable=True)
    rows = pool.ledger.variations(1)
    assert len({row.anchor_name for row in rows}) == 3
    for row in rows:
        expected = pipeline(
            image=Image.open(folder / row.anchor_name).convert("RGB"),
            prompt="",
            num_inference_steps=STEPS,
            guidance_scale=10.0,
            generator=torch.Generator().manual_seed(row.seed),
        ).images[0]
        expected = expected.resize((16, 16), Image.Resampling.BICUBIC)
        with Image.open(pool.ledger.folder / row.file) as kept:
            assert largest_difference(kept, expected) <= 1
        assert (row.generator_revision, row.licence) == (model.revision(), "not stated")
        assert row.external_data
        assert row.generator.startswith("StableUnCLIP(model=")
    for place, row in enumerate(rows, 40):
        assert pool.name(place) == row.file


def test_training_goes_on_with_what_was_accepted(
    unclip_folder: Path, folder: Path, tmp_path: Path
) -> None:
    run = pretrain(
        folder,
        tmp_path / "run",
        generator=generator(unclip_folder),
        image_size=16,
        backbone="resnet18",
        backbone_kwargs={"channels": [4, 4, 8, 8]},
        cycles=2,
        epochs_per_cycle=1,
        n_anchors=3,
        n_variations=2,
        batch_size=8,
        num_workers=0,
    )
    ledger = Ledger(run)
    assert ledger.committed() == [1]
    rows = ledger.variations(1)
    assert len([row for row in rows if row.attempt == 0]) == 6
    assert [row.accepted for row in rows] == [not row.reason for row in rows]
    assert (run / "backbone.safetensors").exists()
    assert str(unclip_folder) in (run / "config.yaml").read_text()


def test_later_rounds_use_the_weights_of_the_first(
    unclip_folder: Path, folder: Path, tmp_path: Path, encoder: Encoder
) -> None:
    model = tmp_path / "model"
    shutil.copytree(unclip_folder, model)
    pool = Pool(folder, tmp_path / "run")

    def rounds(cycle: int) -> None:
        settings = RoundSettings(KNNDistance(3), generator(model), n_anchors=2, n_variations=1)
        rebalance(pool, encoder, cycle, settings)

    rounds(1)
    rounds(2)
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(BraddError, match="are not those that earlier rounds of this run used"):
        rounds(3)
    assert pool.ledger.committed() == [1, 2]
