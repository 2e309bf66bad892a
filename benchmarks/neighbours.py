"""Exact neighbour distances and the exact top 500: ours beside faiss, scikit-learn and torch.

    python benchmarks/neighbours.py [--sizes 15000x768 100000x384 1000000x384 tight:12000x384]
                                     [--rounds 3]

The data are clusters of very different sizes, each spread in a few directions of its own, and 250
planted outliers (seeded). Every measurement has a process of its own, so that its peak memory is
its own: what stands beside the embeddings as given. These have unit length, which the peers take
as it is and ours makes anew. The rounds of all are interleaved and the medians printed. CPU seconds
are those of all threads, and depend less on what else the machine does. Set the number of threads
by OMP_NUM_THREADS.

The tight data are two clusters whose rows differ by a thousandth of their length, as of collapsed
classes or frames of a film: there products alone cannot tell which rows are near.

A full pass is quadratic: above 200,000 rows faiss and torch answer a random sample of queries, and
their times are extrapolated. Our first 500 are checked by faiss' distances of these rows, and by
those of the sampled rows (or all), none of which may be farther than our last.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

K = 5
TOP = 500
PLANTED = 250
CLUSTERS = 1000
DIRECTIONS = 12  # in which a cluster is spread
SAMPLED_ABOVE = 200_000
SAMPLE = 4096  # queries, that fill a block of faiss
SCIKIT_LEARN_UP_TO = 20_000
TIE = 1e-5  # distances closer than this may be in either order


class Measured(NamedTuple):
    seconds: float
    cpu_seconds: float
    peak: int  # bytes beside the embeddings
    result: Any


def clustered(rows: int, width: int) -> np.ndarray:
    """Rows of unit length, float32 `[rows, width]`."""
    rng = np.random.default_rng(0)
    points = np.empty((rows, width), np.float32)
    weights = rng.pareto(1.5, CLUSTERS) + 0.1
    cluster = rng.choice(CLUSTERS, rows, p=weights / weights.sum())
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(cluster, minlength=CLUSTERS))[:-1]):
        centre = rng.normal(size=width) / width**0.5
        directions = rng.normal(size=(DIRECTIONS, width)) / (width * DIRECTIONS) ** 0.5
        directions = (rng.uniform(0.25, 0.75) * directions).astype(np.float32)
        spread = rng.standard_normal((len(members), DIRECTIONS), dtype=np.float32) @ directions
        noise = rng.standard_normal((len(members), width), dtype=np.float32)
        points[members] = centre + spread + 0.1 / width**0.5 * noise
    planted = rng.choice(rows, PLANTED, replace=False)
    points[planted] = rng.normal(size=(PLANTED, width)) / width**0.5
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def tight(rows: int, width: int) -> np.ndarray:
    """Two clusters, rows of unit length, float32 `[rows, width]`."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, width))[rng.integers(0, 2, rows)]
    points += 1e-3 * rng.normal(size=(rows, width))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32)


def queries_of(rows: int) -> np.ndarray:
    """All rows, or a sample of many."""
    if rows <= SAMPLED_ABOVE:
        return np.arange(rows)
    return np.random.default_rng(1).choice(rows, SAMPLE, replace=False)


def faiss_flat(points: np.ndarray) -> np.ndarray:
    return faiss_distances(points, queries_of(len(points)))


def faiss_distances(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """To the K-th other of the rows of these numbers, `[Q]`."""
    import faiss

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    squared, _ = index.search(points[queries], K + 1)
    return np.sqrt(np.maximum(squared[:, K], 0))


def scikit_learn(points: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(points)
    return nearest.kneighbors()[0][:, -1]


def torch_brute_force(points: np.ndarray) -> np.ndarray:
    import torch

    rows = torch.from_numpy(points)
    half_squares = -rows.square().sum(dim=1) / 2
    found = []
    for part in torch.from_numpy(queries_of(len(rows))).split(256):
        closeness = torch.addmm(half_squares, rows[part], rows.T)
        squared = rows[part].square().sum(dim=1) - 2 * closeness.topk(K + 1, dim=1).values[:, K]
        found.append(squared.clamp(min=0).sqrt())
    return torch.cat(found).numpy()


def ours(points: np.ndarray) -> np.ndarray:
    from bradd.select import neighbour_distances

    return neighbour_distances(points, K)[:, -1]


def our_top(points: np.ndarray) -> Any:
    from bradd.select import top_outliers

    return top_outliers(points, TOP, K)


def rare(points: np.ndarray) -> np.ndarray:
    from bradd.select import Rare

    return Rare().score(points)


def measure(contestant: Callable[[np.ndarray], Any], file: Path) -> Measured:
    import bradd.select  # noqa: F401  # imports are not measured

    if contestant is torch_brute_force:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    points = np.load(file)
    process, finished = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not finished.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu_start, start = time.process_time(), time.perf_counter()
    result = contestant(points)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    finished.set()
    watcher.join()
    return Measured(seconds, cpu_seconds, peak - before, result)


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def save(file: Path, made: Callable[[int, int], np.ndarray], rows: int, width: int) -> None:
    np.save(file, made(rows, width))


def faiss_distances_in(file: Path, queries: np.ndarray) -> np.ndarray:
    return faiss_distances(np.load(file), queries)


def compare(data: Data, rounds: int, folder: Path) -> None:
    made, rows, width = data
    contestants: dict[str, Callable[[np.ndarray], Any]] = {
        "faiss flat": faiss_flat,
        "ours": ours,
        "torch": torch_brute_force,
        "scikit-learn": scikit_learn,
        f"ours, top {TOP}": our_top,
        "ours, Rare": rare,
    }
    if rows > SAMPLED_ABOVE:
        del contestants["ours"]
    if rows > SCIKIT_LEARN_UP_TO:
        del contestants["scikit-learn"]
    file = folder / "embeddings.npy"
    in_process(save, file, made, rows, width)
    found: dict[str, list[Measured]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            found[name].append(in_process(measure, contestant, file))
    share = len(queries_of(rows)) / rows
    show(f"{made.__name__} {rows:,} x {width}", found, share, 4 * rows * width)
    outliers = found[f"ours, top {TOP}"][0].result
    print_checks(
        outliers,
        in_process(faiss_distances_in, file, outliers.indices),
        found["faiss flat"][0].result,
        queries_of(rows),
    )


def show(title: str, found: dict[str, list[Measured]], share: float, own_bytes: int) -> None:
    print(f"\n{title}")
    print(f"{'':18}{'seconds':>10}{'CPU s':>10}{'of faiss (CPU)':>18}{'memory':>9}")
    flat = 0.0
    for name, measured in found.items():
        sampled = share < 1 and name in ("faiss flat", "torch")
        scale = share if sampled else 1
        seconds = statistics.median(one.seconds for one in measured) / scale
        cpu_seconds = statistics.median(one.cpu_seconds for one in measured) / scale
        flat = flat or cpu_seconds
        peak = max(one.peak for one in measured) / own_bytes
        note = f"   from {SAMPLE} random queries, extrapolated" if sampled else ""
        print(
            f"{name:18}{seconds:10.1f}{cpu_seconds:10.1f}{flat / cpu_seconds:17.2f}x"
            f"{peak:8.2f}x{note}"
        )


def print_checks(
    outliers: Any, of_ours: np.ndarray, of_queries: np.ndarray, queries: np.ndarray
) -> None:
    """Compare our first rows' distances with faiss', and look for rows that should be among them.

    faiss' distances are those of products: their squares are off by about 1e-6.
    """
    last = outliers.distances[-1]
    tie = np.maximum(TIE, 1e-6 / np.maximum(of_ours, 1e-3))
    agree = np.abs(of_ours - outliers.distances) <= tie
    others = ~np.isin(queries, outliers.indices)
    beyond = of_queries[others] > last + tie.max()
    print(f"{outliers.verified} rows verified")
    print(f"distance as by faiss: {agree.sum()} of our first {len(agree)} rows")
    print(f"farther than the last of them by faiss: {beyond.sum()} of {others.sum()} other rows")


class Data(NamedTuple):
    made: Callable[[int, int], np.ndarray]
    rows: int
    width: int


def data(text: str) -> Data:
    kind, _, size = text.rpartition(":")
    rows, width = size.split("x")
    return Data({"": clustered, "tight": tight}[kind], int(rows), int(width))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = ["15000x768", "100000x384", "1000000x384", "tight:12000x384"]
    parser.add_argument(
        "--sizes",
        type=data,
        nargs="+",
        default=[data(size) for size in sizes],
        help="ROWSxWIDTH of the clustered data, tight:ROWSxWIDTH of the tight ones",
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"threads: {os.environ.get('OMP_NUM_THREADS', os.cpu_count())}; k = {K}")
    with tempfile.TemporaryDirectory() as folder:
        for one in options.sizes:
            compare(one, options.rounds, Path(folder))


if __name__ == "__main__":
    main()
