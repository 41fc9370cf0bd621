"""Which predictions may have an id, in memory.

Ids come in no order: a tree of them on the disk has another page written for every one, some 30 kB for a prediction.
Here an id takes 8 bytes. Every batch is a sorted run of its own; runs are merged as soon as one is not much shorter
than the one before it, so that there are few, and an id is moved some 20 times at most.

A number here says where to look, and the table has the last word: of one id in a dozen a stranger is found too.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sidecar.store.documents import DIGEST_BYTES

NUMBER_BITS = 40
"""For the number of a prediction: seven years of 5,000 a second; the other 24 are of the id."""
DEAD = 1000
"""Forgotten predictions that are left in the runs at least, before all of them are gone through."""

_NUMBER = np.uint64((1 << NUMBER_BITS) - 1)

Run = NDArray[np.uint64]
"""An id's high bits and a prediction's number in each, ascending."""


class Index:
    """Numbers of predictions by id. What a transaction changes holds once it is settled.

    Args:
        predictions: Number and ids, one digest behind the other, of all that are known.
        key: Random and odd: without it one could choose ids so that for each the others are found too.
    """

    def __init__(self, predictions: Iterable[tuple[int, bytes]], key: int) -> None:
        self._key = np.uint64(key)
        self._runs: list[Run] = []
        self._dead: list[int] = []
        self._added = list(predictions)
        self._forgotten: list[int] = []
        self.settle(done=True)

    def find(self, ids: bytes) -> list[int]:
        """The numbers of all predictions that have one of these ids, and of some that have none, ascending."""
        first = np.unique(self._high(ids))
        found = [_between(run, first, first | _NUMBER) & _NUMBER for run in self._runs]
        numbers: list[int] = np.unique(np.concatenate(found)).tolist() if found else []
        return numbers

    def add(self, number: int, ids: bytes) -> None:
        """A prediction has these ids."""
        self._added.append((number, ids))

    def forget(self, numbers: Iterable[int]) -> None:
        """These predictions are known no more."""
        self._forgotten += numbers

    def settle(self, *, done: bool) -> None:
        """The transaction is done, or it never was."""
        if done and self._added:
            sizes = [len(ids) // DIGEST_BYTES for _, ids in self._added]
            numbers = np.repeat(np.array([number for number, _ in self._added], np.uint64), sizes)
            self._append(np.sort(self._high(b"".join(ids for _, ids in self._added)) | numbers))
        if done:
            self._dead += self._forgotten
            if len(self._dead) > DEAD + sum(map(len, self._runs)) // 8:
                self._bury()
        self._added, self._forgotten = [], []

    def _high(self, ids: bytes) -> Run:
        """The first half of each digest times the key, its upper bits.

        References:
            Dietzfelbinger et al. (1997), A reliable randomized algorithm for the closest-pair problem: multiply-shift.
        """
        high: Run = (np.frombuffer(ids, "<u8")[::2] * self._key) & ~_NUMBER
        return high

    def _append(self, run: Run) -> None:
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = _merged([self._runs.pop(), run])
        self._runs.append(run)

    def _bury(self) -> None:
        run = _merged(self._runs)
        self._runs = [run[np.isin(run & _NUMBER, np.array(self._dead, np.uint64), invert=True)]]
        self._dead = []


def _merged(runs: Sequence[Run]) -> Run:
    together = np.concatenate(runs)
    together.sort(kind="stable")  # it finds the runs, and merges them
    return together


def _between(run: Run, first: Run, last: Run) -> Run:
    """What of a run is in one of the closed intervals, which are apart."""
    begin, end = np.searchsorted(run, first, "left"), np.searchsorted(run, last, "right")
    sizes = end - begin
    found: Run = run[np.repeat(begin - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())]
    return found
