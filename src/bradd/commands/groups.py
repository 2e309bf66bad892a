"""The headings under which `bradd COMMAND --help` lists a command's settings, in this order."""

from __future__ import annotations

__all__ = ["GROUPS"]

MACHINE_AND_RUN = "Machine and run"

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "pretrain": {
        "Data": ("data", "longtail", "manifest", "labels", "max_unreadable"),
        "Model": ("backbone", "backbone_kwargs", "weights"),
        "Method and views": ("method", "views", "image_size"),
        "Rebalancing": (
            *("selector", "generator", "n_anchors", "n_variations", "candidates", "guard"),
            *("anchor_limit", "first_round", "acceptance", "draws", "epoch_length", "real_share"),
            "siblings",
        ),
        "Training": (
            *("preset", "cycles", "epochs_per_cycle", "batch_size", "optimizer", "learning_rate"),
            *("weight_decay", "final_weight_decay", "gradient_clip", "warmup_epochs", "seed"),
        ),
        MACHINE_AND_RUN: (
            *("out", "resume", "overwrite", "logger", "health_every_n_epochs"),
            *("num_workers", "cache", "precision", "channels_last", "compile"),
        ),
    },
    "balance": {
        "Data and encoder": (
            *("data", "max_unreadable", "encoder", "weights", "embeddings", "batch_size"),
        ),
        "Rebalancing": (
            *("selector", "generator", "n_anchors", "n_variations", "guard", "acceptance"),
            *("draws", "seed"),
        ),
        MACHINE_AND_RUN: ("out", "dry_run", "resume", "overwrite", "num_workers"),
    },
    "evaluate": {
        "What is evaluated": (*("run", "checkpoint", "backbone", "backbone_kwargs", "image_size"),),
        "On what, and how": ("data", "labels", "max_unreadable", "protocol", "seed"),
        MACHINE_AND_RUN: ("out", "cache", "batch_size", "num_workers"),
    },
    "compare": {
        "Data": ("data", "longtail", "manifest"),
        "Arms": ("arms", "seeds", "settings"),
        "Evaluation": ("evaluate_on", "protocol", "references", "together"),
        MACHINE_AND_RUN: ("out", "dry_run"),
    },
    "reproduce": {
        "Experiment": ("table", "scale", "seeds", "matched", "settings"),
        "Data": ("data", "manifest", "evaluate_on"),
        MACHINE_AND_RUN: ("out", "dry_run"),
    },
    "prepare": {
        "Data": ("data", "longtail", "list", "balanced_like", "seed"),
        "What is written": ("out", "removed", "overwrite"),
    },
    "report": {"Settings": ("run", "picture")},
}
