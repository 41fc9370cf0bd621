"""JSON Lines files: an object, a list, or `{"features": […]}` a line."""

from collections.abc import Iterator
from pathlib import Path

from sidecar.datasets.chunk import LINES_BYTES, Chunk, fractions, refuse
from sidecar.errors import PayloadError
from sidecar.payload.assembling import tabulate
from sidecar.payload.decoding import feature_names
from sidecar.payload.document import parse
from sidecar.payload.grid import from_instances


def read_jsonlines(path: Path) -> Iterator[Chunk]:
    """The rows of a file; those of a chunk have the columns that any of them has.

    Raises:
        ConfigError: A line is not JSON, or lines differ in kind.
    """
    with path.open("rb") as file:
        number = 0
        while lines := file.readlines(LINES_BYTES):
            try:
                documents = [parse(line) for line in lines if line.strip()]
                names, rows = from_instances(documents) if documents else ((), [])
            except PayloadError as error:
                raise refuse(path, f", lines {number + 1} to {number + len(lines)}", str(error)) from None
            number += len(lines)
            if rows:
                table = tabulate(tuple(names) or feature_names(len(rows[0])), rows)
                yield Chunk(table, fractions(rows), sum(map(len, lines)))
