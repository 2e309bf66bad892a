"""Every default that depends on the data, the machine or the preset, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

from bradd.component import settings_of
from bradd.data.sizes import SMALL_IMAGE
from bradd.errors import BraddError
from bradd.facts import Facts
from bradd.generate import Generator, RepresentationDiffusion, StableUnCLIP
from bradd.pool import EpochLength
from bradd.round_settings import Candidates, RoundSettings, usual_anchors
from bradd.select import KNNDistance, Rare, Selector
from bradd.ssl import Method, SimCLR
from bradd.ssl.families import is_trained_by_adamw, is_transformer
from bradd.ssl.optimizer import OPTIMIZERS
from bradd.ssl.recipes import recipe_for
from bradd.views import Views
from bradd.views.cache import memory_needed

__all__ = ["PRESETS", "Settings", "resolve", "usual_generator"]

PRESETS = ("recommended", "paper")

CYCLES, EPOCHS_PER_CYCLE = 5, 20  # the paper's

CHOICES = {
    "candidates": get_args(Candidates),
    "epoch_length": get_args(EpochLength),
    "optimizer": OPTIMIZERS,
    "precision": ("32-true", "bf16-mixed", "16-mixed"),
}


@dataclass(frozen=True)
class Settings:
    """The resolved settings of a run; `bradd.pretrain` documents each."""

    preset: str
    backbone: str
    backbone_kwargs: dict[str, Any]
    weights: str
    image_size: int
    cache: int
    method: Method
    views: Views
    selector: Selector
    generator: Generator
    cycles: int
    epochs_per_cycle: int
    n_anchors: int
    n_variations: int
    candidates: Candidates
    guard: bool
    anchor_limit: int
    first_round: int
    acceptance: bool
    draws: int
    epoch_length: EpochLength
    real_share: float
    siblings: float
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    final_weight_decay: float
    gradient_clip: float
    warmup_epochs: int
    precision: str
    channels_last: bool
    compile: bool
    health_every_n_epochs: int
    seed: int
    num_workers: int

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return self.cycles * self.epochs_per_cycle

    def view_sizes(self) -> set[int]:
        """Sides of the views in pixels."""
        return {recipe.size for recipe in self.views.recipes(self.image_size)}

    def round_settings(self) -> RoundSettings:
        """How each round is done."""
        return RoundSettings(
            selector=self.selector,
            generator=self.generator,
            n_anchors=self.n_anchors,
            n_variations=self.n_variations,
            seed=self.seed,
            candidates=self.candidates,
            guard=self.guard,
            anchor_limit=self.anchor_limit,
            acceptance=self.acceptance,
            draws=self.draws,
            num_workers=self.num_workers,
        )

    def to_config(self) -> dict[str, Any]:
        """As plain values, from which `bradd pretrain --config` builds the same settings."""
        config = dict(vars(self))
        for name in ("method", "views", "selector", "generator"):
            config[name] = settings_of(config[name])
        return config


def usual_generator(preset: str | None) -> Generator:
    """What makes variations unless told: what learns from the images, or the paper's."""
    return StableUnCLIP() if preset == "paper" else RepresentationDiffusion()


def resolve(given: dict[str, Any], facts: Facts) -> Settings:
    """Complete what the user has set by what suits preset, data and machine.

    Args:
        given: Settings by name; `None` stands for "not set".
        facts: Of the data and the machine.

    Raises:
        BraddError: A value is impossible; it is named.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    preset = chosen.setdefault("preset", PRESETS[0])
    if preset not in PRESETS:
        raise BraddError(f"preset is {preset!r}: choose one of {', '.join(PRESETS)}.")
    for name, default in _common(chosen, facts).items():
        chosen.setdefault(name, default)
    for name, default in (_paper() if preset == "paper" else _recommended(chosen, facts)).items():
        chosen.setdefault(name, default)
    for name, default in _training(chosen, facts, preset).items():
        chosen.setdefault(name, default)
    _check(chosen)
    return Settings(**chosen)


def _common(chosen: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """Defaults that both presets share, or that follow from the image size."""
    image_size = chosen.get("image_size") or _image_size(facts, chosen["preset"])
    method = chosen.get("method") or SimCLR()
    return {
        "seed": 0,
        "weights": "random",
        "image_size": image_size,
        "cache": _cache(facts, image_size),
        "method": method,
        "views": method.default_views.for_image_size(image_size),
        "generator": usual_generator(chosen["preset"]),
        "cycles": CYCLES,
        "epochs_per_cycle": EPOCHS_PER_CYCLE,
        "first_round": 1,
        "n_variations": 5,
        "draws": 3,
        "real_share": 0.0,
        "siblings": 0.0,
        "precision": _precision(facts),
        "compile": False,
        "num_workers": _num_workers(facts),
        **_backbone(chosen.get("backbone"), image_size, facts, chosen["preset"]),
    }


def _precision(facts: Facts) -> str:
    if not facts.cuda:
        return "32-true"
    return "bf16-mixed" if facts.bf16 else "16-mixed"


def _num_workers(facts: Facts) -> int:
    """Enough to feed a GPU; none beside training on the same cores, unless decoding is the work."""
    if facts.cuda:
        return min(16, facts.cores)
    return 0 if facts.shorter_side <= SMALL_IMAGE else min(4, facts.cores)


def _cache(facts: Facts, image_size: int) -> int:
    """Side of the images kept in memory, unless they would take more than a quarter of it.

    Larger images are kept for small views only, with two pixels to spare for each of a view: more
    would be too much memory, and less too little for the smallest crops of large views.
    """
    side = SMALL_IMAGE if facts.shorter_side <= SMALL_IMAGE else 2 * image_size
    fits = memory_needed(facts.images, side) <= facts.memory / 4
    return side if fits and side <= 2 * SMALL_IMAGE else 0


def _image_size(facts: Facts, preset: str) -> int:
    """The images' own size up to 64 pixels; above, what the machine can train on."""
    if preset == "paper":
        return 224
    if facts.shorter_side <= SMALL_IMAGE:
        return max(16, round(facts.shorter_side / 8) * 8)
    return 224 if facts.cuda else SMALL_IMAGE


def _backbone(given: str | None, image_size: int, facts: Facts, preset: str) -> dict[str, Any]:
    if given is not None:
        return {"backbone": given, "backbone_kwargs": {}}
    if preset == "paper":
        return {"backbone": "vit_base_patch16_224", "backbone_kwargs": {}}
    if facts.cuda:
        return {
            "backbone": "resnet18" if image_size <= SMALL_IMAGE else "resnet50",
            "backbone_kwargs": {},
        }
    # A quarter of ResNet-18's work: what a processor trains in an afternoon.
    return {"backbone": "resnet18", "backbone_kwargs": {"channels": [32, 64, 128, 256]}}


def _paper() -> dict[str, Any]:
    """What the paper states, and for what it leaves open its literal reading."""
    return {
        "selector": KNNDistance(5),
        "n_anchors": 500,
        "candidates": "pool",
        "guard": False,
        "anchor_limit": 0,
        "acceptance": False,
        "epoch_length": "grown",
    }


def _recommended(chosen: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """Members of small groups, real anchors only, matched budget, guard and acceptance on."""
    return {
        "selector": Rare(),
        "n_anchors": usual_anchors(facts.images),
        "candidates": "images",
        "guard": True,
        "anchor_limit": 2,
        # Grown epochs must know beforehand how far they grow.
        "acceptance": chosen.get("epoch_length") != "grown",
        "epoch_length": "matched",
    }


def _training(chosen: dict[str, Any], facts: Facts, preset: str) -> dict[str, Any]:
    """The recipe of the backbone's family (see the paper's open settings), scaled to the batch."""
    transformer = is_transformer(chosen["backbone"])
    by_adamw = transformer or is_trained_by_adamw(chosen["backbone"])
    optimizer = chosen.get("optimizer") or ("adamw" if by_adamw else "sgd")
    full_batch = 512 if transformer else 256
    largest = full_batch if facts.cuda or preset == "paper" else 128
    # At least eight steps an epoch, so that small data are not one batch.
    batch_size = chosen.get("batch_size") or min(largest, max(2, facts.images // 8))
    epochs = chosen["cycles"] * chosen["epochs_per_cycle"]
    recipe = recipe_for(optimizer, None if preset == "paper" else chosen["method"])
    final_weight_decay = recipe.final_weight_decay
    if final_weight_decay is None or "weight_decay" in chosen:
        final_weight_decay = chosen.get("weight_decay", recipe.weight_decay)
    return {
        # Not on a CPU: there torch 2.15 was seen to corrupt memory below eight channels.
        "channels_last": facts.cuda and not transformer,
        "optimizer": optimizer,
        "batch_size": batch_size,
        "learning_rate": recipe.learning_rate * batch_size / recipe.batch_size,
        "weight_decay": recipe.weight_decay,
        "final_weight_decay": final_weight_decay,
        "gradient_clip": recipe.gradient_clip,
        "warmup_epochs": min(10, epochs // 10),
        # About twenty times in a run.
        "health_every_n_epochs": max(1, epochs // 20),
    }


def _check(chosen: dict[str, Any]) -> None:
    if chosen["epoch_length"] == "grown" and chosen["acceptance"]:
        raise BraddError(
            "epoch_length is 'grown', which needs acceptance to be false: the schedule must know "
            "how many steps there will be."
        )
    least_values = {
        "cycles": 1,
        "epochs_per_cycle": 1,
        "draws": 1,
        "first_round": 1,
        "image_size": 8,
        "cache": 0,
        "weight_decay": 0,
        "final_weight_decay": 0,
        "gradient_clip": 0,
        "health_every_n_epochs": 1,
        "num_workers": 0,
    }
    for name, least in least_values.items():
        if not chosen[name] >= least:
            raise BraddError(f"{name} is {chosen[name]}: it must be at least {least}.")
    for name in ("real_share", "siblings"):
        if not 0 <= chosen[name] <= 1:
            raise BraddError(f"{name} is {chosen[name]}: it must be from 0 to 1.")
    if chosen["first_round"] >= chosen["cycles"] > 1:
        raise BraddError(
            f"first_round is {chosen['first_round']}, but after the last of {chosen['cycles']} "
            "cycles there is no round: choose a smaller number, or cycles 1 for none."
        )
    chosen["method"].check_views(chosen["views"].recipes(chosen["image_size"]))
    if chosen["batch_size"] < 2:
        raise BraddError(
            f"batch_size is {chosen['batch_size']}: contrastive learning needs at least 2."
        )
    for name, choices in CHOICES.items():
        if chosen[name] not in choices:
            raise BraddError(f"{name} is {chosen[name]!r}: choose one of {', '.join(choices)}.")
    if not 0 < chosen["learning_rate"] < math.inf:
        raise BraddError(f"learning_rate is {chosen['learning_rate']}: it must be above 0.")
    epochs = chosen["cycles"] * chosen["epochs_per_cycle"]
    if not 0 <= chosen["warmup_epochs"] <= epochs:
        raise BraddError(
            f"warmup_epochs is {chosen['warmup_epochs']}: it must be from 0 to the run's "
            f"{epochs} epochs."
        )
