"""What is evaluated: an encoder, its data, and where its results go."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bradd.console import say, stage
from bradd.data import LabelledImages, Manifest, Split, open_labelled, scan
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.evaluation.evaluate import evaluate_features
from bradd.evaluation.features import Features, cached_features
from bradd.evaluation.protocol import EvaluationProtocol
from bradd.evaluation.results import add_result
from bradd.ledger import Ledger
from bradd.reporting import write_report
from bradd.run import Run
from bradd.run_settings import MAX_UNREADABLE
from bradd.ssl import Backbone, create_backbone, load_backbone
from bradd.ssl.backbone import load_weights

__all__ = ["Embedding", "Subject", "subjects"]


@dataclass(frozen=True)
class Embedding:
    """How images are embedded.

    Attributes:
        batch_size: Images embedded at once.
        num_workers: Processes that decode.
        max_unreadable: Share of unreadable images that is left out rather than refused; None for
            the run's own, else 0.01.
        cache: Whether features are kept on disk, and read from there.
    """

    batch_size: int
    num_workers: int
    max_unreadable: float | None
    cache: bool


class Subject:
    """One encoder and what it is evaluated on.

    Args:
        name: What people call it.
        encoder: The encoder.
        data: Labelled images, as for `open_labelled`.
        results: The file that results are added to.
        run: The run that trained the encoder, if it is known.
    """

    def __init__(
        self, name: str, encoder: Encoder, data: str, results: Path, run: Run | None
    ) -> None:
        self.name = name
        self.encoder = encoder
        self.data = data
        self.results = results
        self.run = run
        self.device = next(encoder.backbone.parameters()).device

    def evaluate(
        self,
        protocol: EvaluationProtocol,
        seed: int,
        manifest: Manifest | None,
        embedding: Embedding,
    ) -> dict[str, Any]:
        """Embed the data, unless their features lie on disk, score them and add the result.

        Args:
            protocol: Of the scores.
            seed: Of the linear probe.
            manifest: Says how many images of each class were trained on; None for the run's own.
            embedding: How images are embedded.

        Returns:
            What was added to the results.

        Raises:
            BraddError: The data cannot be read, the manifest is of other classes, or the encoder
                changed meanwhile.
        """
        start = time.perf_counter()
        fingerprint = self.encoder.fingerprint()
        train, test = open_labelled(self.data, "train"), open_labelled(self.data, "test")
        counts = self._counts(train.classes, manifest)
        train, train_features = self._features(train, "train", fingerprint, embedding)
        test, test_features = self._features(test, "test", fingerprint, embedding)
        embedded = time.perf_counter()
        with stage("kNN and linear probe", 1) as progress:
            scores = evaluate_features(
                train_features,
                train.labels,
                test_features,
                test.labels,
                train.classes,
                counts,
                protocol,
                seed,
                self.device,
            )
            progress.advance()
        if self.encoder.fingerprint() != fingerprint:
            raise BraddError(f"{self.name}: the encoder changed while it was evaluated.")
        result = {
            "name": self.name,
            "encoder_fingerprint": fingerprint,
            "data": self.data,
            "protocol": f"{protocol.describe()}, seed {seed}",
            "protocol_settings": asdict(protocol),
            "training_images": len(train.images),
            "test_images": len(test.images),
            **self._facts(),
            **scores,
            "seconds": {
                "embed": round(embedded - start, 3),
                "score": round(time.perf_counter() - embedded, 3),
            },
        }
        add_result(self.results, result)
        if self.run is not None:
            write_report(self.run.folder)
        return result

    def _features(
        self, labelled: LabelledImages, split: Split, fingerprint: str, embedding: Embedding
    ) -> tuple[LabelledImages, np.ndarray]:
        """A split's readable images and their features."""
        max_unreadable = embedding.max_unreadable
        if max_unreadable is None:
            config = self.run.read_config() if self.run else {}
            max_unreadable = float(config.get("max_unreadable", MAX_UNREADABLE))

        def make() -> Features:
            count = len(labelled.images)
            with stage(f"check {count} images", count) as progress:
                checked = scan(
                    labelled.images, embedding.num_workers, max_unreadable, progress.reach
                )
            embeddings = embed(
                labelled.subset(checked.readable).images,
                self.encoder,
                batch_size=embedding.batch_size,
                num_workers=embedding.num_workers,
                description=f"{self.name}: embed {len(checked.readable)} {split} images",
            )
            return Features(embeddings, checked.readable, count)

        if embedding.cache:
            folder = (self.run.folder if self.run else self.results.parent) / "features"
            encoder = f"{fingerprint}, {self.encoder.image_size} pixels"
            found, read = cached_features(
                folder, encoder, labelled.images.fingerprint(), split, make
            )
            if read:
                say(f"{self.name}: {len(found.readable)} {split} images' features read")
        else:
            found = make()
        unreadable = found.images - len(found.readable)
        if unreadable > max_unreadable * found.images:
            raise BraddError(
                f"{unreadable} of {found.images} {split} images cannot be read, more than "
                f"max_unreadable = {max_unreadable} allows."
            )
        if unreadable:
            say(f"  {unreadable} unreadable images are left out")
        return labelled.subset(found.readable), found.embeddings

    def _counts(self, classes: list[str], manifest: Manifest | None) -> np.ndarray | None:
        """Images of each class that were trained on, where a manifest says them."""
        if manifest is not None:
            if set(manifest.counts) != set(classes):
                raise BraddError(
                    f"labels: the manifest's classes are not those of {self.data}: give the "
                    "manifest of a subset of these data, or leave it out."
                )
            return np.array([manifest.counts[name] for name in classes])
        if self.run is None or not self.run.manifest.exists():
            return None
        counts = Manifest.read(self.run.manifest).counts
        if set(counts) != set(classes):
            return None
        return np.array([counts[name] for name in classes])

    def _facts(self) -> dict[str, Any]:
        """The run's budget, and whether anything but its images is behind the encoder.

        That is a generator or weights to start from; whose images those saw, nobody can tell.
        """
        if self.run is None:
            return {}
        config, ledger = self.run.read_config(), Ledger(self.run.folder)
        rows = [row for cycle in ledger.committed() for row in ledger.variations(cycle)]
        return {
            "training_samples": self.run.steps() * config["batch_size"],
            "variations": sum(row.accepted for row in rows),
            "external_data": config.get("weights", "random") != "random"
            or any(row.external_data for row in rows if row.accepted),
        }


def subjects(
    run: str | Path | None,
    data: str | None,
    checkpoint: str | None,
    backbone: str | None,
    backbone_kwargs: dict[str, Any] | None,
    image_size: int,
    out: str | None,
) -> list[Subject]:
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
    return [Subject(name, encoder, data, Path(out) if out else default, None)]


def _subject_of_run(run: Run, data: str | None, out: str | None) -> Subject:
    config = run.read_config()
    if not run.backbone.exists():
        raise BraddError(
            f"The run in {run.folder} is not finished ({run.backbone.name} is missing): "
            f"bradd pretrain --out {run.folder} --resume."
        )
    model, plan, _ = load_backbone(run.backbone)
    encoder = Encoder(_on_device(model), plan.image_size)
    results = Path(out) if out else run.results
    return Subject(str(run.folder), encoder, data or config["data"], results, run)


def _on_device(model: torch.nn.Module) -> torch.nn.Module:
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
