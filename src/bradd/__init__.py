"""Self-supervised pre-training of vision backbones on imbalanced, unlabelled images.

Names are imported when they are first used: `import bradd` alone imports neither torch nor any
other heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bradd.callback import Rebalance
    from bradd.commands.balance import balance
    from bradd.commands.compare import compare
    from bradd.commands.evaluate import evaluate
    from bradd.commands.prepare import prepare
    from bradd.commands.pretrain import pretrain
    from bradd.commands.report import report
    from bradd.commands.reproduce import reproduce
    from bradd.embedding import Encoder, embed
    from bradd.errors import BraddError
    from bradd.generate import (
        Augment,
        Duplicate,
        Function,
        Generator,
        Img2Img,
        IPAdapter,
        Readd,
        RepresentationDiffusion,
        StableUnCLIP,
    )
    from bradd.ledger import Ledger
    from bradd.pool import Pool
    from bradd.ranking import Ranking, rank
    from bradd.ranking_folder import write_ranking
    from bradd.rebalancing import rebalance
    from bradd.round_settings import RoundSettings
    from bradd.select import (
        Band,
        ClusterInverse,
        KNNDistance,
        LocalDensity,
        Rare,
        Selection,
        Selector,
        Uniform,
        top_outliers,
    )
    from bradd.ssl import DINO, SDCLR, Method, MoCoV3, SimCLR, load_backbone
    from bradd.views import DINOViews, MoCoV3Views, SimCLRViews, Views

__version__ = "0.1.0"

COMMANDS = {
    "pretrain": "train a backbone on a folder of pictures, rebalancing them as it goes",
    "balance": "find what is under-represented in a folder, and generate variations of it",
    "evaluate": "score runs or timm checkpoints by kNN and a linear probe on labelled images",
    "compare": "train and evaluate arms with the same seeds at one budget, and test differences",
    "reproduce": "do one of the paper's experiments, its figures beside ours",
    "prepare": "cut labelled images to a long-tailed or balanced subset, as a manifest",
    "report": "write a run's page anew",
}

_HOMES = {
    "Augment": "bradd.generate",
    "Band": "bradd.select",
    "BraddError": "bradd.errors",
    "ClusterInverse": "bradd.select",
    "DINO": "bradd.ssl",
    "DINOViews": "bradd.views",
    "Duplicate": "bradd.generate",
    "Encoder": "bradd.embedding",
    "Function": "bradd.generate",
    "Generator": "bradd.generate",
    "IPAdapter": "bradd.generate",
    "Img2Img": "bradd.generate",
    "KNNDistance": "bradd.select",
    "Ledger": "bradd.ledger",
    "LocalDensity": "bradd.select",
    "Method": "bradd.ssl",
    "MoCoV3": "bradd.ssl",
    "MoCoV3Views": "bradd.views",
    "Pool": "bradd.pool",
    "Ranking": "bradd.ranking",
    "Rare": "bradd.select",
    "Readd": "bradd.generate",
    "Rebalance": "bradd.callback",
    "RepresentationDiffusion": "bradd.generate",
    "RoundSettings": "bradd.round_settings",
    "SDCLR": "bradd.ssl",
    "Selection": "bradd.select",
    "Selector": "bradd.select",
    "SimCLR": "bradd.ssl",
    "SimCLRViews": "bradd.views",
    "StableUnCLIP": "bradd.generate",
    "Uniform": "bradd.select",
    "Views": "bradd.views",
    "balance": "bradd.commands.balance",
    "compare": "bradd.commands.compare",
    "embed": "bradd.embedding",
    "evaluate": "bradd.commands.evaluate",
    "load_backbone": "bradd.ssl",
    "prepare": "bradd.commands.prepare",
    "pretrain": "bradd.commands.pretrain",
    "rank": "bradd.ranking",
    "rebalance": "bradd.rebalancing",
    "report": "bradd.commands.report",
    "reproduce": "bradd.commands.reproduce",
    "top_outliers": "bradd.select",
    "write_ranking": "bradd.ranking_folder",
}

__all__ = [
    "DINO",
    "SDCLR",
    "Augment",
    "Band",
    "BraddError",
    "ClusterInverse",
    "DINOViews",
    "Duplicate",
    "Encoder",
    "Function",
    "Generator",
    "IPAdapter",
    "Img2Img",
    "KNNDistance",
    "Ledger",
    "LocalDensity",
    "Method",
    "MoCoV3",
    "MoCoV3Views",
    "Pool",
    "Ranking",
    "Rare",
    "Readd",
    "Rebalance",
    "RepresentationDiffusion",
    "RoundSettings",
    "Selection",
    "Selector",
    "SimCLR",
    "SimCLRViews",
    "StableUnCLIP",
    "Uniform",
    "Views",
    "balance",
    "compare",
    "embed",
    "evaluate",
    "load_backbone",
    "prepare",
    "pretrain",
    "rank",
    "rebalance",
    "report",
    "reproduce",
    "top_outliers",
    "write_ranking",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bradd' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
