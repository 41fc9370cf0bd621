"""What is counted of pairs, against plain loops, and with everything that a payload may hold."""

import json
from collections.abc import Sequence
from math import inf, isclose, isfinite, isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import booleans, floats, integers, lists, none, one_of, sampled_from, tuples

from sidecar.monitors.agreement import EXAMPLES, MAX_COLUMNS, OK, Agreement, Answer, Pair, compared
from sidecar.monitors.versions import VersionKey
from sidecar.payload.assembling import tabulate
from sidecar.payload.redacting import REDACTED

CHAMPION, CHALLENGER = VersionKey("champion", "3"), VersionKey("challenger", "4")
TOLERANCE = 1e-6
CELLS = one_of(
    none(), booleans(), integers(-3, 3), sampled_from(["a", "b", ""]), floats(), sampled_from([10**400, 1e308, -1e308])
)


def pair(
    ours: Sequence[list[object]] = (),
    theirs: Sequence[list[object]] = (),
    *,
    kinds: tuple[str, str] = (OK, OK),
    seconds: tuple[float, float] = (0.1, 0.1),
    ratios: tuple[float, float] = (1.0, 1.0),
    columns: tuple[str, ...] | None = None,
    others: tuple[str, ...] | None = None,
    request_id: str = "r",
) -> Pair:
    """A pair of answers; columns are called `p0`, `p1`, ..., unless told otherwise."""
    names = [tuple(f"p{at}" for at in range(len(rows[0]))) if rows else () for rows in (ours, theirs)]
    return (
        Answer(
            CHAMPION, kinds[0], seconds[0], ratios[0], names[0] if columns is None else columns, ours, request_id, 1.0
        ),
        Answer(
            CHALLENGER, kinds[1], seconds[1], ratios[1], names[1] if others is None else others, theirs, request_id, 1.5
        ),
    )


def counted(*pairs: Pair, tolerance: float = TOLERANCE) -> Agreement:
    agreement = Agreement()
    agreement.count(pairs, tolerance)
    return agreement


def alike(one: object, other: object) -> bool:
    """Whether two cells are the same, told slowly."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    numbers = [nan if cell is None else as_float(cell) for cell in (one, other)]
    if isnan(numbers[0]) or isnan(numbers[1]):
        return isnan(numbers[0]) and isnan(numbers[1])
    if not all(map(isfinite, numbers)):
        return numbers[0] == numbers[1]
    return isclose(*numbers, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def as_float(cell: object) -> float:
    assert isinstance(cell, int | float)
    try:
        return float(cell)
    except OverflowError:
        return inf


@given(lists(tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_rows_are_equal_where_all_their_cells_are(rows: list[tuple[object, ...]]) -> None:
    ours, theirs = [list(row[:2]) for row in rows], [list(row[2:]) for row in rows]
    found = compared(tabulate(("a", "b"), ours), tabulate(("a", "b"), theirs), TOLERANCE)
    nothing = [all(cell is None or cell != cell for cell in row) for row in rows]  # noqa: PLR0124  (NaN)

    assert found.equal.tolist() == [all(map(alike, *sides)) for sides in zip(ours, theirs, strict=True)]
    assert found.comparable.tolist() == [not each for each in nothing]
    assert found.texts.tolist() == [
        sum((isinstance(a, str) or isinstance(b, str)) and a != b for a, b in zip(*sides, strict=True))
        for sides in zip(ours, theirs, strict=True)
    ]


@given(lists(tuples(CELLS, CELLS), min_size=1, max_size=20))
def test_whatever_is_compared_can_be_told_as_json(rows: list[tuple[object, object]]) -> None:
    agreement = counted(*(pair([[one]], [[other]]) for one, other in rows))
    told = json.loads(json.dumps(agreement.told(), allow_nan=False))

    assert told["pairs"] == len(rows)
    assert agreement.rows + agreement.incomparable == len(rows)


def test_distances_are_told_by_column() -> None:
    told = counted(pair([[1.0, 5.0], [2.0, 5.0]], [[1.5, 5.0], [0.0, nan]])).told()

    assert told["columns"] == [
        {"name": "p0", "rows": 2, "mean_distance": 1.25, "greatest_distance": 2.0},
        {"name": "p1", "rows": 1, "mean_distance": 0.0, "greatest_distance": 0.0},
    ]
    assert (told["rows"], told["equal_ratio"]) == (2, 0.0)


def test_infinities_spoil_no_distance() -> None:
    told = counted(pair([[inf], [inf], [1e308], [1.0]], [[inf], [1.0], [-1e308], [3.0]])).told()

    assert told["equal_ratio"] == 0.25
    assert told["columns"] == [{"name": "p0", "rows": 2, "mean_distance": 1.0, "greatest_distance": 2.0}]


def test_sums_beyond_all_numbers_are_told_as_nothing() -> None:
    agreement = counted(pair([[1.7e308]] * 4, [[0.0]] * 4))

    assert agreement.told()["columns"][0] == {
        "name": "p0",
        "rows": 4,
        "mean_distance": None,
        "greatest_distance": 1.7e308,
    }


@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_equal_within_the_tolerance_and_exactly_without(tolerance: float) -> None:
    rows: list[list[object]] = [[0.5], [1e9], [inf], [0.0]]
    others: list[list[object]] = [[0.5 + 1e-7], [1e9 + 1.0], [inf], [-0.0]]

    assert counted(pair(rows, others), tolerance=tolerance).equal == (4 if tolerance else 2)


def test_columns_of_the_same_names_are_compared_by_name_and_others_by_place() -> None:
    swapped = counted(pair([["yes", 0.9]], [[0.9, "yes"]], columns=("label", "p"), others=("p", "label")))
    renamed = counted(pair([["yes", 0.9]], [["yes", 0.8]], columns=("label", "p"), others=("class", "score")))

    assert (swapped.rows, swapped.equal) == (1, 1)
    assert (renamed.rows, renamed.equal) == (1, 0)
    assert [column["name"] for column in renamed.told()["columns"]] == ["p"]


def test_rows_of_other_shapes_are_not_compared() -> None:
    agreement = counted(pair([[1.0, 2.0]] * 3, [[1.0]] * 3), pair([[1.0]] * 2, [[1.0]] * 5), pair([[1.0]], [[1.0]]))

    assert (agreement.incomparable, agreement.rows, agreement.equal) == (8, 1, 1)


def test_rows_without_a_value_are_not_compared() -> None:
    agreement = counted(pair([[REDACTED], [None], ["a"]], [[REDACTED], [nan], ["a"]]))

    assert (agreement.incomparable, agreement.rows, agreement.equal) == (2, 1, 1)


def test_an_answer_that_cannot_be_read_is_counted_apart() -> None:
    agreement = counted(pair([[1.0]], []), pair([], [[1.0]]), pair([[1.0]], [[1.0]], kinds=(OK, "5xx")))

    assert (agreement.unread, agreement.rows, agreement.incomparable, agreement.pairs) == (2, 0, 0, 3)


def test_statuses_are_told_by_kind() -> None:
    kinds = [(OK, OK), (OK, OK), (OK, "5xx"), ("4xx", OK), ("5xx", "none"), (OK, "cut"), ("4xx", "4xx"), (OK, OK)]
    told = counted(*(pair(kinds=each) for each in kinds)).told()["statuses"]

    assert told["both_ok_ratio"] == 0.375
    assert told["only_original_ok_ratio"] == 0.25
    assert told["only_shadow_ok_ratio"] == 0.125
    assert told["neither_ok_ratio"] == 0.25
    assert {"original": "2xx", "shadow": "5xx", "ratio": 0.125} in told["kinds"]


def test_shares_of_statuses_are_those_of_all_requests_where_errors_are_always_kept() -> None:
    """Of 100,000 requests a tenth is sampled; 4 % fail at the original, 5 % at the shadow, 2 % at both."""
    rng = np.random.default_rng(5)
    points = rng.random(100_000) < 0.1
    both, one, other = (rng.random((3, 100_000)).T < (0.02, 0.02, 0.03)).T
    pairs = []
    for sampled, mine, theirs in zip(points, both | one, both | other, strict=True):
        if (sampled or mine) and (sampled or theirs):
            ratios = 1.0 if mine else 0.1, 1.0 if theirs else 0.1
            pairs.append(pair(kinds=("5xx" if mine else OK, "5xx" if theirs else OK), ratios=ratios))
    told = counted(*pairs).told()["statuses"]

    assert told["neither_ok_ratio"] == pytest.approx(np.mean((both | one) & (both | other)), rel=0.05)
    assert told["only_original_ok_ratio"] == pytest.approx(np.mean((both | other) & ~(both | one)), rel=0.15)
    assert told["both_ok_ratio"] == pytest.approx(np.mean(~(both | one | other)), rel=0.01)


def test_a_pair_that_is_never_kept_counts_once() -> None:
    assert counted(pair(ratios=(0.0, 1.0))).told()["statuses"]["both_ok_ratio"] == 1.0


def test_seconds_are_those_of_pairs_that_went_well() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.lognormal(-3, 0.5, 1000), rng.lognormal(-2.5, 0.5, 1000)
    pairs = [pair(seconds=(float(one), float(other))) for one, other in zip(ours, theirs, strict=True)]
    failed = [pair(seconds=(9.0, 9.0), kinds=kinds) for kinds in ((OK, "5xx"), ("5xx", OK), ("5xx", "5xx"))]
    told = counted(*pairs, *failed).told()["seconds"]

    assert told["original"]["mean"] == pytest.approx(ours.mean())
    assert told["shadow"]["p99"] == pytest.approx(np.quantile(theirs, 0.99), rel=0.1)
    assert told["difference"]["mean"] == pytest.approx((theirs - ours).mean())
    assert told["difference"]["p50"] == pytest.approx(np.median(theirs - ours), rel=0.15)


def test_a_faster_shadow_differs_by_less_than_nothing() -> None:
    told = counted(pair(seconds=(0.5, 0.1)), pair(seconds=(0.5, 0.5))).told()["seconds"]["difference"]

    assert told["mean"] == pytest.approx(-0.2)
    assert told["p50"] == pytest.approx(-0.4, rel=0.1)
    assert told["p99"] == pytest.approx(0.0, abs=1e-5)


def test_without_pairs_nothing_is_known() -> None:
    told = Agreement().told()

    assert (told["pairs"], told["equal_ratio"], told["columns"], told["examples"]) == (0, None, [], [])
    assert set(told["seconds"]["difference"].values()) == {None}
    assert told["statuses"]["both_ok_ratio"] is None


def test_the_most_different_requests_are_named_each_once() -> None:
    near = [pair([[0.5]], [[0.5 + number / 100]], request_id=f"near-{number}") for number in range(1, 20)]
    far = pair([[0.0], [1.0], [2.0]], [[0.0], [9.0], [7.0]], request_id="far")
    flipped = pair([["a"]], [["b"]], request_id="flipped")
    examples = counted(*near, flipped, far).told()["examples"]

    assert [each["request_id"] for each in examples] == ["flipped", "far", "near-19", "near-18", "near-17"]
    assert (examples[0]["texts"], examples[1]["texts"]) == (1, 0)
    assert (examples[1]["row"], examples[1]["distance"], examples[1]["time_s"]) == (1, 8.0, 1.0)
    assert len(examples) == EXAMPLES


def test_equal_rows_are_no_examples() -> None:
    assert counted(pair([[1.0], ["a"]], [[1.0], ["a"]])).told()["examples"] == []


def test_a_number_that_is_missing_on_one_side_is_as_far_as_can_be() -> None:
    (example,) = counted(pair([[1.0]], [[None]])).told()["examples"]

    assert (example["texts"], example["distance"]) == (0, None)


def test_a_text_and_a_number_differ_but_are_no_distance_apart() -> None:
    agreement = counted(pair([["1"]], [[1.0]]))
    (example,) = agreement.told()["examples"]

    assert (example["texts"], example["distance"], agreement.told()["columns"]) == (1, 0.0, [])


def test_columns_are_bounded_in_number() -> None:
    wide: list[list[object]] = [[float(number) for number in range(100)]]
    others: list[list[object]] = [[0.0] * 100]
    many = counted(*(pair([[1.0]], [[2.0]], columns=(f"c{at}",), others=(f"c{at}",)) for at in range(100)))

    assert len(counted(pair(wide, others)).told()["columns"]) == MAX_COLUMNS
    assert len(many.told()["columns"]) == MAX_COLUMNS
    assert many.rows == 100


@given(lists(tuples(CELLS, CELLS, sampled_from([OK, "5xx"])), max_size=12), integers(0, 12))
def test_merging_is_counting_together(rows: list[tuple[object, object, str]], cut: int) -> None:
    pairs = [
        pair([[one]], [[other]], kinds=(OK, kind), request_id=f"r{number}")
        for number, (one, other, kind) in enumerate(rows)
    ]
    merged, together = counted(*pairs[:cut]), counted(*pairs)
    merged.merge(counted(*pairs[cut:]))

    assert plain(merged.told()) == plain(together.told())


def plain(told: object) -> object:
    """With sums as exact as they are, whatever their order."""
    return json.loads(json.dumps(told), parse_float=lambda text: round(float(text), 9))
