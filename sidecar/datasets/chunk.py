"""A piece of a data set, and how its cells are read."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.errors import ConfigError, Fault
from sidecar.records import Table

CELLS = 4096 * 32
"""Of a chunk, unless one row has more: memory stays flat, and numpy's fixed costs are shared."""

LINES_BYTES = 1 << 17
"""Of the lines that are parsed at once, unless one is longer; so few cannot be more rows than are decoded at once."""


class Chunk(NamedTuple):
    """Some rows of a data set.

    Args:
        fractional: The columns, by position, in which a number was written as a fraction, `1.0` included.
        read_bytes: Of the file, since the chunk before.
        skipped: Lines passed over since the chunk before, by reason.
    """

    table: Table
    fractional: Sequence[int]
    read_bytes: int
    skipped: Sequence[str] = ()


def rows_of(width: int) -> int:
    """Rows of a chunk, of so many cells each."""
    return max(1, CELLS // max(1, width))


def fractions(rows: Iterable[Sequence[object]]) -> list[int]:
    """The columns in which a cell is a float; rows are of one length."""
    return [position for position, column in enumerate(zip(*rows, strict=True)) if float in set(map(type, column))]


def refuse(path: Path, place: str, message: str) -> ConfigError:
    """The error for what cannot be read, with the place in the file."""
    return ConfigError(Fault(f"{path}{place}", message))


def without(chunk: Chunk, name: str) -> Chunk:
    """The chunk without a column."""
    table = chunk.table
    kept = [position for position, each in enumerate(table.names) if each != name]
    moved = {position: new for new, position in enumerate(kept)}
    texts = {moved[position]: cells for position, cells in table.texts.items() if position in moved}
    left = Table(tuple(table.names[position] for position in kept), table.values[:, kept], texts)
    return chunk._replace(table=left, fractional=[moved[p] for p in chunk.fractional if p in moved])
