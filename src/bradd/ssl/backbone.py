"""Backbones from timm, with a stem that suits the size of the images."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from bradd.data.sizes import SMALL_IMAGE
from bradd.errors import BraddError
from bradd.files import write_atomically
from bradd.ssl.families import RESAMPLES_POSITIONS, timm_module
from bradd.ssl.weights import (
    WeightsDiffer,
    backbone_weights,
    fitted,
    published_weights,
    read_tensors,
)

__all__ = [
    "Backbone",
    "create_backbone",
    "embedding_size",
    "load_backbone",
    "load_snippet",
    "load_weights",
    "save_backbone",
]

METADATA_KEY = "bradd"


@dataclass(frozen=True)
class Backbone:
    """What it takes to build a backbone.

    Attributes:
        name: A timm model name.
        image_size: Side of the images it is trained on, in pixels.
        kwargs: Further arguments for `timm.create_model`.
        stem_stride: 0 keeps timm's stem; 1 or 2 replaces a ResNet's 7x7 convolution and max-pool,
            made for 224 pixels, by a 3x3 convolution of that stride (SimCLR, Chen et al. 2020,
            appendix B.9), so that the last feature map is still 2x2 or larger.
    """

    name: str
    image_size: int
    kwargs: dict[str, Any] = field(default_factory=dict)
    stem_stride: int = 0

    @classmethod
    def choose(
        cls,
        name: str,
        image_size: int,
        kwargs: dict[str, Any] | None = None,
        several_sizes: bool = False,
    ) -> Backbone:
        """Choose the stem and the arguments that suit the images.

        Args:
            name: A timm model name; a vision transformer gets `img_size`, and up to 64 pixels a
                patch of an eighth of the side; a ResNet up to 64 pixels gets the small stem.
            image_size: Side of the images in pixels.
            kwargs: Further arguments for `timm.create_model`, which win over those chosen; beside
                them `stem_stride`, see `Backbone`.
            several_sizes: Whether it is given smaller images, too; a vision transformer then
                resamples its positions.

        Raises:
            BraddError: timm knows no model of that name, or it has no such stem.
        """
        module = timm_module(name)
        small = image_size <= SMALL_IMAGE
        chosen: dict[str, Any] = {}
        given = dict(kwargs or {})
        stem_stride = 0
        if _takes_image_size(name):
            chosen["img_size"] = image_size
            if small and name.startswith(("vit_", "deit")):
                chosen["patch_size"] = max(1, image_size // 8)
            if several_sizes and module in RESAMPLES_POSITIONS:
                chosen["dynamic_img_size"] = True
        elif small and module == "resnet":
            stem_stride = 1 if image_size <= 32 else 2
        stem_stride = given.pop("stem_stride", stem_stride)
        if stem_stride not in ((0, 1, 2) if module == "resnet" else (0,)):
            raise BraddError(
                f"backbone_kwargs has stem_stride={stem_stride!r}: it is 0 (timm's stem), 1 or 2 "
                "for ResNets, and 0 for other backbones."
            )
        return cls(name, image_size, chosen | given, stem_stride)

    def describe(self) -> str:
        """One line for people."""
        arguments = "".join(f", {key}={value!r}" for key, value in self.kwargs.items())
        stem = f" with a 3x3 stem of stride {self.stem_stride}" if self.stem_stride else ""
        return f"{self.name}{arguments}{stem}, for images of {self.image_size} pixels"


def create_backbone(backbone: Backbone, sizes: Collection[int] = ()) -> nn.Module:
    """Build the backbone, without a classifier, with random weights.

    Args:
        backbone: How it is built.
        sizes: Sides of images, in pixels, that it must be able to embed besides its own.

    Returns:
        A module from normalised images `[B, 3, S, S]` to embeddings `[B, D]`.

    Raises:
        BraddError: timm does not accept the arguments, or the model does not suit the images.
    """
    if (channels := backbone.kwargs.get("in_chans", 3)) != 3:
        raise BraddError(
            f"backbone_kwargs has in_chans={channels}, but images are given to the backbone as "
            "RGB, 3 channels (grey ones too): leave in_chans out."
        )
    try:
        model: nn.Module = timm.create_model(backbone.name, num_classes=0, **backbone.kwargs)
        if backbone.stem_stride:
            _replace_stem(model, backbone.stem_stride)
        embedding_size(model, backbone.image_size)
    except Exception as error:  # timm hardly checks its arguments: anything may come of wrong ones
        raise BraddError(
            f"timm cannot build {backbone.describe()}: {_reason(error)}. Choose another backbone, "
            "backbone_kwargs or image_size."
        ) from error
    for size in sorted(sizes):
        try:
            embedding_size(model, size)
        except Exception as error:  # models say in many ways that a size does not suit them
            raise BraddError(
                f"{backbone.describe()} cannot embed views of {size} pixels: {_reason(error)}. "
                "Choose another image_size, views.local_side (a transformer's patches must fit) or "
                "backbone, or no local views: --views.local_count 0."
            ) from error
    return model


def embedding_size(model: nn.Module, image_size: int) -> int:
    """D, found by embedding a blank image.

    Raises:
        ValueError: The output is not one vector an image.
    """
    training = model.training
    with torch.no_grad():
        output = model.eval()(torch.zeros(1, 3, image_size, image_size))
    model.train(training)
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"its output is {shape} for one image, not one vector [1, D]")
    return output.shape[1]


def load_weights(model: nn.Module, backbone: Backbone, source: str | Path) -> None:
    """Start from weights that others have trained.

    Files of timm, and of training scripts that wrap timm's models, as those of DINO and MoCo v3,
    are read as they are: the backbone is found wherever it lies in the file, classifiers and heads
    are left out, and timm resamples position embeddings and patches of another size.

    Args:
        model: What `create_backbone` made of `backbone`; its weights are replaced.
        backbone: How it is built.
        source: `"timm"` for timm's own pre-trained weights of that name, which are downloaded
            unless they are in its cache; or a `.safetensors` or torch file.

    Raises:
        BraddError: The weights cannot be had, or are not exactly those of the model; the model is
            left as it was.
    """
    if source == "timm":
        origin = f"timm's weights of {backbone.name}"
        _check_stem(model, backbone, origin)
        state = published_weights(backbone.name)
    else:
        path = Path(source).expanduser()
        origin = f"the weights in {path}"
        state = backbone_weights(read_tensors(path), model.state_dict(), path)
    try:
        state = fitted(state, model, backbone.name, origin)
    except WeightsDiffer as error:
        if "conv1.weight" in state and state["conv1.weight"].shape[-1] > 3:
            _check_stem(model, backbone, origin)
        raise BraddError(
            f"weights: {origin} are not those of {backbone.describe()}: {error}. Name the backbone "
            "and backbone_kwargs that they were made with, or give other weights."
        ) from error
    model.load_state_dict(state)


def save_backbone(model: nn.Module, backbone: Backbone, path: Path, facts: dict[str, Any]) -> None:
    """Write the weights as safetensors, with how to build the model and `facts` as metadata."""
    metadata = {METADATA_KEY: json.dumps({"backbone": asdict(backbone), **facts}, sort_keys=True)}
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomically(path, save(state, metadata=metadata))


def load_backbone(path: str | Path) -> tuple[nn.Module, Backbone, dict[str, Any]]:
    """Load what `save_backbone` wrote.

    Returns:
        The model in eval mode, how it is built, and the facts stored with it.

    Raises:
        BraddError: The file is missing, damaged, or not one of bradd's.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
    except FileNotFoundError as error:
        raise BraddError(f"{path} does not exist.") from error
    except (SafetensorError, OSError) as error:
        raise BraddError(f"{path} is no safetensors file, or damaged: {error}") from error
    try:
        facts = json.loads(metadata[METADATA_KEY])
        backbone = Backbone(**facts.pop("backbone"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BraddError(
            f"{path} does not say how its model is built: bradd did not write it. Name the timm "
            "model with --backbone and give the file as --checkpoint."
        ) from error
    model = create_backbone(backbone)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise BraddError(
            f"The weights in {path} are not those of {backbone.describe()}, as timm "
            f"{timm.__version__} builds it: {error}"
        ) from error
    return model.eval(), backbone, facts


def load_snippet(backbone: Backbone, path: Path) -> str:
    """Python that loads the file with timm alone."""
    arguments = "".join(f", {key}={value!r}" for key, value in backbone.kwargs.items())
    lines = [
        "import timm",
        f'model = timm.create_model("{backbone.name}", num_classes=0{arguments})',
    ]
    if backbone.stem_stride:
        stem = create_backbone(backbone).get_submodule("conv1")
        if isinstance(stem, nn.Sequential):
            lines.append(f"model.conv1[0].stride = {backbone.stem_stride}, {backbone.stem_stride}")
        else:
            lines[0] += ", torch"
            lines.append(
                f"model.conv1 = torch.nn.Conv2d(3, {stem.out_channels}, 3, "
                f"{backbone.stem_stride}, 1, bias=False)"
            )
        lines.append("model.maxpool = torch.nn.Identity()")
        if "torch" not in lines[0]:
            lines[0] += ", torch"
    lines.append(f"timm.models.load_checkpoint(model, {str(path)!r})")
    return "\n".join(lines)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _takes_image_size(name: str) -> bool:
    config = timm.models.get_pretrained_cfg(name)
    return bool(config is not None and config.fixed_input_size)


def _replace_stem(model: Any, stride: int) -> None:
    if isinstance(model.conv1, nn.Sequential):
        cast(nn.Conv2d, model.conv1[0]).stride = (stride, stride)  # three 3x3 convolutions already
    else:
        model.conv1 = nn.Conv2d(3, model.conv1.out_channels, 3, stride, 1, bias=False)
    model.maxpool = nn.Identity()


def _check_stem(model: nn.Module, backbone: Backbone, origin: str) -> None:
    """Refuse weights with a 7x7 convolution for a model whose stem was replaced."""
    if backbone.stem_stride and isinstance(model.get_submodule("conv1"), nn.Conv2d):
        raise BraddError(
            f"weights: {origin} have the stem for large images, but {backbone.describe()} has "
            f"another: choose image_size above {SMALL_IMAGE}, a backbone that keeps its stem "
            "(resnet50d, a vision transformer), or weights trained with the 3x3 stem."
        )
