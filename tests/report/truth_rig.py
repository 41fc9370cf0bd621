"""Decoded rows and labels as files, for the tests of what labels say."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pyarrow import parquet

from sidecar.records import JSON, Body, Capture, Rows
from sidecar.report.counting.engines import open_engine
from sidecar.sinks.rows import placed

START_S = 1_795_000_000.0

Item = tuple[Capture, Rows]


def item(
    number: int,
    asked: Sequence[Sequence[object]] = ((30.0,),),
    answered: Sequence[Sequence[object]] = ((1.0,),),
    *,
    features: tuple[str, ...] = ("age",),
    predictions: tuple[str, ...] = ("prediction",),
    request_id: str = "",
    inference_id: str = "",
    variant: str = "champion",
    version: str = "3",
    sample_ratio: float = 1.0,
    headers: Mapping[str, str] | None = None,
) -> Item:
    """An exchange, `number` seconds after START_S."""
    capture = Capture(
        request_id=request_id or f"r{number}",
        inference_id=inference_id,
        variant=variant,
        version=version,
        method="POST",
        path="/v1/models/fraud:predict",
        route="",
        status=200,
        error_type="",
        started_s=START_S + number,
        duration_s=0.1,
        first_byte_s=0.05,
        overhead_s=0.001,
        sample_ratio=sample_ratio,
        headers={"request": headers or {}},
        request=Body("", b""),
        reply=Body("", b""),
    )
    return capture, Rows(features, list(map(list, asked)), predictions, list(map(list, answered)))


def write_rows(folder: Path, items: Iterable[Item]) -> Path:
    """Rows as the Parquet sink writes them; the folder."""
    for number, (place, _, table) in enumerate(placed(list(items))):
        where = folder / place.folder
        where.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, where / f"{number}.parquet")
    return folder


def read_rows(folder: Path, engine: str = "duckdb") -> JSON:
    """Such a folder on an engine."""
    return open_engine(engine).read(folder)


def rows_of(folder: Path, items: Iterable[Item], engine: str = "duckdb") -> JSON:
    return read_rows(write_rows(folder / "rows", items), engine)


def work(folder: Path) -> Path:
    made = folder / "work"
    made.mkdir()
    return made


def write_lines(path: Path, entries: Iterable[JSON]) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in entries))
    return path


def lines_of(batches: Iterable[JSON]) -> list[dict[str, JSON]]:
    """Arrow's batches as plain lines."""
    return [line for batch in batches for line in batch.to_pylist()]
