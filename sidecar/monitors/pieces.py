"""Labelled rows put together and cut, whatever columns each piece of them has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sidecar.records import Labelled, Table
from sidecar.stats.categories import MAX_KEY
from sidecar.stats.columns import Cells
from sidecar.stats.keeping import Array, packed, unpacked
from sidecar.stats.moments import Counts

MAX_FEATURES = 256
"""The first ones of a row: as many as the windows follow by default."""

MAX_ANSWER = 1024
"""Characters of an answer: no label has more than 1,000, so that none is equal to what is longer."""

TABLES = ("features", "predictions", "labels", "groups")


def merged(pieces: Sequence[Labelled]) -> list[Labelled]:
    """The same rows in as few pieces as there are sets of columns; of one version."""
    by_columns: dict[tuple[tuple[str, ...], ...], list[Labelled]] = {}
    for each in pieces:
        by_columns.setdefault(tuple(getattr(each, name).names for name in TABLES), []).append(each)
    return [_one(those) for those in by_columns.values()]


def first(rows: Labelled, count: int) -> tuple[Labelled, Labelled]:
    """The first rows, and the others."""
    places = np.arange(len(rows.times_s))
    return at(rows, places[:count]), at(rows, places[count:])


def at(rows: Labelled, places: Counts) -> Labelled:
    """The rows at these places; copied, so that they do not hold the others in memory."""
    tables: dict[str, Any] = {name: _at(getattr(rows, name), places) for name in TABLES}
    return Labelled(rows.variant, rows.version, rows.times_s[places], rows.weights[places], **tables)


def lean(rows: Labelled) -> Labelled:
    """The rows with what of them is compared: an image spelled as a text, a thousand times over, fills the memory."""
    features, predictions = rows.features, rows.predictions
    names = features.names[:MAX_FEATURES]
    texts = {column: cells for column, cells in features.texts.items() if column < len(names)}
    return replace(
        rows,
        features=Table(names, features.values[:, : len(names)].copy(), _cut(texts, MAX_KEY)),
        predictions=Table(predictions.names, predictions.values, _cut(predictions.texts, MAX_ANSWER)),
    )


def state(pieces: Sequence[Labelled]) -> dict[str, Array]:
    """The rows as named arrays."""
    parts: dict[str, Array] = {"pieces": np.array(len(pieces))}
    for place, each in enumerate(pieces):
        parts[f"{place}.whose"] = packed([each.variant, each.version])
        parts[f"{place}.times_s"], parts[f"{place}.weights"] = each.times_s, each.weights
        for name in TABLES:
            table: Table = getattr(each, name)
            parts[f"{place}.{name}"] = table.values
            texts = [[column, list(cells)] for column, cells in table.texts.items()]
            parts[f"{place}.{name}.texts"] = packed([list(table.names), texts])
    return parts


def restored(parts: Mapping[str, Array]) -> list[Labelled]:
    """The rows of a state.

    Raises:
        KeyError: A part of it is missing.
        ValueError: A part of it cannot be read, likewise msgspec's ValidationError.
    """
    return [_restored(parts, f"{place}.") for place in range(int(parts["pieces"]))]


def _cut(texts: Mapping[int, Cells], length: int) -> dict[int, Cells]:
    return {column: [cell if cell is None else cell[:length] for cell in cells] for column, cells in texts.items()}


def _restored(parts: Mapping[str, Array], prefix: str) -> Labelled:
    variant, version = unpacked(parts[f"{prefix}whose"], tuple[str, str])
    tables: dict[str, Any] = {name: _table(parts, f"{prefix}{name}") for name in TABLES}
    return Labelled(variant, version, parts[f"{prefix}times_s"], parts[f"{prefix}weights"], **tables)


def _table(parts: Mapping[str, Array], name: str) -> Table:
    names, texts = unpacked(parts[f"{name}.texts"], tuple[tuple[str, ...], list[tuple[int, list[str | None]]]])
    return Table(names, parts[name], dict(texts))


def _one(pieces: Sequence[Labelled]) -> Labelled:
    tables: dict[str, Any] = {name: _stacked([getattr(each, name) for each in pieces]) for name in TABLES}
    return Labelled(
        pieces[0].variant,
        pieces[0].version,
        np.concatenate([each.times_s for each in pieces]),
        np.concatenate([each.weights for each in pieces]),
        **tables,
    )


def _stacked(tables: Sequence[Table]) -> Table:
    columns = sorted({column for table in tables for column in table.texts})
    texts: dict[int, Cells] = {
        column: [cell for table in tables for cell in table.texts.get(column) or [None] * len(table.values)]
        for column in columns
    }
    return Table(tables[0].names, np.concatenate([table.values for table in tables]), texts)


def _at(table: Table, places: Counts) -> Table:
    texts = {column: [cells[place] for place in places.tolist()] for column, cells in table.texts.items()}
    return Table(table.names, table.values[places], texts)
