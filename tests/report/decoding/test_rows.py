import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import obstore
import pandas as pd
import polars as pl
import pyarrow as arrow
import pytest
from obstore.store import from_url
from pyarrow import dataset

from sidecar.datasets.captures import capture_of, decoding_of
from sidecar.errors import ConfigError
from sidecar.records import Body, Capture, Rows
from sidecar.report.decoding import inputs, rows
from sidecar.report.decoding.inputs import find
from sidecar.report.decoding.rows import Decoded, decode
from sidecar.sinks.jsonl import Jsonl
from sidecar.sinks.parquet import Parquet
from sidecar.sinks.rows import columns_of
from tests.e2e.s3 import BUCKET, s3
from tests.report.captured import HOURS, ROWS, captures
from tests.report.decoding.test_lines import line
from tests.sinks.test_rows import CAPTURE, NOON_S

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JSON = "application/json"
PATIENCE_S = 60.0


def table(decoded: Decoded) -> arrow.Table:
    """All rows, in the order of time."""
    parts = dataset.dataset(decoded.path, partitioning="hive")
    schemas = [part.physical_schema for part in parts.get_fragments()]
    whole = parts.replace_schema(arrow.unify_schemas([parts.schema, *schemas]))
    return whole.to_table().sort_by([("time", "ascending"), ("event_id", "ascending"), ("row", "ascending")])


def ours(folder: Path, *, hours: int = 2, each: int = 50, first: int = 0) -> Path:
    """Captures of two variants as the sidecar stores them: numbers, with a text among them late."""
    sink = Jsonl(path=str(folder))
    for number in range(first * each, (first + hours) * each):
        age: object = "unknown" if number % each == each - 1 else number
        asked = f'{{"instances": [{{"age": {_json(age)}, "country": "at"}}, {{"age": 1, "country": null}}]}}'
        capture = CAPTURE._replace(
            request_id=f"r-{number}",
            variant=("champion", "challenger")[number % 2],
            started_s=NOON_S + number * 3600 // each,
            path="/v1/models/m:predict",
            request=Body(JSON, asked.encode()),
            reply=Body(JSON, b'{"predictions": [[0.25], [0.75]]}'),
        )
        sink.export([capture])
    sink.close()
    return folder


def _json(cell: object) -> str:
    return f'"{cell}"' if isinstance(cell, str) else str(cell)


def test_sagemaker_s_captures_become_rows(tmp_path: Path) -> None:
    """CSV in base64 and JSON by turns, one row and two, without a key of ours, a line cut off in each file."""
    folder = captures(tmp_path / "captures", moved=False, variant="blue")

    found = decode(
        find([str(folder)]),
        tmp_path / "work",
        features=("amount", "age", "country"),
        predictions=("label", "probability"),
    )

    cells = table(found)
    assert (found.files, found.rows, found.skipped, found.faults) == (HOURS, HOURS * ROWS, {"line": HOURS}, {})
    assert len(found.told) == HOURS
    assert columns_of(cells.column_names)[:4] == (("amount", "age"), ("country",), ("label", "probability"), ())
    assert (
        cells.select(["feature__amount", "feature_text__country", "prediction__label"]).drop_null().num_rows
        == found.rows
    )
    assert set(cells["variant"].to_pylist()) == {"blue"}
    assert cells["hour"].value_counts().to_pylist() == [
        {"values": f"2026-11-20T{8 + hour:02}", "counts": ROWS} for hour in range(HOURS)
    ]
    assert found.captures == len(set(cells["event_id"].to_pylist())) > 0


def test_our_captures_become_the_rows_that_were_counted(tmp_path: Path) -> None:
    folder = ours(tmp_path / "captures")

    found = decode(find([str(folder)]), tmp_path / "work")

    lines = [capture_of(each) for path in sorted(folder.rglob("*.jsonl")) for each in path.read_bytes().splitlines()]
    lines.sort(key=lambda capture: (capture.started_s, capture.event_id))
    cells = table(found)
    assert (found.captures, found.rows, found.skipped) == (100, 200, {})
    assert cells["feature__age"].null_count == 2
    assert cells["feature_text__age"].drop_null().to_pylist() == ["unknown", "unknown"]
    assert sorted(set(cells["event_id"].to_pylist())) == sorted(each.event_id for each in lines)
    assert set(cells["header__x-region"].to_pylist()) == {"south"}
    assert cells["sample_ratio"].to_pylist() == [0.5] * 200


def test_the_order_of_lines_is_the_order_of_times(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(line(str(number)) for number in range(300)))

    cells = table(decode(find([str(file)]), tmp_path / "work"))

    assert cells["feature__feature_0"].to_pylist() == [float(number) for number in range(300)]


def test_what_is_decoded_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, work = ours(tmp_path / "captures"), tmp_path / "work"
    first = decode(find([str(folder)]), work)
    before = {path: path.stat().st_ino for path in work.rglob("*.parquet")}
    seen: list[int] = []
    monkeypatch.setattr(rows, "_piece", None)

    again = decode(find([str(folder)]), work, progress=seen.append)

    assert (again, sum(seen)) == (first, sum(each.size_bytes for each in find([str(folder)])))
    assert {path: path.stat().st_ino for path in work.rglob("*.parquet")} == before


def test_of_a_folder_that_has_grown_only_what_is_new_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, work = ours(tmp_path / "captures"), tmp_path / "work"
    decode(find([str(folder)]), work)
    known = len(find([str(folder)]))
    ours(folder, first=2)
    decoded: list[str] = []
    piece = rows._piece

    def spied(*given: object) -> object:
        decoded.extend(each.name for each in given[0].inputs)  # type: ignore[attr-defined]
        return piece(*given)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(rows, "_piece", spied)
    found = decode(find([str(folder)]), work)

    assert (found.rows, found.files, len(decoded)) == (400, 2 * known, known)
    assert found.rows == table(found).num_rows == table(decode(find([str(folder)]), tmp_path / "fresh")).num_rows


def test_rows_of_other_captures_are_no_longer_there(tmp_path: Path) -> None:
    work = tmp_path / "work"
    decode(find([str(ours(tmp_path / "one"))]), work)
    found = decode(find([str(ours(tmp_path / "two", hours=1))]), work)

    assert found.rows == table(found).num_rows == 100


def test_other_names_are_decoded_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(line("1,2"))
    names = []
    for features in ((), ("a", "b"), ("a", "b", "c")):
        found = decode(find([str(file)]), tmp_path / "work", features=features, predictions=("p",))
        names.append(columns_of(table(found).column_names).features)

    assert names == [("feature_0", "feature_1"), ("a", "b"), ("feature_0", "feature_1")]


INTERRUPTED = """
import os, sys
from pathlib import Path
from sidecar.report.decoding import pieces, rows
from sidecar.report.decoding.inputs import find
pieces.PIECE_BYTES = 1
rows.BUFFER_BYTES = 20_000
seen = 0
def progress(read_bytes):
    global seen
    seen += read_bytes
    if seen > int(sys.argv[3]):
        os.kill(os.getpid(), 9)
rows.decode(find([sys.argv[1]]), Path(sys.argv[2]), progress=progress)
"""


def test_one_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, work = ours(tmp_path / "captures", each=400), tmp_path / "work"
    size_bytes = sum(each.size_bytes for each in find([str(folder)]))
    for share in (0.3, 0.6):
        command = [sys.executable, "-c", INTERRUPTED, str(folder), str(work), str(round(share * size_bytes))]
        assert subprocess.run(command, timeout=PATIENCE_S, check=False).returncode == -signal.SIGKILL
        dataset.dataset(work / "rows", partitioning="hive").to_table()
    written_down = (work / "pieces.jsonl").read_bytes().count(b"\n")
    seen: list[int] = []
    found = decode(find([str(folder)]), work, progress=seen.append)

    assert (0 < written_down < found.files, found.captures, found.rows) == (True, 800, 1600)
    cells, whole = table(found), table(decode(find([str(folder)]), tmp_path / "fresh"))
    assert cells.select(whole.column_names).equals(whole)
    assert sum(seen) == size_bytes


def test_a_file_that_cannot_be_read_is_tried_again_the_next_time(tmp_path: Path) -> None:
    whole, broken = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    whole.write_bytes(line("1"))
    broken.write_bytes(b"no such format")
    first = decode(find([str(tmp_path)]), tmp_path / ".work")
    again = decode(find([str(tmp_path)]), tmp_path / ".work")

    assert (first.rows, first.skipped, again) == (1, {"file": 1}, first)


def test_nothing_that_can_be_decoded_is_no_row(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"{}\n")

    found = decode(find([str(file)]), tmp_path / "work")

    assert (found.rows, found.captures, found.skipped) == (0, 0, {"line": 1})


def test_several_processes_decode_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ours(tmp_path / "captures")
    monkeypatch.setattr("sidecar.report.decoding.pieces.PIECE_BYTES", 1)
    seen: list[int] = []

    found = decode(find([str(folder)]), tmp_path / "two", processes=2, progress=seen.append)

    alone = decode(find([str(folder)]), tmp_path / "one")
    assert found == alone._replace(path=found.path)
    assert table(found).equals(table(alone))
    assert sum(seen) == sum(each.size_bytes for each in find([str(folder)]))


def test_processes_that_decode_end_with_a_killed_one(tmp_path: Path) -> None:
    """They have its output: as long as one of them is there, that has no end."""
    folder = ours(tmp_path / "captures")
    program = f"""
import os, signal
from pathlib import Path
from sidecar.report.decoding import pieces
from sidecar.report.decoding.inputs import find
from sidecar.report.decoding.rows import decode
pieces.PIECE_BYTES = 1
kill = lambda done: done and os.kill(os.getpid(), signal.SIGKILL)
decode(find([{str(folder)!r}]), Path({str(tmp_path / "work")!r}), processes=2, progress=kill)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=30)
    assert out == b""
    assert process.returncode == -signal.SIGKILL


def test_a_store_is_read_as_a_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ours(tmp_path / "captures")
    sink = Parquet(path=str(tmp_path / "sink"))
    sink.export_rows(decoded_items(folder))
    sink.close()
    with s3() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        inputs._store.cache_clear()
        store = from_url(f"s3://{BUCKET}", client_options={"allow_http": True})
        for root, prefix in ((folder, "lines"), (tmp_path / "sink", "rows")):
            for each in find([str(root)]):
                obstore.put(store, f"{prefix}/{Path(each.name).relative_to(root)}", Path(each.name).read_bytes())
        lines = decode(find([f"s3://{BUCKET}/lines"]), tmp_path / "work")
        linked = decode(find([f"s3://{BUCKET}/rows"]), tmp_path / "other")
        inputs._store.cache_clear()

    whole = table(decode(find([str(folder)]), tmp_path / "fresh"))
    assert table(lines).equals(whole)
    assert (linked.captures, linked.rows, table(linked).num_rows) == (100, 200, 200)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [".rows", "pieces.jsonl", "rows"]


def test_a_fault_of_another_process_is_told_here(tmp_path: Path) -> None:
    for name in "ab":
        file = tmp_path / f"{name}.parquet"
        arrow.parquet.write_table(arrow.table({"a": [1]}), file)

    with pytest.raises(ConfigError, match=r"parquet: no column answered"):
        decode(find([str(tmp_path)]), tmp_path / ".work", processes=2)


def test_rows_and_lines_together_are_one_table(tmp_path: Path) -> None:
    folder = ours(tmp_path / "captures")
    sink = Parquet(path=str(tmp_path / "sink"), endpoint="two")
    sink.export_rows(decoded_items(ours(tmp_path / "more", first=2)))
    sink.close()

    found = decode(find([str(folder), str(tmp_path / "sink")]), tmp_path / "work")

    assert (found.captures, found.rows, table(found).num_rows) == (200, 400, 400)
    assert decode(find([str(tmp_path / "sink")]), tmp_path / "none").path == tmp_path / "sink" / "two"
    assert not (tmp_path / "none").exists()


def test_without_pyarrow_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "find_spec", lambda _: None)

    with pytest.raises(ConfigError, match=r"reading captures needs pyarrow: pip install 'sidecar\[report\]'"):
        decode([], tmp_path)


def decoded_items(folder: Path) -> list[tuple[Capture, Rows]]:
    decoding = decoding_of((), ())
    found = [capture_of(each) for path in folder.rglob("*.jsonl") for each in path.read_bytes().splitlines()]
    return [(capture, decoding.decode(capture)) for capture in found]


NAMES = ("age", "a b.c", "größe")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """What a sink has written: two variants, three hours, and in the last a text among the numbers."""
    sink = Parquet(path=str(tmp_path))
    for number in range(300):
        cells: list[object] = [number if number < 299 else "unknown", number / 8, "at" if number % 3 else None]
        capture = CAPTURE._replace(
            request_id=str(number),
            variant=("champion", "the challenger/é")[number % 2],
            started_s=NOON_S + 36.0 * number,
        )
        sink.export_rows([(capture, Rows(NAMES, [cells], ("score",), [[0.5]]))])
        if number % 100 == 99:
            sink.close()
    return tmp_path / "sidecar"


SUMS = {"age": float(sum(range(299))), "a b.c": sum(range(300)) / 8, "rows": 300, "texts": ["unknown"]}
VARIANTS = ["champion", "the challenger/é"]
HOURS_OF_DAY = ["2026-07-30T12", "2026-07-30T13", "2026-07-30T14"]


def test_duckdb_reads_what_a_sink_has_written(shelf: Path) -> None:
    read = f"read_parquet('{shelf}/**/*.parquet', hive_partitioning = true, union_by_name = true)"

    asked = (
        'select sum("feature__age"), sum("feature__a b.c"), count(*), '
        "list(feature_text__age) filter (feature_text__age is not null), "
        f"list(distinct variant order by variant), list(distinct hour order by hour) from {read}"
    )
    found = duckdb.connect().execute(asked).fetchall()

    assert found == [(SUMS["age"], SUMS["a b.c"], 300, ["unknown"], VARIANTS, HOURS_OF_DAY)]


def test_pandas_reads_what_a_sink_has_written(shelf: Path) -> None:
    parts = [pd.read_parquet(path, partitioning=None) for path in sorted(shelf.rglob("*.parquet"))]
    first = pd.read_parquet(shelf)
    frame = pd.concat(parts)

    assert (first["feature__a b.c"].sum(), len(first)) == (SUMS["a b.c"], 300)
    assert (sorted(set(first["variant"])), sorted(set(first["hour"]))) == (VARIANTS, HOURS_OF_DAY)
    assert (frame["feature__age"].sum(), list(frame["feature_text__age"].dropna())) == (SUMS["age"], ["unknown"])


def test_polars_reads_what_a_sink_has_written(shelf: Path) -> None:
    frame = pl.scan_parquet(shelf, missing_columns="insert", extra_columns="ignore").collect()
    parts = [pl.read_parquet(path) for path in shelf.rglob("*.parquet")]
    texts = pl.concat(parts, how="diagonal")["feature_text__age"]

    assert (frame["feature__age"].sum(), frame["feature__a b.c"].sum(), len(frame)) == (SUMS["age"], SUMS["a b.c"], 300)
    assert (sorted(set(frame["variant"])), sorted(set(frame["hour"]))) == (VARIANTS, HOURS_OF_DAY)
    assert texts.drop_nulls().to_list() == ["unknown"]


def test_polars_reads_a_folder_whose_files_are_alike(tmp_path: Path) -> None:
    sink = Parquet(path=str(tmp_path))
    for number in range(10):
        capture = CAPTURE._replace(started_s=NOON_S + 3600 * number)
        sink.export_rows([(capture, Rows(NAMES[:1], [[number]]))])
    sink.close()

    assert pl.read_parquet(tmp_path / "sidecar")["feature__age"].sum() == 45.0


def test_spark_reads_what_a_sink_has_written(shelf: Path, spark: "SparkSession") -> None:
    frame = spark.read.option("mergeSchema", "true").parquet(str(shelf))
    told = frame.selectExpr(
        "sum(feature__age)",
        "sum(`feature__a b.c`)",
        "count(*)",
        "collect_list(feature_text__age)",
        "sort_array(collect_set(variant))",
        "sort_array(collect_set(hour))",
        "unix_micros(min(time))",
    ).collect()

    [row] = [tuple(each) for each in told]
    assert row == (SUMS["age"], SUMS["a b.c"], 300, ["unknown"], VARIANTS, HOURS_OF_DAY, round(NOON_S * 1e6))
