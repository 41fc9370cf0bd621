"""Data sets on disk: training data, or captured traffic, chunk by chunk in flat memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

from sidecar.datasets.chunk import Chunk
from sidecar.datasets.csv import read_csv
from sidecar.datasets.jsonlines import read_jsonlines
from sidecar.datasets.parquet import read_parquet

FORMATS: dict[str, Callable[[Path], Iterator[Chunk]]] = {
    ".csv": read_csv,
    ".jsonl": read_jsonlines,
    ".ndjson": read_jsonlines,
    ".parquet": read_parquet,
}
"""Every format by the end of its files' names."""
