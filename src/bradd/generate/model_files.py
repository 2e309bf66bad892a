"""The files of a pre-trained model: where they are, which ones they are, and their licence."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bradd.errors import BraddError

__all__ = ["ModelFiles", "first_line", "is_folder", "model_files", "quiet", "require_packages"]

log = logging.getLogger(__name__)

# What a model consists of: weights, configs and a tokenizer's tables. Never pickles or code.
HASHED = (".safetensors", ".json", ".txt", ".model")


@dataclass(frozen=True)
class ModelFiles:
    """A pre-trained model on this machine's disk.

    Attributes:
        folder: Where.
        revision: Which: the commit of the hub's repository, or a hash of a folder's files.
        licence: As its model card (`README.md`) names it; empty where there is none.
    """

    folder: Path
    revision: str
    licence: str


def model_files(
    name: str,
    revision: str | None,
    setting: str,
    download: Callable[..., str | Path],
) -> ModelFiles:
    """Find a model's files, fetching from the hub what is not on this machine yet.

    Args:
        name: A folder, or a repository of the Hugging Face hub.
        revision: A commit, tag or branch of the repository. Default: its newest commit, or where
            the hub cannot be reached, the one that was fetched last.
        setting: What the user calls it, for messages.
        download: `download(name, revision=...)` fetches a repository's files into the cache and
            returns their folder there, which bears the commit's name.

    Raises:
        BraddError: There is no such folder, or the files cannot be had.
    """
    local = Path(name).expanduser()
    if is_folder(name):
        if revision is not None:
            raise BraddError(
                f"{setting} is the folder {name}, which has no revisions: leave out {revision!r}."
            )
        return ModelFiles(local, _hash(local), _licence(local / "README.md"))
    if name.startswith(("/", ".", "~")):
        raise BraddError(f"{setting}: there is no folder {name}.")
    try:
        with quiet():
            folder = Path(download(name, revision=revision))
    except Exception as error:  # whatever the hub's client and the network come up with
        raise BraddError(
            f"{setting}: the model {name!r} could not be had from the Hugging Face hub: "
            f"{first_line(error)}. Check its name and the connection, give a folder to which "
            "DiffusionPipeline.from_pretrained(NAME).save_pretrained(FOLDER) saved a model, or "
            "choose --generator RepresentationDiffusion, which needs none."
        ) from error
    return ModelFiles(folder, folder.name, _licence(_model_card(name, folder)))


def is_folder(name: str) -> bool:
    """Whether a model's name is that of a folder rather than of a repository."""
    return Path(name).expanduser().is_dir()


def require_packages() -> None:
    """Refuse to go on without the packages that pre-trained pipelines are made of.

    Raises:
        BraddError: Says which is missing.
    """
    try:
        importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        raise BraddError(
            "This generator needs the package transformers: pip install 'bradd[hf]', or choose "
            "--generator RepresentationDiffusion, which needs no pre-trained model."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers' and transformers' bars and notes off the terminal; downloads still show."""
    loggings: list[Any] = [
        importlib.import_module(f"{package}.utils.logging")
        for package in ("diffusers", "transformers")
    ]
    before = [(one.get_verbosity(), one.is_progress_bar_enabled()) for one in loggings]
    for one in loggings:
        one.set_verbosity_error()
        one.disable_progress_bar()
    try:
        yield
    finally:
        for one, (verbosity, bars) in zip(loggings, before, strict=True):
            one.set_verbosity(verbosity)
            if bars:
                one.enable_progress_bar()


def first_line(error: Exception) -> str:
    """An error of another library in one line, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


def _hash(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.suffix in HASHED):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _model_card(name: str, folder: Path) -> Path:
    """The repository's README.md, which is not among what a pipeline is loaded from."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "README.md", revision=folder.name))
    except Exception as error:  # none there, or no connection: nothing depends on it
        log.info("%s: no model card could be had (%s)", name, first_line(error))
        return folder / "README.md"


def _licence(card: Path) -> str:
    """What `license:` says in the YAML at the head of a model card."""
    if not card.is_file():
        return ""
    before, *parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    try:
        facts = yaml.safe_load(parts[0]) if len(parts) == 2 and not before else None
    except yaml.YAMLError:
        return ""
    if not isinstance(facts, dict):
        return ""
    licence = facts.get("license_name") or facts.get("license") or ""
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
