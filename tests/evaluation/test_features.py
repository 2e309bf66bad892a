from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from bradd.evaluation.features import Features, cached_features

IDENTITY = {"encoder": "e, 32 pixels", "data": "d", "split": "train"}


def some_features(seed: int = 0) -> Features:
    embeddings = np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)
    return Features(embeddings, np.array([0, 1, 3, 4, 6]), 7)


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Features:
        self.calls += 1
        return some_features()


def equal(one: Features, other: Features) -> bool:
    return (
        np.array_equal(one.embeddings, other.embeddings)
        and one.embeddings.dtype == other.embeddings.dtype
        and np.array_equal(one.readable, other.readable)
        and one.images == other.images
    )


def test_made_once_and_then_read(tmp_path: Path) -> None:
    make = Maker()
    made, read = cached_features(tmp_path / "features", **IDENTITY, make=make)
    assert not read
    again, read = cached_features(tmp_path / "features", **IDENTITY, make=make)
    assert read
    assert make.calls == 1
    assert equal(made, some_features())
    assert equal(again, some_features())
    assert {path.suffix for path in (tmp_path / "features").iterdir()} == {".npy", ".json"}


@pytest.mark.parametrize("key", list(IDENTITY))
def test_other_features_are_others(key: str, tmp_path: Path) -> None:
    make = Maker()
    cached_features(tmp_path, **IDENTITY, make=make)
    cached_features(tmp_path, **(IDENTITY | {key: "other"}), make=make)
    assert make.calls == 2


@pytest.mark.parametrize(
    "damage", ["cut array", "other array", "no array", "json", "no unreadable"]
)
def test_damaged_files_are_made_anew_with_a_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cached_features(tmp_path, **IDENTITY, make=some_features)
    (array,), (facts,) = tmp_path.glob("*.npy"), tmp_path.glob("*.json")
    if damage == "cut array":
        array.write_bytes(array.read_bytes()[:-5])
    elif damage == "other array":
        np.save(array, some_features(1).embeddings)
    elif damage == "no array":
        array.unlink()
    elif damage == "json":
        facts.write_text(facts.read_text()[:-9])
    else:
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"unreadable": []}))
    found, read = cached_features(tmp_path, **IDENTITY, make=some_features)
    assert not read
    assert equal(found, some_features())
    assert "made anew" in caplog.text
    assert cached_features(tmp_path, **IDENTITY, make=some_features)[1]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Features:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        cached_features(tmp_path, **IDENTITY, make=fail)
    assert list(tmp_path.iterdir()) == []


def embed_slowly(folder: Path, log: Path) -> None:
    def make() -> Features:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.2)
        return some_features()

    found, _ = cached_features(folder, **IDENTITY, make=make)
    assert equal(found, some_features())


def test_of_two_processes_one_embeds_and_the_other_waits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    arguments = (tmp_path / "features", log)
    processes = [context.Process(target=embed_slowly, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert log.read_text() == "made\n"
