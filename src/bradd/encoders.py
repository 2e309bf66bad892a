"""Opening an encoder by its name: a timm model, a Hugging Face model or a run of bradd."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bradd.embedding import Encoder
from bradd.errors import BraddError
from bradd.run import Run
from bradd.ssl.backbone import Backbone, create_backbone, load_backbone, load_weights
from bradd.ssl.families import timm_module

__all__ = ["NamedEncoder", "open_encoder"]

KINDS = ("timm", "hf", "run")
FORMS = (
    "timm:NAME (a timm model), hf:NAME_OR_FOLDER (a Hugging Face model) or run:FOLDER (a run of "
    "bradd, or its backbone.safetensors)"
)


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder, and what it is in words.

    Attributes:
        encoder: From 8-bit images to embeddings.
        facts: `name`, `weights`, `pooling` and `image_size`, for people.
    """

    encoder: Encoder
    facts: dict[str, Any]


def open_encoder(name: str | Path, weights: str | Path | None = None) -> NamedEncoder:
    """Open an encoder with trained weights, on the GPU if there is one.

    - `timm:NAME`: a timm model at the image size its weights were trained at, pooled as timm does.
    - `hf:NAME_OR_FOLDER`: a model of transformers' `AutoModel` with the mean, standard deviation
      and size of its image processor. The embedding is what the model projects images to if it has
      texts beside them (CLIP), else its `pooler_output` if that was trained, else its class token
      if it has one, else the mean over all places.
    - `run:FOLDER`, or the folder or a `backbone.safetensors` itself: what `bradd pretrain` trained.

    Every encoder sees the largest central square of an image.

    Args:
        name: One of these forms.
        weights: For timm: a safetensors or torch file. Default: the weights that timm publishes.

    Raises:
        BraddError: There is no such model, its weights cannot be had, or the package transformers
            is missing.
    """
    kind, _, rest = str(name).partition(":")
    if not rest and Path(name).expanduser().exists():
        kind, rest = "run", str(name)
    if kind not in KINDS or not rest:
        raise BraddError(f"encoder is {str(name)!r}.{_hint(kind, rest)} Give {FORMS}.")
    if kind == "timm":
        return _open_timm(rest, weights)
    if weights is not None:
        raise BraddError(f"weights go with a timm encoder; {name} has its own. Leave them out.")
    return _open_hugging_face(rest) if kind == "hf" else _open_run(rest)


def _hint(kind: str, rest: str) -> str:
    if not rest and timm.is_model(kind):
        return f" Did you mean 'timm:{kind}'?"
    near = difflib.get_close_matches(kind.lower(), KINDS, n=1)
    if rest and near:
        return f" Did you mean '{near[0]}:{rest}'?"
    near = difflib.get_close_matches(kind, timm.list_models(), n=1)
    return f" Did you mean 'timm:{near[0]}'?" if near else ""


def _open_timm(name: str, weights: str | Path | None) -> NamedEncoder:
    timm_module(name)
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:  # of a known model, but a tag that names no weights
        known = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise BraddError(
            f"timm has no weights called {name!r}. There are {', '.join(known) or 'none'}."
        ) from error
    if weights is None and (config is None or not config.has_weights):
        raise BraddError(
            f"timm publishes no weights of {name}: give a file of weights, --weights FILE, or "
            "another model."
        )
    if config is None:
        raise BraddError(f"timm does not say at what image size {name} works: choose another.")
    plan = Backbone(name, int(config.input_size[-1]))
    model = create_backbone(plan)
    load_weights(model, plan, "timm" if weights is None else weights)
    encoder = Encoder(_on_device(model), plan.image_size, _normaliser(config.mean, config.std))
    facts = {
        "name": f"timm:{name}",
        "weights": "published by timm" if weights is None else str(weights),
        "pooling": "timm's own",
        "image_size": plan.image_size,
    }
    return NamedEncoder(encoder, facts)


def _open_run(path: str) -> NamedEncoder:
    place = Path(path).expanduser()
    run = Run(place)
    if place.is_dir() and not run.backbone.exists():
        if run.exists():
            raise BraddError(
                f"The run in {place} is not finished ({run.backbone.name} is missing): "
                f"bradd pretrain --out {place} --resume."
            )
        raise BraddError(f"encoder: {place} holds no run. Give {FORMS}.")
    model, plan, _ = load_backbone(run.backbone if place.is_dir() else place)
    facts = {
        "name": f"run:{path}",
        "weights": plan.describe(),
        "pooling": "timm's own",
        "image_size": plan.image_size,
    }
    return NamedEncoder(Encoder(_on_device(model), plan.image_size), facts)


def _open_hugging_face(name: str) -> NamedEncoder:
    try:
        transformers: Any = importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        raise BraddError(
            "Encoders hf:... need the package transformers: pip install 'bradd[hf]', or choose one "
            "of timm's, timm:NAME."
        ) from error
    local = Path(name).expanduser()
    if name.startswith(("/", ".", "~")) and not local.is_dir():
        raise BraddError(f"encoder: there is no folder {name}.")
    source = str(local) if local.is_dir() else name
    try:
        with _quiet(transformers.utils.logging):
            processor = transformers.AutoImageProcessor.from_pretrained(source)
            model, loading = transformers.AutoModel.from_pretrained(
                source, output_loading_info=True
            )
    except Exception as error:  # whatever transformers, its hub client and the network come up with
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise BraddError(
            f"encoder: the Hugging Face model {name!r} could not be had: {reason}. Give its name "
            "on the hub, or a folder that holds config.json, model.safetensors and "
            "preprocessor_config.json, as model.save_pretrained(FOLDER) and "
            "AutoImageProcessor.from_pretrained(NAME).save_pretrained(FOLDER) write them."
        ) from error
    model.float()  # checkpoints in half precision are loaded as such
    size = _side(processor, name)
    backbone = _HuggingFaceBackbone(model, _pooling(model, loading["missing_keys"], size, name))
    facts = {
        "name": f"hf:{name}",
        "weights": f"of {type(model).__name__}",
        "pooling": backbone.pooling,
        "image_size": size,
    }
    encoder = Encoder(_on_device(backbone), size, _processor_normaliser(processor))
    return NamedEncoder(encoder, facts)


class _HuggingFaceBackbone(nn.Module):
    """A model of transformers as a function from normalised images to one vector each."""

    def __init__(self, model: nn.Module, pooling: str) -> None:
        super().__init__()
        self.model: Any = model
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        if self.pooling == "projected image features":
            outputs = self.model.get_image_features(pixel_values=images)
            pooled: Tensor = outputs if isinstance(outputs, Tensor) else outputs.pooler_output
            return pooled
        outputs = self.model(pixel_values=images)
        if self.pooling == "pooler_output":
            pooled = outputs.pooler_output
            return pooled.flatten(1)
        places: Tensor = outputs.last_hidden_state  # [B, places, D] or [B, D, H, W]
        if self.pooling == "class token":
            return places[:, 0]
        return places.mean(1) if places.ndim == 3 else places.mean((2, 3))


def _pooling(model: nn.Module, missing: Sequence[str], size: int, name: str) -> str:
    """How the model's output becomes one vector; weights that were not in the file are not used."""
    untrained = sorted(key for key in missing if "pooler" not in key.split("."))
    if untrained:
        raise BraddError(
            f"encoder: hf:{name} holds no weights for {', '.join(untrained[:5])}, without which "
            "its embeddings would be random. Give a model whose weights are complete."
        )
    if hasattr(model, "get_image_features"):
        return "projected image features"
    try:
        with torch.no_grad():
            outputs = model.eval()(pixel_values=torch.zeros(1, 3, size, size))
        hidden = outputs.last_hidden_state
    except Exception as error:  # models of text, sound, ... refuse images in many ways
        raise BraddError(
            f"encoder: hf:{name} ({type(model).__name__}) does not embed images of {size} pixels: "
            f"{error}"
        ) from error
    if not missing and getattr(outputs, "pooler_output", None) is not None:
        return "pooler_output"
    class_token = any("cls_token" in key or "class_embed" in key for key in model.state_dict())
    return "class token" if class_token and hidden.ndim == 3 else "mean over all places"


def _side(processor: Any, name: str) -> int:
    """Side of the square that a processor makes of an image, in pixels."""
    cropped = getattr(processor, "do_center_crop", False)
    size = (getattr(processor, "crop_size", None) if cropped else None) or processor.size
    known = {key: value for key, value in dict(size).items() if value}
    sides = set(known.values())
    if not set(known) <= {"height", "width", "shortest_edge"} or len(sides) != 1:
        raise BraddError(
            f"encoder: the image processor of hf:{name} does not make squares (its size is "
            f"{known}): choose another model."
        )
    return int(sides.pop())


def _processor_normaliser(processor: Any) -> Callable[[Tensor], Tensor]:
    scale = processor.rescale_factor if getattr(processor, "do_rescale", True) else 1.0
    if not getattr(processor, "do_normalize", True):
        return _normaliser((0.0,), (1.0,), scale)
    return _normaliser(processor.image_mean, processor.image_std, scale)


def _normaliser(
    mean: Sequence[float], std: Sequence[float], scale: float = 1 / 255
) -> Callable[[Tensor], Tensor]:
    """From uint8 `[B, 3, S, S]` to float32, scaled and then standardised by channel."""

    def normalise(images: Tensor) -> Tensor:
        centre = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
        spread = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
        return (images.float() * scale - centre) / spread

    return normalise


def _on_device(model: nn.Module) -> nn.Module:
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Keep transformers' bars and reports off the terminal: what matters of them is said here."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
