"""The latest rows by the time of their request, however late and in whatever order they come."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.moments import Floats

Array = NDArray[Any]

SLACK = 1.25
"""Rows held at most, of those that are wanted: sorting is shared by a quarter of them."""

MOST_PIECES = 64
"""In which rows are held as they came, before some are put together: of single rows it would be too many arrays."""


class _Piece(NamedTuple):
    """Some rows: their time, shape (n,), and their columns."""

    times_s: Floats
    columns: Mapping[str, Array]


class Ledger:
    """Columns of rows, kept while they are among the latest.

    Args:
        rows: That are kept at most.
        seconds: How old they may become: older ones are left out, and go when there are too many. Nobody goes by the
            latest row for that: one whose clock was ahead would have all others left out until its time comes.
    """

    def __init__(self, *, rows: int, seconds: float) -> None:
        self._rows = rows
        self._seconds = seconds
        self._pieces: list[_Piece] = []
        self._held = 0

    def __len__(self) -> int:
        """Rows held, of which some may be too many."""
        return self._held

    def add(self, times_s: Floats, columns: Mapping[str, Array]) -> None:
        """Add some rows.

        Args:
            columns: The same names every time; of matrices of different widths, the narrower get zeros.
        """
        if not len(times_s):
            return
        self._pieces.append(_Piece(times_s, dict(columns)))
        self._held += len(times_s)
        if self._held > SLACK * self._rows:
            self._cut()
        elif len(self._pieces) > MOST_PIECES:
            self._thin()

    def current(self, now_s: float) -> tuple[Floats, dict[str, Array]]:
        """The latest rows in the order of their time, and their columns; no columns before the first row.

        Args:
            now_s: Unix time.
        """
        self._cut()
        times_s, columns = _stacked(self._pieces)
        recent = np.searchsorted(times_s, now_s - self._seconds)
        return times_s[recent:], {name: column[recent:] for name, column in columns.items()}

    def state(self) -> dict[str, Array]:
        """All of it."""
        times_s, columns = _stacked(self._pieces)
        return {"times_s": times_s, **{f"column.{name}": column for name, column in columns.items()}}

    def restore(self, state: Mapping[str, Array], names: Sequence[str] = ()) -> None:
        """Go on from a state.

        Args:
            names: Of columns that it must have, if it has a row.

        Raises:
            KeyError: A part of it is missing.
            ValueError: Its columns are of different lengths.
        """
        columns = {name.removeprefix("column."): array for name, array in state.items() if name != "times_s"}
        times_s = state["times_s"]
        if any(column.shape[:1] != times_s.shape for column in columns.values()):
            raise ValueError("columns: of different lengths, expected as many cells as rows")
        self._pieces = [_Piece(times_s, columns | {name: columns[name] for name in names})] if len(times_s) else []
        self._held = len(times_s)

    def _cut(self) -> None:
        """Put all together, sort it, and let go of what is too much."""
        if not self._held:
            return
        times_s, columns = _stacked(self._pieces)
        if len(self._pieces) > 1 or (times_s[1:] < times_s[:-1]).any():
            order = np.argsort(times_s, kind="stable")
            times_s, columns = times_s[order], {name: column[order] for name, column in columns.items()}
        oldest = len(times_s) - self._rows
        if oldest > 0:  # copied: a view would hold all of it
            times_s, columns = times_s[oldest:].copy(), {name: each[oldest:].copy() for name, each in columns.items()}
        self._pieces = [_Piece(times_s, columns)]
        self._held = len(times_s)

    def _thin(self) -> None:
        """Put the last pieces together, as far back as they are about as large: every row is copied a few times."""
        first, rows = len(self._pieces) - 1, len(self._pieces[-1].times_s)
        while first and len(self._pieces[first - 1].times_s) <= 2 * rows:
            first -= 1
            rows += len(self._pieces[first].times_s)
        self._pieces[first:] = [_stacked(self._pieces[first:])]


def _stacked(pieces: Sequence[_Piece]) -> _Piece:
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return _Piece(np.empty(0), {})
    columns = {name: _column([each.columns[name] for each in pieces]) for name in pieces[-1].columns}
    return _Piece(np.concatenate([each.times_s for each in pieces]), columns)


def _column(parts: Sequence[Array]) -> Array:
    if parts[0].ndim == 2:
        width = max(part.shape[1] for part in parts)
        parts = [
            np.pad(part, ((0, 0), (0, width - part.shape[1]))) if part.shape[1] < width else part for part in parts
        ]
    return np.concatenate(parts)
