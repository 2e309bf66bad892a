from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bradd.errors import BraddError
from bradd.ledger import GENERATOR, JOURNAL, KEY, Ledger
from bradd.round_writer import RoundWriter
from samples import picture, row

GROUPS = [[3, 1], [4, 5], [9]]
KEYED: dict[str, Any] = {"encoder": "abc", "settings": {"seed": 0}}


def begin(folder: Path, key: dict[str, Any] | None = KEYED) -> RoundWriter:
    return RoundWriter(Ledger(folder), 1, key)


def write_group(writer: RoundWriter, group: list[int]) -> None:
    for anchor in group:
        writer.add_anchor(anchor, picture(anchor))
        for number in range(2):
            distances = {"own_distance": anchor / 7, "nearest_distance": float("inf")}
            writer.add(picture(number), {"Seed": "1"}, **row(anchor, number=number) | distances)


def partial(folder: Path) -> Path:
    return folder / "rounds/.01.partial"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def undisturbed(tmp_path: Path) -> Path:
    writer = begin(tmp_path / "undisturbed")
    assert writer.finished(GROUPS) == 0
    for group in GROUPS:
        write_group(writer, group)
        writer.finish_group(group)
    writer.commit({"cycle": 1})
    return tmp_path / "undisturbed"


def finish(folder: Path) -> list[list[int]]:
    """Write what is left of the round; the groups that were."""
    writer = begin(folder)
    left = GROUPS[writer.finished(GROUPS) :]
    for group in left:
        write_group(writer, group)
        writer.finish_group(group)
    writer.commit({"cycle": 1})
    return left


def test_a_round_is_invisible_until_it_is_committed(tmp_path: Path) -> None:
    write_group(begin(tmp_path), [3])
    assert Ledger(tmp_path).committed() == []
    finish(tmp_path)
    assert Ledger(tmp_path).committed() == [1]
    assert [path.name for path in (tmp_path / "rounds").iterdir()] == ["01"]


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_finished_groups_are_not_made_again(undisturbed: Path, tmp_path: Path, done: int) -> None:
    run = tmp_path / "run"
    writer = begin(run)
    writer.finished(GROUPS)
    for group in GROUPS[:done]:
        write_group(writer, group)
        writer.finish_group(group)
    if done < 3:
        write_group(writer, GROUPS[done])  # and killed before it was finished
        writer.add(picture(8), **row(GROUPS[done][0], attempt=2))  # which the next time is not
    assert finish(run) == GROUPS[done:]
    assert contents(run) == contents(undisturbed)


def test_half_a_line_of_the_journal_is_none(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    writer = begin(run)
    writer.finished(GROUPS)
    for group in GROUPS[:2]:
        write_group(writer, group)
        writer.finish_group(group)
    journal = partial(run) / JOURNAL
    for cut in (1, 40, 400):
        journal.write_bytes(journal.read_bytes()[:-cut])
    assert finish(run) == GROUPS[1:]
    assert contents(run) == contents(undisturbed)


@pytest.mark.parametrize("key", [None, KEYED | {"encoder": "other"}])
def test_another_round_is_begun_anew(tmp_path: Path, key: dict[str, Any] | None) -> None:
    writer = begin(tmp_path)
    writer.finished(GROUPS)
    write_group(writer, GROUPS[0])
    writer.finish_group(GROUPS[0])
    again = begin(tmp_path, key)
    assert again.finished(GROUPS) == 0
    assert again.rows == []
    assert list((partial(tmp_path) / "variations").iterdir()) == []


def test_a_beginning_that_was_killed_is_begun_anew(tmp_path: Path) -> None:
    begin(tmp_path)
    (partial(tmp_path) / KEY).unlink()
    (partial(tmp_path) / GENERATOR / "half").touch()
    begin(tmp_path)
    assert list((partial(tmp_path) / GENERATOR).iterdir()) == []


def test_other_anchors_than_the_finished_ones_are_all_made(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.finished(GROUPS)
    write_group(writer, GROUPS[0])
    writer.finish_group(GROUPS[0])
    again = begin(tmp_path)
    assert again.finished([[3, 2], *GROUPS[1:]]) == 0
    assert again.rows == []
    assert list((partial(tmp_path) / "variations").iterdir()) == []
    assert list((partial(tmp_path) / "anchors").iterdir()) == []


def test_a_generator_finds_what_it_left_in_the_round_before(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for cycle in (1, 2, 3):
        writer = RoundWriter(ledger, cycle, KEYED)
        kept = writer.generator_folder / "step"
        assert (kept.read_text() if kept.exists() else "0") == str(cycle - 1)
        kept.write_text(str(cycle))
        assert RoundWriter(ledger, cycle, KEYED).generator_folder == writer.generator_folder
        assert kept.read_text() == str(cycle)  # of the same round, killed
        writer.commit({})
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("step"))
    assert left == ["rounds/03/generator/step"]


def test_files_say_where_they_come_from(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.add(picture(0), {"Anchor": "Füchse/日本.jpg", "Seed": "7"}, **row(3))
    (path,) = (partial(tmp_path) / "variations").iterdir()
    with Image.open(path) as image:
        assert image.text == {"Anchor": "Füchse/日本.jpg", "Seed": "7"}  # type: ignore[attr-defined]
        assert image.convert("RGB").tobytes() == picture(0).tobytes()


def test_a_full_disk_ends_clearly_and_commits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = begin(tmp_path)
    opened = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "w" in mode or "a" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(BraddError, match=r"disk is full.*--resume"):
        writer.add(picture(0), **row(1))
    with pytest.raises(BraddError, match=r"disk is full.*--resume"):
        writer.finish_group([1])
    assert Ledger(tmp_path).committed() == []
