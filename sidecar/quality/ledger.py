"""The latest rows by the time of their request, however late and in whatever order they come."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.moments import Floats

Array = NDArray[Any]

SLACK = 1.25
"""Rows held at most, of those that are wanted: sorting is shared by a quarter of them."""


class Ledger:
    """Columns of rows, kept while they are among the latest.

    Args:
        rows: That are kept at most.
        seconds: How old they may become, by the time of the latest row that ever came.

    Attributes:
        times_s: Unix time of every row held, shape (n,).
        columns: Whatever was added beside, by name; each of length n.
    """

    def __init__(self, *, rows: int, seconds: float) -> None:
        self._rows = rows
        self._seconds = seconds
        self.times_s: Floats = np.empty(0)
        self.columns: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self.times_s)

    def add(self, times_s: Floats, columns: Mapping[str, Array]) -> None:
        """Add some rows.

        Args:
            columns: The same names every time; of matrices of different widths, the narrower get zeros.
        """
        self.times_s = np.concatenate([self.times_s, times_s])
        self.columns = {name: _stacked(self.columns.get(name), column) for name, column in columns.items()}
        if len(self) > SLACK * self._rows:
            self._cut()

    def current(self, now_s: float) -> tuple[Floats, dict[str, Array]]:
        """The latest rows in the order of their time, and their columns.

        Args:
            now_s: Unix time.
        """
        self._cut()
        recent = np.searchsorted(self.times_s, now_s - self._seconds)
        return self.times_s[recent:], {name: column[recent:] for name, column in self.columns.items()}

    def state(self) -> dict[str, Array]:
        """All of it."""
        return {"times_s": self.times_s, **{f"column.{name}": column for name, column in self.columns.items()}}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: Its columns are of different lengths.
        """
        columns = {name.removeprefix("column."): array for name, array in state.items() if name != "times_s"}
        times_s = state["times_s"]
        if any(len(column) != len(times_s) for column in columns.values()):
            raise ValueError("columns: of different lengths, expected as many cells as rows")
        self.times_s, self.columns = times_s, columns

    def _cut(self) -> None:
        if not len(self):
            return
        order = np.argsort(self.times_s, kind="stable")[-self._rows :]
        order = order[self.times_s[order] >= self.times_s[order[-1]] - self._seconds]
        self.times_s = self.times_s[order]
        self.columns = {name: column[order] for name, column in self.columns.items()}


def _stacked(held: Array | None, more: Array) -> Array:
    if held is None:
        return np.array(more)
    if held.ndim == 2:
        width = max(held.shape[1], more.shape[1])
        held, more = (np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in (held, more))
    return np.concatenate([held, more])
