"""What made a ranking, in plain values: for `balance.json` and the page."""

from __future__ import annotations

import inspect
import platform
from collections import Counter
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from bradd.component import describe, settings_of
from bradd.ranking.ranking import Ranking
from bradd.ranking.subject import Subject
from bradd.select import KNNDistance, Rare, Selector

__all__ = ["facts_of"]

PACKAGES = ("bradd", "torch", "timm", "transformers", "numpy", "pillow", "faiss-cpu")


def facts_of(
    ranking: Ranking,
    subject: Subject,
    selector: Selector,
    wanted: int,
    guard: bool,
    seed: int,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Everything needed to say what was done, and with what.

    Args:
        ranking: What came of it.
        subject: The readable images and what embedded them.
        selector: What scored them.
        wanted: Anchors asked for.
        guard: Whether suspected images were set aside and duplicates counted once.
        seed: For selectors that draw.
        seconds: Spent in each stage.
    """
    guarded = guard and subject.images is not None
    notes = []
    if subject.images is None:
        notes.append(
            "Embeddings alone were given: there are no pixels to guard, and no copies to find."
        )
    elif not guard:
        notes.append("The guard is off: broken images and copies may be among the anchors.")
    if len(ranking.anchors) < wanted:
        notes.append(
            f"Only {len(ranking.anchors):,} images could be selected, not {wanted:,}: the others "
            "are suspected broken, or copies."
        )
    return {
        "data": subject.data or None,
        "images_fingerprint": None if subject.images is None else subject.images.fingerprint(),
        "encoder": None
        if subject.encoder is None
        else {**subject.encoder.facts, "fingerprint": subject.encoder.encoder.fingerprint()},
        "embeddings": None if subject.given is None else subject.given.source,
        "dimensions": ranking.embeddings.shape[1],
        "selector": _selector_facts(selector, len(np.unique(ranking.stands_for))),
        "guard": guarded,
        "seed": seed,
        "counts": {
            "images": len(ranking),
            "unreadable": len(ranking.unreadable),
            "suspected": int((ranking.reasons != "").sum()),
            "reasons": dict(Counter(ranking.reasons[ranking.reasons != ""].tolist())),
            "copies": int((ranking.stands_for != np.arange(len(ranking))).sum()),
            "candidates": int(ranking.candidates.sum()),
            "anchors": len(ranking.anchors),
        },
        "signal": None if ranking.signal is None else asdict(ranking.signal),
        "notes": notes,
        "versions": {"python": platform.python_version(), **_versions()},
        "seconds": seconds,
    }


def _selector_facts(selector: Selector, rows: int) -> dict[str, Any]:
    """The selector's settings, and what they mean among so many images."""
    neighbourhood, exact = _neighbourhood(selector, rows)
    return {
        "name": describe(selector),
        "settings": settings_of(selector),
        "meaning": (inspect.getdoc(type(selector)) or "").split("\n\n")[0].replace("\n", " "),
        "neighbourhood": neighbourhood,
        "exact": exact,
    }


def _neighbourhood(selector: Selector, rows: int) -> tuple[str | None, str | None]:
    """What counts as near, and to which images distances are exact; `None` where not known."""
    if isinstance(selector, KNNDistance):
        return f"k = {selector.k}, of all {rows:,} images", "to all images"
    if isinstance(selector, Rare):
        what = f"groups of fewer than {selector.neighbourhood_of(rows):,} images count as rare"
        size = selector.subsample(rows)
        if size is None:
            return what, "to all images"
        return what, f"to {selector.draws} random subsamples of {size:,} images"
    return None, None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # transformers is an extra
            continue
    return found
