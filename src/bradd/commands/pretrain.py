"""`bradd pretrain`: the whole of Algorithm 1 on a folder of pictures."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from bradd.console import console_on
from bradd.data import NAMES, LabelledImages, Manifest, is_named, open_labelled
from bradd.data.training_set import open_training_set
from bradd.errors import BraddError
from bradd.facts import Facts, usable_cores
from bradd.generate import Generator
from bradd.loggers import LoggerName, check_logger
from bradd.pool import EpochLength
from bradd.presets import Settings, resolve, usual_generator
from bradd.reporting import write_report
from bradd.round_settings import Candidates, check_round
from bradd.run import Run
from bradd.run_settings import MAX_UNREADABLE, config_of, saved_settings
from bradd.select import Selector
from bradd.signature import checked
from bradd.ssl import Backbone, Method
from bradd.ssl.backbone import save_backbone
from bradd.summary import say_cycles, say_settings, say_what_next
from bradd.training import build_module, fit, kept_shape, quiet_lightning
from bradd.views import Views
from bradd.views.cache import check_memory

__all__ = ["pretrain"]


def pretrain(
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    preset: Literal["recommended", "paper"] | None = None,
    longtail: str | None = None,
    manifest: str | Path | None = None,
    labels: str | Path | None = None,
    backbone: str | None = None,
    backbone_kwargs: dict[str, Any] | None = None,
    weights: str | Path | None = None,
    image_size: int | None = None,
    cache: int | None = None,
    method: Method | None = None,
    views: Views | None = None,
    selector: Selector | None = None,
    generator: Generator | None = None,
    cycles: int | None = None,
    epochs_per_cycle: int | None = None,
    n_anchors: int | None = None,
    n_variations: int | None = None,
    candidates: Candidates | None = None,
    guard: bool | None = None,
    anchor_limit: int | None = None,
    first_round: int | None = None,
    acceptance: bool | None = None,
    draws: int | None = None,
    epoch_length: EpochLength | None = None,
    real_share: float | None = None,
    siblings: float | None = None,
    batch_size: int | None = None,
    optimizer: Literal["sgd", "adamw", "lars"] | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    final_weight_decay: float | None = None,
    gradient_clip: float | None = None,
    warmup_epochs: int | None = None,
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] | None = None,
    channels_last: bool | None = None,
    compile: bool | None = None,
    health_every_n_epochs: int | None = None,
    seed: int | None = None,
    num_workers: int | None = None,
    max_unreadable: float | None = None,
    logger: LoggerName | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train a backbone on a folder of pictures, rebalancing them as it goes.

    Cycles of self-supervised training; after each but the last, the images that are
    under-represented are selected and variations of them generated, which training then draws from
    too. A setting that is not given is chosen to suit the data, the machine and the preset; all are
    printed, and written to config.yaml, from which the same run starts again.

    Args:
        data: A folder (searched recursively), a text file of paths, or the name of a data set
            (digits, cifar10, imagenet100, ...; hf:NAME needs bradd[datasets]). No default.
        out: The run's folder. No default.
        preset: recommended (default: real anchors, matched budget, guard and acceptance on) or
            paper (its literal reading).
        longtail: Train on a long-tailed subset of labelled data, exponential:100 or pareto:6. The
            labels shape the subset; training does not see them. Default: all images.
        manifest: Train on the subset that this file of bradd prepare names, of its own data unless
            others are given. Default: all images.
        labels: Labelled images on which kNN accuracy is followed meanwhile, as for `evaluate`;
            training does not see them. Default: the data themselves where they are a named set, or
            with longtail or manifest; else none.
        backbone: A timm model. Default: a ResNet that suits images and machine.
        backbone_kwargs: Further arguments for timm.create_model, e.g. {"drop_path_rate": 0.1}.
            Beside them stem_stride, of a ResNet's 3x3 stem: up to 32 pixels 1, up to 64 pixels 2,
            unless told; on a CPU 2 is several times as fast as 1. Default: none.
        weights: What the backbone starts from: random (default), timm (timm's own pre-trained
            weights) or a safetensors or torch file.
        image_size: Side of the largest views in pixels. Default: the images' own up to 64, else
            224 (64 without a GPU).
        cache: Keep all images in memory, decoded once, larger ones reduced to squares of this many
            pixels, and crop on the device; 0 decodes at every step. Default: where a quarter of the
            free memory will do, 64 for images no larger, twice image_size where that is up to 64;
            else 0.
        method: The self-supervised method: SimCLR (default), MoCoV3, DINO or SDCLR.
        views: The random views. Default: the method's own, up to 64 pixels without blur and with
            larger crops. If any of their settings is given, the others are those for large images.
        selector: What is under-represented. Default: Rare; in the paper preset KNNDistance, k = 5.
        generator: What makes variations. Default: RepresentationDiffusion; in the paper preset
            StableUnCLIP.
        cycles: Cycles of training; rounds of rebalancing are one fewer. Default: 5. With 1 the
            images are not rebalanced.
        epochs_per_cycle: Epochs of a cycle. Default: 20.
        n_anchors: Images selected in a round. Default: one in 30, at most 500; in the paper preset
            500.
        n_variations: Variations of each. Default: 5.
        candidates: Anchors are real images only, or from the whole pool. Default: images; in the
            paper preset pool.
        guard: Keep images that look broken (blank, noise, tiny, extremely long) from being anchors,
            and count copies of an image once. Default: true; in the paper preset false.
        anchor_limit: How many rounds may choose the same image; 0: any number. Default: 2; in
            the paper preset 0.
        first_round: The cycle that the first round follows. Default: 1.
        acceptance: Refuse variations that left their anchor, and copies. Default: true; false in
            the paper preset and with grown epochs.
        draws: How often at most each variation is drawn until one is accepted. Default: 3.
        epoch_length: matched (as many samples as there are images) or grown (the whole pool).
            Default: matched; in the paper preset grown.
        real_share: How much of an epoch is real images once there are variations, 0 to 1; 0
            (default): as much as of the pool.
        siblings: How often every second view of an image shows one of its family instead (its
            variations, or what it is a variation of), so that these have to agree; 0 to 1.
            Default: 0.
        batch_size: Images in a batch, over all devices. Default: 256 (ViT 512), on a CPU 128,
            fewer for small data.
        optimizer: sgd, adamw or lars. Default: sgd, for vision transformers adamw.
        learning_rate: Peak of the schedule. Default: sgd 0.5 and lars 0.3 for 256 images a batch,
            adamw 3e-4 for 512, in proportion.
        weight_decay: Of weights, not of biases and norms. Default: sgd 1e-4, adamw 0.05, lars 1e-6.
        final_weight_decay: At the end of a cosine. Default: weight_decay; for DINO by adamw it
            rises from 0.04 to 0.4.
        gradient_clip: Largest norm of all gradients together; 0 leaves them. Default: 3 for DINO,
            else 0.
        warmup_epochs: Epochs in which the learning rate rises. Default: a tenth, at most 10.
        precision: As Lightning names it. Default: bf16-mixed on a GPU, else 32-true.
        channels_last: Keep convolutions in the memory format that is fastest on GPUs. Default: on
            a GPU, for all but transformers.
        compile: Compile the backbone by torch.compile: slower to start, faster on a GPU. Default:
            false.
        health_every_n_epochs: Epochs between two looks at the embeddings (rank, spread, alignment
            and uniformity, kNN accuracy with labels). Default: about twenty in a run.
        seed: Of everything random. Default: 0.
        num_workers: Processes that decode. Default: by the machine.
        max_unreadable: Share of unreadable images that is skipped and listed rather than refused.
            Default: 0.01.
        logger: wandb (Weights & Biases) or mlflow, which get numbers, settings and sample pictures
            beside metrics.csv and TensorBoard; needs bradd[wandb] or bradd[mlflow]. It may change
            on resuming. Default: none, and nothing leaves the machine.
        resume: Go on with the run in `out`; data and settings need not be given again.
        overwrite: Replace the run in `out`.

    Returns:
        The run's folder.

    Raises:
        BraddError: A file, a setting or the machine is not as needed; the message says what to do.
    """
    given = {
        name: value
        for name, value in locals().items()
        if name not in ("out", "resume", "overwrite") and value is not None
    }
    if not out:
        raise BraddError("Say where the run is to be kept: --out runs/NAME.")
    given = checked(pretrain, given)
    run = Run(out)
    with console_on(), quiet_lightning():
        if resume:
            given = saved_settings(pretrain, run, given)
        else:
            run.check_free(overwrite=overwrite)
        check_logger(given.get("logger", "none"))
        _check_manifest(given)
        _check_data(given.get("data"), run)
        from_checkpoint = resume and run.checkpoint.exists()
        labelled = _labelled(given)
        _check_backbone(given, from_checkpoint)
        _check_generator(given)
        training_set = open_training_set(
            given["data"],
            given.get("longtail"),
            given.get("seed", 0),
            given.get("num_workers", usable_cores()),
            given.get("max_unreadable", MAX_UNREADABLE),
            given.get("manifest"),
        )
        facts = Facts.of_machine(len(training_set.images), training_set.shorter_side)
        tuned = {field.name for field in fields(Settings)}
        settings = resolve({name: given[name] for name in given if name in tuned}, facts)
        plan = Backbone.choose(
            settings.backbone,
            settings.image_size,
            settings.backbone_kwargs,
            several_sizes=len(settings.view_sizes()) > 1,
        )
        module = build_module(plan, settings, len(training_set.images), from_checkpoint)
        check_round(len(training_set.images), settings.round_settings())
        if (shape := kept_shape(settings, training_set)) is not None:
            check_memory(len(training_set.images), shape)
        _check_batch(settings.batch_size, len(training_set.images))
        if not resume:
            run.prepare(overwrite=overwrite)
            training_set.write(run.manifest, run.unreadable)
            run.write_config(config_of(given, run, settings))
        say_settings(run, settings, plan, training_set)
        fit(run, settings, module, training_set, labelled, resume, given.get("logger", "none"))
        encoder = module.get_submodule(settings.method.encoder)
        save_backbone(encoder, plan, run.backbone, {"seed": settings.seed})
        write_report(run.folder)
        say_cycles(run, settings)
        say_what_next(run, plan, _evaluated_on(given))
    return run.folder


def _check_manifest(given: dict[str, Any]) -> None:
    """One subset at most; without data those that the manifest was made for."""
    if "manifest" not in given:
        return
    if "longtail" in given:
        raise BraddError("Give longtail or manifest: either says which images are trained on.")
    if not given.get("data"):
        given["data"] = Manifest.read(Path(given["manifest"]).expanduser()).data


def _check_data(data: str | Path | None, run: Run) -> None:
    if not data:
        raise BraddError(f"Say what to train on: --data FOLDER, or one of {', '.join(NAMES)}.")
    folder = Path(data).expanduser()
    if is_named(data) or not folder.is_dir():
        return
    if run.folder.resolve().is_relative_to(folder.resolve()):
        raise BraddError(
            f"out ({run.folder}) lies inside data ({data}): the next run would train on this "
            "one's variations. Choose a folder outside."
        )


def _check_batch(batch_size: int, images: int) -> None:
    if batch_size > images:
        raise BraddError(
            f"batch_size is {batch_size}, but there are {images} images: choose at most that many."
        )


def _labelled(given: dict[str, Any]) -> tuple[LabelledImages, LabelledImages] | None:
    """What kNN accuracy is followed on: a reference and a test split, where labels are at hand."""
    data = _evaluated_on(given)
    return None if data is None else (open_labelled(data, "train"), open_labelled(data, "test"))


def _evaluated_on(given: dict[str, Any]) -> str | Path | None:
    """The labelled images at hand."""
    subset = given.get("longtail") or given.get("manifest")
    of_training = given["data"] if given["data"] in NAMES or subset else None
    labels: str | Path | None = given.get("labels", of_training)
    return labels


def _check_backbone(given: dict[str, Any], from_checkpoint: bool) -> None:
    """Find a wrong name or a missing file before all images are read."""
    if "backbone" in given:
        Backbone.choose(given["backbone"], 224)
    weights = str(given.get("weights", "random"))
    of_file = weights not in ("random", "timm") and not from_checkpoint
    if of_file and not Path(weights).expanduser().is_file():
        raise BraddError(f"weights: {weights} does not exist.")


def _check_generator(given: dict[str, Any]) -> None:
    """Find out before all images are read whether the generator can be had."""
    generator = given.get("generator") or usual_generator(given.get("preset"))
    if given.get("cycles") != 1:  # else there is no round
        generator.check()
