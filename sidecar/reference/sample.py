"""Some of the reference's rows, whole: how its columns depend on each other is in no statistics of single ones.

They are chosen uniformly from all, in one pass and bounded memory, by a reservoir (Vitter, "Random sampling with a
reservoir", 1985, algorithm R): row t of those that come takes a random one of the first t places, if it is among the
rows of the reservoir.

`sample.jsonl` holds them as plain JSON Lines, an object a row. What is missing is left out. JSON has no infinities:
they are written as the largest double, as jq does, and read back as what they were.
"""

import math
import sys
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.random import Generator

from sidecar.errors import ConfigError, Fault
from sidecar.records import Table
from sidecar.reference.learning import MAX_FEATURES
from sidecar.stats.categories import MAX_KEY
from sidecar.stats.columns import Columns
from sidecar.stats.moments import Counts, Floats

FILE = "sample.jsonl"
"""Beside statistics.json and constraints.json."""

MAX_CELLS = 1 << 20
"""Of a sample: 5,000 rows of 209 columns; it has fewer rows where there are more columns."""

MAX_BYTES = 1 << 28
"""Of a file; a cell has so many bytes at most, unless its column's name is long."""

_LARGEST = sys.float_info.max


class Reservoir:
    """A uniform sample of the rows of tables. Tables need not agree on their columns or the order of these.

    A row without a column that others have is a row in which that feature is missing. Texts are cut after MAX_KEY
    characters: what differs only behind them is one category.
    """

    def __init__(self, rows: int, rng: Generator) -> None:
        """Keep no more than `rows`, at least 1; `rng` chooses them."""
        self._size = rows
        self._rng = rng
        self._seen = 0
        self._columns = Columns(MAX_FEATURES)
        self._values = np.empty((0, 0))
        self._texts: dict[int, list[str | None]] = {}

    def update(self, table: Table) -> None:
        """Offer the rows of a table."""
        plan = self._columns.plan(table.names)
        self._widen(plan.k)
        rows, places = self._chosen(len(table.values))
        if not rows.size:
            return
        self._lengthen(int(places.max()) + 1)
        values = plan.place(table.values[rows])
        self._values[places] = np.nan
        self._values[places, : values.shape[1]] = values
        texts = plan.place_texts(table.texts)
        for feature in texts:
            self._texts.setdefault(feature, [None] * len(self._values))
        for feature, kept in self._texts.items():
            cells = texts.get(feature)
            for row, place in zip(rows.tolist(), places.tolist(), strict=True):
                cell = cells[row] if cells is not None else None
                kept[place] = None if cell is None else cell[:MAX_KEY]

    def sample(self) -> Table:
        """The rows kept so far; their order means nothing."""
        texts = {feature: tuple(cells) for feature, cells in self._texts.items()}
        return Table(self._columns.names, self._values.copy(), texts)

    def _chosen(self, n: int) -> tuple[Counts, Counts]:
        """Which of the next n rows are kept, and where; a place that comes twice is the later one's."""
        before = np.arange(self._seen, self._seen + n)
        self._seen += n
        places = np.where(before < self._size, before, self._rng.integers(0, before + 1))
        kept = np.flatnonzero(places < self._size)
        # The last row of each place: those before it would be thrown out again.
        _, last = np.unique(places[kept][::-1], return_index=True)
        rows = np.sort(kept[::-1][last])
        return rows, places[rows]

    def _lengthen(self, rows: int) -> None:
        if (more := rows - len(self._values)) > 0:
            self._values = np.pad(self._values, ((0, more), (0, 0)), constant_values=np.nan)
            for cells in self._texts.values():
                cells.extend([None] * more)

    def _widen(self, k: int) -> None:
        """Make room for new columns, by letting rows go where there would be too many cells."""
        if k == self._values.shape[1]:
            return
        self._values = np.pad(self._values, ((0, 0), (0, k - self._values.shape[1])), constant_values=np.nan)
        self._size = max(1, min(self._size, MAX_CELLS // k))
        if len(self._values) > self._size:
            # Random ones: in the first places the first rows are more likely.
            kept = self._rng.choice(len(self._values), self._size, replace=False)
            self._values = self._values[kept]
            self._texts = {feature: [cells[row] for row in kept] for feature, cells in self._texts.items()}


def write_sample(sample: Table) -> bytes:
    """The file of a sample."""
    encoder = msgspec.json.Encoder()
    values = np.clip(sample.values, -_LARGEST, _LARGEST)
    lines = []
    for row in range(len(values)):
        cells: dict[str, float | str] = {
            name: value for name, value in zip(sample.names, values[row].tolist(), strict=True) if not math.isnan(value)
        }
        for column, texts in sample.texts.items():
            if (text := texts[row]) is not None:
                cells[sample.names[column]] = text
        lines.append(encoder.encode(cells))
    return b"".join(line + b"\n" for line in lines)


def parse_sample(data: bytes, where: str) -> Table:
    """A sample from its file; columns in the order in which they first appear.

    Raises:
        ConfigError: A line is not an object of numbers and texts, or there are too many cells. The fault names the
            line: `sample.jsonl:12`.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(Fault(where, f"{len(data)} bytes, expected at most {MAX_BYTES}"))
    decoder = msgspec.json.Decoder(dict[str, float | str])
    rows: list[Mapping[str, float | str]] = []
    columns: dict[str, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        try:
            rows.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(Fault(f"{where}:{number}", f"{error}, expected an object of numbers and texts")) from None
        for name in rows[-1]:
            columns.setdefault(name, len(columns))
        if len(rows) * len(columns) > MAX_CELLS:
            message = f"row {len(rows)} of {len(columns)} columns, expected at most {MAX_CELLS} cells"
            raise ConfigError(Fault(f"{where}:{number}", message))
    return _tabulated(columns, rows)


def _tabulated(columns: Mapping[str, int], rows: list[Mapping[str, float | str]]) -> Table:
    values = np.full((len(rows), len(columns)), np.nan)
    texts: dict[int, list[str | None]] = {}
    for row, cells in enumerate(rows):
        for name, cell in cells.items():
            column = columns[name]
            if isinstance(cell, str):
                texts.setdefault(column, [None] * len(rows))[row] = cell
            else:
                values[row, column] = cell
    return Table(tuple(columns), _unbounded(values), texts)


def _unbounded(values: Floats) -> Floats:
    out: Floats = np.where(np.abs(values) >= _LARGEST, np.copysign(np.inf, values), values)
    return out
