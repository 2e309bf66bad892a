"""The standard evaluation of a frozen encoder, as one commented dataclass."""

from __future__ import annotations

from dataclasses import dataclass

from bradd.errors import BraddError

__all__ = ["STANDARD_PROTOCOL", "StandardProtocol"]


@dataclass(frozen=True)
class StandardProtocol:
    """Every number the two evaluations depend on; `dataclasses.asdict` puts it into a result.

    Nearest neighbours follow Wu et al. 2018 ("Unsupervised Feature Learning via Non-Parametric
    Instance Discrimination") with the values of DINO (Caron et al. 2021). The linear probe is
    multinomial logistic regression on frozen, standardised features.

    Raises:
        BraddError: A value is out of its range.
    """

    # Weighted nearest-neighbour vote by cosine similarity.
    knn_k: int = 20
    # A neighbour's vote is exp(similarity / temperature).
    knn_temperature: float = 0.07

    # Inverse strengths C of the L2 penalty, as in scikit-learn, whose loss is the cross-entropy
    # summed over the images plus |W|^2 / (2 C). One is chosen by validation.
    linear_penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    # Share of each class's training images that the choice of C is made on.
    linear_validation_share: float = 0.2
    # The fit has converged when no entry of the mean loss's gradient is larger than this.
    linear_tolerance: float = 1e-4
    linear_max_iterations: int = 1000

    def __post_init__(self) -> None:
        in_range = {
            "knn_k": self.knn_k >= 1,
            "knn_temperature": self.knn_temperature > 0,
            "linear_penalties": bool(self.linear_penalties) and min(self.linear_penalties) > 0,
            "linear_validation_share": 0 < self.linear_validation_share < 1,
            "linear_tolerance": self.linear_tolerance > 0,
            "linear_max_iterations": self.linear_max_iterations >= 1,
        }
        for name, valid in in_range.items():
            if not valid:
                raise BraddError(
                    f"{name} = {getattr(self, name)!r} is out of range: counts, temperatures, "
                    "penalties and tolerances are positive, and shares lie between 0 and 1."
                )

    def describe(self) -> str:
        """One line for people."""
        return (
            f"kNN k = {self.knn_k}, cosine, T = {self.knn_temperature}; linear probe, penalty "
            f"chosen on {100 * self.linear_validation_share:.0f} % of the training images"
        )


STANDARD_PROTOCOL = StandardProtocol()
