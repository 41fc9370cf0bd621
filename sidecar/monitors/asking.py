"""What a model is asked to explain one of its answers, and what its answers to that say. Values in, values out.

A call asks for a captured row and for copies of it in which some features have values of the reference's sample; all of
them in one request, in the format of the captured one.
"""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from sidecar.errors import PayloadError
from sidecar.payload.assembling import tabulate
from sidecar.payload.attributed import Attributed
from sidecar.payload.decoding import Decoding
from sidecar.payload.redacting import REDACTED
from sidecar.payload.writing import write
from sidecar.quality.reading import PROBABILITY
from sidecar.quality.shapley import attributions, plan
from sidecar.records import Body, Capture, Rows, Table
from sidecar.stats.moments import Counts

MAX_CELLS = 1 << 17
"""Of one call: some MB of JSON. Of more features than 361 not one can be explained so."""

SEED = 0


class Background:
    """Rows whose values stand for features that are not known; the same ones for every call.

    Args:
        sample: Rows of the reference.
        count: How many of them; those with all values first.
    """

    def __init__(self, sample: Table, count: int) -> None:
        shuffled = np.random.default_rng(SEED).permutation(len(sample.values))
        texts = np.zeros(sample.values.shape, dtype=np.bool_)
        for column, cells in sample.texts.items():
            texts[:, column] = [cell is not None for cell in cells]
        missing = (np.isnan(sample.values) & ~texts).sum(axis=1)[shuffled]
        places = shuffled[np.argsort(missing, kind="stable")][:count]
        self.columns = {name: column for column, name in enumerate(sample.names)}
        self._values = sample.values[places].tolist()
        self._texts = {column: [cells[place] for place in places] for column, cells in sample.texts.items()}

    def rows(self, names: Sequence[str], count: int) -> list[list[object]]:
        """The cells of these columns of the first rows."""
        columns = [self.columns[name] for name in names]
        return [[self._cell(row, column) for column in columns] for row in range(min(count, len(self._values)))]

    def _cell(self, row: int, column: int) -> object:
        text = self._texts[column][row] if column in self._texts else None
        number: float = self._values[row][column]
        return text if text is not None else number if isfinite(number) else None


class Question(NamedTuple):
    """A call to be made.

    Args:
        capture: The exchange that is explained.
        body: Of the request.
        names: The d features that are explained.
        orders: In which each changes, shape (m, d).
    """

    capture: Capture
    body: bytes
    names: tuple[str, ...]
    orders: Counts


def question(capture: Capture, rows: Rows, background: Background, decoding: Decoding, rng: Generator) -> Question:
    """What explains one row of an exchange.

    Args:
        rows: Of the exchange.
        decoding: Reads what was written, so that nothing is sent but what was meant.
        rng: Chooses the row, and the orders of its features.

    Raises:
        PayloadError: It is no exchange that may be repeated, or cannot be written again; reasons as `REASONS` has them.
    """
    _require_scoring(capture, rows)
    names = tuple(name for name in rows.features if name in background.columns)
    count = MAX_CELLS // ((len(names) + 1) * len(rows.features))
    if not names or not count:
        expected = "some, of which the reference's sample has a column, and not too many"
        raise PayloadError("shape", f"request: {len(rows.features)} features, expected {expected}")
    place = int(rng.integers(len(rows.asked)))
    row = rows.asked[place]
    if any(cell == REDACTED for cell in row if isinstance(cell, str)):
        raise PayloadError("withheld", "request: redacted, expected all of it")
    asked = plan(row, [rows.features.index(name) for name in names], background.rows(names, count), rng)
    body = write(capture.request, rows.features, place, asked.rows)
    _require_same(decoding.decode(_with(capture, body)), rows.features, asked.rows)
    return Question(capture, body, names, asked.orders)


def answer(asked: Question, status: int, reply: Body, decoding: Decoding, output: str) -> Attributed:
    """What the answers to a call say: the attributions of one row.

    Args:
        status: Of the reply.
        output: The column of predictions that is explained; empty for the default.

    Raises:
        PayloadError: They cannot be read, or are no numbers.
    """
    rows = decoding.decode(_with(asked.capture, asked.body)._replace(status=status, reply=reply))
    if rows.fault:
        raise PayloadError(rows.fault, f"reply: {rows.fault}, expected an answer to each of {len(rows.asked)} rows")
    answers = tabulate(rows.predictions, list(rows.answered)).values[:, _column(rows.predictions, output)]
    with np.errstate(over="ignore", invalid="ignore"):
        values = attributions(asked.orders, answers)
    if not np.isfinite(values).all():
        raise PayloadError("shape", "reply: not all answers are finite numbers, expected such")
    return Attributed(asked.names, values[None])


def may_be_repeated(capture: Capture, rows: Rows) -> bool:
    """Whether a request asks for predictions and nothing else, and has got them: asking again changes nothing."""
    whole = not (capture.request.withheld or capture.reply.withheld or capture.error_type)
    answered = 200 <= capture.status < 300 and bool(rows.predictions)
    # A target in absolute form has a host in it; a path with such characters was none.
    path = capture.path.isascii() and capture.path.startswith("/") and capture.path.isprintable()
    return capture.method == "POST" and whole and answered and path and not set(capture.path) & set(" ?#")


def _require_scoring(capture: Capture, rows: Rows) -> None:
    if not may_be_repeated(capture, rows):
        raise PayloadError("status", f"{capture.method} {capture.status}: expected predictions that were answered 2xx")


def _require_same(rows: Rows, names: Sequence[str], expected: Sequence[Sequence[object]]) -> None:
    if tuple(rows.features) != tuple(names) or not all(map(_same, rows.asked, expected)):
        raise PayloadError("shape", "request: written again it reads otherwise, expected the same")


def _same(row: Sequence[object], expected: Sequence[object]) -> bool:
    """Equal, where what is not a number is like itself."""
    cells = zip(row, expected, strict=True)
    return all(one == other or (one != one and other != other) for one, other in cells)  # noqa: PLR0124  (NaN)


def _with(capture: Capture, body: bytes) -> Capture:
    return capture._replace(request=Body(capture.request.content_type, body))


def _column(names: Sequence[str], output: str) -> int:
    if output:
        if output not in names:
            raise PayloadError("shape", f"reply: without column {output[:80]!r}, expected it")
        return names.index(output)
    likely = (place for place, name in enumerate(names) if any(word in name.lower() for word in PROBABILITY))
    return next(likely, 0)
