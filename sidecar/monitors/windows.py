"""The windowed detectors of one variant: the rows of late against the reference, each time a pane is full."""

from collections import deque
from collections.abc import Iterable, Mapping
from functools import reduce
from math import ceil

import numpy as np

from sidecar.ports import Detector
from sidecar.records import Comparison
from sidecar.reference.binning import Bins
from sidecar.stats.keeping import Array
from sidecar.stats.tally import Counted, Tally


class Windows:
    """Panes of counts, and what detectors say of their sum.

    A window is judged when it is whole, each time a pane is full: before that, nothing is known. Rows that were counted
    together stay together, so that a window may have more than it should, by as many as came at once.

    Args:
        bins: The reference.
        detectors: By name.
        rows: Of a window, at least.
        panes: That a window is the sum of.

    Attributes:
        current: The latest whole window; None before the first.
        comparisons: What the detectors say of it, by name; empty before the first.
    """

    def __init__(self, bins: Bins, detectors: Mapping[str, Detector], *, rows: int, panes: int) -> None:
        self._bins = bins
        self._detectors = detectors
        self._pane_rows = max(1, ceil(rows / panes))
        self._panes: deque[Counted] = deque(maxlen=panes)
        self._open = Counted.nothing(bins.reference.shape)
        self._open_rows = 0
        self.current: Tally | None = None
        self.comparisons: Mapping[str, Comparison] = {}

    def add(self, counted: Counted, rows: int) -> bool:
        """Count some rows; whether they made a window whole, which then is judged."""
        self._open = self._open.plus(counted)
        self._open_rows += rows
        if self._open_rows < self._pane_rows:
            return False
        self._panes.append(self._open)
        self._open, self._open_rows = Counted.nothing(self._bins.reference.shape), 0
        if len(self._panes) < (self._panes.maxlen or 0):
            return False
        self._judge(self._panes)
        return True

    def compare(self, counted: Counted) -> None:
        """Take these rows for the latest whole window, whatever its size: all that there are, in a report."""
        self._judge([counted])

    def state(self) -> dict[str, Array]:
        """The panes, the open one last."""
        panes = [*self._panes, self._open]
        counts, sums = np.stack([pane.counts for pane in panes]), np.stack([pane.sums for pane in panes])
        return {"counts": counts, "sums": sums, "rows": np.array(self._open_rows)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state of the same reference and sizes, and judge its window if it is whole.

        Raises:
            KeyError: A part of it is missing.
            ValueError: It is of other features, or has more panes.
        """
        counts, sums, rows = state["counts"], state["sums"], state["rows"]
        shape = (len(counts), *self._bins.reference.shape)
        if counts.shape != shape or sums.shape != shape or not 1 <= len(counts) <= (self._panes.maxlen or 0) + 1:
            raise ValueError("panes of another shape, expected those of this reference")
        panes = [Counted(*each) for each in zip(counts.astype(np.int64), sums.astype(np.float64), strict=True)]
        self._open, self._open_rows = panes.pop(), int(rows)
        self._panes.extend(panes)
        if len(self._panes) == self._panes.maxlen:
            self._judge(self._panes)

    def _judge(self, panes: Iterable[Counted]) -> None:
        whole = reduce(Counted.plus, panes)
        past, now = self._bins.reference_tally, self._bins.tally(whole)
        self.comparisons = {name: detector.check(past, now) for name, detector in self._detectors.items()}
        self.current = now
