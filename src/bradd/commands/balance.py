"""`bradd balance --dry_run`: which images of a folder are under-represented."""

from __future__ import annotations

from pathlib import Path

from bradd.console import console_on, say
from bradd.data import NAMES
from bradd.errors import BraddError
from bradd.ranking import Ranking, rank
from bradd.ranking_folder import check_ranking_folder, write_ranking
from bradd.run_settings import MAX_UNREADABLE
from bradd.select import Selector
from bradd.signature import checked

__all__ = ["balance"]


def balance(
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    encoder: str | None = None,
    weights: str | Path | None = None,
    embeddings: str | Path | None = None,
    selector: Selector | None = None,
    n_anchors: int | None = None,
    guard: bool = True,
    seed: int = 0,
    batch_size: int = 64,
    num_workers: int = 2,
    max_unreadable: float = MAX_UNREADABLE,
    dry_run: bool = False,
    overwrite: bool = False,
) -> Path:
    """Score images by how under-represented they are, and select anchors.

    Writes scores.parquet (every image), anchors.csv, unreadable.csv, balance.json (what was done)
    and report.html. Nothing is trained, and the data are left as they are.

    Args:
        data: A folder (searched recursively), a text file of paths, or digits, fashion-mnist or
            cifar10. May be left out with embeddings: then no image is decoded, guarded or shown.
        out: The folder to write to, outside data.
        encoder: What embeds the images: timm:NAME, hf:NAME_OR_FOLDER (Hugging Face; needs
            bradd[hf]), or run:FOLDER (a run of bradd pretrain, or its backbone.safetensors).
        weights: A file of weights for a timm encoder. Default: those that timm publishes.
        embeddings: Instead of an encoder: a .npy file [N, D], rows in the order of the images'
            sorted names, or a .parquet file with a column embedding and optionally name or path.
        selector: What is under-represented. Default: Rare.
        n_anchors: Images selected. Default: one in 30, at least 2, at most 500.
        guard: Keep blank, noise, tiny and extremely long images from being anchors, and count
            duplicates once.
        seed: For selectors that draw.
        batch_size: Images embedded at once.
        num_workers: Processes that decode.
        max_unreadable: Share of unreadable images that is left out and listed rather than refused.
        dry_run: Score and select only. Needed: generating variations is not part of this version.
        overwrite: Replace the ranking in `out`; other files there are left.

    Returns:
        The folder written to.

    Raises:
        BraddError: A file or a setting is not as needed; the message says what to do.
    """
    if not dry_run:
        raise BraddError(
            "Generating variations for a folder is not part of this version yet: add --dry_run to "
            "score the images and select anchors. To train on rebalanced images, bradd pretrain."
        )
    if not out:
        raise BraddError("Say where to write to: --out FOLDER.")
    if not data and not embeddings:
        raise BraddError(f"Say what to rank: --data FOLDER, or one of {', '.join(NAMES)}.")
    folder = Path(out).expanduser()
    if selector is not None:
        selector = checked(balance, {"selector": selector})["selector"]
    _check_outside(folder, data)
    check_ranking_folder(folder, overwrite=overwrite)
    with console_on():
        ranking = rank(
            data or None,
            encoder,
            embeddings=embeddings,
            weights=weights,
            selector=selector,
            n_anchors=n_anchors,
            guard=guard,
            seed=seed,
            batch_size=batch_size,
            num_workers=num_workers,
            max_unreadable=max_unreadable,
        )
        page = write_ranking(ranking, folder, overwrite=overwrite)
        _say(ranking, page)
    return folder


def _check_outside(folder: Path, data: str | Path | None) -> None:
    if not data or data in NAMES:
        return
    images = Path(data).expanduser()
    if images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise BraddError(
            f"out ({folder}) lies inside data ({data}): a ranking is kept apart from the images. "
            "Choose a folder outside."
        )


def _say(ranking: Ranking, page: Path) -> None:
    say(str(ranking))
    for note in ranking.facts["notes"]:
        say(note)
    say(f"Look at {page}")
