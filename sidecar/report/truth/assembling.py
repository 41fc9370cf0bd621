"""Lines of Parquet with labels beside them → Labelled, as the live sidecar's store hands its pairs over.

A column of a payload is two of a file: its numbers (`feature__age`) and its texts (`feature_text__age`), of which a
line has at most one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sidecar.payload.assembling import MAX_TEXT
from sidecar.records import Labelled, Table
from sidecar.sinks.rows import FEATURE, FEATURE_TEXT, PREDICTION, PREDICTION_TEXT
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats

if TYPE_CHECKING:
    import pyarrow

GROUP, GROUP_TEXT = "group__", "group_text__"
"""What columns begin with that hold what labels say of groups."""


KINDS = (FEATURE, FEATURE_TEXT), (PREDICTION, PREDICTION_TEXT)


class Column(NamedTuple):
    """A column of payloads, and the ones of a file that hold its numbers and its texts; empty where none does."""

    name: str
    number: str = ""
    text: str = ""

    @property
    def held(self) -> tuple[str, ...]:
        """The columns of the file."""
        return tuple(each for each in (self.number, self.text) if each)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of the payloads of one version.

    Args:
        features: In the payload's order; likewise the next.
        groups: Of what headers, and what labels say of groups, by name: the label's word counts.
    """

    features: Sequence[Column]
    predictions: Sequence[Column]
    groups: Sequence[tuple[Column, Column]] = ()

    @property
    def held(self) -> list[str]:
        """All columns of the file but those of labels."""
        columns = [*self.features, *self.predictions, *(header for header, _ in self.groups)]
        return [name for column in columns for name in column.held]

    def only(self, present: Iterable[str]) -> "Layout":
        """What is left of it where only some columns of the file hold anything."""
        known = set(present)
        return Layout(_left(self.features, known), _left(self.predictions, known), self.groups)


def _left(columns: Sequence[Column], known: set[str]) -> list[Column]:
    kept = [Column(each.name, *(name if name in known else "" for name in each[1:])) for each in columns]
    return [each for each in kept if each.held]


def columns_of(names: Iterable[str], number: str, text: str) -> list[Column]:
    """The columns of payloads among those of a file, in the order in which either half of them stands.

    Args:
        number: What those of numbers begin with; likewise the next.

    Example:
        >>> [each.held for each in columns_of(["feature__a", "feature_text__b", "feature_text__a"], *KINDS[0])]
        [('feature__a', 'feature_text__a'), ('feature_text__b',)]
    """
    found: dict[str, Column] = {}
    for name in names:
        if name.startswith(number):
            told = name.removeprefix(number)
            found[told] = found.get(told, Column(told))._replace(number=name)
        elif name.startswith(text):
            told = name.removeprefix(text)
            found[told] = found.get(told, Column(told))._replace(text=name)
    return list(found.values())


def labelled(batch: "pyarrow.RecordBatch", layouts: Mapping[tuple[str, str], Layout]) -> Iterator[Labelled]:
    """The lines by variant and version.

    Args:
        layouts: By variant and version.
    """
    whose = list(zip(*(told(batch, name) for name in ("variant", "version")), strict=True))
    for variant, version in dict.fromkeys(whose):
        places = np.array([place for place, each in enumerate(whose) if each == (variant, version)], dtype=np.int64)
        those = batch if len(places) == len(whose) else batch.take(places)
        yield _labelled(those, variant, version, layouts[variant, version])


def told(batch: "pyarrow.RecordBatch", name: str) -> list[str]:
    """A column of texts; what is missing is empty."""
    return [text or "" for text in batch.column(name).to_pylist()]


def times_of(batch: "pyarrow.RecordBatch") -> Floats:
    """Unix times of the lines, shape (n,)."""
    import pyarrow as arrow

    column = batch.column("time")
    micros = column.cast(arrow.timestamp("us", column.type.tz), safe=False).cast(arrow.int64())
    return np.asarray(micros.to_numpy() / 1e6, dtype=np.float64)


def table(batch: "pyarrow.RecordBatch", columns: Sequence[Column]) -> Table:
    """The table of some columns."""
    values = np.full((batch.num_rows, len(columns)), np.nan)
    texts: dict[int, Cells] = {}
    for place, column in enumerate(columns):
        if column.number:
            values[:, place] = batch.column(column.number).to_numpy(zero_copy_only=False)
        if column.text and (cells := batch.column(column.text)).null_count < len(cells):
            texts[place] = [cell if cell is None else cell[:MAX_TEXT] for cell in cells.to_pylist()]
    return Table(tuple(column.name for column in columns), values, texts)


def _labelled(batch: "pyarrow.RecordBatch", variant: str, version: str, layout: Layout) -> Labelled:
    ratios = batch.column("sample_ratio").to_numpy(zero_copy_only=False).astype(np.float64)
    sampled = ratios > 0
    return Labelled(
        variant=variant,
        version=version,
        times_s=times_of(batch),
        weights=np.where(sampled, 1 / np.where(sampled, ratios, 1.0), 1.0),
        features=table(batch, layout.features),
        predictions=table(batch, layout.predictions),
        labels=table(batch, [Column("label", "label", "label_text")]),
        groups=_groups(batch, layout.groups),
    )


def _groups(batch: "pyarrow.RecordBatch", groups: Sequence[tuple[Column, Column]]) -> Table:
    """What is told of groups: by the label, or else by a header."""
    headers = table(batch, [header for header, _ in groups])
    labels = table(batch, [label for _, label in groups])
    values, texts = labels.values.copy(), dict(labels.texts)
    for place, cells in headers.texts.items():
        own: Cells = texts.get(place) or [None] * len(cells)
        silent = np.isnan(values[:, place]).tolist()
        texts[place] = [
            cell if text is None and unsaid else text for text, unsaid, cell in zip(own, silent, cells, strict=True)
        ]
    return Table(labels.names, values, texts)
