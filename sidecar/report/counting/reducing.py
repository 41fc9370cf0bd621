"""From rows on an engine to what monitors judge: counts over the reference's bins, and what is known of each column.

The engine counts over cells (`ladder`), and this adds cells up: to what `Bins.count` and `Moments` have of the same
rows, the counts exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sidecar.errors import ConfigError, Fault
from sidecar.monitors.followed import Slice
from sidecar.reference.binning import BINS, Bins
from sidecar.reference.learning import MAX_CATEGORIES
from sidecar.report.counting import questions
from sidecar.report.counting.facts import Facts, measured, sketched
from sidecar.report.counting.ladder import Ladder, ladder_of, unit_of
from sidecar.report.counting.questions import Answer, Survey
from sidecar.report.counting.sources import Source
from sidecar.stats.categories import MAX_KEY, Texts
from sidecar.stats.moments import Counts, Flags, Floats
from sidecar.stats.tally import Counted

if TYPE_CHECKING:
    from ibis import Table as Lines

MAX_SLICED = 1 << 20
"""Slices of time by columns: 350 MB of counts. A year of hours of a hundred columns is below it."""

SAMPLED = 50_000
"""Rows of which sketches are made, at most: a rank is known within 0.6 % of the rows, at 99 % confidence."""

TOGETHER = 16
"""Columns that are counted at once."""

MAX_SAMPLED = 1 << 24
"""Cells of these rows: 128 MiB."""


class Reduced(NamedTuple):
    """All rows of a variant, as they are judged.

    Args:
        versions: The builds that answered, the first that came before the others.
        requests: Exchanges that the rows stand for, by the ratios at which they were sampled.
        starts_s: Unix time at which each slice begins, shape (s,).
        slices: Likewise of length s, in time.
        facts: What is known of each column, features first.
    """

    versions: Sequence[str]
    version: str
    rows: int
    requests: float
    starts_s: Floats
    slices: Sequence[Slice]
    facts: Sequence[Facts]


class Asked(NamedTuple):
    """What is to be counted.

    Args:
        sources: The columns that the table has.
        alone: There is no other variant in it, so that the columns are this one's, whether they have a value or not.
        every_us: Length of a slice.
        advance: Takes how many rows have been read, of one question.
    """

    lines: "Lines"
    sources: Sequence[Source]
    alone: bool
    every_us: int
    advance: Callable[[int], None]


def reduce(asked: Asked, bins: Bins) -> Reduced:
    """Count the rows of a variant.

    Args:
        bins: The reference's.

    Raises:
        ConfigError: There are too many slices of time.
    """
    told = questions.slices(asked.lines, asked.every_us)
    order = np.argsort(told["slice"])
    told = {name: value[order] for name, value in told.items()}
    rows = int(told["rows"].sum())
    asked.advance(rows)
    builds = questions.versions(asked.lines)
    surveyed = questions.survey(asked.lines, asked.sources)
    asked.advance(rows)
    there = [each for each in asked.sources if asked.alone or any(surveyed[name].present for name in each.columns)]
    counting = _Counting(asked, bins, told, _placed(bins, there))
    facts = [
        facts
        for start in range(0, len(there), TOGETHER)
        for facts in counting.measure(there[start : start + TOGETHER], surveyed)
    ]
    sampled = _sampled(asked, there, surveyed, rows)
    asked.advance(rows * (1 + sum(len(each.columns) for each in asked.sources if each not in there)))
    return Reduced(
        versions=[version for version, *_ in builds],
        version=max(builds, key=lambda each: (each[2], each[0]))[0],
        rows=rows,
        requests=float(told["requests"].sum()),
        starts_s=told["slice"].astype(np.float64) * (asked.every_us / 1e6),
        slices=counting.slices(),
        facts=[
            replace(each, sketch=sketched(sampled[source.numbers], each)) if each.numbers else each
            for source, each in zip(there, facts, strict=True)
        ],
    )


def work(sources: Sequence[Source]) -> int:
    """How often the rows are read."""
    return 3 + sum(len(each.columns) for each in sources)


@dataclass(slots=True)
class _Counting:
    """The counts of a variant, by slice of time.

    Attributes:
        counts: Rows by bin, shape (s, k, BINS + 1).
        sums: Of their numbers, likewise.
        seen: The columns that have a value, shape (s, k).
        strays: Rows with a text, with a number, and with one far away, shape (3, s, k).
    """

    asked: Asked
    bins: Bins
    told: Answer
    columns: Mapping[Source, int]
    counts: Counts = field(init=False)
    sums: Floats = field(init=False)
    seen: Flags = field(init=False)
    strays: Counts = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.told["slice"]), len(self.bins.names))
        if shape[0] * shape[1] > MAX_SLICED:
            most = max(1, MAX_SLICED // shape[1])
            message = f"{shape[0]} slices of time by {shape[1]} columns, expected at most {most}: longer ones"
            raise ConfigError(Fault("every", message))
        self.counts = np.zeros((*shape, BINS + 1), dtype=np.int64)
        self.sums = np.zeros((*shape, BINS + 1))
        self.seen = np.zeros(shape, dtype=np.bool_)
        self.strays = np.zeros((3, *shape), dtype=np.int64)

    def measure(self, block: Sequence[Source], surveyed: Mapping[str, Survey]) -> list[Facts]:
        """Count some columns, over the reference's bins too where it has them."""
        found = {each: Facts(each.name, each.subject, int(self._base(each).sum())) for each in block}
        numbers = [each for each in block if each.numbers and surveyed[each.numbers].present]
        self._count_numbers(found, [(each, surveyed[each.numbers]) for each in numbers])
        texts = [each for each in block if each.texts and surveyed[each.texts].present]
        self._count_texts(found, [(each, surveyed[each.texts]) for each in texts])
        for each in block:
            if each in self.columns:
                self._settle(self.columns[each], self._base(each))
            self.asked.advance(len(each.columns) * int(self.told["rows"].sum()))
        return list(found.values())

    def _settle(self, column: int, rows: Counts) -> None:
        """What has neither number nor text is missing, as is a text among numbers."""
        self.counts[:, column, BINS] = np.maximum(0, rows - self.counts[:, column].sum(axis=1))
        with_value = self.strays[:2, :, column].sum(axis=0) > 0
        # A column that is there, and never has a value, is missing from the beginning.
        self.seen[:, column] = with_value | (not with_value.any())

    def slices(self) -> list[Slice]:
        """The rows by slice, once all columns were counted."""
        places = self.columns.items()
        features = np.zeros(len(self.bins.names), dtype=np.bool_)
        features[[column for source, column in places if source.subject == "features"]] = True
        known = np.zeros_like(features)
        known[list(self.columns.values())] = True
        rows = self.told["rows"].astype(np.int64)
        # What the table does not have is missing in every row; whether anybody minds, the monitor says.
        self.counts[:, ~known, BINS] = rows[:, None]
        return [
            Slice(
                first_s=float(self.told["first"][place]) / 1e6,
                last_s=float(self.told["last"][place]) / 1e6,
                rows=int(rows[place]),
                counted=Counted(self.counts[place], self.sums[place]),
                features=self.seen[place] & features,
                predictions=self.seen[place] & known & ~features,
                with_text=self.strays[0, place],
                with_number=self.strays[1, place],
                far_away=self.strays[2, place],
            )
            for place in range(len(rows))
        ]

    def _base(self, source: Source) -> Counts:
        """Rows that could have the column: of predictions those that were answered."""
        rows = self.told["answered" if source.subject == "predictions" else "rows"]
        return np.asarray(rows, dtype=np.int64)

    def _at(self, answer: Answer) -> Counts:
        """The place of each line's slice."""
        return np.searchsorted(self.told["slice"].astype(np.int64), answer["slice"].astype(np.int64))

    def _count_numbers(self, found: dict[Source, Facts], those: Sequence[tuple[Source, Survey]]) -> None:
        ladders = [ladder_of(self.bins, self.columns.get(each, -1), survey) for each, survey in those]
        asked = [
            questions.Numbers(each.numbers, ladder.edges, *unit_of(survey))
            for (each, survey), ladder in zip(those, ladders, strict=True)
        ]
        answers = questions.cells(self.asked.lines, asked, self.asked.every_us)
        for (source, survey), ladder, numbers, answer in zip(those, ladders, asked, answers, strict=True):
            if source in self.columns:
                self._place(self.columns[source], answer, ladder)
            found[source] = measured(found[source], answer, ladder, numbers, survey)

    def _place(self, column: int, answer: Answer, ladder: Ladder) -> None:
        """The numbers of a column into its bins."""
        at, cell, rows = self._at(answer), answer["cell"].astype(np.int64), answer["rows"].astype(np.int64)
        np.add.at(self.strays[1, :, column], at, rows)
        np.add.at(self.strays[2, :, column], at, np.where(ladder.far[cell], rows, 0))
        np.add.at(self.counts[:, column], (at, ladder.bins[cell]), rows)
        if self.bins.numeric[column]:
            sums = np.where(ladder.finite[cell], answer["total"], rows * ladder.ends[cell])
            with np.errstate(over="ignore", invalid="ignore"):
                np.add.at(self.sums[:, column], (at, ladder.bins[cell]), sums)

    def _count_texts(self, found: dict[Source, Facts], those: Sequence[tuple[Source, Survey]]) -> None:
        lines = self.asked.lines
        answers = questions.texts(lines, [self._words(source) for source, _ in those], self.asked.every_us)
        tops = questions.most_frequent(lines, [source.texts for source, _ in those], MAX_CATEGORIES)
        for (source, survey), answer, (top, distinct) in zip(those, answers, tops, strict=True):
            at, rows = self._at(answer), answer["rows"].astype(np.int64)
            column, whole = self.columns.get(source, -1), int(rows.sum())
            if column >= 0:
                np.add.at(self.strays[0, :, column], at, rows)
            if column >= 0 and not self.bins.numeric[column]:
                np.add.at(self.counts[:, column], (at, answer["bin"].astype(np.int64)), rows)
            other = whole - sum(top.values())
            lengths = survey.low, survey.mean, survey.high
            found[source] = replace(found[source], texts=Texts(whole, distinct, tuple(top.items()), other, *lengths))

    def _words(self, source: Source) -> questions.Words:
        """The bins of a column's texts; one for all, where the reference has none."""
        column = self.columns.get(source, -1)
        if column < 0 or self.bins.numeric[column]:
            return questions.Words(source.texts, {}, 0)
        new, other = int(self.bins.new[column]), int(self.bins.other[column])
        return questions.Words(source.texts, _spelt(self.bins.categories[column]), new if new >= 0 else other)


def _placed(bins: Bins, sources: Sequence[Source]) -> dict[Source, int]:
    """The reference's column of each; of two that are called alike the feature counts."""
    columns = {name: column for column, name in enumerate(bins.names)}
    taken: dict[int, Source] = {}
    for source in sorted(sources, key=lambda each: each.subject != "features"):
        if source.name in columns:
            taken.setdefault(columns[source.name], source)
    return {source: column for column, source in taken.items()}


def _spelt(places: Mapping[str, int]) -> dict[str, int]:
    """Those texts that a file can hold: a lone surrogate is none."""
    return {text[:MAX_KEY]: place for text, place in places.items() if not _is_lone(text)}


def _is_lone(text: str) -> bool:
    return any("\ud800" <= each <= "\udfff" for each in text)


def _sampled(asked: Asked, there: Sequence[Source], surveyed: Mapping[str, Survey], rows: int) -> Mapping[str, Floats]:
    columns = [each.numbers for each in there if each.numbers and surveyed[each.numbers].present]
    if not columns:
        return {}
    return questions.sample(asked.lines, columns, min(SAMPLED, max(1000, MAX_SAMPLED // len(columns))), rows)
