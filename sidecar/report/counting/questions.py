"""What an engine is asked: the questions, in Ibis's expressions, and its answers as arrays.

All that is counted of numbers is counted over cells: the number line, cut wherever anything that is told changes. A
question reads one column, and comes back as one line for each slice of time and cell, whatever the number of rows.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.report.counting.engines import TIME, fetched
from sidecar.report.counting.sources import Source
from sidecar.stats.categories import MAX_KEY
from sidecar.stats.moments import Floats

if TYPE_CHECKING:
    from ibis import Column as Cells
    from ibis import Table as Lines

Answer = Mapping[str, NDArray[np.generic]]
"""The columns of what an engine answers; as long as each other."""

SURVEYED = 64
"""Columns that are looked over in one question: Java compiles no method of more than 64 KB."""


class Survey(NamedTuple):
    """What is known of a column before its rows are counted.

    Args:
        present: Cells with a value; NaN is none.
        low: The least finite number; NaN without one. Of texts the fewest characters.
        high: The greatest, or the most.
        mean: Of the finite numbers, or of characters; anything where it is beyond what a float holds.
    """

    present: int
    low: float
    high: float
    mean: float


def variants(lines: "Lines") -> dict[str, tuple[int, int]]:
    """By variant: the rows whose time is known, and the others."""
    answer = _asked(
        lines.group_by(variant=lines["variant"].fill_null("")).agg(dated=lines[TIME].count(), rows=lines.count())
    )
    told = zip(*(answer[name].tolist() for name in ("variant", "dated", "rows")), strict=True)
    return {str(variant): (int(dated), int(rows - dated)) for variant, dated, rows in sorted(told)}


def of_variant(lines: "Lines", variant: str) -> "Lines":
    """Its rows whose time is known."""
    name = lines["variant"]
    own = name == variant if variant else name.isnull() | (name == "")
    return lines.filter(own & lines[TIME].notnull())


def slices(lines: "Lines", every_us: int) -> Answer:
    """By slice of time: rows, those whose reply was read, exchanges that they stand for, the first and last moment."""
    import ibis

    ratio = lines["sample_ratio"]
    stands = ibis.ifelse(ratio > 0, 1 / ratio, 1.0)
    return _asked(
        lines.group_by(slice=_slice(lines, every_us)).agg(
            rows=lines.count(),
            answered=ibis.ifelse(lines["answered"], 1, 0).sum(),
            # A row of each exchange, whatever their number: its first.
            requests=ibis.ifelse(lines["row"] == 0, stands, 0.0).sum(),
            first=lines[TIME].min(),
            last=lines[TIME].max(),
        )
    )


def versions(lines: "Lines") -> list[tuple[str, int, int]]:
    """The builds that answered, with their first and last moment in µs; the one that came first before the others."""
    asked = lines.group_by(version=lines["version"].fill_null(""))
    answer = _asked(asked.agg(first=lines[TIME].min(), last=lines[TIME].max()))
    told = zip(*(answer[name].tolist() for name in ("version", "first", "last")), strict=True)
    return sorted(told, key=lambda each: (each[1], each[0]))


def survey(lines: "Lines", asked: Sequence[Source]) -> dict[str, Survey]:
    """By column of the table."""
    columns = [(column, column == each.numbers) for each in asked for column in each.columns]
    found: dict[str, Survey] = {}
    for start in range(0, len(columns), SURVEYED):
        part = columns[start : start + SURVEYED]
        measures = {
            f"{name}_{place}": value
            for place, (column, numeric) in enumerate(part)
            for name, value in (_of_numbers if numeric else _of_texts)(lines[column]).items()
        }
        answer = {name: float(value[0]) for name, value in _asked(lines.agg(**measures)).items()}
        for place, (column, _) in enumerate(part):
            present, *others = (answer[f"{name}_{place}"] for name in Survey._fields)
            found[column] = Survey(int(present), *others)
    return found


class Numbers(NamedTuple):
    """A column of numbers to be counted.

    Args:
        edges: Ascending; cell j holds what is above edge j - 1 and not above edge j.
        factor: By what numbers are multiplied for their moments, a power of two.
        middle: What is subtracted then.
    """

    column: str
    edges: Floats
    factor: float
    middle: float


class Words(NamedTuple):
    """A column of texts to be counted.

    Args:
        places: The bin of each text that has one.
        default: That of the others.
    """

    column: str
    places: Mapping[str, int]
    default: int


def cells(lines: "Lines", asked: Sequence[Numbers], every_us: int) -> list[Answer]:
    """Of each column its numbers by slice of time and cell: rows, those without a fraction, sum, and moments."""
    lines = _narrow(lines, TIME, *(each.column for each in asked))
    return _together([_cells(lines, each, every_us) for each in asked])


def texts(lines: "Lines", asked: Sequence[Words], every_us: int) -> list[Answer]:
    """Of each column its texts by slice of time and bin."""
    lines = _narrow(lines, TIME, *(each.column for each in asked))
    return _together([_texts(lines, each, every_us) for each in asked])


def most_frequent(lines: "Lines", columns: Sequence[str], limit: int) -> list[tuple[dict[str, int], int]]:
    """Of each column the texts that most rows have, the most frequent first; and how many different ones it has."""
    import ibis

    lines = _narrow(lines, *columns)
    counted = [
        lines.filter(lines[column].notnull())
        .group_by(text=lines[column].substr(0, MAX_KEY))
        .agg(rows=lambda each: each.count())
        for column in columns
    ]
    found = []
    tops = _together([each.order_by([ibis.desc("rows"), "text"]).limit(limit + 1) for each in counted])
    for every, top in zip(counted, tops, strict=True):
        ranked = sorted(
            zip(top["text"].tolist(), top["rows"].tolist(), strict=True), key=lambda each: (-each[1], each[0])
        )
        distinct = len(ranked) if len(ranked) <= limit else int(_asked(every.agg(texts=every.count()))["texts"][0])
        found.append((dict(ranked[:limit]), distinct))
    return found


def sample(lines: "Lines", columns: Sequence[str], rows: int, whole: int) -> Mapping[str, Floats]:
    """Numbers of some rows: those with the least md5 of event id and place, which is as good as chance.

    All engines choose the same ones, today and tomorrow, in whatever order rows come.

    Args:
        rows: How many.
        whole: Rows that there are.
    """
    digest = (lines["event_id"].fill_null("") + "|" + lines["row"].cast("string")).hexdigest("md5")
    keyed = lines.select("event_id", "row", *columns, digest=digest)
    # Few are sorted: those below a digest below which there are enough, but for one time in a billion.
    share = (rows + 6 * rows**0.5 + 10) / max(1, whole)
    likely = keyed.filter(digest_below(keyed, share)) if share < 1 else keyed
    answer = _asked(likely.order_by(["digest", "event_id", "row"]).limit(rows).select(*columns))
    if share < 1 and columns and len(answer[columns[0]]) < min(rows, whole):
        answer = _asked(keyed.order_by(["digest", "event_id", "row"]).limit(rows).select(*columns))
    return {name: np.asarray(value, dtype=np.float64) for name, value in answer.items()}


def digest_below(keyed: "Lines", share: float) -> "Cells":
    """The rows whose digest is among the least, of which there is about this share."""
    return keyed["digest"] < f"{int(share * 16**8):08x}"


def exact(number: float) -> "Cells":
    """The number, to the last bit: as it is written, it would be a decimal first, and who knows what then."""
    import ibis

    return ibis.literal(repr(float(number))).cast("float64")


def _narrow(lines: "Lines", *columns: str) -> "Lines":
    """With these columns only: at every step of a question Ibis goes over all that a table has."""
    return lines.select(*dict.fromkeys(columns)) if columns else lines


def _cells(lines: "Lines", asked: Numbers, every_us: int) -> "Lines":
    number = lines[asked.column]
    rest = number * exact(asked.factor) - exact(asked.middle)
    placed = _placed(number, asked.edges, 0, len(asked.edges))
    return (
        lines.filter(_present(number))
        .group_by(slice=_slice(lines, every_us), cell=placed)
        .agg(
            rows=number.count(),
            whole=(number % 1 == 0).sum(),
            total=number.sum(),
            rest=rest.sum(),
            squares=(rest * rest).sum(),
        )
    )


def _texts(lines: "Lines", asked: Words, every_us: int) -> "Lines":
    import ibis

    by_place: dict[int, list[str]] = {}
    for known, place in asked.places.items():
        if place != asked.default:
            by_place.setdefault(place, []).append(known)
    text = lines[asked.column]
    key = text.substr(0, MAX_KEY)
    cases = [(key.isin(those) if len(those) > 1 else key == those[0], place) for place, those in by_place.items()]
    found = (ibis.cases(*cases, else_=asked.default) if cases else ibis.literal(asked.default)).cast("int16")
    return lines.filter(text.notnull()).group_by(slice=_slice(lines, every_us), bin=found).agg(rows=text.count())


def _together(questions: "Sequence[Lines]") -> list[Answer]:
    """The answers to questions of one kind, asked at once: a cluster takes its time to begin with any."""
    import ibis

    if not questions:
        return []
    parts = [each.mutate(part=ibis.literal(place).cast("int16")) for place, each in enumerate(questions)]
    answer = _asked(ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0])
    own = [answer["part"] == place for place in range(len(parts))]
    return [{name: value[lines] for name, value in answer.items()} for lines in own]


def _asked(question: "Lines") -> Answer:
    """The answer; a number that is null is NaN."""
    told = fetched(question)
    return {name: np.asarray(told[name].to_numpy()) for name in told.column_names}


def _present(number: "Cells") -> "Cells":
    return number.notnull() & ~number.isnan()


def _slice(lines: "Lines", every_us: int) -> "Cells":
    return lines[TIME] // every_us


def _placed(number: "Cells", edges: Floats, first: int, last: int) -> "Cells":
    """The cell, by halves: five comparisons and not thirty."""
    import ibis

    if first == last:
        return ibis.literal(first).cast("int16")
    middle = (first + last) // 2
    above, below = _placed(number, edges, middle + 1, last), _placed(number, edges, first, middle)
    return ibis.ifelse(number > exact(float(edges[middle])), above, below)


def _of_numbers(number: "Cells") -> dict[str, "Cells"]:
    import ibis

    # Not isinf: as Ibis asks it, Spark takes no number for infinite.
    finite = ibis.ifelse(_present(number) & (number.abs() <= exact(sys.float_info.max)), number, ibis.null("float64"))
    present = ibis.ifelse(_present(number), 1, 0).sum()
    return {"present": present, "low": finite.min(), "high": finite.max(), "mean": finite.mean()}


def _of_texts(text: "Cells") -> dict[str, "Cells"]:
    length = text.length()
    return {"present": text.count(), "low": length.min(), "high": length.max(), "mean": length.mean()}
