from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import asdict, replace

import numpy as np
import pytest

from bradd.errors import BraddError
from bradd.evaluation.protocol import STANDARD
from bradd.evaluation.results import IDENTITY, add_result, read_results


def result(top1=50.0, **changes):
    return {
        "encoder_fingerprint": "abc",
        "data": "cifar10",
        "protocol": asdict(STANDARD),
        "top1": top1,
    } | changes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "results.json"


def test_no_file_means_no_results(path):
    assert read_results(path) == []


def test_different_identities_are_appended_in_order(path):
    other = asdict(replace(STANDARD, knn_k=5))
    entries = [result(), result(encoder_fingerprint="x"), result(data="y"), result(protocol=other)]
    for entry in entries:
        add_result(path, entry)
    assert read_results(path) == json.loads(json.dumps(entries))


def test_the_same_identity_is_replaced_in_its_place(path):
    for entry in (result(1.0), result(2.0, data="other"), result(3.0, note="again")):
        add_result(path, entry)
    assert [(r["data"], r["top1"]) for r in read_results(path)] == [
        ("cifar10", 3.0),
        ("other", 2.0),
    ]
    assert read_results(path)[0]["note"] == "again"


def test_only_the_file_is_left_in_the_folder(path):
    add_result(path, result())
    assert os.listdir(path.parent) == ["results.json"]


@pytest.mark.parametrize("text", ["", "[{", '{"a": 1}', "[1]", '[{"data": "x"}]', "\x00", "\xff"])
def test_a_damaged_file_is_named_and_left_alone(path, text):
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    before = path.read_bytes()
    with pytest.raises(BraddError, match=r"results\.json"):
        add_result(path, result())
    with pytest.raises(BraddError, match=r"results\.json"):
        read_results(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("key", IDENTITY)
def test_a_result_without_its_identity_is_refused(path, key):
    entry = result()
    del entry[key]
    with pytest.raises(BraddError, match=key):
        add_result(path, entry)
    assert not path.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), object()])
def test_what_json_cannot_hold_is_refused_and_the_file_kept(path, value):
    add_result(path, result())
    with pytest.raises(BraddError, match="JSON"):
        add_result(path, result(top1=value))
    assert read_results(path)[0]["top1"] == 50.0


def test_a_failed_replacement_keeps_the_old_file(path, monkeypatch):
    add_result(path, result(1.0))

    def fail(*_):
        raise OSError(5, "killed on the way")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="killed on the way"):
        add_result(path, result(2.0))
    monkeypatch.undo()
    assert read_results(path)[0]["top1"] == 1.0
    assert os.listdir(path.parent) == ["results.json"]


def test_names_in_any_script(path):
    add_result(path, result(data="наука"))
    assert "наука" in path.read_text(encoding="utf-8")
    assert read_results(path)[0]["data"] == "наука"


def add_many(path, data):
    for number in range(10):
        add_result(path, result(data=f"{data}{number}"))


def test_processes_that_add_at_once_lose_nothing(path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=add_many, args=(path, name)) for name in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert len(read_results(path)) == 40
    assert os.listdir(path.parent) == ["results.json"]
