"""CSV files: rows of texts, of which columns of numbers are made."""

import csv
from array import array
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

import numpy as np

from sidecar.datasets.chunk import Chunk, refuse, rows_of
from sidecar.payload.csv import cell
from sidecar.payload.decoding import feature_names
from sidecar.records import Table

_FRACTION = frozenset(".eEnNiI")
"""What only a number that is no integer is written with: a point, an exponent, `nan`, `inf`."""


def read_csv(path: Path) -> Iterator[Chunk]:
    """The rows of a file; its first line holds names unless one of its cells is empty or a number.

    Raises:
        ConfigError: It is not UTF-8, not CSV, or a row has another number of cells than the first.
    """
    with path.open("rb") as raw, TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            first = next((row for row in lines if row), None)
            if first is None:
                return
            named = all(type(cell(field)) is str for field in first)
            names = tuple(first) if named else feature_names(len(first))
            if len(set(names)) < len(names):
                raise refuse(path, ":1", "a name occurs twice, expected different names")
            rows = [] if named else [first]
            before = 0
            while rows := rows + [row for row in islice(lines, rows_of(len(names)) - len(rows)) if row]:
                table, fractional = _table(path, names, rows, lines.line_num)
                at = raw.tell()
                yield Chunk(table, fractional, at - before)
                rows, before = [], at
        except (UnicodeDecodeError, csv.Error) as error:
            raise refuse(path, f":{lines.line_num + 1}", f"{error}, expected CSV in UTF-8") from None


def _table(path: Path, names: tuple[str, ...], rows: list[list[str]], last_line: int) -> tuple[Table, list[int]]:
    try:
        columns = list(zip(*rows, strict=True))
        wrong = 0 if len(columns) == len(names) else len(rows[0])
    except ValueError:
        wrong = next(len(row) for row in rows if len(row) != len(names))
    if wrong:
        place = f", up to line {last_line}"
        raise refuse(path, place, f"a row of {wrong} cells, expected {len(names)} as there are names")
    matrix = np.empty((len(rows), len(names)))
    texts: dict[int, Sequence[str | None]] = {}
    fractional = []
    for position, column in enumerate(columns):
        values, words = _column(column)
        matrix[:, position] = values
        if words is not None:
            texts[position] = words
        elif not _FRACTION.isdisjoint("".join(column)):
            fractional.append(position)
    return Table(names, matrix, texts), fractional


def _column(fields: Sequence[str]) -> tuple[Sequence[float], Sequence[str | None] | None]:
    """The numbers, NaN where there is none, and the texts, if there are any."""
    try:
        if "_" not in "".join(fields):
            return array("d", map(float, fields)), None
    except ValueError:
        pass
    cells = [cell(field) for field in fields]
    values = [each if isinstance(each, float) else np.nan for each in cells]
    words = [each if isinstance(each, str) else None for each in cells]
    return values, words if any(word is not None for word in words) else None
