import fcntl
import os
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.records import Capture, Rows
from sidecar.sinks.row_files import RowFiles
from tests.sinks.test_rows import CAPTURE, NOON_S

ROOMY = 32 << 20


class Shelf:
    """A table's folder, with what was announced of it."""

    def __init__(self, root: Path, max_bytes: int = ROOMY) -> None:
        self.table, self.hidden = root / "table", root / ".table"
        self.announced: list[Path] = []
        self.files = RowFiles(
            self.table,
            self.hidden,
            max_bytes=max_bytes,
            name=lambda first_s: f"{first_s - NOON_S:g}-{len(self.announced)}",
            announce=self._announce,
        )

    def _announce(self, path: Path, size_bytes: int) -> None:
        assert size_bytes > 0
        assert not path.exists()
        self.announced.append(path)

    @property
    def found(self) -> dict[str, int]:
        """The rows of each file, by its place."""
        return {
            str(path.relative_to(self.table)): parquet.read_metadata(path).num_rows
            for path in sorted(self.table.rglob("*.parquet"))
        }


def item(value: object = 1.0, *, after_s: float = 0.0, name: str = "a", variant: str = "v") -> tuple[Capture, Rows]:
    return CAPTURE._replace(started_s=NOON_S + after_s, variant=variant), Rows((name,), [[value]])


def test_nothing_is_touched_before_there_is_something_to_write(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.files.add([item()], 0.0)

    assert (list(tmp_path.iterdir()), shelf.files.waiting) == ([], 1)


def test_a_file_has_all_rows_of_its_variant_and_hour(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for number in range(200):
        shelf.files.add([item(number), item(number, after_s=3600), item(number, variant="w")], 0.0)
    shelf.files.write(0.0)

    assert shelf.found == {
        "variant=v/hour=2026-07-30T12/0-0.parquet": 200,
        "variant=v/hour=2026-07-30T13/3600-1.parquet": 200,
        "variant=w/hour=2026-07-30T12/0-2.parquet": 200,
    }
    values = parquet.read_table(shelf.announced[0], partitioning=None)["feature__a"].to_pylist()
    assert (values, shelf.files.written, shelf.files.waiting_bytes) == ([float(n) for n in range(200)], 600, 0)


def test_files_and_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.files.add([item()], 0.0)
    shelf.files.write(0.0)

    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {True: 0o700, False: 0o600}


def test_what_came_a_while_ago_is_written_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.files.add([item()], 10.0)
    shelf.files.add([item(variant="w")], 11.0)
    shelf.files.write(69.9, 60.0)
    before = shelf.found
    shelf.files.write(70.0, 60.0)

    assert (before, shelf.found) == ({}, {"variant=v/hour=2026-07-30T12/0-0.parquet": 1})


def test_what_waits_never_has_more_than_its_bytes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, max_bytes=20_000)
    for number in range(100):
        shelf.files.add([item(each, variant=f"v{number % 3}") for each in range(20)], 0.0)
        assert shelf.files.waiting_bytes <= 20_000
    shelf.files.write(0.0)

    assert (sum(shelf.found.values()), shelf.files.written, len(shelf.found) > 10) == (2000, 2000, True)


def test_names_without_end_do_not_become_one_wide_table(tmp_path: Path) -> None:
    """A thousand requests, each with a column of its own, would be a million cells."""
    shelf = Shelf(tmp_path, max_bytes=1 << 20)
    for number in range(1000):
        shelf.files.add([item(name=f"f{number}")], 0.0)
    shelf.files.write(0.0)

    widths = [parquet.read_metadata(path).num_columns for path in shelf.announced]
    assert (sum(shelf.found.values()), max(widths) < 400) == (1000, True)


def test_the_first_spelling_of_a_name_holds_for_a_file(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.files.add([item(1, name="Age")], 0.0)
    shelf.files.add([item(2, name="age"), item("x", name="AGE")], 0.0)
    shelf.files.write(0.0)

    table = parquet.read_table(shelf.announced[0], partitioning=None)
    assert table["feature__Age"].to_pylist() == [1.0, 2.0, None]
    assert table["feature_text__AGE"].to_pylist() == [None, None, "x"]


def blocked(root: Path) -> Path:
    """A file in the place of the table's folder."""
    root.joinpath("table").write_bytes(b"")
    return root / "table"


def test_what_could_not_be_written_waits_and_is_written_later(tmp_path: Path) -> None:
    wall, shelf = blocked(tmp_path), Shelf(tmp_path)
    shelf.files.add([item()], 0.0)
    with pytest.raises(OSError, match="table"):
        shelf.files.write(60.0, 60.0)
    shelf.files.write(119.0, 60.0)
    wall.unlink()
    kept = (shelf.files.waiting, shelf.files.lost, list(shelf.hidden.iterdir()))
    shelf.files.write(120.0, 60.0)

    assert (kept, len(shelf.found), shelf.files.written) == ((1, 0, []), 1, 1)


def test_what_could_not_be_written_makes_room_and_is_counted(tmp_path: Path) -> None:
    blocked(tmp_path)
    shelf = Shelf(tmp_path, max_bytes=2000)
    failures = 0
    for number in range(100):
        try:
            shelf.files.add([item(number)], 0.0)
        except OSError:
            failures += 1
    files = shelf.files

    assert (files.waiting_bytes <= 2000, files.lost + files.waiting, files.written) == (True, 100, 0)
    assert failures > 0
    files.give_up()
    assert (files.lost, files.waiting) == (100, 0)


def test_one_folder_that_fails_costs_no_other(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.table.mkdir()
    (shelf.table / "variant=v").write_bytes(b"")
    shelf.files.add([item(), item(variant="w")], 0.0)
    with pytest.raises(OSError, match="variant=v"):
        shelf.files.write(0.0)

    assert (list(shelf.table.rglob("*.parquet")) != [], shelf.files.waiting, shelf.files.written) == (True, 1, 1)


def test_what_arrow_refuses_is_an_error_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise arrow.ArrowInvalid("no")

    shelf = Shelf(tmp_path)
    shelf.files.add([item()], 0.0)
    monkeypatch.setattr(parquet, "write_table", refuse)

    with pytest.raises(OSError, match="ArrowInvalid: no"):
        shelf.files.write(0.0)


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.hidden.mkdir()
    (shelf.hidden / "dead").write_bytes(b"PAR1")
    living = os.open(shelf.hidden / "living", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(living, fcntl.LOCK_EX)
        shelf.files.add([item()], 0.0)
        shelf.files.write(0.0)
    finally:
        os.close(living)

    assert [path.name for path in shelf.hidden.iterdir()] == ["living"]
