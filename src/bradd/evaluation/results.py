"""`results.json`: the evaluations of a run, a list with one entry for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bradd.errors import BraddError
from bradd.files import write_atomically, write_errors
from bradd.lock import locked

__all__ = ["IDENTITY", "add_result", "read_results"]

IDENTITY = ("encoder_fingerprint", "data", "protocol")
"""The entries that say which evaluation a result is of: the same ones, the same evaluation."""


def add_result(path: str | Path, result: dict[str, Any]) -> None:
    """Append a result, in place of an earlier one with the same identity if there is one.

    The file is replaced in one step: a reader, or a process killed on the way, sees the old list
    or the new one. Several processes may add at once: each waits for its turn.

    Args:
        path: The file, `results.json` in a run's folder; created if it is not there.
        result: The result, of things JSON has; must hold the keys in `IDENTITY`.

    Raises:
        BraddError: A key of `IDENTITY` is missing, the result cannot be written as JSON (NaN and
            infinity cannot), or the existing file is damaged (it is left as it is).
    """
    path = Path(path)
    missing = [key for key in IDENTITY if key not in result]
    if missing:
        raise BraddError(f"the result for {path} lacks {', '.join(missing)}: say what it is of.")
    try:
        # As it will be read again, so that tuples and lists compare equal.
        new = json.loads(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BraddError(
            f"the result for {path} cannot be written as JSON: {error}. Give plain Python values "
            "and finite numbers."
        ) from error

    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        results = read_results(path)
        places = [i for i, old in enumerate(results) if _identity(old) == _identity(new)]
        if places:
            results[places[0]] = new
        else:
            results.append(new)
        text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(path, text + "\n")


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Read all results, in the order they were added; an empty list if there is no such file yet.

    Raises:
        BraddError: The file cannot be read, or is not a list of results with their identity.
    """
    path = Path(path)
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BraddError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise BraddError(
            f"{path} is damaged ({error}): mend it, or move it away to start a new one."
        ) from error
    if not isinstance(results, list) or not all(
        isinstance(entry, dict) and all(key in entry for key in IDENTITY) for entry in results
    ):
        raise BraddError(
            f"{path} is not a list of results, each with {', '.join(IDENTITY)}: mend it, or move "
            "it away to start a new one."
        )
    return results


def _identity(result: dict[str, Any]) -> list[Any]:
    return [result[key] for key in IDENTITY]
