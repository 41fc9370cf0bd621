"""Captured traffic as a table in memory, or batch by batch, with the columns of `sinks.rows` whatever it is from."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sidecar.errors import ConfigError, Fault
from sidecar.sinks.rows import NO_VARIANT, Place, table_of

if TYPE_CHECKING:
    import pyarrow

    from sidecar.report.decoding.rows import Decoded

TOLD = 3
"""Lines that a warning names."""


def read_captures(path: str | Path, *, features: Sequence[str] = (), prediction: Sequence[str] = ()) -> "pyarrow.Table":
    """The rows of captured traffic, all at once.

    A line for each row of each exchange: `time`, `event_id`, `variant`, `version` and what else is known of it;
    `feature__age` what the model was asked, `prediction__score` what it answered. Texts are in columns of their own,
    `feature_text__city`. Rows of a variant and hour stand together. What cannot be read is passed over, with a warning.

    Args:
        path: A file or folder of captures, SageMaker's or ours, as JSON Lines or as the Parquet sink writes them; or
            `s3://bucket/prefix`, and what other object stores call theirs.
        features: Names for features that have none in the payload, in their order.
        prediction: Likewise for predictions.

    Raises:
        ConfigError: There is nothing there; or a library is missing.
    """
    import_pyarrow()
    import pyarrow as arrow

    batches = list(scan_captures(path, features=features, prediction=prediction))
    return arrow.Table.from_batches(batches) if batches else table_of([])


def scan_captures(
    path: str | Path, *, features: Sequence[str] = (), prediction: Sequence[str] = ()
) -> "Iterator[pyarrow.RecordBatch]":
    """The rows of captured traffic, some ten thousand at a time: of any size in flat memory.

    What is decoded waits in a temporary folder, on disk. All batches have the same columns; see `read_captures` for
    these, for arguments and errors.
    """
    import_pyarrow()
    from sidecar.report.decoding.inputs import find
    from sidecar.report.decoding.rows import decode

    with TemporaryDirectory(prefix="sidecar-") as work:
        decoded = decode(find([str(path)]), Path(work), features=features, predictions=prediction)
        _warn(decoded)
        yield from _batches(sorted(decoded.path.glob("variant=*/hour=*/*.parquet")))


def import_pyarrow() -> None:
    """See that pyarrow is there.

    Raises:
        ConfigError: It is not.
    """
    try:
        import pyarrow  # noqa: F401  # whether it is there is the question
    except ImportError:
        raise ConfigError(Fault("captures", "tables need pyarrow: pip install 'sidecar[report]'")) from None


def _warn(decoded: "Decoded") -> None:
    if decoded.skipped:
        counts = ", ".join(f"{count} ({reason})" for reason, count in decoded.skipped.most_common())
        told = "".join(f"; {line}" for line in decoded.told[:TOLD])
        warnings.warn(f"captures passed over: {counts}{told}", stacklevel=4)


def _batches(files: Sequence[Path]) -> "Iterator[pyarrow.RecordBatch]":
    """The rows of files, with the columns that any of them has."""
    from pyarrow import parquet

    schema = _schema([parquet.read_schema(path) for path in files])
    for path in files:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield _whole(batch, _place(path), schema)


def _place(path: Path) -> Place:
    variant, hour = (unquote(folder.name.partition("=")[2]) for folder in (path.parents[1], path.parents[0]))
    return Place("" if variant == NO_VARIANT else variant, hour)


def _schema(schemas: "Sequence[pyarrow.Schema]") -> "pyarrow.Schema":
    """All columns; of names that differ only in their case the first, as `sinks.rows` has it."""
    import pyarrow as arrow

    fields = {field.name.lower(): field for schema in reversed(schemas) for field in reversed(list(schema))}
    plain = [field.remove_metadata() for field in reversed(list(fields.values()))]
    return arrow.schema([*plain, *((name, arrow.string()) for name in Place._fields)])


def _whole(batch: "pyarrow.RecordBatch", place: Place, schema: "pyarrow.Schema") -> "pyarrow.RecordBatch":
    import pyarrow as arrow

    held = {name.lower(): column for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    rows = batch.num_rows
    held |= {name: arrow.repeat(value, rows) for name, value in place._asdict().items()}
    columns = [held.get(field.name.lower(), arrow.nulls(rows, field.type)) for field in schema]
    return arrow.RecordBatch.from_arrays(columns, schema=schema)
