"""How a frozen encoder is evaluated: every number it depends on, as one commented dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bradd.errors import BraddError

__all__ = ["PAPER", "PROTOCOLS", "SGD", "STANDARD", "EvaluationProtocol", "ProtocolName"]

ProtocolName = Literal["standard", "paper", "sgd"]


@dataclass(frozen=True)
class EvaluationProtocol:
    """A nearest-neighbour vote and a linear probe; `dataclasses.asdict` puts it into a result.

    The linear probe is logistic regression if `linear_penalties` are given, and trained by SGD if
    `linear_learning_rates` are. Of several candidates validation images choose one, which is then
    fitted to all training images and tested once.

    Raises:
        BraddError: A value is out of its range.
    """

    name: str

    # Nearest neighbours that vote. 20 as in DINO (Caron et al. 2021).
    knn_k: int = 20
    # "cosine": by the angle between features. "euclidean": by the distance between them.
    knn_metric: Literal["cosine", "euclidean"] = "cosine"
    # A neighbour's vote is exp(cosine similarity / temperature) (Wu et al. 2018; 0.07 as in DINO).
    # None: every neighbour has one vote.
    knn_temperature: float | None = 0.07

    # Logistic regression on standardised features: inverse strengths C of the L2 penalty, as in
    # scikit-learn, whose loss is the cross-entropy summed over the images plus |W|^2 / (2 C).
    linear_penalties: tuple[float, ...] = ()
    # The fit has converged when no entry of the mean loss's gradient is larger than this
    # (scikit-learn's criterion and default) and the loss is no farther above its minimum than that
    # (in nats an image; from about 1e-4 on, accuracies move by more than 0.1 points).
    linear_tolerance: float = 1e-4
    linear_excess_loss: float = 1e-5
    linear_max_iterations: int = 1000

    # SGD on features as they are. Learning rates at a batch of 256; proportional to the batch.
    linear_learning_rates: tuple[float, ...] = ()
    # Epochs, momentum, no weight decay and a cosine from step to step without warm-up as in
    # lightly's `LinearClassifier` and its ImageNet benchmark (after SimCLR, Chen et al. 2020);
    # MoCo v3's `main_lincls.py` has the same, with batches of 1024.
    linear_epochs: int = 90
    linear_momentum: float = 0.9
    linear_batch_size: int = 256
    # Standard deviation of the first weights; biases start at 0. As in MoCo v3.
    linear_initial_std: float = 0.01

    # Share of each class's training images that a candidate is chosen on, where there are several.
    linear_validation_share: float = 0.2

    def __post_init__(self) -> None:
        if bool(self.linear_penalties) == bool(self.linear_learning_rates):
            raise BraddError(
                "give linear_penalties for logistic regression or linear_learning_rates for SGD, "
                "one of the two."
            )
        in_range = {
            "knn_k": self.knn_k >= 1,
            "knn_temperature": self.knn_temperature is None or self.knn_temperature > 0,
            "linear_penalties": all(penalty > 0 for penalty in self.linear_penalties),
            "linear_tolerance": self.linear_tolerance > 0,
            "linear_excess_loss": self.linear_excess_loss > 0,
            "linear_max_iterations": self.linear_max_iterations >= 1,
            "linear_learning_rates": all(rate > 0 for rate in self.linear_learning_rates),
            "linear_epochs": self.linear_epochs >= 1,
            "linear_momentum": 0 <= self.linear_momentum < 1,
            "linear_batch_size": self.linear_batch_size >= 1,
            "linear_initial_std": self.linear_initial_std >= 0,
            "linear_validation_share": 0 < self.linear_validation_share < 1,
        }
        for setting, valid in in_range.items():
            if not valid:
                raise BraddError(
                    f"{setting} = {getattr(self, setting)!r} is out of range: counts, "
                    "temperatures, penalties, rates and tolerances are positive, and shares lie "
                    "between 0 and 1."
                )
        if self.knn_metric not in ("cosine", "euclidean"):
            raise BraddError(f"knn_metric is {self.knn_metric!r}: give cosine or euclidean.")
        if self.knn_metric == "euclidean" and self.knn_temperature is not None:
            raise BraddError("knn_temperature weighs cosine similarities: give None for euclidean.")

    def describe(self) -> str:
        """One line for people."""
        vote = "one vote each" if self.knn_temperature is None else f"T = {self.knn_temperature}"
        knn = f"kNN k = {self.knn_k}, {self.knn_metric}, {vote}"
        if self.linear_penalties:
            probe, candidates, choice = "logistic regression", self.linear_penalties, "penalty"
        else:
            probe = f"{self.linear_epochs} epochs of SGD"
            candidates, choice = self.linear_learning_rates, "learning rate"
        chosen = (
            f"{choice} chosen among {len(candidates)} on "
            f"{100 * self.linear_validation_share:.0f} % of the training images"
            if len(candidates) > 1
            else f"{choice} {candidates[0]:g}"
        )
        return f"{self.name}: {knn}; linear probe: {probe}, {chosen}"


def _half_decades(first: int, last: int) -> tuple[float, ...]:
    """10^first, 10^(first + 1/2), ..., 10^last."""
    return tuple(float(f"{10 ** (half / 2):.3g}") for half in range(2 * first, 2 * last + 1))


STANDARD = EvaluationProtocol("standard", linear_penalties=_half_decades(-5, 1))
"""The default: 13 penalties, C from 1e-5 to 10."""

# The paper names kNN and linear probing and gives no constants: k and metric are those of its
# authors' code, the rest is SGD as above. Learning rates span those in use on raw features, from
# 1e-4 (DINOv2's sweep, Oquab et al. 2023, ends at 0.1) to 100 (MoCo, He et al. 2020, takes 30).
PAPER = EvaluationProtocol(
    "paper",
    knn_k=5,
    knn_metric="euclidean",
    knn_temperature=None,
    linear_learning_rates=_half_decades(-4, 2),
)
"""What the paper's tables were made by, as far as it is known."""

# Both take 0.1 at a batch of 256, without a choice. They train on random views of the images; here
# the features of their centre views are fixed, so accuracies may be lower than theirs.
SGD = EvaluationProtocol("sgd", linear_learning_rates=(0.1,))
"""The linear evaluation of lightly and MoCo v3, on fixed features; kNN as in `STANDARD`."""

PROTOCOLS: dict[str, EvaluationProtocol] = {each.name: each for each in (STANDARD, PAPER, SGD)}
"""The protocols by name."""
