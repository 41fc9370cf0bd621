"""Rows and columns out of JSON values: what the formats have in common.

All of it is bounded, in rows, columns and cells: a small body of many objects, each with a member of its own name, is
a large table.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

from sidecar.errors import PayloadError
from sidecar.records import JSON

MAX_ROWS = 1 << 16
MAX_COLUMNS = 1 << 12
MAX_CELLS = 1 << 20
MAX_NESTING = 8

_LISTS = {list}

Grid = tuple[Sequence[str], list[list[object]]]
"""k column names, or none where there are none to be known, and n rows of k cells; n and k at least 1."""


def from_value(value: JSON) -> Grid:
    """A table by row (a list) or by column (an object of lists; of scalars only, it is one row).

    Raises:
        PayloadError: Reason `shape` or `empty`.
    """
    if isinstance(value, list):
        return from_instances(value)
    if not isinstance(value, dict):
        raise PayloadError("shape", f"table: {type(value).__name__}, expected a list or an object")
    if any(type(column) is list for column in value.values()):
        return from_columns(value)
    return from_instances([value])


def from_reply(document: JSON) -> Grid:
    """The rows of a reply `{"predictions": …}`, or of what stands in its place.

    Raises:
        PayloadError: Reason `format`, `shape` or `empty`.
    """
    if isinstance(document, dict) and "predictions" in document:
        return from_value(document["predictions"])
    if isinstance(document, list):
        return from_instances(document)
    raise PayloadError("format", "reply: expected a list, or an object with 'predictions'")


def from_instances(instances: list[JSON]) -> Grid:
    """One row an instance: a list, nested lists (flattened), an object, an object of `features` alone, or a scalar.

    Raises:
        PayloadError: Reason `shape`: instances differ in kind or width, or are too many. Reason `empty`: none.
    """
    require_size(len(instances), 1)
    kinds = set(map(type, instances))
    if kinds == _LISTS:
        return (), _equal(list(map(flat, instances)))
    if kinds == {dict}:
        if all(record.keys() == {"features"} for record in instances):  # SageMaker's JSON and JSON Lines
            return from_instances([record["features"] for record in instances])
        return _from_records(instances)
    if not kinds.isdisjoint((list, dict)):
        raise PayloadError("shape", "rows: of different kinds, expected all lists, all objects or all scalars")
    return (), [[value] for value in instances]


def from_columns(columns: dict[str, JSON]) -> Grid:
    """One row for each position in the columns; a column of lists becomes several, `name_0`, `name_1`, ….

    Raises:
        PayloadError: Reason `shape`: columns differ in length, or are too many. Reason `empty`: no row.
    """
    lengths = {len(column) if type(column) is list else -1 for column in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise PayloadError("shape", "columns: of different lengths, expected lists of one length")
    require_size(lengths.pop(), len(columns))
    return _widened(tuple(columns), list(map(list, zip(*columns.values(), strict=True))))


def from_frame(names: tuple[str, ...], rows: list[list[JSON]]) -> Grid:
    """One row a row, under these names; a column of lists becomes several.

    Raises:
        PayloadError: Reason `shape`: rows differ in length from each other or from the names. Reason `empty`: none.
    """
    require_size(len(rows), len(names))
    if set(map(len, rows)) != {len(names)}:
        raise PayloadError("shape", f"rows: of different lengths, expected {len(names)} cells as there are names")
    return _widened(names, rows)


def flat(row: list[JSON]) -> list[object]:
    """The row without its inner lists, their elements in their places; as it is where it does not begin with one.

    >>> flat([[[1], [2]], [[3], [4]]])
    [1, 2, 3, 4]

    Raises:
        PayloadError: Reason `shape`: nested too deeply.
    """
    for _ in range(MAX_NESTING):
        if not row or type(row[0]) is not list:  # tensors are rectangular: the first cell tells for all
            return row
        row = list(chain.from_iterable(cell if type(cell) is list else (cell,) for cell in row))
    raise PayloadError("shape", f"row: lists within lists, expected at most {MAX_NESTING} levels")


def require_size(rows: int, columns: int) -> None:
    """Refuse a table without cells, or with more than is bearable.

    Raises:
        PayloadError: Reason `empty` or `shape`.
    """
    if rows < 1 or columns < 1:
        raise PayloadError("empty", f"table: {rows} rows of {columns} columns, expected at least one of each")
    if rows > MAX_ROWS or columns > MAX_COLUMNS or rows * columns > MAX_CELLS:
        limits = f"at most {MAX_ROWS} rows, {MAX_COLUMNS} columns and {MAX_CELLS} cells"
        raise PayloadError("shape", f"table: {rows} rows of {columns} columns, expected {limits}")


def _equal(rows: list[list[object]]) -> list[list[object]]:
    if len(set(map(len, rows))) > 1:
        raise PayloadError("shape", "rows: of different lengths, expected one length")
    require_size(len(rows), len(rows[0]))
    return rows


def _from_records(records: list[dict[str, JSON]]) -> Grid:
    names = tuple(records[0]) if len(records) == 1 else tuple(_distinct(records))
    require_size(len(records), len(names))
    return _widened(names, [[record.get(name) for name in names] for record in records])


def _distinct(records: Iterable[dict[str, JSON]]) -> dict[str, None]:
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
    return names


def _widened(names: tuple[str, ...], rows: list[list[object]]) -> Grid:
    """Cells that are lists become cells of their own, in columns `name_0`, `name_1`, …."""
    if not any(list in map(type, row) for row in rows):
        return names, rows
    columns = [_vectors(name, column) for name, column in zip(names, zip(*rows, strict=True), strict=True)]
    widths = [len(column[0]) for column in columns]
    require_size(len(rows), sum(widths))
    wide = [list(chain.from_iterable(parts)) for parts in zip(*columns, strict=True)]
    return tuple(chain.from_iterable(map(numbered, names, widths))), wide


def _vectors(name: str, column: Sequence[JSON]) -> list[Sequence[object]]:
    """A column's cells as vectors of one width: a scalar column's have one element, a missing one has none of its."""
    vectors = [flat(cell) if type(cell) is list else None for cell in column]
    widths = {len(vector) for vector in vectors if vector is not None}
    if not widths:
        return [(cell,) for cell in column]
    if len(widths) > 1 or any(v is None and cell is not None for v, cell in zip(vectors, column, strict=True)):
        raise PayloadError("shape", f"column {name[:80]!r}: cells of different widths, expected one width")
    missing = (None,) * widths.pop()
    return [missing if vector is None else vector for vector in vectors]


def numbered(name: str, width: int) -> Sequence[str]:
    """The names of a vector's elements.

    >>> numbered("pixel", 2), numbered("age", 1)
    (('pixel_0', 'pixel_1'), ('age',))
    """
    return (name,) if width == 1 else tuple(f"{name}_{index}" for index in range(width))
