"""`bradd balance`: find what is under-represented in a folder, and generate variations of it."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from bradd.balancing import balance_folder
from bradd.console import console_on, say
from bradd.data import NAMES
from bradd.errors import BraddError
from bradd.generate import Generator
from bradd.ranking import Ranking, rank
from bradd.ranking_folder import check_ranking_folder, write_ranking
from bradd.run import Run
from bradd.run_settings import MAX_UNREADABLE, saved_settings
from bradd.select import Selector
from bradd.signature import checked

__all__ = ["balance"]

# What says where and whether to write, not what.
PLACE = ("out", "dry_run", "resume", "overwrite")


def balance(
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    encoder: str | None = None,
    weights: str | Path | None = None,
    embeddings: str | Path | None = None,
    selector: Selector | None = None,
    generator: Generator | None = None,
    n_anchors: int | None = None,
    n_variations: int = 5,
    guard: bool = True,
    acceptance: bool = True,
    draws: int = 3,
    seed: int = 0,
    batch_size: int = 64,
    num_workers: int = 2,
    max_unreadable: float = MAX_UNREADABLE,
    dry_run: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Find what is under-represented in a folder, and generate variations of it.

    Images are embedded, scored and selected; a generator learns from them, makes variations of the
    anchors, and those that keep what was rare are accepted. They lie in balanced/, in the same
    subfolders as their anchors, as any loader of image folders reads them; where each came from
    stands in ledger.parquet, and report.html shows all. No backbone is trained, and the data are
    left as they are.

    With dry_run, images are scored and selected only: scores.parquet (every image), anchors.csv,
    unreadable.csv, balance.json (what was done) and report.html.

    Args:
        data: A folder (searched recursively), a text file of paths, or the name of a data set.
            With dry_run it may be left out where embeddings are given: then no image is decoded,
            guarded or shown. No default.
        out: The folder to write to, outside data. No default.
        encoder: What embeds the images: timm:NAME, hf:NAME_OR_FOLDER (Hugging Face; needs
            bradd[hf]), or run:FOLDER (a run of bradd pretrain, or its backbone.safetensors). No
            default.
        weights: A file of weights for a timm encoder. Default: those that timm publishes.
        embeddings: With dry_run, instead of an encoder: a .npy file [N, D], rows in the order of
            the images' sorted names, or a .parquet file with a column embedding and optionally
            name or path. Default: none.
        selector: What is under-represented. Default: Rare.
        generator: What makes variations. Default: RepresentationDiffusion, trained on the images.
        n_anchors: Images selected. Default: one in 30, at least 2, at most 500.
        n_variations: Variations of each anchor.
        guard: Keep blank, noise, tiny and extremely long images from being anchors, and count
            duplicates once.
        acceptance: Refuse variations that left their anchor, or copy it.
        draws: How often at most each variation is drawn until one is accepted.
        seed: Of everything random.
        batch_size: Images embedded at once.
        num_workers: Processes that decode.
        max_unreadable: Share of unreadable images that is left out and listed rather than refused.
            Default: 0.01.
        dry_run: Score and select only.
        resume: Go on with what was begun in out; data and settings need not be given again.
        overwrite: Replace what bradd wrote to out; other files there are left.

    Returns:
        The folder written to.

    Raises:
        BraddError: A file or a setting is not as needed; the message says what to do.
    """
    settings = {name: value for name, value in locals().items() if name not in PLACE}
    if not out:
        raise BraddError("Say where to write to: --out FOLDER.")
    folder = Path(out).expanduser()
    if dry_run:
        if resume:
            raise BraddError("resume goes without dry_run: a dry run is simply done again.")
        return _rank(settings, folder, overwrite)
    run = Run(folder)
    if resume:
        defaults = {name: value.default for name, value in signature(balance).parameters.items()}
        given = {name: value for name, value in settings.items() if value != defaults[name]}
        settings = {name: defaults[name] for name in settings} | saved_settings(balance, run, given)
    else:
        _check_data(settings["data"], settings["embeddings"])
        if settings["embeddings"] is not None or not settings["encoder"]:
            raise BraddError(
                "An encoder is needed, since variations are accepted by what it makes of them: "
                "--encoder timm:NAME, hf:NAME or run:FOLDER. With embeddings alone: --dry_run."
            )
        settings |= checked(balance, _components(settings))
        _check_outside(folder, settings["data"])
        run.check_free(overwrite=overwrite)
    with console_on():
        balanced = balance_folder(settings, run, resume=resume, overwrite=overwrite)
        say(f"Accepted variations, in their anchors' subfolders: {balanced}")
        say(f"Look at {run.report}")
    return folder


def _rank(settings: dict[str, Any], folder: Path, overwrite: bool) -> Path:
    """Score and select only."""
    _check_data(settings["data"], settings["embeddings"])
    settings |= checked(balance, _components(settings))
    _check_outside(folder, settings["data"])
    check_ranking_folder(folder, overwrite=overwrite)
    with console_on():
        ranking = rank(
            settings["data"] or None,
            **{name: settings[name] for name in signature(rank).parameters if name in settings},
        )
        page = write_ranking(ranking, folder, overwrite=overwrite)
        _say(ranking, page)
    return folder


def _components(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: settings[name] for name in ("selector", "generator") if settings[name] is not None
    }


def _check_data(data: str | Path | None, embeddings: str | Path | None) -> None:
    if not data and not embeddings:
        raise BraddError(f"Say what to balance: --data FOLDER, or one of {', '.join(NAMES)}.")


def _check_outside(folder: Path, data: str | Path | None) -> None:
    if not data or data in NAMES:
        return
    images = Path(data).expanduser()
    if images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise BraddError(
            f"out ({folder}) lies inside data ({data}): what is written is kept apart from the "
            "images. Choose a folder outside."
        )


def _say(ranking: Ranking, page: Path) -> None:
    say(str(ranking))
    for note in ranking.facts["notes"]:
        say(note)
    say(f"Look at {page}")
