"""Windows of the latest rows, each twice as long as the one before: what the detector of dependence learns from."""

from typing import NamedTuple

import numpy as np

from sidecar.stats.moments import Floats

BLOCK = 128
"""Rows, at least, of the shortest windows."""

LEVELS = 6
"""Windows of 1, 2, 4 … blocks; the longest have 4,096 rows and more."""


class Window(NamedTuple):
    """The rows of one level that have come since its window before was full.

    Args:
        products: Sum of a a' over them, shape (K, K).
        rows: How many they are.
        level: The window has 2^level blocks.
        turn: Of two in a row one has 0, the other 1.
    """

    products: Floats
    rows: int
    level: int
    turn: int


class Windows:
    """Sums over rows of K columns: one of products for each level, the long ones from the short ones.

    Attributes:
        products: Of the rows that wait for each level's window to be full, shape (LEVELS, K, K).
        rows: How many these are, shape (LEVELS,).
        blocks: How many have been full.
    """

    __slots__ = ("blocks", "products", "rows")

    def __init__(self, columns: int) -> None:
        self.products = np.zeros((LEVELS, columns, columns))
        self.rows = np.zeros(LEVELS, dtype=np.int64)
        self.blocks = 0

    def add(self, rows: Floats) -> list[Window]:
        """Add rows, shape (n, K), to one block; the windows that are full with them, the shortest first."""
        self.products[0] += rows.T @ rows
        self.rows[0] += len(rows)
        if self.rows[0] < BLOCK:
            return []
        self.blocks += 1
        # As many levels as the number of blocks is divisible by two, and the lowest always.
        return [self._close(level) for level in range(min(LEVELS, (self.blocks & -self.blocks).bit_length()))]

    def waiting(self) -> list[Window]:
        """Those that are not full yet."""
        return [Window(self.products[level], int(self.rows[level]), level, 0) for level in range(LEVELS)]

    def _close(self, level: int) -> Window:
        full = Window(self.products[level].copy(), int(self.rows[level]), level, self.blocks >> level & 1)
        if level + 1 < LEVELS:
            self.products[level + 1] += full.products
            self.rows[level + 1] += full.rows
        self.products[level] = 0
        self.rows[level] = 0
        return full
