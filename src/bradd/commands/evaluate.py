"""`bradd evaluate`: how good frozen features are on labelled images."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bradd.console import console_on, say, show_table, stage
from bradd.data import NAMES, LabelledImages, Manifest, open_labelled, scan
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.evaluation.groups import accuracy_summary
from bradd.evaluation.health import rank_me
from bradd.evaluation.knn import knn_predict
from bradd.evaluation.linear import linear_probe
from bradd.evaluation.protocol import STANDARD_PROTOCOL
from bradd.evaluation.results import add_result
from bradd.ledger import Ledger
from bradd.reporting import write_report
from bradd.run import Run
from bradd.run_settings import MAX_UNREADABLE
from bradd.ssl import Backbone, create_backbone, load_backbone
from bradd.ssl.backbone import load_weights

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
    seed: int = 0,
    out: str | None = None,
) -> list[dict[str, Any]]:
    """Score frozen features by k nearest neighbours and a linear probe.

    kNN: k = 20, cosine similarity, temperature 0.07. Linear probe: logistic regression, its penalty
    chosen on a validation split of the training images. Where the run's long-tailed subset is
    known, also for classes with many, a medium number of, and few training images.

    Args:
        run: A run's folder, or several with commas between them.
        data: Labelled images: digits, fashion-mnist, cifar10, or a folder with a subfolder for
            each class (with train/ and test/ above them, or split 80 to 20). Default: what the run
            was trained on.
        checkpoint: Instead of a run: a file of weights for `backbone`.
        backbone: Instead of a run: a timm model; without `checkpoint`, with random weights.
        backbone_kwargs: Further arguments for timm.create_model.
        image_size: Side of the images for `backbone`, in pixels. A run knows its own.
        batch_size: Images embedded at once.
        num_workers: Processes that decode.
        max_unreadable: Share of unreadable images that is left out rather than refused. Default:
            the run's own, else 0.01.
        seed: Of the validation split.
        out: Where to write the results. Default: results.json in the run's folder, or beside the
            checkpoint.

    Returns:
        One result for each run.

    Raises:
        BraddError: A run, checkpoint or labelled data set cannot be read.
    """
    if (run is None) == (backbone is None):
        raise BraddError("Say what to evaluate: --run FOLDER, or --backbone NAME (--checkpoint F).")
    results = []
    with console_on():
        for subject in _subjects(run, data, checkpoint, backbone, backbone_kwargs, image_size, out):
            results.append(subject.evaluate(batch_size, num_workers, max_unreadable, seed))
        _say_results(results)
    return results


class _Subject:
    """One encoder and what it is evaluated on."""

    def __init__(
        self, name: str, encoder: Encoder, data: str, results: Path, run: Run | None
    ) -> None:
        self.name = name
        self.encoder = encoder
        self.data = data
        self.results = results
        self.run = run

    def evaluate(
        self, batch_size: int, num_workers: int, max_unreadable: float | None, seed: int
    ) -> dict[str, Any]:
        start = time.perf_counter()
        if max_unreadable is None:
            config = self.run.read_config() if self.run else {}
            max_unreadable = float(config.get("max_unreadable", MAX_UNREADABLE))
        train = _readable(open_labelled(self.data, "train"), num_workers, max_unreadable)
        test = _readable(open_labelled(self.data, "test"), num_workers, max_unreadable)
        features = [
            embed(
                part.images,
                self.encoder,
                batch_size=batch_size,
                num_workers=num_workers,
                description=f"{self.name}: embed {len(part.images)} {split} images",
            )
            for part, split in ((train, "training"), (test, "test"))
        ]
        embedded = time.perf_counter()
        scores = _score(features[0], train, features[1], test, self._counts(train.classes), seed)
        result = {
            "name": self.name,
            "encoder_fingerprint": self.encoder.fingerprint(),
            "data": self.data,
            "protocol": f"{STANDARD_PROTOCOL.describe()}, seed {seed}",
            "protocol_settings": asdict(STANDARD_PROTOCOL),
            "training_images": len(train.images),
            "test_images": len(test.images),
            **self._facts(),
            **scores,
            "rank_me": rank_me(features[1]),
            "seconds": {
                "embed": round(embedded - start, 3),
                "score": round(time.perf_counter() - embedded, 3),
            },
        }
        add_result(self.results, result)
        if self.run is not None:
            write_report(self.run.folder)
        return result

    def _counts(self, classes: list[str]) -> np.ndarray | None:
        """Training images of each class, where the run's long-tailed subset says them."""
        if self.run is None or not self.run.manifest.exists():
            return None
        counts = Manifest.read(self.run.manifest).counts
        if set(counts) != set(classes):
            return None
        return np.array([counts[name] for name in classes])

    def _facts(self) -> dict[str, Any]:
        """The run's budget, and whether a generator brought in outside data."""
        if self.run is None:
            return {}
        config, ledger = self.run.read_config(), Ledger(self.run.folder)
        rows = [row for cycle in ledger.committed() for row in ledger.variations(cycle)]
        return {
            "training_samples": self.run.steps() * config["batch_size"],
            "variations": sum(row.accepted for row in rows),
            "external_data": any(row.external_data for row in rows),
        }


def _readable(labelled: LabelledImages, num_workers: int, max_unreadable: float) -> LabelledImages:
    """Without the few images that cannot be read; more than a few are an error."""
    with stage(f"check {len(labelled.images)} images", len(labelled.images)) as progress:
        checked = scan(labelled.images, num_workers, max_unreadable, progress.reach)
    if not checked.unreadable:
        return labelled
    say(f"  {len(checked.unreadable)} unreadable images are left out")
    return labelled.subset(checked.readable)


def _subjects(
    run: str | Path | None,
    data: str | None,
    checkpoint: str | None,
    backbone: str | None,
    backbone_kwargs: dict[str, Any] | None,
    image_size: int,
    out: str | None,
) -> list[_Subject]:
    """Load everything that is to be evaluated, so that a wrong name ends it before long work."""
    if run is not None:
        return [_subject_of_run(Run(each.strip()), data, out) for each in str(run).split(",")]
    if data is None:
        raise BraddError("Say on what to evaluate: --data NAME or a labelled folder.")
    plan = Backbone.choose(str(backbone), image_size, backbone_kwargs)
    model = create_backbone(plan).eval()
    if checkpoint is not None:
        load_weights(model, plan, checkpoint)
    default = Path(checkpoint).parent / "results.json" if checkpoint else Path("results.json")
    name = checkpoint or f"{backbone} (random weights)"
    encoder = Encoder(_on_device(model), image_size)
    return [_Subject(name, encoder, data, Path(out) if out else default, None)]


def _subject_of_run(run: Run, data: str | None, out: str | None) -> _Subject:
    config = run.read_config()
    if not run.backbone.exists():
        raise BraddError(
            f"The run in {run.folder} is not finished ({run.backbone.name} is missing): "
            f"bradd pretrain --out {run.folder} --resume."
        )
    model, plan, _ = load_backbone(run.backbone)
    encoder = Encoder(_on_device(model), plan.image_size)
    results = Path(out) if out else run.results
    return _Subject(str(run.folder), encoder, data or config["data"], results, run)


def _on_device(model: torch.nn.Module) -> torch.nn.Module:
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _score(
    train: np.ndarray,
    train_set: LabelledImages,
    test: np.ndarray,
    test_set: LabelledImages,
    counts: np.ndarray | None,
    seed: int,
) -> dict[str, Any]:
    protocol, classes = STANDARD_PROTOCOL, train_set.classes
    with stage("kNN and linear probe", 2) as progress:
        votes = knn_predict(
            train,
            train_set.labels,
            test,
            protocol.knn_k,
            protocol.knn_temperature,
            num_classes=len(classes),
        )
        progress.advance()
        probe = linear_probe(train, train_set.labels, test, seed, protocol)
        progress.advance()
    return {
        "knn": accuracy_summary(votes, test_set.labels, classes, counts),
        "linear": {
            **accuracy_summary(probe.predictions, test_set.labels, classes, counts),
            "penalty": probe.penalty,
            "validation_percent": {str(c): v for c, v in probe.validation_accuracy.items()},
        },
    }


def _say_results(results: list[dict[str, Any]]) -> None:
    groups = [
        group
        for group in ("many", "medium", "few")
        if any(group in result["linear"].get("groups", {}) for result in results)
    ]
    header = ["", "variations", "kNN", "linear", *(f"linear, {group}" for group in groups)]
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
                    f"{found[group]['accuracy_percent']:.1f}" if group in found else "-"
                    for group in groups
                ),
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
    return f"{summary['top1_percent']:.1f} ± {summary['top1_standard_error_percent']:.1f}"
