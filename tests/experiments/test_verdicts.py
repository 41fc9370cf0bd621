import math

import pytest

from sidecar.experiments.verdicts import (
    Better,
    Compared,
    Guard,
    Judged,
    Scale,
    Word,
    guard_of,
    possible,
    sentence_of,
    word_of,
)

INF = math.inf


def compared(low: float, high: float, champion_rows: int = 200, challenger_rows: int = 200) -> Compared:
    return Compared((low + high) / 2, low, high, 0.012, 0.019, champion_rows, challenger_rows)


def judged(better: Better = "lower", margin: float = 1.0) -> Judged:
    return Judged("errors", margin, "errs in", "of requests", better=better)


# With a margin of 1: the interval, the word where lower is better, where higher is; the guard likewise.
TABLE: list[tuple[float, float, Word, Word, Guard, Guard]] = [
    (-0.9, 0.9, "equivalent", "equivalent", "fine", "fine"),
    (0.1, 0.9, "equivalent", "equivalent", "fine", "fine"),
    (-0.9, -0.1, "equivalent", "equivalent", "fine", "fine"),
    (0.1, 1.0, "worse", "better", "unknown", "fine"),
    (0.1, 5.0, "worse", "better", "unknown", "fine"),
    (1.0, 5.0, "worse", "better", "unknown", "fine"),
    (1.1, 5.0, "worse", "better", "breach", "fine"),
    (1.1, INF, "worse", "better", "breach", "fine"),
    (-5.0, -0.1, "better", "worse", "fine", "unknown"),
    (-5.0, -1.1, "better", "worse", "fine", "breach"),
    (-INF, -1.1, "better", "worse", "fine", "breach"),
    (-5.0, 0.9, "undecided", "undecided", "fine", "unknown"),
    (-0.9, 5.0, "undecided", "undecided", "unknown", "fine"),
    (0.0, 5.0, "undecided", "undecided", "unknown", "fine"),
    (-5.0, 5.0, "undecided", "undecided", "unknown", "unknown"),
    (-INF, INF, "undecided", "undecided", "unknown", "unknown"),
    (math.nan, math.nan, "undecided", "undecided", "unknown", "unknown"),
]


@pytest.mark.parametrize(("low", "high", "lower", "higher", "guard", "other_guard"), TABLE)
def test_the_interval_decides(
    low: float, high: float, lower: Word, higher: Word, guard: Guard, other_guard: Guard
) -> None:
    told = compared(low, high)

    assert word_of(told, judged("lower"), 200) == lower
    assert word_of(told, judged("higher"), 200) == higher
    assert guard_of(told, judged("lower"), 200) == guard
    assert guard_of(told, judged("higher"), 200) == other_guard


@pytest.mark.parametrize(("champion", "challenger"), [(199, 10_000), (10_000, 199), (0, 0)])
def test_too_few_rows_of_either_are_no_verdict_whatever_the_interval(champion: int, challenger: int) -> None:
    told = compared(2.0, 3.0, champion, challenger)

    assert word_of(told, judged(), 200) == "too_few"
    assert guard_of(told, judged(), 200) == "missing"


def test_what_few_rows_make_plain_is_a_breach_and_no_verdict() -> None:
    told = compared(-2.0, 5.0, 10_000, 20)

    assert word_of(told, judged(), 200) == "too_few"
    assert guard_of(told, judged(), 200, plain=True) == "breach"
    # Nor does it take back what fewer rows made plain that the interval does not say it yet.
    assert guard_of(told, judged(), 20, plain=True) == "breach"


def test_a_breach_tells_its_interval_or_its_few_rows() -> None:
    sure, plain = compared(1.5, 5.0, 10_000, 20), compared(-2.0, 5.0, 10_000, 20)

    assert sentence_of(sure, judged(), "b", "breach") == "b errs in 0.019 of requests against 0.012: breach, +1.5 to +5"
    assert (
        sentence_of(plain, judged(), "b", "breach")
        == "b errs in 0.019 of requests against 0.012: breach, as 20 rows make plain"
    )


def test_without_a_margin_nothing_is_equivalent_and_any_sure_difference_counts() -> None:
    assert word_of(compared(0.0, 0.0), judged(margin=0.0), 200) == "undecided"
    assert word_of(compared(1e-9, 1e-8), judged(margin=0.0), 200) == "worse"
    assert guard_of(compared(1e-9, 1e-8), judged(margin=0.0), 200) == "breach"


@pytest.mark.parametrize(
    ("scale", "relative", "low", "high", "told"),
    [
        ("share", False, 0.003, 0.011, "1.9 % of them against 1.2 %: worse, +0.3 to +1.1 points"),
        ("seconds", True, 0.12, 0.305, "19 ms of them against 12 ms: worse, +12 to +30.5 %"),
        ("plain", True, 0.12, INF, "0.019 of them against 0.012: worse, +12 % or more"),
        ("plain", False, -INF, -1234.5, "0.019 of them against 0.012: worse, -1,234 or less"),
        ("plain", False, -INF, INF, "0.019 of them against 0.012: worse, by how much is not known"),
        ("plain", False, math.nan, math.nan, "0.019 of them against 0.012: worse, by how much is not known"),
    ],
)
def test_a_sentence_is_for_people(scale: Scale, low: float, high: float, told: str, *, relative: bool) -> None:
    rule = Judged("x", 0.1, "has", "of them", relative=relative, scale=scale)

    assert sentence_of(compared(low, high), rule, "b", "worse") == f"b has {told}"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0 ms"),
        (0.0000512, "0.0512 ms"),
        (0.25, "250 ms"),
        (2.5, "2.5 s"),
        (12_345.6, "12,346 s"),
        (1e20, "1e+20 s"),
    ],
)
def test_numbers_have_three_figures(value: float, told: str) -> None:
    rule = Judged("x", 0.1, "takes", "on average", scale="seconds")
    numbers = Compared(0.0, -1.0, 1.0, math.nan, value, 200, 200)

    assert sentence_of(numbers, rule, "b", "undecided") == f"b takes {told} on average: undecided, -1 to +1"


def test_too_few_rows_are_told() -> None:
    assert sentence_of(compared(0, 1, 3000, 120), judged(), "b", "too_few") == "errors of b: no verdict from 120 rows"
    assert (
        sentence_of(compared(0, 1, 1200, 4000), judged(), "b", "missing") == "errors of b: no verdict from 1,200 rows"
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.3, 1.2, (-1.0, 1.0)),
        (-1.0, 1.0, (-1.0, 1.0)),
        (-0.2, 1.01, (-0.2, 1.0)),
        (-INF, INF, (-INF, INF)),
        (0.0, INF, (0.0, INF)),
        (math.nan, math.nan, (math.nan, math.nan)),
    ],
)
def test_shares_differ_by_all_at_most_and_what_is_not_known_stays(
    low: float, high: float, expected: tuple[float, float]
) -> None:
    share = judged()._replace(scale="share", most=1.0)

    assert possible(compared(low, high), share)[1:3] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("unbounded", [judged(), judged()._replace(relative=True, most=1.0)])
def test_what_has_no_bounds_is_not_cut(unbounded: Judged) -> None:
    assert possible(compared(-3.0, 7.0), unbounded) == compared(-3.0, 7.0)


def test_a_cut_interval_has_the_same_word() -> None:
    for low, high, *_ in TABLE:
        told, share = compared(low, high), judged(margin=0.999)._replace(most=1.0)

        assert word_of(possible(told, share), share, 200) == word_of(told, share, 200)
        assert guard_of(possible(told, share), share, 200) == guard_of(told, share, 200)
