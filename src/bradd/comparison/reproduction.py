"""The paper's tables as plans of a comparison, and its figures beside ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

__all__ = [
    "PLANS",
    "SCALES",
    "Scale",
    "TableName",
    "TablePlan",
    "beside_the_paper",
    "caption",
    "paper_figures",
]

Scale = Literal["paper", "small"]
TableName = Literal[
    "table1", "table2", "table3a", "table3b", "table3c", "table3d", "table3e", "table3f"
]
Settings = dict[str, Any]

# What the settings of the two scales are called here; they are looked up when a plan is made.
VIT_S, VIT_B, RESNET50 = "vit_small", "vit_base", "resnet50"

BACKBONES: dict[Scale, dict[str, Settings]] = {
    "paper": {
        VIT_S: {"backbone": "vit_small_patch16_224"},
        VIT_B: {"backbone": "vit_base_patch16_224"},
        RESNET50: {"backbone": "resnet50"},
    },
    # At 32 pixels a patch of 4. The small scale trains ResNets but where backbones are compared:
    # after so few samples transformers have learnt little.
    "small": {
        VIT_S: {
            "backbone": "vit_tiny_patch16_224",
            "backbone_kwargs": {"depth": 6, "embed_dim": 96, "num_heads": 3},
        },
        VIT_B: {
            "backbone": "vit_tiny_patch16_224",
            "backbone_kwargs": {"depth": 9, "embed_dim": 192, "num_heads": 3},
        },
        RESNET50: {
            "backbone": "resnet18",
            "backbone_kwargs": {"channels": [16, 32, 64, 128], "stem_stride": 2},
        },
    },
}

# The paper's own data, generator and sizes; and what fits one GPU and a coffee, or a CPU and a
# night: CIFAR-10-LT, the embedded generator, as many anchors for as many images.
SCALES: dict[Scale, Settings] = {
    "paper": {"data": "imagenet100", "longtail": "imagenet100-lt:pareto", "settings": {}},
    "small": {
        "data": "cifar10",
        "longtail": "exponential:100",
        "settings": {"image_size": 32, "generator": "RepresentationDiffusion"},
    },
}


# DINO diverges by SimCLR's rate for ResNets: `ssl/recipes.py` has this one for it.
SMALL_DINO: Settings = {"learning_rate": 0.03, "gradient_clip": 3.0}


@dataclass(frozen=True)
class TablePlan:
    """One of the paper's tables.

    Attributes:
        arms: As for `bradd compare`, by the names of the paper's rows (`/` written as `-`). An
            entry `backbone_size` stands for the settings of a backbone.
        backbone_size: Of the arms that name none.
        settings: Of all arms.
        references: The arms that the others are tested against.
        data: What the paper evaluates on, in the order of its columns.
    """

    arms: dict[str, Settings]
    references: tuple[str, ...]
    backbone_size: str = VIT_B
    settings: Settings = field(default_factory=dict)
    data: tuple[str, ...] = ("cifar10", "flowers", "pets")

    def comparison(self, scale: Scale) -> Settings:
        """The arguments of `bradd compare`."""
        backbones = BACKBONES[scale]
        usual = self.backbone_size if scale == "paper" else RESNET50
        arms = {}
        for name, own in self.arms.items():
            plain = {key: value for key, value in own.items() if key != "backbone_size"}
            arms[name] = plain | backbones.get(own.get("backbone_size", ""), {})
            if scale == "small" and own.get("method") == "DINO":
                arms[name] |= SMALL_DINO
        of_scale = SCALES[scale]
        return {
            "data": of_scale["data"],
            "longtail": of_scale["longtail"],
            "arms": arms,
            "settings": {
                "preset": "paper",
                **backbones[usual],
                **of_scale["settings"],
                **self.settings,
            },
            "evaluate_on": list(self.data) if scale == "paper" else None,
            "protocol": "paper",
            "references": list(self.references),
        }


def _cycles(cycles: int, created: int = 10_000, epochs: int = 100, each: int = 5) -> Settings:
    """As many epochs and generated images in all, in so many cycles; the last has no round."""
    return {
        "cycles": cycles,
        "epochs_per_cycle": epochs // cycles,
        "n_anchors": round(created / (cycles - 1) / each),
        "n_variations": each,
    }


_ALL_DATA = ("cifar10", "cifar100", "cars", "aircraft", "flowers", "pets")

PLANS: dict[TableName, TablePlan] = {
    "table1": TablePlan(
        {
            "balanced": {"like": "balanced"},
            "imbalanced": {"like": "none"},
            "bradd": {"like": "ood+generate"},
        },
        references=("imbalanced",),
        data=_ALL_DATA,
    ),
    "table2": TablePlan(
        {"sdclr": {"like": "sdclr"}, "ts": {"like": "ts"}, "bradd": {"like": "ood+generate"}},
        references=("bradd",),
        backbone_size=RESNET50,
        settings={"cycles": 5, "epochs_per_cycle": 100},
        data=_ALL_DATA,
    ),
    "table3a": TablePlan(
        {
            "simclr": {"method": "SimCLR"},
            "dino": {"method": "DINO"},
            "moco": {"method": "MoCoV3"},
        },
        references=("simclr",),
    ),
    "table3b": TablePlan(
        {
            "vit_s": {"backbone_size": VIT_S},
            "resnet50": {"backbone_size": RESNET50},
            "vit_b": {"backbone_size": VIT_B},
        },
        references=("vit_b",),
    ),
    "table3c": TablePlan(
        {
            "simclr-uniform": {"like": "uniform+generate"},
            "simclr-ood": {"like": "ood+generate"},
            "mocov3-uniform": {"like": "uniform+generate", "method": "MoCoV3"},
            "mocov3-ood": {"like": "ood+generate", "method": "MoCoV3"},
        },
        references=("simclr-uniform", "mocov3-uniform"),
    ),
    "table3d": TablePlan(
        {
            "simclr-repopulation": {"like": "readd"},
            "simclr-stable_diffusion": {"like": "ood+generate"},
            "mocov3-repopulation": {"like": "readd", "method": "MoCoV3"},
            "mocov3-stable_diffusion": {"like": "ood+generate", "method": "MoCoV3"},
        },
        references=("simclr-repopulation", "mocov3-repopulation"),
    ),
    "table3e": TablePlan(
        {str(cycles): _cycles(cycles) for cycles in (2, 5, 10, 20)},
        references=("5",),
        backbone_size=VIT_S,
    ),
    "table3f": TablePlan(
        {
            str(anchors): {"n_anchors": anchors, "n_variations": 2500 // anchors}
            for anchors in (5, 500, 1250, 2500)
        },
        references=("500",),
    ),
}


@cache
def _paper() -> dict[str, Any]:
    text = files("bradd.comparison").joinpath("paper_tables.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


def paper_figures(table: TableName, arm: str, data: str) -> dict[str, float] | None:
    """The paper's accuracies in percent, `linear` and `kNN`; None where it has none.

    Args:
        table: The table.
        arm: Name of the row, as in `PLANS`.
        data: One of the paper's downstream data sets.
    """
    columns = PLANS[table].data
    rows = {name.replace("/", "-"): row for name, row in _paper()[table]["rows"].items()}
    if data not in columns or arm not in rows:
        return None
    linear, knn = rows[arm][columns.index(data)]
    return {"linear": linear, "kNN": knn}


def caption(table: TableName) -> str:
    """The paper's, shortened."""
    return str(_paper()[table]["caption"])


def beside_the_paper(
    table: TableName, found: dict[str, Any], evaluated: Sequence[tuple[str, str]]
) -> list[list[str]]:
    """Our accuracies and the paper's as text, the header first.

    Args:
        table: The table.
        found: What `bradd compare` returned.
        evaluated: Each data set that was evaluated on, and its name in the paper.
    """
    lines = [["arm", "data", "linear", "paper", "kNN", "paper", "runs", "samples seen"]]
    for part in found["tables"]:
        for row in part["rows"]:
            for data, name in evaluated:
                paper = paper_figures(table, row["arm"], name)
                line = [row["arm"], name]
                for score in ("linear", "kNN"):
                    summary = row["scores"][data][score]["all"]
                    half = summary["half_width"]
                    line.append(
                        f"{summary['mean']:.1f}" + ("" if half is None else f" ± {half:.1f}")
                    )
                    line.append("-" if paper is None else f"{paper[score]:.2f}")
                lines.append([*line, str(len(row["seeds"])), f"{row['budget']:,.0f}"])
    return lines
