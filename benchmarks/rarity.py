r"""Which strategy finds the images of rare classes, and which finds garbage.

Long-tailed sets with the classes in random order, 1 % of garbage (noise, black and white images),
and encoders trained on them without labels. First the sets, one for each seed, then an encoder for
each set, then the measurement:

    python benchmarks/rarity.py prepare --data fashion-mnist --seeds 0 1 2 --out sets/fashion
    for seed in 0 1 2; do
        bradd pretrain --data sets/fashion/$seed --seed $seed --cycles 1 --epochs_per_cycle 100 \
            --out runs/fashion-$seed
    done
    python benchmarks/rarity.py measure --runs runs/fashion-* --out results/fashion

With `--data CIFAR10_FOLDER` (holding `train/<class>/*` and `test/<class>/*`) the same for CIFAR-10.
`measure --sets sets/fashion/* --encoder pca` needs no training: 64 principal components of the
pixels. A run of `bradd pretrain --longtail exponential:100` can be measured too; its classes are in
the data set's own order, the same for each seed, and the garbage was not trained on.

Each strategy selects the same share of the images, with the guards of `bradd.select` and without.
Printed and written to OUT/rarity.md and OUT/rarity.json: the share of those selected that are of
the rarest third of the classes, by how much it is more than with the paper's strategy on the same
set, how evenly the classes are met, the share that is garbage, and seconds (median). Means over the
sets and their 95 % intervals (Student's t): which classes are rare makes most of the difference
between sets, so look at the difference first. OUT/recall.png shows the recall of each class against
k.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats
from sklearn.decomposition import PCA

from bradd.data import (
    ArrayImages,
    Images,
    LabelledImages,
    Manifest,
    folder_images,
    long_tailed,
    open_labelled,
)
from bradd.data.resize import centre_view
from bradd.embedding import Encoder, embed
from bradd.inspection import inspect_images
from bradd.run import Run
from bradd.seeds import random_generator
from bradd.select import (
    Band,
    ClusterInverse,
    KNNDistance,
    LocalDensity,
    Rare,
    Selector,
    Uniform,
    duplicates_of,
    neighbour_distances,
    select_guarded,
)
from bradd.select.selector import top
from bradd.ssl import load_backbone

PAPER = "KNNDistance(k=5), the paper's"
STRATEGIES: dict[str, Callable[[], Selector]] = {
    "Uniform()": Uniform,
    PAPER: KNNDistance,
    "KNNDistance(k=20)": lambda: KNNDistance(20),
    "KNNDistance(k=50)": lambda: KNNDistance(50),
    "KNNDistance(k=100)": lambda: KNNDistance(100),
    "Rare()": Rare,
    "Rare(neighbourhood=200)": lambda: Rare(200),
    "ClusterInverse()": ClusterInverse,
    "Band(Rare(), 0.9, 0.99)": Band,
    "LocalDensity()": LocalDensity,
}
GARBAGE = "garbage"
GARBAGE_SHARE = 0.01
KS = (1, 2, 5, 10, 20, 50, 100, 200, 400)  # of the figure
PCA_COMPONENTS = 64


@dataclass(frozen=True)
class LongTail:
    """A long-tailed set with garbage.

    Attributes:
        name: For people.
        parts: The images.
        ranks: 0 for the most frequent class and so on, -1 for garbage, `[N]`.
        sizes: Images of each class, the most frequent first, `[C]`.
    """

    name: str
    parts: list[Images]
    ranks: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of_labels(cls, name: str, parts: list[Images], labels: list[str]) -> LongTail:
        classes, counts = np.unique([x for x in labels if x != GARBAGE], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        rank_of = {str(classes[index]): rank for rank, index in enumerate(order)} | {GARBAGE: -1}
        return cls(name, parts, np.array([rank_of[label] for label in labels]), counts[order])

    @classmethod
    def of_folder(cls, folder: Path) -> LongTail:
        """As `prepare` writes them."""
        images = folder_images(folder)
        return cls.of_labels(str(folder), [images], [name.split("/")[0] for name in images.names])

    @classmethod
    def of_run(cls, run: Run) -> LongTail:
        """What the run was trained on."""
        data = run.read_config()["data"]
        if (Path(data) / GARBAGE).is_dir():
            return cls.of_folder(Path(data))
        manifest = Manifest.read(run.manifest)
        everything = open_labelled(data, "train")
        row_of = {everything.images.name(row): row for row in range(len(everything.images))}
        chosen = everything.subset([row_of[name] for name in manifest.names])
        planted = garbage(chosen.images, manifest.seed)
        labels = [chosen.classes[label] for label in chosen.labels] + [GARBAGE] * len(planted)
        names = [str(number) for number in range(len(planted))]
        return cls.of_labels(str(run.folder), [chosen.images, ArrayImages(planted, names)], labels)


def garbage(images: Images, seed: int) -> np.ndarray:
    """Noise, black and white images in turn, 1 % of the images, of their size and colour."""
    example = np.asarray(images.load(0))
    grey = bool((example == example[:, :, :1]).all())
    shape = example.shape[:2] if grey else example.shape
    planted = np.zeros((round(GARBAGE_SHARE * len(images)), *shape), dtype=np.uint8)
    generator = random_generator(seed, "garbage")
    planted[0::3] = generator.integers(0, 256, planted[0::3].shape, dtype=np.uint8)
    planted[2::3] = 255
    return planted


def prepare(data: str, seeds: list[int], out: Path, shape: str, largest: int) -> None:
    """Write OUT/<seed>/<class>/*.png: a long-tailed subset and garbage, for each seed."""
    labelled = open_labelled(data, "train")
    for seed in seeds:
        subset = long_tail(labelled, shape, largest, seed)
        folders = [out / str(seed) / name.replace("/", "-") for name in [*subset.classes, GARBAGE]]
        for folder in folders:
            folder.mkdir(parents=True)
        for index, label in enumerate(subset.labels):
            subset.images.load(index).save(folders[label] / f"{index:05d}.png")
        for index, pixels in enumerate(garbage(subset.images, seed)):
            Image.fromarray(pixels).save(folders[-1] / f"{index:05d}.png")
        print(f"{out / str(seed)}: {np.bincount(subset.labels).tolist()} of {subset.classes}")


def long_tail(labelled: LabelledImages, shape: str, largest: int, seed: int) -> LabelledImages:
    """A long-tailed subset whose first class, of `largest` images at most, is a random one."""
    order = random_generator(seed, "class order").permutation(len(labelled.classes))
    labels = np.argsort(order)[labelled.labels]
    members = [np.flatnonzero(labels == rank)[:largest] for rank in range(len(order))]
    shuffled = LabelledImages(labelled.images, labels, [labelled.classes[i] for i in order])
    capped = shuffled.subset(np.sort(np.concatenate(members)))
    return capped.subset(long_tailed(capped, shape, seed)[0])


def subjects(arguments: argparse.Namespace) -> list[tuple[LongTail, np.ndarray]]:
    """Each set with its embeddings `[N, D]`."""
    found = []
    for folder in arguments.runs or []:
        run = Run(folder)
        model, plan, _ = load_backbone(run.backbone)
        subject = LongTail.of_run(run)
        encoder = Encoder(model, plan.image_size)
        found.append((subject, np.concatenate([embed(part, encoder) for part in subject.parts])))
    for folder in arguments.sets or []:
        subject = LongTail.of_folder(Path(folder))
        pixels = views(subject).reshape(len(subject.ranks), -1) / np.float32(255)
        pca = PCA(PCA_COMPONENTS, svd_solver="randomized", random_state=0)
        found.append((subject, pca.fit_transform(pixels)))
    return found


def views(subject: LongTail) -> np.ndarray:
    """The central square of each image in the size of the first, uint8 `[N, 3, S, S]`."""
    side = min(subject.parts[0].load(0).size)
    images = [part.load(index) for part in subject.parts for index in range(len(part))]
    return np.stack([centre_view(image, side) for image in images])


def measure_set(
    subject: LongTail, embeddings: np.ndarray, share: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What each strategy finds in one set, and facts of the set."""
    n = round(share * len(subject.ranks))
    inspections = [inspect_images(part) for part in subject.parts]
    reasons = np.concatenate([inspection.reasons for inspection in inspections])
    hashes = np.concatenate([inspection.hashes for inspection in inspections])
    stands_for = duplicates_of(hashes, embeddings)
    rows = []
    facts: dict[str, Any] = {
        "name": subject.name,
        "class_sizes": subject.sizes.tolist(),
        "garbage": int((subject.ranks < 0).sum()),
        "selected": n,
        "guarded": int((reasons != "").sum()),
        "guarded_wrongly": int(((reasons != "") & (subject.ranks >= 0)).sum()),
        "duplicates": int((stands_for != np.arange(len(stands_for))).sum()),
    }
    for name, make in STRATEGIES.items():
        for guards in (False, True):
            start = time.perf_counter()
            if guards:
                selection = select_guarded(
                    make(), embeddings, n, 0, reasons=reasons, stands_for=stands_for
                )
            else:
                selection = make().select(embeddings, n, 0)
            seconds = time.perf_counter() - start
            if name == "Rare()" and guards and selection.signal:
                facts["signal"] = vars(selection.signal)
            found = subject.ranks[selection.indices]
            rows.append(
                {"strategy": name, "guards": guards, "seconds": seconds, **scores(found, subject)}
            )
    distances = neighbour_distances(embeddings, max(KS))
    facts["recall"] = {}
    for k in KS:
        chosen = subject.ranks[top(distances[:, k - 1], n, reasons == "")]
        counts = np.bincount(chosen[chosen >= 0], minlength=len(subject.sizes))
        facts["recall"][k] = (counts / subject.sizes).tolist()
    return rows, facts


def scores(found: np.ndarray, subject: LongTail) -> dict[str, float]:
    """Of the ranks of the images selected; the entropy is 1 where all classes are met equally."""
    classes = len(subject.sizes)
    shares = np.bincount(found[found >= 0], minlength=classes) / max(1, (found >= 0).sum())
    shares = shares[shares > 0]
    return {
        "tail_percent": 100 * float(np.mean(found >= classes - classes // 3)),
        "class_entropy": float(-np.sum(shares * np.log(shares)) / math.log(classes)),
        "garbage_percent": 100 * float(np.mean(found < 0)),
    }


def summary(values: list[float]) -> dict[str, Any]:
    """Mean and half the width of its 95 % interval."""
    half = None
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return {"values": values, "mean": float(np.mean(values)), "half_interval": half}


def table(rows: list[dict[str, Any]], facts: list[dict[str, Any]]) -> str:
    """As Markdown."""
    sizes = [sum(fact["class_sizes"]) + fact["garbage"] for fact in facts]
    lines = [
        f"{len(facts)} sets of {min(sizes)} to {max(sizes)} images, "
        f"{facts[0]['garbage']} of them garbage, classes of {facts[0]['class_sizes']}; "
        f"{facts[0]['selected']} selected. Mean ± half the 95 % interval over the sets.",
        "",
        "| strategy | guards | rarest third of the classes, % | over the paper's | class entropy "
        "| garbage, % | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [shown(row["tail_percent"], 1), shown(row["over_paper"], 1)]
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
    rows, facts = [], []
    for subject, embeddings in subjects(arguments):
        of_set, fact = measure_set(subject, embeddings, arguments.share)
        rows.append(of_set)
        facts.append(fact)
        print({name: value for name, value in fact.items() if name != "recall"})
    for of_set in rows:
        paper = next(row for row in of_set if row["strategy"] == PAPER and not row["guards"])
        for row in of_set:
            row["over_paper"] = row["tail_percent"] - paper["tail_percent"]
    numbers = ("tail_percent", "over_paper", "class_entropy", "garbage_percent", "seconds")
    summaries = [
        {
            "strategy": same[0]["strategy"],
            "guards": same[0]["guards"],
            **{name: summary([row[name] for row in same]) for name in numbers},
        }
        for same in zip(*rows, strict=True)
    ]
    text = table(summaries, facts)
    print(text)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "rarity.md").write_text(text, encoding="utf-8")
    content = {"share": arguments.share, "strategies": summaries, "sets": facts}
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
    of_what.add_argument("--sets", nargs="+", help="folders of prepare, for --encoder pca")
    measured.add_argument("--encoder", choices=["pca"], default="pca", help="of --sets")
    measured.add_argument("--share", type=float, default=0.05, help="share that is selected")
    measured.add_argument("--out", required=True)
    measured.set_defaults(call=measure)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
