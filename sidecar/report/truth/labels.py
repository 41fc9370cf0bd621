"""Labels from files as a table of Parquet, which an engine joins with decoded rows.

One line per value: a label of an exchange of many rows has as many. `number` is the label's place among all that were
read, `id` what it calls its exchange, `size` how many values it has and `row` which of them this is. A number is in
`label`, a text in `label_text`; likewise what is told of groups, in `group__<name>` and `group_text__<name>`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.datasets.labels import ENDS, Columns, Entry, from_files
from sidecar.errors import ConfigError, Fault
from sidecar.payload.labels import Parsed, parse_labels
from sidecar.records import Label, Scalar
from sidecar.report.decoding.inputs import fetched, find

if TYPE_CHECKING:
    import pyarrow

ENTRIES = 1000
"""That are parsed at once."""

VALUES = 50_000
"""Of a group of rows in the file: some megabytes."""

TOLD = 10
"""Entries that are no labels of which is told where they stand."""

JSON_LINES_TYPE = "application/x-ndjson"

COLUMNS = Columns("id", "label")
"""Of CSV files."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What files of labels hold.

    Args:
        path: The table.
        labels: How many it has.
        malformed: Entries that are no labels.
        outcomes: Entries that tell of something else than the truth; they are left.
        faults: Where the first of the malformed ones stand, and what is wrong with them.
    """

    path: Path
    labels: int
    malformed: int
    outcomes: int
    faults: Sequence[str]


def collect(
    sources: Sequence[str | Path], path: Path, *, groups: Sequence[str] = (), columns: Columns = COLUMNS
) -> Collected:
    """Read labels, ours and SageMaker's ground truth, into a table.

    Args:
        sources: Files, folders, and what object stores have: `s3://bucket/prefix`.
        path: Of the table; written whole, or not at all.
        groups: What is kept of what labels say of groups.
        columns: Of CSV files.

    Raises:
        ConfigError: A source is not there, or holds no file of labels.
    """
    from pyarrow import parquet

    counts, faults = Counter[str](), list[str]()
    part = path.with_name(f".{path.name}.part")
    schema = _schema(groups)
    with parquet.ParquetWriter(part, schema, compression="zstd") as file:
        entries = chain.from_iterable(_entries(str(source), columns, path.parent) for source in sources)
        for numbered in _numbered(_labels(entries, counts, faults)):
            file.write_table(_table(schema, numbered, groups))
            counts["labels"] += len(numbered)
    if not counts["entries"]:
        part.unlink()
        raise ConfigError(Fault(", ".join(map(str, sources)), "no label, expected CSV, JSON or JSON Lines"))
    part.replace(path)
    return Collected(path, counts["labels"], counts["malformed"], counts["outcomes"], faults)


def _entries(source: str, columns: Columns, folder: Path) -> Iterator[Entry]:
    """What there is to read, file by file.

    Args:
        folder: For copies of what is not here.
    """
    if "://" not in source:
        if not Path(source).exists():
            raise ConfigError(Fault(source, "no such file or folder, expected labels"))
        yield from _of(Path(source), columns)
        return
    for each in find([source], ENDS):
        try:
            with fetched(each, folder) as copy, _called(copy, folder / f".labels{Path(each.name).suffix}") as path:
                for entry in _of(path, columns):
                    yield entry._replace(place=entry.place.replace(str(path), each.name, 1))
        except OSError as error:
            raise ConfigError(Fault(each.name, f"{error}, expected a file that stays")) from error


@contextmanager
def _called(path: Path, name: Path) -> Iterator[Path]:
    """The file under another name: what it is, is known by its end."""
    name.unlink(missing_ok=True)
    name.symlink_to(path.absolute())
    try:
        yield name
    finally:
        name.unlink()


def _of(path: Path, columns: Columns) -> Iterator[Entry]:
    """The lines of a file or folder that say anything."""
    entries = from_files([path], columns, follow=False, pause=_never)
    return (entry for entry in entries if entry is not None and (entry.error or entry.data.strip()))


def _labels(entries: Iterator[Entry], counts: Counter[str], faults: list[str]) -> Iterator[Label]:
    """Those of the entries that are labels; what else there is, is counted."""
    while batch := list(islice(entries, ENTRIES)):
        counts["entries"] += len(batch)
        for entry in batch:
            if entry.error:
                _refuse(f"{entry.place}: {entry.error}", counts, faults)
        lines = [entry for entry in batch if not entry.error]
        found = _parsed(lines)
        for fault in found.faults:
            _refuse(f"{lines[fault.order].place}: {fault.message}", counts, faults)
        counts["outcomes"] += sum(bool(label.metric) for label in found.labels)
        yield from (label for label in found.labels if not label.metric)


def _never(seconds: float) -> None:
    """Files are read once: nobody waits."""


def _refuse(told: str, counts: Counter[str], faults: list[str]) -> None:
    counts["malformed"] += 1
    if len(faults) < TOLD:
        faults.append(told)


def _parsed(lines: Sequence[Entry]) -> Parsed:
    """The labels of some lines, as they are read when they are posted."""
    if not lines:
        return Parsed([], [], [])
    # A line more, which is none: of a body without any that can be read, no line would be told of.
    body = b"\n".join([*(line.data for line in lines), b"{}"])
    found = parse_labels(body, JSON_LINES_TYPE)
    return found._replace(faults=[fault for fault in found.faults if fault.order < len(lines)])


def _numbered(labels: Iterable[Label]) -> Iterator[list[tuple[int, Label]]]:
    """Labels with their places, as many together as have about VALUES values."""
    held, size = list[tuple[int, Label]](), 0
    for numbered in enumerate(labels):
        held.append(numbered)
        size += len(numbered[1].values)
        if size >= VALUES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _schema(groups: Sequence[str]) -> "pyarrow.Schema":
    import pyarrow as arrow

    fields = [("number", arrow.int64()), ("id", arrow.string()), ("size", arrow.int32()), ("row", arrow.int32())]
    fields += [("label", arrow.float64()), ("label_text", arrow.string())]
    for name in groups:
        fields += [(f"group__{name}", arrow.float64()), (f"group_text__{name}", arrow.string())]
    return arrow.schema(fields)


def _table(schema: "pyarrow.Schema", labels: Sequence[tuple[int, Label]], groups: Sequence[str]) -> "pyarrow.Table":
    import pyarrow as arrow

    sizes = [len(label.values) for _, label in labels]
    values = [value for _, label in labels for value in label.values]
    columns: list[Sequence[Scalar]] = [
        [number for (number, _), size in zip(labels, sizes, strict=True) for _ in range(size)],
        [label.id for _, label in labels for _ in label.values],
        [size for size in sizes for _ in range(size)],
        [row for size in sizes for row in range(size)],
        *_halves(values),
    ]
    for name in groups:
        columns += _halves([label.groups.get(name) for _, label in labels for _ in label.values])
    arrays = [arrow.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _halves(cells: Sequence[Scalar]) -> tuple[list[Scalar], list[Scalar]]:
    """The numbers and the texts; true is 1."""
    numbers: list[Scalar] = [float(cell) if isinstance(cell, int | float) else None for cell in cells]
    return numbers, [cell if isinstance(cell, str) else None for cell in cells]
