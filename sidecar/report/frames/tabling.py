"""Frames as people have them in a notebook → tables of features and predictions, some thousand rows at a time.

A frame is a mapping of arrays, one of pandas or Polars, or one of pyarrow. None of the three need be installed for the
others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sidecar.datasets.chunk import CELLS, rows_of
from sidecar.errors import ConfigError, Fault
from sidecar.records import Table
from sidecar.report.truth.assembling import KINDS, columns_of
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts, Floats
from sidecar.texts import shown

Array = NDArray[Any]

WHERE = "frame"
"""What a frame is called in errors."""

LISTS = (list, tuple, dict, set, np.ndarray)
"""Cells that are no scalars."""


class Named(Protocol):
    """A frame of pandas or Polars."""

    @property
    def columns(self) -> Any:  # noqa: ANN401  # an Index to the one, a list to the other
        """The names."""
        ...

    def __getitem__(self, name: Any) -> Any:  # noqa: ANN401  # a Series of theirs
        """A column."""
        ...


class Arrow(Protocol):
    """A table or batch of pyarrow."""

    @property
    def schema(self) -> Any:  # noqa: ANN401  # pyarrow has no types
        """Names and types."""
        ...

    def column(self, place: int) -> Any:  # noqa: ANN401
        """A column."""
        ...


Frame = Mapping[str, Any] | Named | Arrow


class Half(NamedTuple):
    """A column: numbers, NaN where there is none, shape (n,); and texts, None where it has none at all.

    Args:
        fractional: It holds numbers of a type that has fractions.
    """

    values: Floats
    texts: Cells | None
    fractional: bool = False


class Tables(NamedTuple):
    """Some rows.

    Args:
        fractional: Places of the features, and of the predictions behind them, whose type has fractions.
    """

    features: Table
    predictions: Table
    fractional: Sequence[int]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A frame's columns as arrays of one length.

    Args:
        rows: How many.
        arrays: By the frame's name of them.
        asked: The features, and the columns of the frame that hold each: one, or one of numbers and one of texts.
        answered: Likewise the predictions.
    """

    rows: int
    arrays: Mapping[str, Array]
    asked: Mapping[str, Sequence[str]]
    answered: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, frame: Frame) -> "Sheet":
        """The columns of a frame.

        They are features, unless there are such as `read_captures` names: then those of features and predictions are
        what these say, and the others are left.

        Raises:
            ConfigError: It is no frame; or columns are not of one length.
        """
        arrays = _arrays(frame)
        rows = len(next(iter(arrays.values()), ()))
        for name, array in arrays.items():
            if len(array) != rows:
                raise _refused(name, f"{len(array)} rows, expected {rows} as the first column has")
        asked, answered = ({each.name: each.held for each in columns_of(arrays, *kind)} for kind in KINDS)
        if not asked and not answered:
            return cls(rows, arrays, {name: (name,) for name in arrays}, {})
        return cls(rows, arrays, asked, answered)

    def pieces(self, most: int = CELLS, order: Counts | None = None) -> Iterator[Tables]:
        """All rows, some at a time.

        Args:
            most: At a time; fewer where there are many columns.
            order: Of the rows, shape (n,); as they stand without it.

        Raises:
            ConfigError: A cell is no scalar.
        """
        held = [name for halves in (*self.asked.values(), *self.answered.values()) for name in halves]
        size = min(most, rows_of(len(held)))
        for begin in range(0, self.rows, size):
            rows = slice(begin, begin + size) if order is None else order[begin : begin + size]
            read = {name: _half(name, self.arrays[name][rows]) for name in held}
            count = min(size, self.rows - begin)
            (features, first), (predictions, second) = (
                _table(read, named, count) for named in (self.asked, self.answered)
            )
            yield Tables(features, predictions, [*first, *(len(features.names) + place for place in second)])


def _table(read: Mapping[str, Half], named: Mapping[str, Sequence[str]], rows: int) -> tuple[Table, list[int]]:
    """The table of these columns, each of which stands in one or two of the frame's."""
    values, texts, fractional = np.full((rows, len(named)), np.nan), dict[int, Cells](), []
    for place, halves in enumerate(named.values()):
        for half in (read[name] for name in halves):
            values[:, place] = np.where(np.isnan(half.values), values[:, place], half.values)
            if half.texts is not None:
                texts[place] = half.texts
            if half.fractional:
                fractional.append(place)
    return Table(tuple(named), values, texts), fractional


def _arrays(frame: Frame) -> dict[str, Array]:
    if isinstance(frame, Mapping):
        return {str(name): _flat(str(name), np.asarray(column)) for name, column in frame.items()}
    if type(frame).__module__.startswith("pyarrow."):  # a column of a data frame may be called as any of its methods
        table = cast("Arrow", frame)
        names = list(table.schema.names)
        columns = [_of_arrow(table.column(place)) for place in range(len(names))]
    elif hasattr(type(frame), "to_dict"):  # what is worked out later, as LazyFrame is, has none
        named = cast("Named", frame)
        names = list(named.columns)
        columns = [named[name].to_numpy() for name in dict.fromkeys(names)]
    else:
        told = "expected a frame of pandas, Polars or pyarrow, or a dict of arrays"
        raise ConfigError(Fault(WHERE, f"{type(frame).__name__}, {told}"))
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise _refused(str(twice[0]), "the name occurs twice, expected different names")
    return {str(name): _flat(str(name), column) for name, column in zip(names, columns, strict=True)}


def _of_arrow(column: Any) -> Array:  # noqa: ANN401  # pyarrow has no types
    """A column of pyarrow; what numpy has no type for, as texts."""
    import pyarrow as arrow

    types, kind = arrow.types, column.type
    if types.is_dictionary(kind):
        return _of_arrow(column.cast(kind.value_type))
    if types.is_decimal(kind) or types.is_boolean(kind) or types.is_null(kind):
        column = column.cast(arrow.float64())
    elif types.is_temporal(kind):
        column = column.cast(arrow.string())
    chunked = isinstance(column, arrow.ChunkedArray)
    return np.asarray(column.to_numpy() if chunked else column.to_numpy(zero_copy_only=False))


def _flat(name: str, array: Array) -> Array:
    if array.ndim != 1:
        raise _refused(name, f"{array.ndim} dimensions, expected one number or text for each row")
    return array


def _half(name: str, array: Array) -> Half:
    """A column's numbers and texts."""
    kind = array.dtype.kind
    if kind in "biuf":
        return Half(array.astype(np.float64), None, fractional=kind == "f")
    if kind in "mM":
        gone = np.isnat(array)
        return Half(*_mixed(name, [None if nat else str(each) for each, nat in zip(array, gone, strict=True)]))
    if kind in "OUST":
        return Half(*_mixed(name, array.tolist()))
    raise _refused(name, f"{array.dtype}, expected numbers, booleans or texts")


def _mixed(name: str, cells: Sequence[object]) -> tuple[Floats, Cells | None]:
    """Cells of any kind: numbers, texts, what is written as a text, and nothing."""
    values = np.full(len(cells), np.nan)
    texts: list[str | None] = [None] * len(cells)
    for place, cell in enumerate(cells):
        if isinstance(cell, str):
            texts[place] = cell
        elif isinstance(cell, LISTS):
            raise _refused(name, f"{type(cell).__name__} in a cell, expected numbers, booleans or texts")
        elif isinstance(cell, Real | np.bool_) or _is_decimal(cell):
            values[place] = float(cell)  # type: ignore[arg-type]  # a decimal is one that is not registered as such
        elif cell is not None and type(cell).__name__ not in {"NAType", "NaTType"}:
            texts[place] = cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
    return values, texts if any(text is not None for text in texts) else None


def _is_decimal(cell: object) -> bool:
    return type(cell).__name__ == "Decimal"


def _refused(name: str, message: str) -> ConfigError:
    return ConfigError(Fault(f"{WHERE}[{shown(name, 80)!r}]", message))
