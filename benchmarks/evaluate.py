"""Linear probe and kNN beside scikit-learn's, on the same features and cores: time and accuracy.

    OMP_NUM_THREADS=2 python benchmarks/evaluate.py
    python benchmarks/evaluate.py --features runs/photos/features/train-*.npy --labels labels.npy

Without --features they are synthetic: per class a mean, around it noise whose variances fall as
1/k^2 over the principal directions, turned at random and rectified, as pooled activations are. So
the eigenvalues of their correlations spread as those of real ones: the median of 512 is 0.055 and
the least 0.004; for a ResNet-18 trained by SimCLR on CIFAR-10 (256 wide) it is 0.025 and 0.003,
untrained 0.16 and 0.005. How long plain L-BFGS takes depends on that. Both sides fit the same
standardised float32 features; scikit-learn stops at its default tolerance, which is also ours, and
is given as many iterations as it asks for.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from bradd.evaluation.knn import knn_predict
from bradd.evaluation.linear import linear_probe
from bradd.evaluation.logistic import fit_logistic
from bradd.evaluation.protocol import PAPER, STANDARD

T = TypeVar("T")
TEST_ROWS = 10_000


def synthetic(
    rows: int, width: int, classes: int, apart: float, decay: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    spread = np.arange(1, width + 1) ** (-decay / 2)
    means = apart * generator.normal(size=(classes, width)) / np.sqrt(width)
    labels = generator.permutation(np.arange(rows) % classes)
    hidden = (means[labels] + generator.normal(size=(rows, width))) * spread
    turned = hidden @ np.linalg.qr(generator.normal(size=(width, width)))[0]
    return np.maximum(turned + 0.3 * spread.mean(), 0).astype(np.float32), labels


def timed(work: Callable[[], T]) -> tuple[T, np.ndarray]:
    """The result, and seconds by the clock and of processor time.

    With one thread the second is the fairer where cores are shared with other work.
    """
    start = np.array([time.perf_counter(), time.process_time()])
    result = work()
    return result, np.array([time.perf_counter(), time.process_time()]) - start


def row(*cells: Any) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def linear(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    truth: np.ndarray,
    every: int,
    converged: bool,
) -> None:
    """All penalties by ours; every so many by scikit-learn."""
    penalties = STANDARD.linear_penalties
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    x, y, queries = torch.from_numpy(train), torch.from_numpy(labels), torch.from_numpy(test)
    fit, ours = timed(
        lambda: fit_logistic(
            x, y, penalties, STANDARD.linear_tolerance, STANDARD.linear_excess_loss, 1000
        )
    )

    print(f"\n{len(train)} x {train.shape[1]} features, {labels.max() + 1} classes\n")
    row("C", "accuracy", "scikit-learn's", "difference", "steps", "scikit-learn's", "s", "CPU s")
    row(*["---"] * 8)
    seconds, largest = [], 0.0
    chosen = list(range(0, len(penalties), every))
    for index in chosen:
        peer = LogisticRegression(C=penalties[index], max_iter=100_000)
        _, spent = timed(lambda peer=peer: peer.fit(train, labels))
        seconds.append(spent)
        steps = peer.n_iter_[0]
        if converged:
            peer.set_params(tol=1e-6, warm_start=True).fit(train, labels)
        theirs = 100 * float(np.mean(peer.predict(test) == truth))
        predicted = (queries @ fit.weights[index] + fit.biases[index]).argmax(dim=1).numpy()
        accuracy = 100 * float(np.mean(predicted == truth))
        largest = max(largest, abs(accuracy - theirs))
        row(
            f"{penalties[index]:g}",
            f"{accuracy:.2f}",
            f"{theirs:.2f}",
            f"{accuracy - theirs:+.2f}",
            fit.iterations[index],
            steps,
            *(f"{each:.1f}" for each in spent),
        )
    # Time grows smoothly with C, so penalties left out are taken from their neighbours.
    places = range(len(penalties))
    how = "" if every == 1 else f" (interpolated from {len(chosen)} penalties)"
    print(f"\nall {len(penalties)} penalties, largest difference {largest:.2f} points")
    names = ("by the clock", "of the CPU")
    for name, our, their in zip(names, ours, np.transpose(seconds), strict=True):
        total = float(np.interp(places, chosen, their).sum())
        print(f"{our:.1f} s {name}, scikit-learn {total:.1f} s{how}: {total / our:.1f}x")


def whole_probe(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> None:
    probe, spent = timed(lambda: linear_probe(train, labels, test, 0))
    accuracy = 100 * float(np.mean(probe.predictions == truth))
    print(
        f"\nlinear_probe, the sweep on 80 % and the final fit: {spent[0]:.1f} s, "
        f"C = {probe.chosen:g}, accuracy {accuracy:.2f}"
    )


def neighbours(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> None:
    def weights(distance: np.ndarray) -> np.ndarray:
        return np.exp((1 - distance) / STANDARD.knn_temperature)

    peers = {
        STANDARD: KNeighborsClassifier(20, metric="cosine", weights=weights),
        PAPER: KNeighborsClassifier(5, algorithm="brute"),
    }
    print(f"\n{len(test)} queries\n")
    row("kNN", "accuracy", "scikit-learn's", "same", "s, CPU s", "scikit-learn: s, CPU s")
    row(*["---"] * 6)
    for protocol, peer in peers.items():
        expected, theirs = timed(lambda peer=peer: peer.fit(train, labels).predict(test))
        found, ours = timed(
            lambda protocol=protocol: knn_predict(
                train,
                labels,
                test,
                protocol.knn_k,
                protocol.knn_temperature,
                num_classes=int(labels.max()) + 1,
                metric=protocol.knn_metric,
            )
        )
        row(
            protocol.name,
            f"{100 * np.mean(found == truth):.2f}",
            f"{100 * np.mean(expected == truth):.2f}",
            f"{100 * np.mean(found == expected):.2f} %",
            f"{ours[0]:.1f}, {ours[1]:.1f}",
            f"{theirs[0]:.1f}, {theirs[1]:.1f}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--apart", type=float, default=3.0, help="how far apart classes are")
    parser.add_argument("--decay", type=float, default=2.0, help="variances fall as 1 / k^decay")
    parser.add_argument("--every", type=int, default=1, help="penalties scikit-learn is timed at")
    parser.add_argument(
        "--converged",
        action="store_true",
        help="compare accuracies with scikit-learn's at tolerance 1e-6, its time not counted: "
        "where penalties are weak its default stops early",
    )
    parser.add_argument("--features", help="a file of features instead, [N, D]")
    parser.add_argument("--labels", help="their classes, [N]")
    options = parser.parse_args()

    threads = sorted({info["num_threads"] for info in threadpool_info()})
    print(
        f"cores {len(os.sched_getaffinity(0))}; threads of torch {torch.get_num_threads()}, of the "
        f"libraries scikit-learn uses {threads}"
    )
    for classes in options.classes if options.features is None else [0]:
        if options.features is None:
            features, labels = synthetic(
                options.rows + TEST_ROWS, options.width, classes, options.apart, options.decay
            )
        else:
            features, labels = np.load(options.features), np.load(options.labels)
            order = np.random.default_rng(0).permutation(len(features))
            features, labels = features[order], np.unique(labels, return_inverse=True)[1][order]
        held = TEST_ROWS if options.features is None else len(features) // 5
        parts = (features[held:], labels[held:], features[:held], labels[:held])
        linear(*parts, options.every, options.converged)
        whole_probe(*parts)
        neighbours(*parts)


if __name__ == "__main__":
    main()
