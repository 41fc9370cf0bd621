import shutil
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.errors import ConfigError
from sidecar.records import Rows
from sidecar.report.decoding.inputs import Input, find
from sidecar.report.decoding.linking import checked, linked, table_of
from sidecar.sinks.parquet import Parquet
from sidecar.sinks.rows import PLAIN
from tests.sinks.test_rows import CAPTURE, NOON_S


def written(folder: Path) -> Path:
    """The table of a sink: two files."""
    sink = Parquet(path=str(folder))
    rows = Rows(("a",), [[1], [2]])
    sink.export_rows([(CAPTURE, rows), (CAPTURE._replace(started_s=NOON_S + 3600), rows), (CAPTURE, rows)])
    sink.close()
    return folder / "sidecar"


def only(folder: Path) -> Input:
    return find([str(folder)])[0]


def test_what_a_sink_has_written_is_a_table(tmp_path: Path) -> None:
    table = written(tmp_path)

    assert (table_of(find([str(table)])), table_of(find([str(tmp_path)]))) == (table, table)


def test_a_part_of_a_table_is_none_nor_are_two_of_them(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    lines = tmp_path / "one" / "a.jsonl"
    lines.write_bytes(b"")

    assert table_of(find([str(one)])[:1]) is None
    assert table_of(find([str(one), str(two)])) is None
    assert table_of(find([str(one), str(lines)])) is None


def test_what_a_file_has_is_counted(tmp_path: Path) -> None:
    source = only(written(tmp_path))

    tally = checked(source, Path(source.name))

    assert (tally.captures, tally.rows, tally.whole) == (2, 4, True)


def test_rows_of_no_sink_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "variant=v" / "hour=2026-07-30T12" / "a.parquet"
    file.parent.mkdir(parents=True)
    parquet.write_table(arrow.table({"a": [1]}), file)

    with pytest.raises(ConfigError, match=r"a.parquet: no column answered, expected rows as the Parquet sink writes"):
        checked(only(tmp_path), file)


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        ("feature__age", ["x"] * 4, "column feature__age is string"),
        ("prediction__p", [[1.0]] * 4, "column prediction__p is list<"),
        ("feature_text__country", [1] * 4, "column feature_text__country is int64"),
        ("time", [1] * 4, "column time is int64"),
        ("sample_ratio", ["x"] * 4, "column sample_ratio is string"),
        ("row", ["x"] * 4, "column row is string"),
        ("answered", ["x"] * 4, "column answered is string"),
        ("answered", [None] * 4, "column answered is null"),
        ("version", [1] * 4, "column version is int64"),
        ("feature__a\0b", [1.0] * 4, r"column feature__a\\x00b, expected"),
    ],
)
def test_columns_of_other_types_are_refused(tmp_path: Path, name: str, cells: list[object], message: str) -> None:
    """To an engine, all files of a folder are one table: one of another type would spoil it."""
    source = only(written(tmp_path))
    rows = parquet.read_table(source.name)
    kept = [each for each in rows.column_names if each in PLAIN and each != name]
    parquet.write_table(rows.select(kept).append_column(name, arrow.array(cells)), source.name)

    with pytest.raises(ConfigError, match=message):
        checked(source, Path(source.name))


def test_rows_that_another_program_has_written_anew_are_rows(tmp_path: Path) -> None:
    source = only(written(tmp_path))
    rows = parquet.read_table(source.name)
    cells = {"feature__n": [1] * 4, "feature__none": arrow.nulls(4), "feature_text__t": ["x"] * 4}
    for name, each in cells.items():
        column = arrow.array(each)
        rows = rows.append_column(name, column.dictionary_encode() if name == "feature_text__t" else column)
    parquet.write_table(rows, source.name)

    assert checked(source, Path(source.name)).rows == 4


def test_rows_without_their_place_are_refused(tmp_path: Path) -> None:
    file = Path(shutil.copy(only(written(tmp_path / "sink")).name, tmp_path / "a.parquet"))

    with pytest.raises(ConfigError, match=r"in no folder variant=…/hour=…, expected rows"):
        checked(Input(str(file), 1, ""), file)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no such format"])
def test_a_broken_file_is_told_and_counted(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "variant=v" / "hour=2026-07-30T12" / "a.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(data)

    tally, files = linked(only(tmp_path), tmp_path, tmp_path / "table", "n")

    assert (tally.skipped, tally.whole, files) == ({"file": 1}, False, [])
    assert tally.told[0].startswith(f"{file}: ")


def test_a_file_is_put_into_the_folder_that_its_own_is_called_as(tmp_path: Path) -> None:
    source = only(written(tmp_path / "sink"))

    tally, files = linked(source, tmp_path, tmp_path / "table", "n")
    again = linked(source, tmp_path, tmp_path / "table", "n")

    assert (tally.rows, files) == (4, ["variant=champion/hour=2026-07-30T12/n.parquet"])
    assert (again[1], (tmp_path / "table" / files[0]).read_bytes()) == (files, Path(source.name).read_bytes())


def test_where_there_are_no_links_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    source = only(written(tmp_path / "sink"))
    monkeypatch.setattr("os.link", refuse)

    _, files = linked(source, tmp_path, tmp_path / "table", "n")

    assert (tmp_path / "table" / files[0]).read_bytes() == Path(source.name).read_bytes()


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    source = only(written(tmp_path / "sink"))
    Path(source.name).unlink()

    tally, files = linked(source, tmp_path, tmp_path / "table", "n")

    assert (tally.skipped, tally.whole, files) == ({"file": 1}, False, [])


def test_a_folder_with_a_file_that_spark_passes_over_is_no_table(tmp_path: Path) -> None:
    folder = written(tmp_path)
    first = Path(find([str(folder)])[0].name)
    shutil.copy(first, first.with_name("_a.parquet"))

    assert table_of(find([str(folder)])) is None
