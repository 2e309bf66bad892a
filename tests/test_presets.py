from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bradd.component import settings_of
from bradd.errors import BraddError
from bradd.facts import Facts, usable_cores
from bradd.generate import Duplicate, RepresentationDiffusion, StableUnCLIP
from bradd.presets import Settings, resolve
from bradd.rebalancing import check_round
from bradd.select import KNNDistance, Rare, Uniform
from bradd.ssl import DINO, SDCLR, Method, MoCoV3, SimCLR
from bradd.views import SimCLRViews

CPU = Facts(images=50_000, shorter_side=32, cuda=False, cores=2)
GPU = Facts(images=50_000, shorter_side=500, cuda=True, cores=64)

facts = st.builds(
    Facts,
    images=st.integers(2, 2_000_000),
    shorter_side=st.integers(1, 4000),
    cuda=st.booleans(),
    cores=st.integers(1, 256),
)

GIVEN: dict[str, Any] = {
    "backbone": "vit_small_patch16_224",
    "backbone_kwargs": {"depth": 2},
    "weights": "timm",
    "image_size": 40,
    "cache": 48,
    "method": SimCLR(0.1),
    "views": SimCLRViews(flip=0.1),
    "selector": Uniform(),
    "generator": Duplicate(),
    "cycles": 3,
    "epochs_per_cycle": 4,
    "n_anchors": 7,
    "n_variations": 1,
    "candidates": "pool",
    "guard": False,
    "anchor_limit": 5,
    "first_round": 2,
    "acceptance": False,
    "draws": 2,
    "epoch_length": "grown",
    "real_share": 0.8,
    "siblings": 0.5,
    "batch_size": 6,
    "optimizer": "sgd",
    "learning_rate": 0.7,
    "weight_decay": 0.0,
    "final_weight_decay": 0.2,
    "gradient_clip": 1.0,
    "warmup_epochs": 0,
    "precision": "32-true",
    "channels_last": True,
    "compile": True,
    "health_every_n_epochs": 3,
    "seed": 5,
    "num_workers": 0,
}


@given(facts)
def test_everything_has_a_value_that_can_be_used(facts: Facts) -> None:
    settings = resolve({}, facts)
    assert all(value is not None for value in vars(settings).values())
    assert settings.preset == "recommended"
    assert isinstance(settings.selector, Rare)
    assert 2 <= settings.batch_size <= facts.images
    assert 2 <= settings.n_anchors <= facts.images
    assert 16 <= settings.image_size <= 224
    assert settings.views == SimCLRViews.for_image_size(settings.image_size)
    assert 0 <= settings.num_workers <= facts.cores
    assert 0 <= settings.warmup_epochs < settings.epochs == 100
    assert settings.learning_rate == pytest.approx(0.5 * settings.batch_size / 256)
    assert settings.precision == ("bf16-mixed" if facts.cuda else "32-true")
    assert (settings.candidates, settings.epoch_length) == ("images", "matched")
    assert settings.guard
    assert settings.acceptance


@given(facts, st.sets(st.sampled_from(sorted(GIVEN))))
def test_what_is_given_wins(facts: Facts, names: set[str]) -> None:
    chosen = {name: GIVEN[name] for name in names}
    unset = dict.fromkeys(set(GIVEN) - names)  # None stands for "not set"
    settings = resolve({**chosen, **unset}, facts)
    assert {name: getattr(settings, name) for name in names} == chosen
    assert all(value is not None for value in vars(settings).values())


def test_every_setting_can_be_given() -> None:
    assert {field.name for field in dataclasses.fields(Settings)} == {"preset", *GIVEN}


@pytest.mark.parametrize("images", [6, 10, 59, 60])
def test_few_images_suffice(images: int) -> None:
    settings = resolve({}, dataclasses.replace(CPU, images=images))
    check_round(images, settings.round_settings())
    assert settings.batch_size * 2 <= images  # more than one step an epoch
    assert settings.n_anchors == 2


@pytest.mark.parametrize(
    ("given", "batch_size", "learning_rate"),
    [
        ({}, 128, 0.25),  # on a CPU
        ({"batch_size": 64}, 64, 0.125),
        ({"batch_size": 512}, 512, 1.0),
        ({"optimizer": "adamw"}, 128, 0.75e-4),
        ({"backbone": "vit_tiny_patch16_224"}, 128, 0.75e-4),
        ({"backbone": "vit_tiny_patch16_224", "batch_size": 1024}, 1024, 6e-4),
        ({"backbone": "deit_tiny_patch16_224", "optimizer": "sgd"}, 128, 0.25),
        ({"batch_size": 64, "learning_rate": 0.3}, 64, 0.3),
    ],
)
def test_the_learning_rate_is_in_proportion_to_the_batch(
    given: dict[str, Any], batch_size: int, learning_rate: float
) -> None:
    settings = resolve(given, CPU)
    assert settings.batch_size == batch_size
    assert settings.learning_rate == pytest.approx(learning_rate)
    assert settings.weight_decay == (0.05 if settings.optimizer == "adamw" else 1e-4)


@pytest.mark.parametrize("preset", ["recommended", "paper"])
@pytest.mark.parametrize(
    ("method", "backbone", "recipe"),
    [
        (SimCLR(), "resnet50", (0.5, 1e-4, 1e-4, 0)),
        (SDCLR(), "resnet50", (0.5, 1e-4, 1e-4, 0)),
        (SimCLR(), "vit_tiny_patch16_224", (1.5e-4, 0.05, 0.05, 0)),
        (SimCLR(), "convnext_atto", (1.5e-4, 0.05, 0.05, 0)),
        (MoCoV3(), "vit_tiny_patch16_224", (1.5e-4, 0.1, 0.1, 0)),  # Chen, Xie and He 2021
        (DINO(), "vit_tiny_patch16_224", (5e-4, 0.04, 0.4, 3)),  # Caron et al. 2021
    ],
)
def test_each_method_has_its_published_recipe_and_the_paper_one_for_all(
    preset: str, method: Method, backbone: str, recipe: tuple[float, ...]
) -> None:
    given = {"method": method, "backbone": backbone, "batch_size": 256}
    settings = resolve({**given, "preset": preset}, GPU)
    if preset == "paper":
        adamw = not backbone.startswith("resnet")
        recipe = (1.5e-4, 0.05, 0.05, 0) if adamw else (0.5, 1e-4, 1e-4, 0)
    assert recipe == pytest.approx(
        (
            settings.learning_rate,
            settings.weight_decay,
            settings.final_weight_decay,
            settings.gradient_clip,
        )
    )
    assert settings.views == method.default_views.for_image_size(224)


def test_a_weight_decay_that_is_given_does_not_rise() -> None:
    given = {"method": DINO(), "backbone": "vit_tiny_patch16_224"}
    settings = resolve({**given, "weight_decay": 0.1}, CPU)
    assert (settings.weight_decay, settings.final_weight_decay) == (0.1, 0.1)
    settings = resolve({**given, "final_weight_decay": 0.1}, CPU)
    assert (settings.weight_decay, settings.final_weight_decay) == (0.04, 0.1)


@pytest.mark.parametrize(
    ("images", "shorter_side", "memory", "cache"),
    [
        (50_000, 32, 2**33, 64),
        (50_000, 64, 2**33, 64),
        (50_000, 32, 2**31, 0),  # 614 MB are more than a quarter of that
        (10**7, 32, 2**33, 0),
        (40_000, 500, 2**33, 128),  # for views of 64 pixels, on a CPU
        (50_000, 500, 2**33, 0),
    ],
)
def test_images_are_kept_in_memory_where_they_fit(
    images: int, shorter_side: int, memory: int, cache: int
) -> None:
    facts = Facts(images, shorter_side, cuda=False, cores=2, memory=memory)
    assert resolve({}, facts).cache == cache


def test_photos_for_large_views_are_not_kept_in_memory() -> None:
    assert resolve({}, dataclasses.replace(GPU, images=100, memory=2**40)).cache == 0


def test_convolutions_are_kept_channels_last_on_a_gpu() -> None:
    assert resolve({}, GPU).channels_last
    assert not resolve({"backbone": "vit_tiny_patch16_224"}, GPU).channels_last
    assert not resolve({}, CPU).channels_last


@pytest.mark.parametrize(
    ("shorter_side", "cuda", "size"),
    [
        (8, False, 16),
        (28, False, 32),
        (32, True, 32),
        (64, False, 64),
        (65, False, 64),
        (65, True, 224),
        (1000, True, 224),
        (1000, False, 64),
    ],
)
def test_the_image_size_suits_images_and_machine(shorter_side: int, cuda: bool, size: int) -> None:
    assert resolve({}, Facts(1000, shorter_side, cuda, 4)).image_size == size


def test_the_backbone_suits_the_machine() -> None:
    small_gpu = dataclasses.replace(GPU, shorter_side=32)
    chosen = [resolve({}, facts) for facts in (CPU, small_gpu, GPU)]
    assert [settings.backbone for settings in chosen] == ["resnet18", "resnet18", "resnet50"]
    assert chosen[0].backbone_kwargs == {"channels": [32, 64, 128, 256]}
    assert chosen[1].backbone_kwargs == chosen[2].backbone_kwargs == {}
    # One that is named is taken whole.
    assert resolve({"backbone": "resnet18"}, CPU).backbone_kwargs == {}
    assert resolve({"backbone_kwargs": {}}, CPU).backbone_kwargs == {}


def test_the_paper_preset_is_what_the_paper_states() -> None:
    """Algorithm 1 and section 4; where it is silent, the value `docs/architecture.md` argues."""
    settings = resolve({"preset": "paper"}, dataclasses.replace(GPU, images=12_205))
    config = settings.to_config()
    stated = {
        "backbone": "vit_base_patch16_224",
        "backbone_kwargs": {},
        "image_size": 224,
        "cycles": 5,
        "epochs_per_cycle": 20,
        "n_anchors": 500,
        "n_variations": 5,
        "candidates": "pool",
        "guard": False,
        "acceptance": False,
        "epoch_length": "grown",
        "optimizer": "adamw",
        "learning_rate": 3e-4,
        "weight_decay": 0.05,
        "batch_size": 512,
        "warmup_epochs": 10,
    }
    assert {name: config[name] for name in stated} == stated
    assert settings.epochs == 100
    assert isinstance(settings.selector, KNNDistance)
    assert settings.selector.k == 5
    assert isinstance(settings.method, SimCLR)
    assert (settings.method.temperature, settings.method.projection_size) == (0.5, 128)
    views = {
        "minimum_scale": 0.08,
        "maximum_scale": 1.0,
        "flip": 0.5,
        "jitter": 0.8,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "hue": 0.1,
        "grey": 0.2,
        "blur": 0.5,
        "count": 2,
    }
    assert {name: config["views"]["init_args"][name] for name in views} == views
    assert (config["final_weight_decay"], config["gradient_clip"]) == (0.05, 0)
    assert isinstance(settings.generator, StableUnCLIP)
    unclip = {"steps": 20, "guidance": 10.0, "noise_level": 0, "scheduler": None}
    assert {name: config["generator"]["init_args"][name] for name in unclip} == unclip


def test_the_papers_recipe_for_a_resnet_does_not_depend_on_the_machine() -> None:
    given = {"preset": "paper", "backbone": "resnet50"}
    for facts in (CPU, GPU):
        settings = resolve(given, facts)
        recipe = (settings.optimizer, settings.learning_rate, settings.weight_decay)
        assert recipe == ("sgd", 0.5, 1e-4)
        assert (settings.batch_size, settings.image_size) == (256, 224)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preset", "papers"),
        ("cycles", 0),
        ("epochs_per_cycle", -1),
        ("image_size", 0),
        ("batch_size", 1),
        ("batch_size", 0),
        ("optimizer", "adam"),
        ("cache", -1),
        ("final_weight_decay", -0.1),
        ("gradient_clip", -1.0),
        ("health_every_n_epochs", 0),
        ("learning_rate", 0.0),
        ("weight_decay", -1e-4),
        ("warmup_epochs", 101),
        ("warmup_epochs", -1),
        ("num_workers", -1),
        ("precision", "bf17"),
        ("candidates", "imagez"),
        ("epoch_length", "long"),
        ("real_share", 1.2),
        ("siblings", -0.1),
    ],
)
def test_an_impossible_value_is_named(name: str, value: Any) -> None:
    with pytest.raises(BraddError, match=rf"\b{name}( is)? {value!r}"):
        resolve({name: value}, CPU)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(BraddError, match=r"3 views of each image .* SimCLR takes 2 of equal"):
        resolve({"views": SimCLRViews(count=3)}, CPU)
    with pytest.raises(BraddError, match="'grown', which needs acceptance to be false"):
        resolve({"epoch_length": "grown", "acceptance": True}, CPU)
    assert not resolve({"epoch_length": "grown"}, CPU).acceptance
    with pytest.raises(BraddError, match="first_round is 2, but after the last of 2 cycles"):
        resolve({"cycles": 2, "first_round": 2}, CPU)


def test_the_rounds_are_done_as_set() -> None:
    settings = resolve(GIVEN, CPU)
    mine = vars(settings.round_settings())
    mine.pop("batch_size")  # of embedding, not of training
    assert mine == {name: GIVEN[name] for name in mine}


def test_a_config_is_plain_and_names_every_component() -> None:
    settings = resolve({"generator": RepresentationDiffusion(steps=9)}, CPU)
    config = settings.to_config()
    assert json.loads(json.dumps(config)) == config
    assert config.keys() == vars(settings).keys()
    for name in ("method", "views", "selector", "generator"):
        assert config[name] == settings_of(getattr(settings, name))


def test_the_machine_is_looked_at() -> None:
    found = Facts.of_machine(100, 32)
    assert (found.images, found.shorter_side) == (100, 32)
    assert found.cores == usable_cores()
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
