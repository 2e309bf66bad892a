"""A ranking to look at: one self-contained page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from markupsafe import Markup

from bradd.data import UnreadableImage
from bradd.ranking.ranking import Ranking, printable
from bradd.reporting import figures
from bradd.reporting.numbers import duration, number, share, signal
from bradd.reporting.pictures import THUMBNAIL_SIZE, Picture, embedded
from bradd.reporting.run_files import Selection
from bradd.reporting.suspected import PICTURES_SHOWN, Shown, Suspected
from bradd.reporting.templates import render
from bradd.views.reduction import load_reduced

__all__ = ["ranking_page"]

ANCHORS_SHOWN = 120
TYPICAL_SHOWN = 24
GROUPS_SHOWN = 24
COPIES_SHOWN = 5  # of each group, besides the image that stands for it
UNREADABLE_SHOWN = 100


@dataclass(frozen=True)
class Group:
    """Duplicates: the image that stands for them, and its copies."""

    first: Shown
    copies: list[Shown]
    count: int


def ranking_page(ranking: Ranking, name: str) -> str:
    """The page as HTML. It needs no network, no other file and no JavaScript.

    Args:
        ranking: What it shows; the images shown are decoded anew.
        name: The page's title, for example that of its folder.
    """
    order = ranking.order
    histograms = _histograms(ranking)
    return render(
        "ranking.html.j2",
        kind="bradd balance",
        name=name,
        source="these images",
        summary=_summary(ranking),
        notes=ranking.facts["notes"],
        guarded=ranking.facts["guard"],
        with_pictures=ranking.images is not None,
        key_numbers=_key_numbers(ranking),
        details=_details(ranking),
        histogram=histograms[0] if histograms else None,
        histogram_figure=_figure(histograms),
        best_first=ranking.best_first,
        anchors=_shown(ranking, ranking.anchors[:ANCHORS_SHOWN]),
        anchors_total=len(ranking.anchors),
        typical=_shown(ranking, order[::-1][:TYPICAL_SHOWN]),
        suspected=_suspected(ranking),
        groups=_groups(ranking),
        groups_total=len(np.unique(_copies(ranking)[1])),
        unreadable=[(printable(file), why) for file, why in ranking.unreadable],
        unreadable_shown=UNREADABLE_SHOWN,
    )


def _summary(ranking: Ranking) -> str:
    facts, selector = ranking.facts, ranking.facts["selector"]
    maker = facts["encoder"]["name"] if facts["encoder"] else facts["embeddings"]
    how = f": {selector['neighbourhood']}" if selector["neighbourhood"] else ""
    exact = f"; distances are exact {selector['exact']}" if selector["exact"] else ""
    return (
        f"{len(ranking):,} images, embedded by {maker} and ranked by {selector['name']}{how}"
        f"{exact}. {signal(asdict(ranking.signal) if ranking.signal else None)}"
    )


def _key_numbers(ranking: Ranking) -> list[tuple[str, str, str]]:
    """What to see first: (name, figure, remark)."""
    counts = ranking.facts["counts"]
    numbers = [
        ("Images", number(counts["images"]), "scored"),
        ("Anchors", number(counts["anchors"]), _which(ranking)),
    ]
    if ranking.facts["guard"]:
        reasons = ", ".join(f"{count:,} {why}" for why, count in counts["reasons"].items())
        numbers.append(("Suspected broken", number(counts["suspected"]), reasons or "none"))
        numbers.append(("Copies", number(counts["copies"]), "of other images, counted with them"))
    if ranking.images is not None:
        numbers.append(("Unreadable", number(counts["unreadable"]), "left out"))
    if ranking.signal is not None:
        between = share(ranking.signal.share_of_variance)
        numbers.append(("Signal", between, "of the variance is between images"))
        numbers.append(("Stability", share(ranking.signal.stability), "of anchors in two draws"))
    return numbers


def _which(ranking: Ranking) -> str:
    return "the most under-represented" if ranking.best_first else "not chosen by score alone"


def _details(ranking: Ranking) -> list[tuple[str, str]]:
    """What was done, and with what: (name, value)."""
    facts = ranking.facts
    encoder, selector = facts["encoder"], facts["selector"]
    details = [("Images", f"{len(ranking):,}" + (f" in {facts['data']}" if facts["data"] else ""))]
    if encoder:
        details += [
            ("Encoder", f"{encoder['name']}, weights {encoder['weights']}"),
            ("Fingerprint of its weights", encoder["fingerprint"]),
            ("What it sees", f"the largest central square at {encoder['image_size']} pixels"),
            ("Pooling", encoder["pooling"]),
        ]
    else:
        details.append(("Embeddings", facts["embeddings"]))
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    details += [
        ("Dimensions", str(facts["dimensions"])),
        ("Selector", selector["name"]),
        ("What it looks for", selector["meaning"]),
        ("Neighbourhood", selector["neighbourhood"] or "see the selector"),
        ("Distances are exact", selector["exact"] or "see the selector"),
        ("Guard against broken images and copies", "on" if facts["guard"] else "off"),
        ("Seed", str(facts["seed"])),
        ("Time", ", ".join(f"{stage} {duration(s)}" for stage, s in facts["seconds"].items())),
        ("Versions", versions),
    ]
    return details


def _histograms(ranking: Ranking) -> list[figures.Histogram]:
    selected = np.zeros(len(ranking), dtype=bool)
    selected[ranking.anchors] = True
    selection = Selection(ranking.scores, selected, ranking.candidates, {}, {})
    return figures.histograms([("all images", selection)])


def _figure(histograms: Sequence[figures.Histogram]) -> Markup | str:
    if not histograms:
        return ""
    title = "Score of every image"
    return Markup(
        figures.histogram_figure(histograms, title, "score (higher: more under-represented)")
    )


def _suspected(ranking: Ranking) -> list[Suspected]:
    """The most frequent reason first; of each, the images of the highest score."""
    found = []
    for reason, count in Counter(ranking.reasons[ranking.reasons != ""].tolist()).most_common():
        rows = np.flatnonzero(ranking.reasons == reason)
        rows = rows[np.argsort(-ranking.scores[rows], kind="stable")]
        found.append(Suspected(reason, count, _shown(ranking, rows[:PICTURES_SHOWN])))
    return found


def _groups(ranking: Ranking) -> list[Group]:
    """The largest groups of duplicates first; pictures of those shown only."""
    members: dict[int, list[int]] = {}
    for copy, first in zip(*_copies(ranking), strict=True):
        members.setdefault(int(first), []).append(int(copy))
    groups = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Group(
            first=_shown(ranking, [first])[0],
            copies=_shown(ranking, rows[:COPIES_SHOWN]),
            count=len(rows),
        )
        for first, rows in groups[:GROUPS_SHOWN]
    ]


def _copies(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are copies, and the rows that stand for them."""
    copies = np.flatnonzero(ranking.stands_for != np.arange(len(ranking)))
    return copies, ranking.stands_for[copies]


def _shown(ranking: Ranking, rows: Sequence[int] | np.ndarray) -> list[Shown]:
    return [
        Shown(
            name=printable(ranking.names[row]),
            picture=_picture(ranking, int(row)),
            score=float(ranking.scores[row]),
            rank=int(ranking.ranks[row]),
        )
        for row in rows
    ]


def _picture(ranking: Ranking, row: int) -> Picture | None:
    """A thumbnail; `None` without images, or if the file is gone since."""
    if ranking.images is None:
        return None
    try:
        image, _, _ = load_reduced(
            ranking.images, row, lambda width, height: max(width, height) / THUMBNAIL_SIZE
        )
    except UnreadableImage:
        return None
    return embedded(image)
