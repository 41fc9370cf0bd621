"""Who is told how far a report is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, Protocol

Unit = Literal["bytes", "rows", "steps"]

Advance = Callable[[int], None]
"""Takes how much more has been done."""


class Progress(Protocol):
    """Shows how far something is."""

    def stage(self, name: str, total: int | None, unit: Unit) -> AbstractContextManager[Advance]:
        """Around a stage; what it gives takes how much more has been done.

        Args:
            name: For people: `reading captures`.
            total: Of the unit; None where nobody knows.
        """
        ...
