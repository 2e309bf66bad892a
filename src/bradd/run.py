"""A run's folder: what lies where, and when it may be written to."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import yaml

from bradd.errors import BraddError
from bradd.files import write_atomically, write_errors

__all__ = ["Run", "read_settings"]

# Everything bradd writes into a run's folder, and so all that --overwrite may remove.
FILES = (
    "config.yaml",
    "pool.json",
    "inspection.parquet",
    "manifest.json",
    "unreadable.csv",
    "metrics.csv",
    "ledger.parquet",
    "results.json",
    "backbone.safetensors",
    "report.html",
    "report.png",
)
FOLDERS = (
    *("balanced", "checkpoints", "rounds", "suspected", "tensorboard", "wandb", "mlflow"),
    "features",
)


class Run:
    """The folder of one run.

    Args:
        folder: Made when the run starts.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.config = self.folder / "config.yaml"
        self.checkpoint = self.folder / "checkpoints" / "last.ckpt"
        self.backbone = self.folder / "backbone.safetensors"
        self.manifest = self.folder / "manifest.json"
        self.unreadable = self.folder / "unreadable.csv"
        self.metrics = self.folder / "metrics.csv"
        self.results = self.folder / "results.json"
        self.report = self.folder / "report.html"

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.config.exists()

    def check_free(self, *, overwrite: bool) -> None:
        """Check that a new run may be written to the folder.

        Args:
            overwrite: It may hold a run.

        Raises:
            BraddError: It holds a run, or files that a run would replace.
        """
        with write_errors(self.folder):
            found = [name for name in (*FILES, *FOLDERS) if (self.folder / name).exists()]
        if not found or overwrite:
            return
        if self.exists():
            raise BraddError(
                f"{self.folder} holds a run already. Go on with it by --resume, replace it by "
                "--overwrite, or choose another --out."
            )
        raise BraddError(
            f"{self.folder} holds what a run would replace: {', '.join(found)}. Choose another "
            "--out, or --overwrite to remove them."
        )

    def prepare(self, *, overwrite: bool) -> None:
        """Make the folder ready for a new run.

        Args:
            overwrite: Remove the run that is there, and nothing else.

        Raises:
            BraddError: It holds a run (and `overwrite` is not set), is no folder, or cannot be
                written to.
        """
        self.check_free(overwrite=overwrite)
        self._check_writable()
        with write_errors(self.folder):
            for name in FILES:
                (self.folder / name).unlink(missing_ok=True)
            for name in FOLDERS:
                if (self.folder / name).exists():
                    shutil.rmtree(self.folder / name)

    def check_resumable(self) -> None:
        """Check that the folder holds a run that can go on.

        Raises:
            BraddError: There is no run, or the folder cannot be written to.
        """
        if not self.exists():
            raise BraddError(
                f"There is no run in {self.folder} to resume ({self.config.name} is missing). "
                "Check --out, or start a run without --resume."
            )
        self._check_writable()

    def write_config(self, settings: dict[str, Any]) -> None:
        """Write the resolved settings."""
        # Escaped, what is not ASCII: a path may hold what a YAML file cannot (bytes, odd spaces).
        text = yaml.safe_dump(settings, sort_keys=False)
        write_atomically(self.config, text)

    def read_config(self) -> dict[str, Any]:
        """Read the resolved settings.

        Raises:
            BraddError: The file is missing or no YAML mapping.
        """
        if not self.exists():
            raise BraddError(f"{self.folder} holds no run: {self.config} is missing.")
        return read_settings(self.config)

    def steps(self) -> int:
        """Training steps done, as `metrics.csv` says; 0 before the first epoch's end."""
        if not self.metrics.exists():
            return 0
        with self.metrics.open(newline="", encoding="utf-8") as file:
            return max((int(row["step"]) for row in csv.DictReader(file)), default=0)

    def _check_writable(self) -> None:
        probe = self.folder / ".bradd-can-write"
        try:
            with write_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                probe.touch()
                probe.unlink()
        except OSError as error:  # a file of that name, or above it, or no file system to write to
            raise BraddError(
                f"{self.folder} cannot be a run's folder ({error.strerror}). Choose another --out."
            ) from error


def read_settings(path: Path) -> dict[str, Any]:
    """Read settings from a YAML file.

    Raises:
        BraddError: The file cannot be read or holds no mapping.
    """
    try:
        settings = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise BraddError(f"The settings in {path} cannot be read: {reason}.") from error
    if not isinstance(settings, dict):
        raise BraddError(f"{path} holds no settings: expected lines such as `cycles: 5`.")
    return settings
