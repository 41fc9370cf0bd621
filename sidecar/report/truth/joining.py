"""Which label is which exchange's: decoded rows and labels joined by an engine, as the live sidecar's store joins them.

A label calls its exchange by event id, request id or inference id, and joins it in every variant that has answered it,
if it has as many values as that has rows. The first label of an id counts, and so does the first of those that call an
exchange by its several names; of exchanges of one variant that share the id, the first. An exchange whose reply could
not be read has nothing to be judged, and is none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.records import LabelCounts
from sidecar.report.truth.labels import Collected

if TYPE_CHECKING:
    import pyarrow
    from ibis import Table as Lines

IDS = ("event_id", "request_id", "inference_id")
"""By which a label may call its exchange."""

EXCHANGE = ("variant", "event_id")
"""What tells exchanges apart: a shadow's has its own event id, and its variant."""


BATCH_ROWS = 4096
"""That are read at once."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows with their labels, in the order of request time.

    Args:
        files: Parquet, one behind the other: the columns that were asked for, and those of the labels.
        rows: In all of them.
        counts: What became of the labels.
    """

    files: Sequence[Path]
    rows: int
    counts: LabelCounts

    @property
    def ends(self) -> "tuple[pyarrow.RecordBatch, pyarrow.RecordBatch] | None":
        """The first line and the last one; None where there is none."""
        from pyarrow import parquet

        if not self.files:
            return None
        with parquet.ParquetFile(self.files[0]) as first, parquet.ParquetFile(self.files[-1]) as last:
            tail = last.read_row_group(last.num_row_groups - 1).combine_chunks().to_batches()[-1]
            return next(first.iter_batches(batch_size=1)), tail.slice(tail.num_rows - 1)

    def batches(self) -> "Iterator[pyarrow.RecordBatch]":
        """All rows, some thousand at a time; files that were read twice count once."""
        from pyarrow import parquet

        last: tuple[object, ...] = ()
        for path in self.files:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    fresh, last = _fresh(batch, last)
                    yield fresh


def prepared(rows: "Lines") -> "Lines":
    """Decoded rows without nulls in what tells versions apart."""
    return rows.mutate(
        variant=rows.variant.cast("string").fill_null(""),
        version=rows.version.fill_null(""),
        answered=rows.answered.fill_null(False),  # noqa: FBT003  # Ibis has no name for it,
    )


def join(rows: "Lines", collected: Collected, work: Path, *, kept: Sequence[str]) -> Pairs:
    """Join rows with their labels, on the engine that the rows are on.

    Every step is stored: an engine that is given all of them as one question may choose a plan that needs a thousand
    times the memory (DuckDB 2.0: 57 GB for a million rows).

    Args:
        rows: Of the schema of decoded rows, as `prepared` makes them.
        work: Folder for what is made: `met`, `first`, `called`, `best` and `joined`, none of which is there yet.
        kept: Columns of the rows that are wanted.
    """
    import ibis
    from pyarrow import parquet

    labels = ibis.get_backend(rows).read_parquet(str(collected.path))
    met = _stored(_met(rows, labels), work / "met")
    first = _stored(_first(rows, met), work / "first")
    called = _stored(_called(rows, met, first), work / "called")
    best = _stored(_best(called), work / "best")
    path = work / "joined"
    _joined(rows, labels, best, kept).to_parquet(path)
    counts = _counts(rows, labels, called, best, collected)
    parts = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    rows_of = {part: parquet.read_metadata(part).num_rows for part in parts}
    return Pairs([part for part in parts if rows_of[part]], sum(rows_of.values()), counts)


def _stored(lines: "Lines", path: Path) -> "Lines":
    """These lines, worked out once: what an engine is asked twice it works out twice."""
    import ibis

    lines.to_parquet(path)
    return ibis.get_backend(lines).read_parquet(str(path))


def _met(rows: "Lines", labels: "Lines") -> "Lines":
    """The labels with the exchanges that they call."""
    import ibis

    heads = rows.filter(rows.row == 0)
    told = _told(labels)
    return ibis.union(
        *(heads.select(*IDS, "variant", "time", id=heads[name]).inner_join(told, "id") for name in IDS), distinct=True
    )


def _first(rows: "Lines", met: "Lines") -> "Lines":
    """Of every id of those exchanges, in their variant, the exchange that had it first."""
    import ibis

    heads = rows.filter((rows.row == 0) & rows.answered)
    names = ibis.union(*(met.select("variant", name=met[name]) for name in IDS), distinct=True)
    names = names.filter(names.name != "")
    every = [heads.select("variant", "event_id", "time", name=heads[name]) for name in IDS]
    shared = ibis.union(*(each.semi_join(names, ["variant", "name"]) for each in every))
    in_time = ibis.window(group_by=("variant", "name"), order_by=("time", "event_id"))
    numbered = shared.mutate(place=ibis.row_number().over(in_time))
    return numbered.filter(numbered.place == 0).select("variant", "name", first="event_id")


def _called(rows: "Lines", met: "Lines", first: "Lines") -> "Lines":
    """The labels with the exchanges that they call, if these were answered; `repeated` is 1 of repetitions."""
    import ibis

    those = rows.semi_join(met, EXCHANGE)
    sizes = those.group_by(EXCHANGE).agg(rows=those.row.max() + 1, answered=those.answered.any())
    again = ibis.union(*(met.select(*EXCHANGE, name=met[name]).inner_join(first, ["variant", "name"]) for name in IDS))
    again = again.filter(again.event_id != again["first"]).select(*EXCHANGE).distinct().mutate(repeated=1)
    called = met.inner_join(sizes.filter(sizes.answered).drop("answered"), EXCHANGE).left_join(again, EXCHANGE)
    return called.select(*EXCHANGE, "id", "number", "size", "rows", repeated=called.repeated.fill_null(0))


def _told(labels: "Lines") -> "Lines":
    """A line for each label."""
    return labels.filter(labels.row == 0).select("number", "id", "size")


def _fits(called: "Lines") -> "Lines":
    """Whether a label has as many values as its exchange has rows."""
    return (called.repeated == 0) & (called["rows"] == called["size"])


def _best(called: "Lines") -> "Lines":
    """The label of each exchange that has one."""
    fits = called.filter(_fits(called))
    first = fits.group_by("id").agg(first=fits.number.min())
    fits = fits.inner_join(first, "id")
    fits = fits.filter(fits.number == fits.first)
    return fits.group_by(EXCHANGE).agg(number=fits.number.min())


def _joined(rows: "Lines", labels: "Lines", best: "Lines", kept: Sequence[str]) -> "Lines":
    told = labels.drop("id", "size").rename(place="row", told="number")
    found = (
        rows.select(*dict.fromkeys([*EXCHANGE, "row", "time", *kept]))
        .inner_join(best, EXCHANGE)
        .inner_join(told, [("number", "told"), ("row", "place")])
    )
    return found.drop("number", "told", "place").order_by("time", "event_id", "variant", "row")


def _counts(rows: "Lines", labels: "Lines", called: "Lines", best: "Lines", collected: Collected) -> LabelCounts:
    import ibis

    exchanges = int(rows.filter((rows.row == 0) & rows.answered).count().to_pyarrow().as_py())
    repeated = called.filter(called.repeated > 0).select(*EXCHANGE).distinct()
    known = called.group_by("number").agg(fits=_fits(called).any()).rename(known="number")
    joined = best.select(joined="number").distinct()
    told = _told(labels).left_join(known, [("number", "known")]).left_join(joined, [("number", "joined")])
    each = ibis.window(group_by="id")
    told = told.mutate(first=told.number.min().over(each), won=told.joined.min().over(each))
    early = told.won.isnull() | (told.number < told.won)
    status = ibis.cases(
        (told.joined.notnull(), "joined"),
        (told.known.isnull() & (told.number == told["first"]), "unknown"),
        (told.known.notnull() & ~told.fits & early, "malformed"),
        else_="duplicate",
    )
    labels_by = told.group_by(status=status).agg(labels=told.count()).to_pyarrow().to_pylist()
    by = {each["status"]: each["labels"] for each in labels_by}
    return LabelCounts(
        awaiting=exchanges - int(best.count().to_pyarrow().as_py()),
        waiting=0,
        labels={**by, "malformed": by.get("malformed", 0) + collected.malformed},
        predictions=exchanges,
        missing=0,
        repeated=int(repeated.count().to_pyarrow().as_py()),
    )


def _fresh(batch: "pyarrow.RecordBatch", last: tuple[object, ...]) -> "tuple[pyarrow.RecordBatch, tuple[object, ...]]":
    """The lines that are not the one before them again, and which the last one is."""
    keys = [last, *zip(*(batch.column(name).to_pylist() for name in (*EXCHANGE, "row")), strict=True)]
    again = [before == key for before, key in pairwise(keys)]
    return batch.filter([not each for each in again]) if any(again) else batch, keys[-1]
