"""A small run's folder, made up: 40 images, 2 rounds of 3 anchors with 3 variations in 4 draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from bradd.embedding_map import sample_table

HOSTILE = "<script>alert('x')</script> & \"photo\".jpg"
IMAGES, ANCHORS = 40, 3


def write_picture(path: Path, side: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_young_run(folder: Path) -> None:
    folder.mkdir(parents=True)
    settings = {
        "seed": 0,
        "selector": {"class_path": "bradd.select.KNNDistance", "init_args": {"k": 5}},
        "resume": None,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "metrics.csv").write_text(
        "epoch,step,loss,learning_rate,data_wait,images_per_second,seconds\n"
        "0,10,4.5,0.1,0.02,900,12.5\n"
        "1,20,4.25,0.05,0.04,950,11.5\n"
    )


def write_round(
    folder: Path, cycle: int, side: int, first: int, count: int = ANCHORS
) -> list[dict[str, Any]]:
    place = folder / "rounds" / f"{cycle:02d}"
    scores = np.random.default_rng(cycle).gamma(8, 0.05, IMAGES)
    names = [f"photos/{i:03d}.jpg" for i in range(IMAGES)]
    names[0], scores[0] = HOSTILE, 2.0
    candidates = np.ones(IMAGES, dtype=bool)
    candidates[7], scores[7] = False, 3.0
    guard = ["one colour only" if i == 7 else "" for i in range(IMAGES)]
    anchors = [i for i in np.argsort(-scores) if candidates[i]][:count]
    rows: list[dict[str, Any]] = []
    for anchor in anchors:
        write_picture(place / "anchors" / f"{anchor:08d}.png", side, int(anchor))
        # The second variation's first draw was refused, and its second one accepted.
        for k, (wanted, attempt) in enumerate([(0, 0), (1, 0), (1, 1), (2, 0)]):
            file = f"rounds/{cycle:02d}/variations/{anchor:08d}_{wanted:03d}_{attempt}.png"
            number = first + len(rows)
            write_picture(folder / file, side, 1000 + number)
            rows.append(
                {
                    "variation": number,
                    "cycle": cycle,
                    "anchor": int(anchor),
                    "anchor_name": names[anchor],
                    "number": wanted,
                    "attempt": attempt,
                    "seed": number,
                    "generator": "flow",
                    "generator_revision": "1",
                    "licence": "MIT",
                    "external_data": False,
                    "anchor_score": float(scores[anchor]),
                    "own_distance": 0.25,
                    "random_distance": 0.75,
                    "nearest_distance": 0.5,
                    "pixel_distance": 33.0,
                    "map_x": 0.25,
                    "map_y": -0.5,
                    "accepted": k != 1,
                    "reason": f"refused because {number}" if k == 1 else "",
                    "file": file,
                    "sha256": "",
                }
            )
    selected = np.isin(np.arange(IMAGES), anchors)
    if cycle == 1:
        views = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, side, side), np.uint8)
        pq.write_table(sample_table(views, 0), place / "sample.parquet")
    columns = {
        "index": np.arange(IMAGES),
        "name": names,
        "score": scores,
        "selected": selected,
        "candidate": candidates,
        "guard": guard,
        "map_x": np.linspace(-1, 1, IMAGES) / cycle,
        "map_y": np.linspace(1, -1, IMAGES) / cycle,
        "group": np.arange(IMAGES) // 14,
    }
    pq.write_table(pa.table(columns), place / "selection.parquet")
    facts = {
        "cycle": cycle,
        "encoder_fingerprint": "abcdef0123456789",
        "images": IMAGES,
        "anchors": ANCHORS,
        "variations": len(rows),
        "accepted": sum(row["accepted"] for row in rows),
        "nearer_own": 0.5 if cycle == 1 else 0.95,
        "spread": {"median": 0.4, "p99": 1.9},
        "seconds": {"embed": 2.0, "fit_generator": 3723.0},
        "selector": "knn_distance",
        "generator": "flow",
        "generator_revision": "1",
        "licence": "MIT",
        "external_data": False,
        "anchors_without": 0,
        "guarded": 1,
        "notes": [f"A note of round {cycle}."],
    }
    (place / "round.json").write_text(json.dumps(facts))
    return rows


def write_run(folder: Path, cycles: int = 2, side: int = 8, anchors: int = ANCHORS) -> None:
    write_young_run(folder)
    counts = {"cat": 30, HOSTILE: 10}
    (folder / "manifest.json").write_text(
        json.dumps({"spec": "longtail", "seed": 3, "counts": counts})
    )
    (folder / "unreadable.csv").write_text("name,reason\nbroken.jpg,cut short\n")
    rows: list[dict[str, Any]] = []
    for cycle in range(1, cycles + 1):
        rows += write_round(folder, cycle, side, len(rows), anchors)
    pq.write_table(pa.Table.from_pylist(rows), folder / "ledger.parquet")
    groups = {
        "definition": "few: under 20 images",
        "many": {"accuracy_percent": 71.25, "classes": 1, "images": 30},
        "few": {"accuracy_percent": 33.5, "classes": 1, "images": 10},
    }
    probe = {
        "top1_percent": 61.25,
        "top1_standard_error_percent": 1.5,
        "mean_per_class_percent": 55.0,
        "groups": groups,
    }
    result = {
        "data": "photos test",
        "protocol": "frozen",
        "encoder_fingerprint": "abcdef0123456789",
        "external_data": False,
        "training_samples": 12345,
        "knn": probe,
        "linear": probe | {"top1_percent": 64.75},
        "something_new": [1, 2],
    }
    (folder / "results.json").write_text(json.dumps([result]))
