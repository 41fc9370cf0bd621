"""Who belongs to a group: by what a request carries, by one of its fields, or by what is posted with its label."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from sidecar.quality.reading import class_of, texts_of
from sidecar.records import Labelled, Table
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts

Members = NDArray[np.int8]
"""1 for who belongs to the group, 0 for who does not, -1 where nobody knows; shape (n,)."""

MAX_STRATA = 50
"""Within which groups are compared; rows of further ones are in the last."""


class FacetOf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By what one group, the disfavoured one, is told from all others: one of three columns, and values or a limit."""

    # One of the three is named; the others are not.
    feature: Annotated[str, Meta(description="Feature that tells who belongs to the group.")] = ""
    header: Annotated[str, Meta(description="Or field of the request that does; it must be in capture.headers.")] = ""
    group: Annotated[str, Meta(description="Or key of groups that are posted with labels.")] = ""
    # One of the three is given.
    values: Annotated[tuple[str, ...], Meta(max_length=100, description="Values of those who belong to it.")] = ()
    below: Annotated[float | None, Meta(description="Or those with a number below this.")] = None
    above: Annotated[float | None, Meta(description="Or those with a number above this.")] = None

    @property
    def name(self) -> str:
        """Of the column."""
        return self.feature or self.header.lower() or self.group

    @property
    def value(self) -> str:
        """The group's value or interval, as Clarify writes it."""
        if self.values:
            return ",".join(self.values)
        return f"({self.above:g}, inf)" if self.above is not None else f"(-inf, {self.below:g})"

    def fault(self) -> str:
        """What is wrong with it; empty for nothing."""
        named = [name for name in ("feature", "header", "group") if getattr(self, name)]
        if len(named) != 1:
            return f"{' and '.join(named) or 'nothing'} named, expected one of feature, header and group"
        limits = [each for each in (self.below, self.above) if each is not None]
        if len(limits) + bool(self.values) != 1:
            return "expected one of values, below and above"
        return "" if all(map(math.isfinite, limits)) else "expected a finite number"

    def is_called(self, name: str, value: str) -> bool:
        """Whether Clarify's file means this group.

        Args:
            name: Of the facet there.
            value: Its values, or the interval above a threshold, which there ends at the greatest value of the data.
        """
        if name != self.name or value == self.value:
            return name == self.name
        if self.values:
            return {_written(each) for each in value.split(",")} == set(map(_written, self.values))
        low, _, high = value.strip("([])").partition(",")
        if self.above is not None:
            return value.startswith("(") and _number(low) == self.above
        return value.endswith(")") and _number(high) == self.below

    def members(self, rows: Labelled) -> Members:
        """Which rows are the group's."""
        column = column_of(rows, self.name, features=bool(self.feature))
        if column is None:
            return np.full(len(rows.times_s), -1, dtype=np.int8)
        if self.values:
            return _of_texts(texts_of(*column), self.values)
        table, place = column
        numbers = table.values[:, place]
        if not self.feature and place in table.texts:
            # A field of a request is a text, whatever it says.
            told = [math.nan if text is None else _number(text) for text in table.texts[place]]
            numbers = np.where(np.isnan(numbers), told, numbers)
        inside = numbers > self.above if self.above is not None else numbers < (self.below or 0.0)
        return np.where(np.isnan(numbers), -1, inside).astype(np.int8)


class Column(NamedTuple):
    """A column of a table."""

    table: Table
    place: int


def column_of(rows: Labelled, name: str, *, features: bool) -> Column | None:
    """The column of this name; None where the rows have none.

    Args:
        features: Among the features; among the groups otherwise.
    """
    table = rows.features if features else rows.groups
    return Column(table, table.names.index(name)) if name in table.names else None


class Strata:
    """Numbers the values of a column as they come.

    Attributes:
        texts: The values, in the order of their numbers; of further ones the last number.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.texts = list(texts)

    def places(self, cells: Cells) -> Counts:
        """The number of each cell, shape (n,); what is missing is a value too."""
        return np.array([self._place(cell or "") for cell in cells], dtype=np.int64)

    def _place(self, text: str) -> int:
        if text not in self.texts and len(self.texts) < MAX_STRATA:
            self.texts.append(text)
        return self.texts.index(text) if text in self.texts else MAX_STRATA - 1


def _of_texts(cells: Cells, values: Sequence[str]) -> Members:
    wanted = {*values, *map(_written, values)}
    known: dict[str | None, Literal[-1, 1]] = {**dict.fromkeys(wanted, 1), None: -1}
    return np.array([known.get(cell, 0) for cell in cells], dtype=np.int8)


def _written(value: str) -> str:
    """As a column of numbers has it, if it may be one there.

    Example:
        >>> [_written(each) for each in ("f", " 1.0", "true")]
        ['f', '1', '1']
    """
    flag = {"true": 1.0, "false": 0.0}.get(value.strip().casefold())
    return class_of(_number(value) if flag is None else flag) or value.strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
