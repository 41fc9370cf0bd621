import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.errors import ConfigError
from sidecar.report.counting.engines import ENGINES, TIME, DuckDB, Engine, Settings, Spark, fetched, open_engine

NOON = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "spark":
        request.getfixturevalue("spark")
    opened = open_engine(request.param, Settings(threads=1) if request.param == "duckdb" else Settings())
    yield opened
    opened.close()


def write(file: Path, **columns: list[object]) -> None:
    rows = len(next(iter(columns.values())))
    file.parent.mkdir(parents=True, exist_ok=True)
    times = arrow.array([NOON] * rows, arrow.timestamp("us", tz="UTC"))
    parquet.write_table(arrow.table({"time": times, **columns}), file)


def test_a_folder_is_read_with_the_columns_of_all_its_files(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "odd 'name' [1]{2}*"
    write(folder / "variant=3/hour=2026-11-23T12/a.parquet", row=[0], feature__x=[1.5])
    write(folder / "variant=a%2Fb/hour=2026-11-23T13/b.parquet", row=[1, 2], feature_text__x=["t", None])
    write(folder / "variant=3/hour=2026-11-23T12/.c.parquet.part", row=[9])

    lines = engine.read(folder)
    told = fetched(lines.select("row", "variant", "hour", TIME, "feature__x", "feature_text__x").order_by("row"))
    us = int(NOON.timestamp() * 1e6)
    assert [list(each.values()) for each in told.to_pylist()] == [
        [0, "3", "2026-11-23T12", us, 1.5, None],
        [1, "a/b", "2026-11-23T13", us, None, "t"],
        [2, "a/b", "2026-11-23T13", us, None, None],
    ]


def test_a_variant_that_looks_like_a_number_is_none(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "variant=03/hour=2026-11-23T12/a.parquet", row=[0])

    told = fetched(engine.read(tmp_path).select("variant", "hour"))
    assert told.to_pylist() == [{"variant": "03", "hour": "2026-11-23T12"}]


def test_two_folders_are_two_tables(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "one/a.parquet", row=[1])
    write(tmp_path / "two/a.parquet", row=[2])

    tables = [engine.read(tmp_path / name) for name in ("one", "two")]
    assert [fetched(each.select("row"))["row"].to_pylist() for each in tables] == [[1], [2]]


def test_files_that_come_later_and_those_that_are_hidden_are_not_counted(engine: Engine, tmp_path: Path) -> None:
    """A sink goes on writing while a report asks one question after the other."""
    write(tmp_path / "variant=a/hour=1/a.parquet", row=[1])
    write(tmp_path / "variant=a/hour=1/.b.parquet", row=[2])
    write(tmp_path / "variant=a/hour=1/_c.parquet", row=[3])
    lines = engine.read(tmp_path)
    write(tmp_path / "variant=a/hour=1/d.parquet", row=[4])
    write(tmp_path / "variant=a/hour=2/e.parquet", row=[5])

    assert fetched(lines.select("row"))["row"].to_pylist() == [1]


def test_a_folder_without_rows_is_refused_by_its_name(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{tmp_path}: no \*\.parquet in it, expected a folder of decoded rows"):
        engine.read(tmp_path)


def test_a_file_that_is_no_parquet_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet, though it is long enough to be one")
    with pytest.raises(ConfigError, match=r"a\.parquet.*expected decoded rows") as caught:
        engine.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_an_engine_cannot_answer_is_told_on_one_line(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", row=[1])
    lines = engine.read(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"engine: .*, expected an answer") as caught:
        fetched(lines.select("row"))
    assert "\n" not in str(caught.value)


def test_parquet_of_something_else_is_refused(engine: Engine, tmp_path: Path) -> None:
    parquet.write_table(arrow.table({"age": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="expected decoded rows"):
        engine.read(tmp_path)


def test_an_engine_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="engine: 'hive', expected one of duckdb, spark"):
        open_engine("hive")


def test_duckdb_takes_what_it_may(tmp_path: Path) -> None:
    engine = DuckDB(Settings(memory="512MiB", threads=2, spill=tmp_path / "spill"))
    settings = ("memory_limit", "threads", "temp_directory")
    asked = ", ".join(f"current_setting('{name}')" for name in settings)
    (told,) = engine._connection.raw_sql(f"SELECT {asked}").fetchall()

    assert told == ("512.0 MiB", 2, str(tmp_path / "spill"))
    engine.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(memory="much"), "engine: duckdb: .*[mM]emory"),
        (Settings(threads=-1), "engine: duckdb: .*thread"),
        (Settings(url="local[2]"), r"engine: duckdb at local\[2\], expected none: it runs in this process"),
    ],
)
def test_what_duckdb_cannot_take_is_refused(settings: Settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DuckDB(settings)


@pytest.mark.parametrize(
    ("name", "package", "hint"),
    [("duckdb", "duckdb", r"sidecar\[report\]"), ("spark", "pyspark.sql", r"sidecar\[spark\]")],
)
def test_a_package_that_is_missing_is_told_with_what_brings_it(
    name: str, package: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"engine: {name} needs {package}: pip install '{hint}'"):
        ENGINES[name](Settings())


def test_a_session_that_there_is_goes_on_as_it_was(spark: object) -> None:
    from pyspark.sql import SparkSession

    assert isinstance(spark, SparkSession)
    before = spark.conf.get("spark.sql.variable.substitute")
    Spark(Settings()).close()

    assert spark.conf.get("spark.sql.variable.substitute") == before == "true"
    assert spark.range(3).count() == 3
