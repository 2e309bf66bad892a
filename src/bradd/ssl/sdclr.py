"""SDCLR (Jiang et al. 2021, "Self-Damaging Contrastive Learning")."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from bradd.data.sizes import SMALL_IMAGE
from bradd.errors import BraddError
from bradd.ssl.checks import require
from bradd.ssl.method import Method, Progress, TrainingFacts
from bradd.ssl.nt_xent import nt_xent

__all__ = ["SDCLR"]


class SDCLR(Method):
    """SimCLR between a network and its pruned self, which forgets rare images first.

    One view goes through the network, the other through the same weights with the smallest of its
    convolutions' set to zero; the two have batch norms of their own. The images on which the two
    disagree, the rare ones, then weigh more.

    The loss is computed once for each branch with the other branch's projections detached, and both
    are summed. As NT-Xent is one function of both, that is the gradient of a single NT-Xent, and so
    it is computed here.

    Args:
        temperature: Of the softmax.
        pruned: Share of the convolutions' weights that is pruned, 0 to below 1, the smallest over
            all layers, chosen anew at the start of each epoch. Default: 0.9 up to 64 pixels, 0.3
            above.
        projection_size: Width of the projector's output; the projector is an MLP D -> D -> this.
    """

    def __init__(
        self, temperature: float = 0.3, pruned: float | None = None, projection_size: int = 128
    ) -> None:
        super().__init__()
        require("temperature", temperature, temperature > 0, "above 0")
        require("pruned", pruned, pruned is None or 0 <= pruned < 1, "0 to below 1")
        require("projection_size", projection_size, projection_size >= 1, "at least 1")
        self.temperature = temperature
        self.pruned = pruned
        self.projection_size = projection_size

    def build(self, backbone: nn.Module, facts: TrainingFacts) -> None:
        """See `Method.build`.

        Raises:
            BraddError: The backbone has no convolution or no batch norm.
        """
        width = facts.embedding_size
        norms = [part for part in backbone.modules() if isinstance(part, _BatchNorm)]
        convolutions = list(_convolutions(backbone).values())
        if not norms or not convolutions:
            raise BraddError(
                "SDCLR prunes convolutions and splits batch norms; the backbone has none. Choose "
                "a convolutional one, such as resnet50, or another method."
            )
        default = 0.9 if facts.image_size <= SMALL_IMAGE else 0.3
        self._share = default if self.pruned is None else self.pruned
        self.projector = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, self.projection_size),
        )
        network = nn.Sequential(backbone, self.projector)
        self.pruned_norms = nn.ModuleList(copy.deepcopy(norm) for norm in _norms(network).values())
        kept = torch.ones(sum(weight.numel() for weight in convolutions), dtype=torch.bool)
        self.kept: Tensor
        self.register_buffer("kept", kept)

    @torch.no_grad()
    def start_epoch(self, backbone: nn.Module, progress: Progress) -> None:
        """Choose which weights are pruned."""
        weights = list(_convolutions(backbone).values())
        sizes = torch.cat([weight.abs().flatten() for weight in weights])
        count = int(self._share * len(sizes))
        if count > 0:
            self.kept.copy_(sizes > sizes.kthvalue(count).values)

    def loss(self, backbone: nn.Module, views: list[Tensor], progress: Progress) -> Tensor:
        """See `Method.loss`."""
        network = nn.Sequential(backbone, self.projector)
        dense = network(views[0])
        pruned = functional_call(network, self._pruned_state(network), views[1])
        return nt_xent(dense, pruned, self.temperature)

    def _pruned_state(self, network: nn.Sequential) -> dict[str, Tensor]:
        """What differs in the pruned branch: masked convolutions, its own batch norms."""
        weights = _convolutions(network)
        masks = torch.split(self.kept, [weight.numel() for weight in weights.values()])
        state = {
            name: weight * mask.view_as(weight)
            for (name, weight), mask in zip(weights.items(), masks, strict=True)
        }
        for name, norm in zip(_norms(network), self.pruned_norms, strict=True):
            for key, value in chain(norm.named_parameters(), norm.named_buffers()):
                state[f"{name}.{key}"] = value
        return state


def _convolutions(network: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.weight": part.weight
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d)
    }


def _norms(network: nn.Module) -> dict[str, nn.Module]:
    return {name: part for name, part in network.named_modules() if isinstance(part, _BatchNorm)}
