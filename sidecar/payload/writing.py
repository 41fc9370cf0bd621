"""Rows written back as a request like the one that they came from: the one place that makes bodies for a model.

What is written is the captured request with one of its rows as the pattern: members, nesting and whatever else stands
beside the rows stay as they are. Rows have cells as `Rows` has them, in the order of its features.
"""

import base64
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from math import isfinite

from sidecar.errors import PayloadError
from sidecar.payload.document import parse
from sidecar.payload.grid import flat, numbered
from sidecar.payload.media import CSV, JSON_LINES, media_type
from sidecar.records import JSON, Body

_FRAME = "dataframe_split"
_BY_ROW = ("dataframe_records", "instances", "inputs")
_EXACT = 2.0**53
_INTEGERS = frozenset({f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)})

Grid = Sequence[Sequence[object]]


def write(body: Body, names: Sequence[str], place: int, rows: Grid) -> bytes:
    """A body that asks for these rows.

    Args:
        body: Of a request that has been decoded.
        names: Of its features.
        place: Of the row that is the pattern.
        rows: At least one, each of len(names) cells.

    Raises:
        PayloadError: Reason `format`: it is in none of the formats that can be written. Reason `shape`: it cannot be
            written so after all.
    """
    media = media_type(body.content_type)
    try:
        if media == CSV:
            return _csv(body.data, names, rows)
        if media in JSON_LINES:
            lines = [line for line in body.data.split(b"\n") if line.strip()]
            return b"".join(_dump(each) + b"\n" for each in _like(parse(lines[place]), names, rows))
        return _dump(_document(parse(body.data), names, place, rows))
    except (AttributeError, LookupError, RecursionError, StopIteration, TypeError, ValueError) as error:
        # A document of another build than any that is read as rows of so many features.
        raise PayloadError("shape", f"request: {error}, expected one whose rows can be written again") from None


def _document(document: JSON, names: Sequence[str], place: int, rows: Grid) -> JSON:
    if isinstance(document, dict):
        inputs = document.get("inputs")
        if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict) and "shape" in inputs[0]:
            return {**document, "inputs": list(_tensors(inputs, document, rows))}
        if _FRAME in document:
            return {**document, _FRAME: _frame(document[_FRAME], names, place, rows)}
        for member in _BY_ROW:
            if member in document:
                return {**document, member: _table(document[member], names, place, rows)}
    raise PayloadError("format", f"request: expected {_FRAME}, {', '.join(_BY_ROW)}, CSV or JSON Lines")


def _table(table: JSON, names: Sequence[str], place: int, rows: Grid) -> JSON:
    """By row, a list; by column, a mapping of lists; one row, a mapping of anything else."""
    if isinstance(table, list):
        return _like(table[place], names, rows)
    if any(type(column) is list for column in table.values()):
        written = _like({name: column[place] for name, column in table.items()}, names, rows)
        return {name: [row[name] for row in written] for name in table}
    return _like(table, names, rows)


def _frame(frame: JSON, names: Sequence[str], place: int, rows: Grid) -> JSON:
    # An index would be of the rows that were.
    kept = {name: value for name, value in frame.items() if name != "index"}
    return {**kept, "data": _like(frame["data"][place], names, rows)}


def _like(pattern: JSON, names: Sequence[str], rows: Grid) -> list[JSON]:
    """The rows, each in the build of the pattern."""
    if isinstance(pattern, dict) and pattern.keys() == {"features"}:
        return [{"features": each} for each in _like(pattern["features"], names, rows)]
    if isinstance(pattern, dict):
        return [_record(pattern, dict(zip(names, row, strict=True))) for row in rows]
    return [_nested(pattern, iter(row)) for row in rows]


def _record(pattern: Mapping[str, JSON], cells: Mapping[str, object]) -> JSON:
    written = {}
    for name, value in pattern.items():
        width = len(flat(value)) if isinstance(value, list) else 1
        written[name] = _nested(value, iter([cells[each] for each in numbered(name, width)]))
    return written


def _nested(pattern: JSON, cells: Iterator[object]) -> JSON:
    """The cells in the lists of the pattern."""
    if isinstance(pattern, list):
        return [_nested(each, cells) for each in pattern]
    return _cell(next(cells), pattern)


def _cell(cell: object, pattern: object) -> object:
    """A cell of another row, as this one writes such: whole numbers without a point, truths as such."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        if isinstance(pattern, bool) and cell in {0.0, 1.0}:
            return bool(cell)
        return int(cell) if isinstance(pattern, int) else cell
    return cell


def _tensors(tensors: Sequence[JSON], document: JSON, rows: Grid) -> Iterator[JSON]:
    """The columns, taken from left to right into as many tensors as there were."""
    start = 0
    for tensor in tensors:
        width = 1
        for size in tensor["shape"][1:]:
            width *= size
        data = [_element(cell, tensor, document) for row in rows for cell in row[start : start + width]]
        start += width
        yield {**tensor, "shape": [len(rows), *tensor["shape"][1:]], "data": data}


def _element(cell: object, tensor: JSON, document: JSON) -> object:
    datatype = tensor["datatype"]
    if datatype == "BYTES" and isinstance(cell, str) and _is_base64(tensor, document):
        return base64.b64encode(cell.encode()).decode()
    if isinstance(cell, float) and isfinite(cell):
        return round(cell) if datatype in _INTEGERS else bool(cell) if datatype == "BOOL" else cell
    return cell


def _is_base64(tensor: JSON, document: JSON) -> bool:
    told = [each.get("parameters") or {} for each in (tensor, document)]
    return any(each.get("content_type") == "base64" for each in told[: 1 if "content_type" in told[0] else 2])


def _csv(data: bytes, names: Sequence[str], rows: Grid) -> bytes:
    text = data.decode("utf-8-sig")
    first = next(fields for fields in csv.reader(StringIO(text, newline=""), strict=True) if fields)
    written = StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    if first == list(names):
        writer.writerow(first)
    writer.writerows([[_field(cell) for cell in row] for row in rows])
    return written.getvalue().encode()


def _field(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    return "" if cell is None else str(cell)


def _dump(document: JSON) -> bytes:
    """JSON; what is not finite in the tokens of TensorFlow Serving, with which the request will have come."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
