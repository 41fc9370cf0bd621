"""Attributions that a reply carries: for each of its rows what each feature added to the answer."""

from itertools import chain
from typing import NamedTuple

from sidecar.errors import PayloadError
from sidecar.payload.assembling import tabulate
from sidecar.payload.document import parse
from sidecar.payload.grid import require_size
from sidecar.payload.pointers import Pointer, at
from sidecar.records import JSON, Capture, Rows
from sidecar.stats.moments import Floats


class Attributed(NamedTuple):
    """Attributions of n rows.

    Args:
        names: The k features.
        values: Shape (n, k); NaN where there is none.
    """

    names: tuple[str, ...]
    values: Floats


def from_columns(rows: Rows, prefix: str) -> Attributed | None:
    """Those that stand among the predictions, a column each; None where there is none.

    Args:
        prefix: What their names begin with, before the feature's.
    """
    named = [(place, name.removeprefix(prefix)) for place, name in enumerate(rows.predictions)]
    found = [(place, name) for place, name in named if name and name != rows.predictions[place]]
    if not found:
        return None
    cells = [[row[place] for place, _ in found] for row in rows.answered]
    return _table(tuple(name for _, name in found), cells)


def from_document(capture: Capture, rows: Rows, pointer: Pointer) -> Attributed | None:
    """Those that stand anywhere else in the reply; None where there is nothing.

    What the pointer finds is a value for each row, or one list of these: a mapping of features to numbers, or a list
    of numbers in the order of the request's features. A tensor's flat list of all rows' numbers will do, too.

    Raises:
        PayloadError: Reason `json`, `shape` or `withheld`: it is something else, or the reply is not known.
    """
    if capture.reply.withheld:
        raise PayloadError("withheld", f"reply: {capture.reply.withheld}, expected all of it")
    found = at(parse(capture.reply.data), pointer)
    if not found:
        return None
    values = _by_row(found, len(rows.asked), len(rows.features))
    if all(isinstance(value, dict) for value in values):
        return _of_mappings(values)
    if all(isinstance(value, list) and len(value) == len(rows.features) for value in values):
        return _table(rows.features, values)
    expected = f"a mapping, or a list of {len(rows.features)} numbers as there are features, for each row"
    raise PayloadError("shape", f"attributions: expected {expected}")


def _by_row(found: list[JSON], rows: int, features: int) -> list[JSON]:
    """A value for each row, whatever the pointer stops at."""
    whole = found[0]
    if len(found) == 1 and isinstance(whole, list):
        if whole and all(isinstance(each, dict | list) for each in whole):
            found = whole
        elif len(whole) == rows * features:
            found = [whole[start : start + features] for start in range(0, len(whole), features)]
    if len(found) != rows:
        raise PayloadError("rows", f"attributions: of {len(found)} rows, expected {rows} as there are in the request")
    return found


def _of_mappings(values: list[dict[str, JSON]]) -> Attributed | None:
    names = tuple(dict.fromkeys(chain.from_iterable(values)))
    return _table(names, [[value.get(name) for name in names] for value in values]) if names else None


def _table(names: tuple[str, ...], cells: list[list[object]]) -> Attributed:
    require_size(len(cells), len(names))
    return Attributed(names, tabulate(names, cells).values)
