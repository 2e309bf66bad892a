"""`bradd evaluate`: how good frozen features are on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bradd.console import console_on, say, show_table
from bradd.data import NAMES, Manifest
from bradd.errors import BraddError
from bradd.evaluation.protocol import PROTOCOLS, ProtocolName
from bradd.subject import Embedding, subjects

__all__ = ["evaluate"]


def evaluate(
    run: str | Path | None = None,
    data: str | None = None,
    *,
    checkpoint: str | None = None,
    backbone: str | None = None,
    backbone_kwargs: dict[str, Any] | None = None,
    image_size: int = 224,
    batch_size: int = 256,
    num_workers: int = 2,
    max_unreadable: float | None = None,
    protocol: ProtocolName = "standard",
    labels: str | None = None,
    cache: bool = True,
    seed: int = 0,
    out: str | None = None,
) -> list[dict[str, Any]]:
    """Score frozen features by k nearest neighbours and a linear probe.

    Protocols. `standard`: kNN with k = 20, cosine similarity, temperature 0.07; logistic
    regression, its penalty chosen among 13 on a validation split of the training images. `paper`:
    kNN with k = 5, Euclidean distance; a linear classifier trained by SGD, its learning rate chosen
    likewise. `sgd`: kNN as in `standard`; 90 epochs of SGD as in lightly and MoCo v3. Where it is
    known how many images of each class the encoder was trained on, also for classes with many, a
    medium number of, and few.

    Features are kept in `features` in the run's folder (else beside the results), so that another
    protocol or seed embeds nothing again.

    Args:
        run: A run's folder, or several with commas between them. No default.
        data: Labelled images: digits, fashion-mnist, cifar10, or a folder with a subfolder for
            each class (with train/ and test/ above them, or split 80 to 20). Default: what the run
            was trained on.
        checkpoint: Instead of a run: a file of weights for `backbone`. Default: random weights.
        backbone: Instead of a run: a timm model. Default: none.
        backbone_kwargs: Further arguments for timm.create_model. Default: none.
        image_size: Side of the images for `backbone`, in pixels. A run knows its own.
        batch_size: Images embedded at once.
        num_workers: Processes that decode.
        max_unreadable: Share of unreadable images that is left out rather than refused. Default:
            the run's own, else 0.01.
        protocol: `standard`, `paper` or `sgd`.
        labels: A manifest that says how many images of each class were trained on. Default: the
            run's own, where its classes are those of `data`.
        cache: Use and keep features on disk. Without, they are embedded anew; needed only if images
            were changed without changing their names and sizes.
        seed: Of the linear probe: its validation split, and with SGD weights and order.
        out: Where to write the results. Default: results.json in the run's folder, or beside the
            checkpoint.

    Returns:
        One result for each run.

    Raises:
        BraddError: A run, checkpoint or labelled data set cannot be read.
    """
    if (run is None) == (backbone is None):
        raise BraddError("Say what to evaluate: --run FOLDER, or --backbone NAME (--checkpoint F).")
    if protocol not in PROTOCOLS:
        raise BraddError(f"protocol is {protocol!r}: give one of {', '.join(PROTOCOLS)}.")
    manifest = None if labels is None else Manifest.read(Path(labels))
    embedding = Embedding(batch_size, num_workers, max_unreadable, cache)
    results = []
    with console_on():
        for subject in subjects(run, data, checkpoint, backbone, backbone_kwargs, image_size, out):
            results.append(subject.evaluate(PROTOCOLS[protocol], seed, manifest, embedding))
        _say_results(results)
    return results


def _say_results(results: list[dict[str, Any]]) -> None:
    groups = [
        group
        for group in ("many", "medium", "few")
        if any(group in result["linear"].get("groups", {}) for result in results)
    ]
    header = ["", "variations", "kNN", "linear", *(f"linear, {group}" for group in groups)]
    header.append("RankMe")
    rows = []
    for result in results:
        found = result["linear"].get("groups", {})
        rows.append(
            [
                result["name"],
                str(result.get("variations", "-")),
                _percent(result["knn"]),
                _percent(result["linear"]),
                *(
                    _with_error(found[group], "accuracy_percent", "standard_error_percent")
                    if group in found
                    else "-"
                    for group in groups
                ),
                f"{result['rank_me']:.1f}",
            ]
        )
    where = results[0]["data"] if results[0]["data"] in NAMES else Path(results[0]["data"]).name
    show_table(f"Accuracy on {where} in %, with the binomial standard error", header, rows)
    definition = next((r["linear"]["groups"]["definition"] for r in results if groups), None)
    if definition:
        say(f"Groups: {definition} (mean of the classes' accuracies)")
    for result in results:
        if "training_samples" in result:
            say(f"{result['name']}: {result['training_samples']} training samples seen")


def _percent(summary: dict[str, Any]) -> str:
    return _with_error(summary, "top1_percent", "top1_standard_error_percent")


def _with_error(summary: dict[str, Any], value: str, error: str) -> str:
    return f"{summary[value]:.1f} ± {summary[error]:.1f}"
