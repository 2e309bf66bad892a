r"""Which strategy finds the images of rare classes, and which finds garbage.

Long-tailed sets with the classes in random order and 1 % of garbage (noise, black and white
images), and encoders trained on them without labels. First the sets, one for each seed, then an
encoder for each set, then the measurement:

    python benchmarks/rarity.py prepare --data fashion-mnist --seeds 0 1 2 --out sets/fashion
    for seed in 0 1 2; do
        bradd pretrain --data sets/fashion/$seed --seed $seed --cycles 1 --epochs_per_cycle 100 \
            --out runs/fashion-$seed
    done
    python benchmarks/rarity.py measure --runs runs/fashion-* --out results/fashion

With `--data CIFAR10_FOLDER` (holding `train/<class>/*` and `test/<class>/*`) the same for CIFAR-10.
A run of `bradd pretrain --longtail exponential:100` can be measured too; its classes are in the
data set's own order, the same for each seed, and the garbage was not trained on.

More sets than encoders, since which classes are rare makes most of the difference between sets:

    python benchmarks/rarity.py measure --sets sets/fashion/* --encoder runs/fashion-* --out OUT

measures each set with one of the runs' encoders in turn, which saw the classes in the proportions
of the set it was trained on (list the runs so that no set meets its own). Without any training
before, `--encoder pca` takes 64 principal components of the pixels, and
`--encoder supervised --data fashion-mnist` the features of a small network that is trained here
with labels on the test split, which the sets hold nothing of: what the strategies do where the
features are good.

Each strategy selects the same share of the images, with the guards of `bradd.select` and without.
Printed and written to OUT/rarity.md and OUT/rarity.json: the share of those selected that are of
the rarest third of the classes, by how much it is more than with the paper's strategy on the same
set, on how many sets it is more and on how many less, how evenly the classes are met, the share
that is garbage, and seconds (median). Means over the sets and their 95 % intervals (Student's t):
look at the difference first. OUT/recall.png shows the recall of each class against k.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy import stats

from bradd.select import (
    Band,
    ClusterInverse,
    KNNDistance,
    LocalDensity,
    Rare,
    Selection,
    Selector,
    Uniform,
    neighbour_distances,
    select_guarded,
)
from bradd.select.selector import top
from long_tails import Embed, LongTail, prepare, to_measure

PAPER = "KNNDistance(k=5), the paper's"
NUMBERS = ("tail_percent", "class_entropy", "garbage_percent", "seconds")
KS = (1, 2, 5, 10, 20, 50, 100, 200, 400)  # of the figure


def strategies(neighbourhoods: list[int]) -> dict[str, Callable[[], Selector]]:
    return {
        "Uniform()": Uniform,
        PAPER: KNNDistance,
        **{f"KNNDistance(k={k})": partial(KNNDistance, k) for k in (20, 50, 100)},
        "Rare()": Rare,
        **{f"Rare(neighbourhood={size})": partial(Rare, size) for size in neighbourhoods},
        "ClusterInverse()": ClusterInverse,
        "Band(Rare(), 0.9, 0.99)": Band,
        "LocalDensity()": LocalDensity,
    }


def measure_set(
    subject: LongTail, encode: Embed, arguments: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What each strategy finds in one set, and facts of the set."""
    n = round(arguments.share * len(subject.ranks))
    embeddings = encode(subject)
    seen = subject.inspect()
    reasons, stands_for = seen.reasons, seen.stands_for(embeddings)
    select = partial(select_guarded, reasons=reasons, stands_for=stands_for)
    rows: list[dict[str, Any]] = [
        {"strategy": name, "guards": guards, **scores(subject, choose, embeddings, n)}
        for name, make in strategies(arguments.neighbourhoods).items()
        for guards, choose in ((False, make().select), (True, partial(select, make())))
    ]
    paper = next(row for row in rows if row["strategy"] == PAPER and not row["guards"])
    for row in rows:
        row["over_paper"] = row["tail_percent"] - paper["tail_percent"]
    signal = select(Rare(), embeddings, n, 0).signal
    facts = {
        "name": subject.name,
        "class_sizes": subject.sizes.tolist(),
        "garbage": int((subject.ranks < 0).sum()),
        "selected": n,
        "guarded": int((reasons != "").sum()),
        "guarded_wrongly": int(((reasons != "") & (subject.ranks >= 0)).sum()),
        "duplicates": int((stands_for != np.arange(len(stands_for))).sum()),
        "signal": vars(signal) if signal else None,
        "recall": recall(subject, embeddings, n, reasons == ""),
    }
    return rows, facts


def recall(
    subject: LongTail, embeddings: np.ndarray, n: int, candidates: np.ndarray
) -> dict[int, list[float]]:
    """For each k, the share of each class that is among the `n` of largest k-th distance."""
    distances = neighbour_distances(embeddings, max(KS))
    chosen = {k: subject.ranks[top(distances[:, k - 1], n, candidates)] for k in KS}
    counts = {
        k: np.bincount(ranks[ranks >= 0], minlength=len(subject.sizes))
        for k, ranks in chosen.items()
    }
    return {k: (count / subject.sizes).tolist() for k, count in counts.items()}


def scores(
    subject: LongTail, choose: Callable[..., Selection], embeddings: np.ndarray, n: int
) -> dict[str, float]:
    """Of the images chosen; the entropy is 1 where all classes are met equally."""
    start = time.perf_counter()
    selection = choose(embeddings, n, 0)
    seconds = time.perf_counter() - start
    found = subject.ranks[selection.indices]
    classes = len(subject.sizes)
    shares = np.bincount(found[found >= 0], minlength=classes) / max(1, (found >= 0).sum())
    shares = shares[shares > 0]
    return {
        "tail_percent": 100 * float(np.mean(found >= classes - classes // 3)),
        "class_entropy": float(-np.sum(shares * np.log(shares)) / math.log(classes)),
        "garbage_percent": 100 * float(np.mean(found < 0)),
        "seconds": seconds,
    }


def summary(values: list[float]) -> dict[str, Any]:
    """Mean and half the width of its 95 % interval."""
    half = None
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return {"values": values, "mean": float(np.mean(values)), "half_interval": half}


def table(about: str, rows: list[dict[str, Any]], facts: list[dict[str, Any]]) -> str:
    """As Markdown."""
    sizes = [sum(fact["class_sizes"]) + fact["garbage"] for fact in facts]
    lines = [
        f"{len(facts)} sets of {min(sizes)} to {max(sizes)} images, "
        f"{facts[0]['garbage']} of them garbage, classes of {facts[0]['class_sizes']}; "
        f"{facts[0]['selected']} selected. Mean ± half the 95 % interval over the sets. {about}",
        "",
        "| strategy | guards | rarest third of the classes, % | over the paper's "
        "| sets better / worse | class entropy | garbage, % | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [shown(row["tail_percent"], 1), shown(row["over_paper"], 1)]
        cells.append(f"{row['sets_better']} / {row['sets_worse']}")
        cells += [shown(row["class_entropy"], 2), shown(row["garbage_percent"], 1)]
        cells.append(f"{np.median(row['seconds']['values']):.1f}")
        guards = "yes" if row["guards"] else "no"
        lines.append(f"| {row['strategy']} | {guards} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(value: dict[str, Any], digits: int) -> str:
    half = value["half_interval"]
    return f"{value['mean']:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def recall_figure(facts: list[dict[str, Any]], share: float) -> Figure:
    """Recall of each class against k, means over the sets."""
    recall = np.mean([[fact["recall"][k] for k in KS] for fact in facts], axis=0)  # [K, C]
    figure = Figure((6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    sizes = facts[0]["class_sizes"]
    colours = colormaps["plasma"](np.linspace(0.9, 0, len(sizes)))  # the darker, the rarer
    for size, of_class, colour in zip(sizes, 100 * recall.T, colours, strict=True):
        axes.plot(KS, of_class, color=colour, marker=".", label=str(size))
    axes.set_xscale("log")
    axes.set_xticks(KS, [str(k) for k in KS])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("k: which neighbour's distance is the score")
    axes.set_ylabel(f"images of the class among the top {100 * share:g} %, in %")
    axes.set_ylim(0, None)
    axes.legend(title="images of\nthe class", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def measure(arguments: argparse.Namespace) -> None:
    about, pairs = to_measure(arguments)
    print(about)
    rows, facts = [], []
    for subject, encode in pairs:
        of_set, fact = measure_set(subject, encode, arguments)
        rows.append(of_set)
        facts.append(fact)
        print({name: value for name, value in fact.items() if name != "recall"}, flush=True)
    summaries = []
    for same in zip(*rows, strict=True):
        over = [row["over_paper"] for row in same]
        numbers = {name: summary([row[name] for row in same]) for name in (*NUMBERS, "over_paper")}
        wins = {"sets_better": sum(x > 0 for x in over), "sets_worse": sum(x < 0 for x in over)}
        of_what = {name: same[0][name] for name in ("strategy", "guards")}
        summaries.append({**of_what, **wins, **numbers})
    text = table(about, summaries, facts)
    print(text)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "rarity.md").write_text(text, encoding="utf-8")
    content = {"share": arguments.share, "about": about, "strategies": summaries, "sets": facts}
    (out / "rarity.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    recall_figure(facts, arguments.share).savefig(out / "recall.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    sets = commands.add_parser("prepare", help="write long-tailed sets with garbage")
    sets.add_argument("--data", required=True, help="fashion-mnist, cifar10 or a labelled folder")
    sets.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    sets.add_argument("--out", type=Path, required=True)
    sets.add_argument("--shape", default="exponential:100")
    sets.add_argument("--largest", type=int, default=3000, help="images of the largest class")
    sets.set_defaults(
        call=lambda given: prepare(given.data, given.seeds, given.out, given.shape, given.largest)
    )
    measured = commands.add_parser("measure", help="what each strategy selects")
    of_what = measured.add_mutually_exclusive_group(required=True)
    of_what.add_argument("--runs", nargs="+", help="folders of bradd pretrain, one a set")
    of_what.add_argument("--sets", nargs="+", help="folders of prepare, for --encoder")
    measured.add_argument(
        "--encoder",
        nargs="+",
        default=["pca"],
        help="of --sets: pca, supervised (needs --data), or folders of bradd pretrain",
    )
    measured.add_argument("--data", help="what the sets were prepared from")
    measured.add_argument(
        "--neighbourhoods", type=int, nargs="*", default=[200], help="of Rare beside its default"
    )
    measured.add_argument("--share", type=float, default=0.05, help="share that is selected")
    measured.add_argument("--out", required=True)
    measured.set_defaults(call=measure)
    arguments = parser.parse_args()
    if getattr(arguments, "encoder", None) == ["supervised"] and arguments.data is None:
        parser.error("--encoder supervised needs --data")
    arguments.call(arguments)


if __name__ == "__main__":
    main()
