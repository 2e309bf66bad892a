"""Weights that others have trained: reading them, and fitting them to a model."""

from __future__ import annotations

import argparse
import logging
import pickle
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bradd.errors import BraddError

__all__ = ["WeightsDiffer", "backbone_weights", "fitted", "published_weights", "read_tensors"]

logger = logging.getLogger(__name__)

# Of several copies of the backbone in a file, the first of these is meant: what the methods'
# authors evaluate (DINO the teacher, MoCo v3 the base encoder, MoCo the query encoder, timm the
# moving average).
PREFERRED = ("teacher", "base_encoder", "encoder_q", "ema", "student")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor in a file, by its name, with dots where dictionaries are nested.

    Args:
        path: A safetensors file, or one written by `torch.save`, of which tensors and plain values
            alone are read.

    Raises:
        BraddError: The file is missing, damaged, or not safe to read.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Training scripts such as DINO's and MoCo v3's store their command line beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            contents = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BraddError(f"weights: {path} does not exist.") from error
    except pickle.UnpicklingError as error:
        raise BraddError(
            f"weights: {path} is no file of torch.save, or holds more than tensors and plain "
            "values, which is not read because it could run any code. If you trust it, write its "
            "weights alone to a new file: torch.save(model.state_dict(), file)."
        ) from error
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError) as error:
        raise BraddError(
            f"weights: {path} is neither a safetensors file (ending in .safetensors) nor a torch "
            f"file, or damaged: {error}"
        ) from error
    return dict(_tensors(contents, ""))


def backbone_weights(
    tensors: dict[str, Tensor], wanted: Iterable[str], path: Path
) -> dict[str, Tensor]:
    """The tensors below the prefix that has most of the wanted names, without that prefix.

    Args:
        tensors: What `read_tensors` returned.
        wanted: Names of the model's weights.
        path: Where the tensors come from, for messages.

    Returns:
        The tensors by the model's names.

    Raises:
        BraddError: No tensor has a wanted name, or several parts of the file are equally good and
            none is of a known kind.
    """
    names = set(wanted)
    found: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        for depth in range(len(parts)):
            if ".".join(parts[depth:]) in names:
                found["".join(f"{part}." for part in parts[:depth])] += 1
    if not found:
        raise BraddError(
            f"weights: {path} holds no weights of this backbone: it has {_shown(tensors)}; the "
            f"backbone has {_shown(names)}. Name the backbone that they were made with."
        )
    prefix = _preferred([p for p in found if found[p] == max(found.values())], path)
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def published_weights(name: str) -> dict[str, Tensor]:
    """The pre-trained weights that timm publishes, downloaded unless they are in its cache.

    Args:
        name: A timm model name.

    Raises:
        BraddError: They cannot be had.
    """
    try:
        # As published, without other arguments, under which timm leaves out what does not fit.
        model: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever timm, its hub client and the network come up with
        raise BraddError(
            f"weights is 'timm', but timm's pre-trained weights of {name} could not be had: "
            f"{error}. Where there is a network, write them to a file, "
            f"torch.save(timm.create_model({name!r}, pretrained=True).state_dict(), 'weights.pth')"
            ", and give that file as weights."
        ) from error
    return model.state_dict()


class WeightsDiffer(Exception):
    """Weights are not exactly those of a model; the message says which."""


def fitted(state: dict[str, Tensor], model: nn.Module, name: str, origin: str) -> dict[str, Tensor]:
    """Leave out the classifier, let timm resample what depends on the image size, and check.

    Args:
        state: Weights by the model's names.
        model: Built by timm, without classifier.
        name: Its name in timm.
        origin: Where the weights come from, for messages.

    Returns:
        What `model.load_state_dict` takes.

    Raises:
        WeightsDiffer: A weight is missing, unexpected or of another shape.
    """
    classifier = _classifier(model)
    left_out = [key for key in state if key.startswith(classifier)]
    if left_out:
        logger.info("%s: left out the classifier, %s", origin, _shown(left_out))
    state = {key: value for key, value in state.items() if not key.startswith(classifier)}

    module = sys.modules[timm.models.model_entrypoint(name).__module__]
    adapt = getattr(module, "checkpoint_filter_fn", None)
    try:
        state = state if adapt is None else dict(adapt(state, model))
    except Exception as error:  # written for right weights: anything may come of wrong ones
        raise WeightsDiffer(f"timm cannot fit them, {error!r}") from error
    _check_fit(state, model.state_dict())
    return state


def _check_fit(state: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    # The counters of batch norms are of no effect, and older than some checkpoints.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and state[key].shape != own[key].shape]
    if missing or unexpected or shapes:
        described = [
            f"{key} {list(state[key].shape)} instead of {list(own[key].shape)}" for key in shapes
        ]
        raise WeightsDiffer(
            f"missing {_shown(missing)}; unexpected {_shown(unexpected)}; of another shape "
            f"{_shown(described)}"
        )


def _classifier(model: nn.Module) -> tuple[str, ...]:
    """What the names of the classifier's weights begin with, by timm's own account."""
    config: Any = getattr(model, "pretrained_cfg", {})
    names: str | Iterable[str] = config.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _shown(names: Iterable[str], most: int = 5) -> str:
    """A list of names for people, of which the first few stand for all."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) or "nothing") + more


def _preferred(prefixes: list[str], path: Path) -> str:
    if len(prefixes) == 1:
        return prefixes[0]
    for kind in PREFERRED:
        of_kind = [prefix for prefix in prefixes if kind in prefix]
        if len(of_kind) == 1:
            return of_kind[0]
    raise BraddError(
        f"weights: {path} holds several backbones, under {_shown(sorted(prefixes))}. Write the "
        "weights of the one that you mean to a file of their own."
    )


def _tensors(value: Any, prefix: str) -> Iterable[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield prefix.removesuffix("."), value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{prefix}{key}.")
