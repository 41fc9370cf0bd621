"""Decoded rows as a table: one line for each row of each exchange, whatever its columns are called and hold.

| column | type | what it is |
|---|---|---|
| `time` | timestamp in µs, UTC | of the request |
| `event_id`, `request_id`, `inference_id` | string | what the exchange is called; the last is empty where it has none |
| `row` | int32 | the row's place in its exchange, from 0 |
| `version`, `path` | string | the build that answered; the request's path |
| `status` | int32 | of the reply |
| `sample_ratio` | double | the probability with which the exchange was kept: a row stands for 1 over it |
| `answered` | bool | whether the reply could be read: a null among predictions is one of the model's, or nobody's |
| `header__{name}` | string | a field of the request that is kept with captures |
| `feature__{name}`, `feature_text__{name}` | double, string | what was asked, as a number or as a text |
| `prediction__{name}`, `prediction_text__{name}` | double, string | what was answered, likewise |
| `variant`, `hour` | string | who answered; `2026-11-23T19`, UTC |

In files the last two are folders, `variant=champion/hour=2026-11-23T19`.

A column's type never changes, whatever comes: a text among numbers has a column of its own beside theirs. Those of
texts are there in a file where it has one; those of numbers, unless it has only texts. What is neither, or not there
at all, is null. Names that differ in their case only are one column, as they are to Spark and DuckDB: of two in one
row the first counts. NUL, which ends a name to DuckDB, is written as its escape.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sidecar.payload.assembling import tabulate
from sidecar.records import Capture, Rows, Table
from sidecar.texts import encodable

if TYPE_CHECKING:
    import pyarrow as arrow

Items = Sequence[tuple[Capture, Rows]]

PLAIN = (
    "time",
    "event_id",
    "request_id",
    "inference_id",
    "row",
    "version",
    "path",
    "status",
    "sample_ratio",
    "answered",
)
"""The columns that every table has."""

FEATURE, FEATURE_TEXT = "feature__", "feature_text__"
PREDICTION, PREDICTION_TEXT = "prediction__", "prediction_text__"
HEADER = "header__"

NO_VARIANT = "__HIVE_DEFAULT_PARTITION__"
"""Hive's word for null, which all readers know."""

MAX_FOLDER_BYTES = 200
"""File systems allow 255 bytes."""

_ODD = re.compile(r"[^A-Za-z0-9_.~\x80-\U0010ffff-]")
"""What is escaped in folders. Spark takes `%C3%A9` for two letters: what is not ASCII stays as it is."""


class Place(NamedTuple):
    """What rows of one folder have in common.

    Args:
        hour: `2026-11-23T19`, UTC.
    """

    variant: str
    hour: str

    @property
    def folder(self) -> str:
        """Under the table's: `variant=champion/hour=2026-11-23T19`.

        Example:
            >>> Place("a/b=é", "2026-11-23T19").folder
            'variant=a%2Fb%3Dé/hour=2026-11-23T19'
        """
        name = _ODD.sub(lambda found: f"%{ord(found[0]):02X}", encodable(self.variant)) or NO_VARIANT
        while len(name.encode()) > MAX_FOLDER_BYTES:
            name = name[:-1]
        return f"variant={name}/hour={self.hour}"


class Columns(NamedTuple):
    """What the columns of a table hold: names as payloads have them, in the table's order."""

    features: tuple[str, ...]
    feature_texts: tuple[str, ...]
    predictions: tuple[str, ...]
    prediction_texts: tuple[str, ...]
    headers: tuple[str, ...]


def columns_of(names: Iterable[str]) -> Columns:
    """What these columns hold.

    Example:
        >>> columns_of(["time", "feature__age", "feature_text__country", "prediction__score"])
        Columns(features=('age',), feature_texts=('country',), predictions=('score',), prediction_texts=(), headers=())
    """
    known = list(names)
    prefixes = (FEATURE, FEATURE_TEXT, PREDICTION, PREDICTION_TEXT, HEADER)
    return Columns(*(tuple(name.removeprefix(each) for name in known if name.startswith(each)) for each in prefixes))


def column_name(name: str) -> str:
    r"""A name of a payload as a column's has it, behind what that begins with.

    Example:
        >>> column_name("age"), column_name("\0a")
        ('age', '\\x00a')
    """
    return encodable(name).replace("\0", "\\x00")


def table_of(items: Items) -> "arrow.Table":
    """All of these as one table, `variant` and `hour` last; rows of the same place and columns stand together."""
    import pyarrow as arrow

    told = []
    for place, _, table in placed(items):
        for name, value in zip(Place._fields, place, strict=True):
            table = table.append_column(name, arrow.repeat(encodable(value), table.num_rows))  # noqa: PLW2901
        told.append(table)
    return union(told or [_table([]).append_column("variant", _strings([])).append_column("hour", _strings([]))])


def placed(items: Items) -> Iterator[tuple[Place, int, "arrow.Table"]]:
    """Their rows by place and set of columns: the place, the number of exchanges, and the table without its place."""
    groups: dict[tuple[str, int], dict[object, list[tuple[Capture, Rows]]]] = {}
    for item in items:
        capture, rows = item
        place = groups.setdefault((capture.variant, int(capture.started_s // 3600)), {})
        place.setdefault((rows.features, rows.predictions), []).append(item)
    for (variant, hour), sets in groups.items():
        for group in sets.values():
            yield Place(variant, _hour(hour)), len(group), _table(group)


def union(tables: Sequence["arrow.Table"]) -> "arrow.Table":
    """All rows, with all columns that any of the tables has.

    Args:
        tables: At least one.
    """
    import pyarrow as arrow

    if len(tables) == 1:
        return tables[0]
    spelt: dict[str, str] = {}
    named = [
        table.rename_columns([spelt.setdefault(each.lower(), each) for each in table.column_names]) for table in tables
    ]
    return arrow.concat_tables(named, promote_options="default")


@lru_cache(maxsize=64)
def _hour(hours: int) -> str:
    return datetime.fromtimestamp(hours * 3600, UTC).strftime("%Y-%m-%dT%H")


def _table(items: Items) -> "arrow.Table":
    """Exchanges that have the same columns."""
    import pyarrow as arrow

    captures = [capture for capture, _ in items]
    counts = np.array([len(rows.asked) for _, rows in items], dtype=np.int64)
    columns = dict(_of_captures(captures))
    columns["answered"] = arrow.array([bool(rows.predictions) for _, rows in items], arrow.bool_())
    if items and (counts != 1).any():
        repeated = arrow.table(columns).take(np.repeat(np.arange(len(items)), counts))
        columns = dict(zip(repeated.column_names, repeated.columns, strict=True))
    firsts = np.cumsum(counts) - counts
    columns["row"] = arrow.array(np.arange(counts.sum()) - np.repeat(firsts, counts), arrow.int32())
    seen = {name.lower() for name in columns}
    for name, cells in _of_rows([rows for _, rows in items]):
        if name.lower() not in seen:
            seen.add(name.lower())
            columns[name] = cells
    return arrow.table(columns)


def _of_captures(captures: Sequence[Capture]) -> Iterator[tuple[str, "arrow.Array"]]:
    import pyarrow as arrow

    times = np.array([capture.started_s for capture in captures], dtype=np.float64)
    yield "time", arrow.array(np.rint(times * 1e6).astype(np.int64)).cast(arrow.timestamp("us", tz="UTC"))
    yield "event_id", _strings([capture.event_id for capture in captures])
    yield "request_id", _strings([capture.request_id for capture in captures])
    yield "inference_id", _strings([capture.inference_id for capture in captures])
    yield "version", _strings([capture.version for capture in captures])
    yield "path", _strings([capture.path for capture in captures])
    yield "status", arrow.array([capture.status for capture in captures], arrow.int32())
    yield "sample_ratio", arrow.array([capture.sample_ratio for capture in captures], arrow.float64())
    asked: list[Mapping[str, str]] = [capture.headers.get("request", {}) for capture in captures]
    for name in dict.fromkeys(chain.from_iterable(asked)):
        yield f"{HEADER}{encodable(name)}", _strings([fields.get(name) for fields in asked])


def _of_rows(rows: Sequence[Rows]) -> Iterator[tuple[str, "arrow.Array"]]:
    if not rows:
        return
    first = rows[0]
    asked = list(chain.from_iterable(each.asked for each in rows))
    yield from _of_table(FEATURE, FEATURE_TEXT, tabulate(first.features, asked))
    if first.predictions:
        answered = list(chain.from_iterable(each.answered for each in rows))
        yield from _of_table(PREDICTION, PREDICTION_TEXT, tabulate(first.predictions, answered))


def _of_table(number: str, text: str, table: Table) -> Iterator[tuple[str, "arrow.Array"]]:
    import pyarrow as arrow

    columns = np.ascontiguousarray(table.values.T)
    for position, name in enumerate(map(column_name, table.names)):
        texts = table.texts.get(position)
        if texts is None or not np.isnan(columns[position]).all():
            yield f"{number}{name}", arrow.array(columns[position], from_pandas=True)  # NaN is null
        if texts is not None:
            yield f"{text}{name}", _strings(texts)


def _strings(texts: Sequence[str | None]) -> "arrow.Array":
    import pyarrow as arrow

    try:
        return arrow.array(texts, arrow.string())
    except UnicodeEncodeError:  # a field's bytes that were no text
        return arrow.array([each if each is None else encodable(each) for each in texts], arrow.string())
