"""What is said of a challenger: a word, the interval that it stands on, and a sentence for people.

The interval is of a confidence sequence: it holds the true difference at all looks at once, with probability
1 - wrong. So the word may be asked for at any time and acted upon; it is wrong, ever, with that probability at most.
"""

import math
from typing import Literal, NamedTuple

Better = Literal["higher", "lower"]

Scale = Literal["share", "seconds", "plain"]
"""How people read the numbers of a measure."""

Source = Literal["requests", "replies", "labelled rows", "outcomes", "predictions"]
"""What a measure finds its values in."""

Word = Literal["better", "worse", "equivalent", "undecided", "too_few"]
"""What is known of a challenger by one measure."""

Guard = Literal["fine", "breach", "unknown", "missing"]
"""What is known of a guardrail: surely kept; surely broken; neither yet; too few rows to tell, by which it is not even
plain that it is broken."""


class Judged(NamedTuple):
    """How the values of a measure are judged and told.

    Args:
        name: What it is called, the same as long as its options are.
        margin: Difference that does not matter.
        verb: Before the challenger's value, as the next stands behind it: `errs in` 2 % `of requests`.
        relative: Differences are parts of the champion's value.
        better: Which side is.
        quantile: That is compared in place of the mean.
        binned: The shares of bins are.
        most: Values are in [0, most]; NaN where nobody knows.
        source: What values are found in.
    """

    name: str
    margin: float
    verb: str
    of: str
    relative: bool = False
    better: Better = "lower"
    scale: Scale = "plain"
    quantile: float | None = None
    binned: bool = False
    most: float = math.nan
    source: Source = "requests"


class Compared(NamedTuple):
    """A challenger beside the champion, in numbers.

    Args:
        estimate: Of the difference, or of the ratio less 1; NaN where there is none, as for the next two.
        low: Least difference that is possible; -inf where nothing is known of it.
        high: Greatest.
        champion: Its mean, quantile or share; NaN of no rows.
        challenger: Likewise.
        champion_rows: That the comparison rests on.
        challenger_rows: Likewise.
    """

    estimate: float
    low: float
    high: float
    champion: float
    challenger: float
    champion_rows: int
    challenger_rows: int


class Decision(NamedTuple):
    """The first word that decided, and when."""

    word: Word
    at_s: float


class Verdict(NamedTuple):
    """What is known of a challenger by one measure, now.

    `word` is of now, by all rows so far. `decided` is the first word that was a decision, and stays: an engineer wants
    to know when enough was known, and whoever acted on it then, that this is still what was said. Where the two differ,
    a difference that was sure has turned out not to matter (`worse`, then `equivalent`); or the effect changes with
    time; or this is one of the wrong verdicts that the budget allows: look at the data.

    Args:
        measure: Its name.
        compared: The numbers.
        margin: Difference that does not matter.
        relative: Differences are parts of the champion's value.
        decided: The first decision; None where there was none.
        rows_to_go: Further rows of both together until there is a word, if the estimate is right; 0 where there is one,
            inf where there never will be, NaN where nobody knows.
        omitted: Rows of both that had no finite value: a request that failed has no latency.
        sentence: All that for people.
    """

    measure: str
    challenger: str
    word: Word
    compared: Compared
    margin: float
    relative: bool
    decided: Decision | None
    rows_to_go: float
    omitted: int
    sentence: str


class Guarded(NamedTuple):
    """What is known of a guardrail, now.

    Args:
        sentence: For people: why.
    """

    measure: str
    challenger: str
    word: Guard
    sentence: str


def possible(compared: Compared, judged: Judged) -> Compared:
    """What can be of the interval: means of values in [0, most] differ by `most` at most.

    An end that is not finite stays: nothing is known there, which is something else than all that can be.

    Example:
        >>> possible(Compared(0.5, -0.25, 1.25, 0.5, 1.0, 9, 9), Judged("errors", 0.002, "", "", most=1.0))[1:3]
        (-0.25, 1.0)
    """
    most = judged.most
    if judged.relative or math.isnan(most):
        return compared
    low, high = (min(max(end, -most), most) if math.isfinite(end) else end for end in compared[1:3])
    return compared._replace(low=low, high=high)


def word_of(compared: Compared, judged: Judged, min_rows: int) -> Word:
    """What the numbers say.

    | rows of either | interval | word |
    |---|---|---|
    | below `min_rows` | any | too_few |
    | enough | within the margin on both sides | equivalent |
    | enough | else, above 0 or below it | better, worse |
    | enough | else | undecided |

    A difference that is sure and does not matter is no reason to act: so `equivalent` comes before the others. With a
    margin of 0 nothing is.

    Example:
        >>> word_of(Compared(0.004, 0.003, 0.011, 0.012, 0.019, 900, 900), Judged("errors", 0.002, "", ""), 200)
        'worse'
    """
    if _too_few(compared, min_rows):
        return "too_few"
    if -judged.margin < compared.low and compared.high < judged.margin:
        return "equivalent"
    if compared.low > 0:
        return "better" if judged.better == "higher" else "worse"
    if compared.high < 0:
        return "worse" if judged.better == "higher" else "better"
    return "undecided"


def guard_of(compared: Compared, judged: Judged, min_rows: int, *, plain: bool = False) -> Guard:
    """Whether the challenger is no worse than the margin: on which side of it the whole interval is.

    Args:
        plain: By a bound that is exact from the first row on it is worse, see `few`.
    """
    if plain:
        return "breach"
    if _too_few(compared, min_rows):
        return "missing"
    low, high = (compared.low, compared.high) if judged.better == "lower" else (-compared.high, -compared.low)
    if low > judged.margin:
        return "breach"
    return "fine" if high < judged.margin else "unknown"


def sentence_of(compared: Compared, judged: Judged, challenger: str, word: Word | Guard) -> str:
    """A verdict, or what is known of a guardrail, for people.

    Example:
        >>> judged = Judged("errors", 0.002, "errs in", "of requests", scale="share")
        >>> sentence_of(Compared(0.007, 0.003, 0.011, 0.012, 0.019, 900, 900), judged, "challenger", "worse")
        'challenger errs in 1.9 % of requests against 1.2 %: worse, +0.3 to +1.1 points'
        >>> sentence_of(Compared(0.988, -0.1, 2, 0.012, 1.0, 900, 9), judged, "challenger", "breach")
        'challenger errs in 100 % of requests against 1.2 %: breach, as 9 rows make plain'
    """
    if word in {"too_few", "missing"}:
        fewer = min(compared.champion_rows, compared.challenger_rows)
        return f"{judged.name} of {challenger}: no verdict from {fewer:,} rows"
    told = f"{challenger} {judged.verb} {_value(compared.challenger, judged.scale)} {judged.of}"
    if math.isfinite(compared.champion):
        told += f" against {_value(compared.champion, judged.scale)}"
    if word == "breach" and guard_of(compared, judged, 0) != word:
        fewer = min(compared.champion_rows, compared.challenger_rows)
        return f"{told}: {word}, as {fewer:,} rows make plain"
    return f"{told}: {word}, {_span(compared, judged)}"


def _too_few(compared: Compared, min_rows: int) -> bool:
    return min(compared.champion_rows, compared.challenger_rows) < min_rows


def _value(value: float, scale: Scale) -> str:
    if scale == "share":
        return f"{_figure(100 * value)} %"
    if scale == "seconds":
        return f"{_figure(1000 * value)} ms" if value < 1 else f"{_figure(value)} s"
    return _figure(value)


def _span(compared: Compared, judged: Judged) -> str:
    """The interval: `+0.3 to +1.1 points`."""
    parts = judged.relative or judged.scale == "share"
    unit = " %" if judged.relative else " points" if judged.scale == "share" else ""
    low, high = (_figure(100 * end if parts else end, sign="+") for end in (compared.low, compared.high))
    above, below = math.isfinite(compared.low), math.isfinite(compared.high)
    if above and below:
        return f"{low} to {high}{unit}"
    if above or below:
        return f"{low}{unit} or more" if above else f"{high}{unit} or less"
    return "by how much is not known"


def _figure(value: float, sign: str = "") -> str:
    """Three figures, and no exponent where people need none."""
    return f"{value:{sign},.0f}" if 1000 <= abs(value) < 1e15 else f"{value:{sign}.3g}"
