"""What a fit of `RepresentationDiffusion` leaves in its folder for the next one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from torch import nn

from bradd.fingerprint import state_fingerprint
from bradd.generate.representation_training import read_weights, write_weights

__all__ = ["FitFolder"]

log = logging.getLogger(__name__)


class FitFolder:
    """A network's weights, `NAME.safetensors`, and its training's, `NAME_training.safetensors`.

    Args:
        folder: None keeps nothing.
        name: Of the network.
        lasting: Fingerprint of what has to be the same for weights to be of any use.
        passing: Fingerprint of all else that the fit depends on.

    Attributes:
        checkpoint: Of the unfinished training, for `train`.
        key: Of the unfinished training, for `train`.
    """

    def __init__(self, folder: Path | None, name: str, lasting: str, passing: str) -> None:
        self._finished = folder and folder / f"{name}.safetensors"
        self._facts = {"lasting": lasting, "passing": passing}
        self.checkpoint = folder and folder / f"{name}_training.safetensors"
        self.key = f"{lasting} {passing}"

    def start(self, network: nn.Module) -> Literal["new", "warm", "finished"]:
        """Put the weights that are there into the network, if they are of use.

        Returns:
            Whether they are those of an earlier fit, of this very one, or none.
        """
        if self._finished is None or not self._finished.exists():
            return "new"
        weights, facts = read_weights(self._finished)
        if facts.get("lasting") != self._facts["lasting"]:
            log.warning(
                "%s belongs to other settings or another size of image: trained anew",
                self._finished,
            )
            return "new"
        network.load_state_dict(weights)
        if facts == self._facts:
            return "finished"
        self.key += f" from {state_fingerprint(weights)}"
        return "warm"

    def finish(self, network: nn.Module) -> None:
        """Keep the trained network instead of its training."""
        if self._finished is not None and self.checkpoint is not None:
            write_weights(self._finished, network.state_dict(), self._facts)
            self.checkpoint.unlink(missing_ok=True)
