"""Parquet files, by pyarrow: numbers, booleans, texts, and what can be written as a text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sidecar.datasets.chunk import Chunk, refuse, rows_of
from sidecar.errors import ConfigError, Fault
from sidecar.records import Table


def read_parquet(path: Path) -> Iterator[Chunk]:
    """The rows of a file.

    Raises:
        ConfigError: It is not Parquet, a column holds lists or objects, or pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(Fault(str(path), "Parquet needs pyarrow: pip install 'sidecar[report]'")) from None
    try:
        with parquet.ParquetFile(path) as file:
            size_bytes = path.stat().st_size
            for batch in file.iter_batches(batch_size=rows_of(file.metadata.num_columns)):
                table, fractional = _table(arrow, path, batch)
                yield Chunk(table, fractional, round(size_bytes * batch.num_rows / max(1, file.metadata.num_rows)))
    except arrow.ArrowInvalid as error:
        raise refuse(path, "", f"{error}, expected Parquet") from None


def _table(arrow: Any, path: Path, batch: Any) -> tuple[Table, list[int]]:  # noqa: ANN401  # pyarrow has no types
    matrix = np.full((batch.num_rows, batch.num_columns), np.nan)
    texts: dict[int, Sequence[str | None]] = {}
    fractional = []
    types = arrow.types
    for position, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        kind = column.type
        if types.is_nested(kind):
            raise refuse(path, "", f"column {name[:80]!r}: {kind}, expected numbers, booleans or texts")
        if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
            matrix[:, position] = column.cast(arrow.float64()).to_numpy(zero_copy_only=False)
            if types.is_floating(kind) or types.is_decimal(kind):
                fractional.append(position)
        elif not types.is_null(kind):
            texts[position] = column.cast(arrow.string()).to_pylist()
    return Table(tuple(batch.schema.names), matrix, texts), fractional
