"""Rolling windows: the rows of late, and all rows since the start, of features that come under names."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sidecar.stats.buckets import Exponential
from sidecar.stats.columns import Cells, Columns
from sidecar.stats.moments import Floats
from sidecar.stats.pane import ClosedPane, Pane
from sidecar.stats.summary import Summary, summarise


@dataclass(frozen=True, slots=True)
class Spread:
    """How the numbers of k features are spread.

    Args:
        names: Length k.
        buckets: How many there are in each.
        total: Their sum, shape (k,); infinite where it is beyond all floats.
    """

    names: tuple[str, ...]
    buckets: Exponential
    total: Floats


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A window at one moment, cheap to take. What comes later does not change it: another thread may sum it.

    Args:
        names: Of the k features.
        past: What no pane of the current window holds any more, and the closed ones of these.
        closed: The panes of the current window that take no more, oldest first.
        last: The pane that was open.
    """

    names: tuple[str, ...]
    past: ClosedPane
    closed: tuple[ClosedPane, ...]
    last: ClosedPane
    max_categories: int
    seconds: float

    def lifetime(self) -> Summary:
        """The statistics of all rows since the start."""
        return summarise(self.names, self._sum([self.past, self.last]))

    def spread(self) -> Spread:
        """The numbers of all rows since the start; a seventh of the work of `lifetime`."""
        total = self._sum([self.past, self.last])
        moments = total.moments
        with np.errstate(over="ignore"):
            return Spread(self.names, total.histogram.exponential(moments), moments.mean * moments.count)

    def current(self, now_s: float) -> Summary:
        """The statistics of the current window, as it is at `now_s`."""
        late = (pane for pane in (*self.closed, self.last) if now_s - pane.opened_s <= self.seconds)
        return summarise(self.names, self._sum(late))

    def _sum(self, panes: Iterable[ClosedPane]) -> Pane:
        total = Pane(len(self.names), self.max_categories, 0.0)
        for pane in panes:
            total.merge(pane)
        return total


class Window:
    """The statistics of up to `max_features` features over the latest rows, and over all rows.

    The current window is the sum of up to `panes` panes, the open one among them. A pane takes no more once it has
    had `rows / panes` rows or is `seconds / panes` old; a batch goes into one pane whole. A pane is forgotten when
    there are too many, or as soon as its first row is older than `seconds`. Forgotten rows stay in the lifetime.

    Columns are matched by name. Names beyond `max_features`, and names that repeat within a batch, are ignored and
    counted in `folded`.

    Args:
        rows: Of the current window, at least `panes`.
        panes: At least 1.
        seconds: How old a row of the current window may be.
        max_features: How many names are told apart.
        max_categories: How many texts of a feature are told apart.

    Attributes:
        folded: Columns ignored so far, once for every batch that had one.
    """

    def __init__(self, *, rows: int, panes: int, seconds: float, max_features: int, max_categories: int) -> None:
        self.folded = 0
        self._pane_rows = max(1, rows // panes)
        self._pane_s = seconds / panes
        self._seconds = seconds
        self._max_categories = max_categories
        self._columns = Columns(max_features)
        self._panes: deque[ClosedPane] = deque(maxlen=panes - 1)
        self._past = Pane(0, max_categories, 0.0)
        self._open = Pane(0, max_categories, 0.0)

    def update(self, names: tuple[str, ...], values: Floats, texts: Mapping[int, Cells], now_s: float) -> None:
        """Add the rows of one batch.

        Args:
            names: The columns of this batch.
            values: Shape (n, len(names)), NaN for what is missing or a text.
            texts: The columns with texts, by position in `names`; each of length n.
            now_s: Time, on any clock that does not go back.
        """
        if not len(values):
            return
        plan = self._columns.plan(names)
        self.folded += plan.ignored
        self._turn(now_s)
        if not self._open.moments.rows:
            self._open.opened_s = now_s
        self._open.widen(plan.k)
        self._open.update(plan.place(values), plan.place_texts(texts))

    def snapshot(self) -> Snapshot:
        """What is known now."""
        return Snapshot(
            self._columns.names,
            self._past.copy(),
            tuple(self._panes),
            self._open.copy(),
            self._max_categories,
            self._seconds,
        )

    def _turn(self, now_s: float) -> None:
        """Close the open pane when it is full or old, and forget what has become too old."""
        rows = self._open.moments.rows
        if rows >= self._pane_rows or (rows and now_s - self._open.opened_s >= self._pane_s):
            closed = self._open.close()
            self._past.widen(self._open.k)
            self._past.merge(closed)
            self._panes.append(closed)
            self._open = Pane(self._open.k, self._max_categories, now_s)
        while self._panes and now_s - self._panes[0].opened_s > self._seconds:
            self._panes.popleft()
