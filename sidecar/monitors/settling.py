"""Labelled rows that wait until all labels of their time should be there.

Where labels of one kind come sooner than others (a chargeback within days, its absence when its time is up), the first
ones are not what the rest will be. Rows count once their request is old enough, in the order of their requests.
"""

import heapq
from collections.abc import Mapping
from itertools import count

import numpy as np

from sidecar.monitors import pieces
from sidecar.records import Labelled
from sidecar.stats.keeping import Array

MAX_ROWS = 100_000
"""That wait at once; beyond that the oldest count at once."""


class Settling:
    """Holds rows back.

    Args:
        seconds: For which a request's label may still be missing.

    Attributes:
        rows: That wait.
    """

    def __init__(self, seconds: float) -> None:
        self.rows = 0
        self._seconds = seconds
        self._numbers = count()
        # Each as old as its first row; the number keeps those of one time in the order in which they came.
        self._pieces: list[tuple[float, int, Labelled]] = []

    def add(self, rows: Labelled) -> None:
        """Take rows."""
        if len(rows.times_s):
            self._push(pieces.lean(rows))

    def due(self, now_s: float) -> list[Labelled]:
        """The rows that have waited long enough, those of one version and set of columns by the time of their request.

        Args:
            now_s: Unix time.
        """
        until_s = now_s - self._seconds
        found: dict[tuple[str, str], list[Labelled]] = {}
        while self._pieces and (self._pieces[0][0] <= until_s or self.rows > MAX_ROWS):
            _, _, rows = heapq.heappop(self._pieces)
            self.rows -= len(rows.times_s)
            old = rows.times_s <= max(until_s, float(rows.times_s.min()))
            found.setdefault((rows.variant, rows.version), []).append(pieces.at(rows, np.flatnonzero(old)))
            if not old.all():
                self._push(pieces.at(rows, np.flatnonzero(~old)))
        return [_in_time(each) for those in found.values() for each in pieces.merged(those)]

    def state(self) -> dict[str, Array]:
        """What is to be known after a restart."""
        by_version: dict[tuple[str, str], list[Labelled]] = {}
        for _, _, rows in sorted(self._pieces, key=lambda piece: piece[:2]):
            by_version.setdefault((rows.variant, rows.version), []).append(rows)
        return pieces.state([each for those in by_version.values() for each in pieces.merged(those)])

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: A part of it cannot be read.
        """
        found = pieces.restored(state)
        self.rows, self._pieces = 0, []
        for each in found:
            self.add(each)

    def _push(self, rows: Labelled) -> None:
        self.rows += len(rows.times_s)
        heapq.heappush(self._pieces, (float(rows.times_s.min()), next(self._numbers), rows))


def _in_time(rows: Labelled) -> Labelled:
    return pieces.at(rows, np.argsort(rows.times_s, kind="stable"))
