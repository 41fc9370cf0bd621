"""Captures with their Rows → Samples: what has the same columns is put together, by column and in one go.

Likewise predictions with their labels → Labelled.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from sidecar.payload.redacting import REDACTED
from sidecar.records import Capture, Joined, Labelled, Prediction, Rows, Sample, Scalar, Table
from sidecar.stats.moments import Floats

Items = list[tuple[Capture, Rows]]

MAX_TEXT = 1024
"""Characters of a text that awaits its label: an image spelled as one would fill the store. No label has more."""


def assemble(items: Iterable[tuple[Capture, Rows]]) -> list[Sample]:
    """One sample for each variant, version and set of columns, in the order of their first occurrence."""
    groups: dict[tuple[object, ...], Items] = {}
    for item in items:
        capture, rows = item
        key = (capture.variant, capture.version, rows.features, rows.predictions)
        groups.setdefault(key, []).append(item)
    return list(map(_sample, groups.values()))


def prediction(capture: Capture, rows: Rows, groups: Sequence[str]) -> Prediction:
    """An exchange as it awaits its labels.

    Args:
        rows: Of the exchange, with predictions.
        groups: The request's fields that say of whom it is about, in lower case.
    """
    ids = (capture.event_id, capture.request_id, capture.inference_id)
    asked = capture.headers["request"]
    return Prediction(
        ids=tuple(dict.fromkeys(each for each in ids if each)),
        variant=capture.variant,
        version=capture.version,
        time_s=capture.started_s,
        weight=1 / capture.sample_ratio if capture.sample_ratio > 0 else 1.0,
        features=rows.features,
        asked=_scalars(rows.asked),
        predictions=rows.predictions,
        answered=_scalars(rows.answered),
        groups={name: asked[name] for name in groups if name in asked},
        unit=0 if capture.shadow else capture.unit,
    )


def assemble_labelled(pairs: Iterable[Joined]) -> list[Labelled]:
    """One for each variant, version and set of columns, in the order of their first occurrence.

    A pair whose labels are not as many as its rows, which a store does not join, is left out.
    """
    found: dict[tuple[object, ...], list[Joined]] = {}
    for pair in pairs:
        made = pair.prediction
        if not len(pair.label.values) == len(made.asked) == len(made.answered):
            continue
        told = (*made.groups, *pair.label.groups)
        found.setdefault((made.variant, made.version, made.features, made.predictions, told), []).append(pair)
    return list(map(_labelled, found.values()))


def _labelled(pairs: Sequence[Joined]) -> Labelled:
    first = pairs[0].prediction
    counts = [len(pair.prediction.asked) for pair in pairs]
    groups = [{**pair.prediction.groups, **pair.label.groups} for pair in pairs]
    told = [list(each.values()) for each, count in zip(groups, counts, strict=True) for _ in range(count)]
    return Labelled(
        variant=first.variant,
        version=first.version,
        times_s=np.repeat(np.array([pair.prediction.time_s for pair in pairs], dtype=np.float64), counts),
        weights=np.repeat(np.array([pair.prediction.weight for pair in pairs], dtype=np.float64), counts),
        features=_tabulated(first.features, [row for pair in pairs for row in pair.prediction.asked]),
        predictions=_tabulated(first.predictions, [row for pair in pairs for row in pair.prediction.answered]),
        labels=_tabulated(("label",), [[value] for pair in pairs for value in pair.label.values]),
        groups=_tabulated(tuple(groups[0]), told),
        units=np.repeat(np.array([pair.prediction.unit for pair in pairs], dtype=np.uint64), counts),
    )


def _tabulated(names: tuple[str, ...], rows: Sequence[Sequence[Scalar]]) -> Table:
    return tabulate(names, rows) if names else Table((), np.empty((len(rows), 0)))


def _scalars(rows: Sequence[Sequence[object]]) -> list[list[Scalar]]:
    """The cells that are plain; others are missing, as they are everywhere. Of a text what tells it from others."""
    return [
        [cell[:MAX_TEXT] if isinstance(cell, str) else cell if isinstance(cell, int | float) else None for cell in row]
        for row in rows
    ]


def _sample(items: Items) -> Sample:
    first, rows = items[0]
    counts = [len(rows.asked) for _, rows in items]
    ids = chain.from_iterable([capture.request_id] * count for (capture, _), count in zip(items, counts, strict=True))
    return Sample(
        variant=first.variant,
        version=first.version,
        request_ids=list(ids),
        times_s=np.repeat(np.array([capture.started_s for capture, _ in items], dtype=np.float64), counts),
        features=tabulate(rows.features, list(chain.from_iterable(rows.asked for _, rows in items))),
        predictions=_predictions(rows.predictions, items, sum(counts)),
    )


def tabulate(names: tuple[str, ...], rows: Sequence[Sequence[object]]) -> Table:
    """The table of n rows, each of len(names) cells; n and len(names) at least 1."""
    if (values := _numbers(list(chain.from_iterable(rows)))) is not None:
        return Table(names, values.reshape(len(rows), len(names)))
    matrix = np.empty((len(rows), len(names)))
    texts = {}
    for position, column in enumerate(zip(*rows, strict=True)):
        if (values := _numbers(column)) is not None:
            matrix[:, position] = values
            continue
        matrix[:, position] = list(map(_number, column))
        if any(type(cell) is str and cell != REDACTED for cell in column):
            texts[position] = list(map(_word, column))
    return Table(names, matrix, texts)


def _predictions(names: tuple[str, ...], items: Items, count: int) -> Table:
    if not names:
        return Table((), np.empty((count, 0)))
    return tabulate(names, list(chain.from_iterable(rows.answered for _, rows in items)))


def _numbers(cells: Sequence[object]) -> Floats | None:
    """The cells as numbers; None unless all are. An array takes nothing else, where numpy would parse texts."""
    try:
        return np.frombuffer(array("d", cells), dtype=np.float64)  # type: ignore[type-var]  # whether they are is the question
    except (TypeError, OverflowError):
        return None


def _number(cell: object) -> float:
    if not isinstance(cell, int | float):
        return np.nan
    try:
        return float(cell)
    except OverflowError:
        return np.inf if cell > 0 else -np.inf


def _word(cell: object) -> str | None:
    return cell if isinstance(cell, str) and cell != REDACTED else None
