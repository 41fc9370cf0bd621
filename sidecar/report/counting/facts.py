"""What is known of one column after all rows of a variant: what the checks read, and statistics.json holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sidecar.records import Subject
from sidecar.reference.profile import Categories, Kind, Profile
from sidecar.reference.profile import Numbers as ProfileNumbers
from sidecar.reference.sketch import Sketch
from sidecar.report.counting.ladder import Ladder
from sidecar.report.counting.questions import Answer, Numbers, Survey
from sidecar.stats.categories import Texts
from sidecar.stats.moments import Counts, Floats

SKETCH_K = 2048
"""Of a sketch at its best, as `learning` makes them."""

LEAST_K = 8
"""DataSketches takes no less."""

NORMAL_99 = 2.576
"""Standard deviations within which a normal variable is at 99 %."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One column.

    Args:
        rows: That could have it: all, or of predictions those that were answered.
        numbers: Rows with a finite number, which all that follows is about.
        infinite: Rows with an infinity.
        integral: Numbers without a fraction.
        zeros: Numbers equal to 0.
        negatives: Numbers below 0.
        mean: NaN without numbers, as the three that follow.
        std: Standard deviation of the population (ddof = 0).
        edges: Of buckets of equal width from the least to the greatest; a bucket holds what is above its lower edge and
            not above its upper one, the first its lower edge too.
        histogram: Numbers by bucket.
        texts: None of a column that never had one.
        sketch: None without numbers.
    """

    name: str
    subject: Subject
    rows: int
    numbers: int = 0
    infinite: int = 0
    integral: int = 0
    zeros: int = 0
    negatives: int = 0
    mean: float = np.nan
    std: float = np.nan
    minimum: float = np.nan
    maximum: float = np.nan
    edges: Floats = field(default_factory=lambda: np.empty(0))
    histogram: Counts = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    texts: Texts | None = None
    sketch: Sketch | None = None

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return max(0, self.rows - self.numbers - self.infinite - (self.texts.rows if self.texts else 0))

    @property
    def kind(self) -> Kind:
        """SageMaker's type, by the values alone: whether 1 was written 1.0, the table does not say."""
        if self.texts is not None:
            return "String"
        if not self.numbers + self.infinite:
            return "Unknown"
        return "Integral" if self.integral == self.numbers and not self.infinite else "Fractional"

    @property
    def profile(self) -> Profile:
        """What statistics.json says of it."""
        present = self.rows - self.missing
        if self.texts is not None:
            categories = Categories(self.texts.distinct, dict(self.texts.top))
            return Profile(self.name, self.kind, present, self.missing, categories=categories)
        numbers = None
        if self.numbers:
            total = self.mean * self.numbers
            numbers = ProfileNumbers(self.mean, total, self.std, self.minimum, self.maximum, self.sketch)
        return Profile(self.name, self.kind, present, self.missing, numbers=numbers)


@dataclass(frozen=True, slots=True)
class Checked:
    """The columns of features, or of predictions, as `reference.checks` reads them; see `checks.Window`."""

    names: tuple[str, ...]
    rows: int
    missing: Counts
    integral: Counts
    minimum: Floats
    maximum: Floats
    texts: Mapping[int, Texts]


def checked(facts: Sequence[Facts], subject: Subject, rows: int) -> Checked:
    """Those of features, or of predictions.

    Args:
        rows: That could have them.
    """
    those = [each for each in facts if each.subject == subject]
    return Checked(
        tuple(each.name for each in those),
        rows,
        missing=np.array([each.missing for each in those], dtype=np.int64),
        integral=np.array([each.integral for each in those], dtype=np.int64),
        minimum=np.array([each.minimum for each in those], dtype=np.float64),
        maximum=np.array([each.maximum for each in those], dtype=np.float64),
        texts={place: each.texts for place, each in enumerate(those) if each.texts is not None},
    )


def measured(found: Facts, answer: Answer, ladder: Ladder, asked: Numbers, survey: Survey) -> Facts:
    """With what the counts by cell say of its numbers.

    Args:
        answer: As `questions.cells` has it.
        asked: What was asked.
        survey: Of the column.
    """
    cell, rows = answer["cell"].astype(np.int64), answer["rows"].astype(np.int64)
    finite = ladder.finite[cell]
    n = int(rows[finite].sum())
    found = replace(found, infinite=int(rows[~finite].sum()))
    if not n:
        return found
    beside = float(answer["rest"][finite].sum()) / n
    variance = max(0.0, float(answer["squares"][finite].sum()) / n - beside**2)
    mean = (asked.middle + beside) / asked.factor
    low, high = survey.low, survey.high
    return replace(
        found,
        numbers=n,
        integral=int(answer["whole"][finite].sum()),
        zeros=int(rows[ladder.zero[cell]].sum()),
        negatives=int(rows[ladder.negative[cell]].sum()),
        mean=min(max(mean, low), high),
        std=0.0 if low == high else float(np.sqrt(variance)) / asked.factor,
        minimum=low,
        maximum=high,
        edges=ladder.widths,
        histogram=np.bincount(ladder.buckets[cell][finite], rows[finite], len(ladder.widths) - 1).astype(np.int64),
    )


def sketched(values: Floats, facts: Facts) -> Sketch:
    """The sketch of a column of which some numbers are known, no two runs of it different.

    Its items stand evenly for all numbers in their order, the least and the greatest for themselves. Of a sample it
    says so by its k: that of a sketch whose ranks are as uncertain as those of the sample, 2.576 / (2 sqrt(n)).

    Args:
        values: Cells of the column; NaN and infinities are passed over.
        facts: Of all its numbers, at least one.
    """
    known, n = np.sort(values[np.isfinite(values)]), facts.numbers
    if len(known) == n <= SKETCH_K:
        return Sketch(k=SKETCH_K, levels=[known.tolist()])
    k = SKETCH_K if len(known) == n else _k_of(len(known))
    inner = max(0, n - 2)
    level = (inner // (k - 2)).bit_length()  # two more stand for themselves
    weights = [1 << level] * (inner >> level)
    weights += [1 << each for each in reversed(range(level)) if inner >> each & 1]
    levels: list[list[float]] = [[] for _ in range(level + 1)]
    levels[0] = [facts.minimum, facts.maximum][: min(n, 2)]
    if len(known) == n:
        known = known[1:-1]  # without those that stand for themselves
    elif not len(known):
        known = np.array(levels[0])
    middles = (np.cumsum(weights) - np.array(weights) / 2) / max(1, inner)
    places = np.minimum((middles * len(known)).astype(np.int64), len(known) - 1)
    for weight, item in zip(weights, known[places].tolist(), strict=True):
        levels[weight.bit_length() - 1].append(item)
    return Sketch(k=k, levels=[sorted(each) for each in levels])


def _k_of(n: int) -> int:
    """The k whose error is that of a sample of n numbers; the inverse of `Sketch.rank_error`."""
    error = NORMAL_99 * 0.5 / max(1, n) ** 0.5
    return int(min(SKETCH_K, max(LEAST_K, (2.296 / error) ** (1 / 0.9723))))
