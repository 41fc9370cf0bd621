from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from sidecar.monitors.telling import NAMED, bin_names, change_of, drifted, labels
from sidecar.records import Carrier
from sidecar.reference.binning import BINS, Bins
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats
from tests.detectors.rig import bins_from
from tests.monitors.rig import NAN

WHOLE = np.repeat([[0.0], [1.0], [2.0], [3.0]], 250, axis=0)
CONTINUOUS = np.arange(1000.0)[:, None]


def texts_of(texts: Sequence[str | None], numbers: Sequence[float] = ()) -> Bins:
    values = np.array([*numbers, *[NAN] * len(texts)])[:, None]
    column: Mapping[int, Cells] = {0: [None] * len(numbers) + list(texts)}
    return bins_from(values, column)


def shares(*told: float, missing: float = 0.0) -> Floats:
    found = np.zeros(BINS + 1)
    found[: len(told)] = told
    found[BINS] = missing
    return found


def counted(bins: Bins, values: Floats) -> Floats:
    found: Floats = bins.count(values, {}).counts[0] / len(values)
    return found


def test_numbers_are_told_by_the_cut_that_rows_have_moved_across_most() -> None:
    bins = bins_from(CONTINUOUS)

    told = change_of(bins, 0, counted(bins, CONTINUOUS), counted(bins, np.maximum(CONTINUOUS, 500)))

    assert told == "above 499: 50 % → 100 %"


def test_a_number_with_a_bin_of_its_own_belongs_to_those_at_least_as_great() -> None:
    """Such a bin begins just below its number: what is not below 2 is not `above 2`."""
    often, seldom = (np.concatenate([CONTINUOUS, np.full((500, 1), atom)]) for atom in (500.0, 450.0))
    bins = bins_from(often)

    assert change_of(bins, 0, counted(bins, often), counted(bins, seldom)) == "at least 500: 66.7 % → 33.3 %"


def test_whole_numbers_are_told_by_the_greatest_that_is_not_meant() -> None:
    bins = bins_from(WHOLE)

    assert change_of(bins, 0, counted(bins, WHOLE), counted(bins, np.maximum(WHOLE, 2))) == "above 1: 50 % → 100 %"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (WHOLE, ["< 0", "0", "(0, 1)", "1", "(1, 2)", "2", "(2, 3)", "3", "> 3"]),
        (np.full((10, 1), 7.5), ["< 7.5", "7.5", "> 7.5"]),
        (np.full((10, 1), np.inf), ["any"]),
        (CONTINUOUS[:20], [f"<= {2 * i + 1}" if not i else f"({2 * i - 1}, {2 * i + 1}]" for i in range(9)] + ["> 17"]),
    ],
)
def test_bins_of_numbers_are_intervals(values: Floats, expected: list[str]) -> None:
    bins = bins_from(values)

    assert labels(bins, 0) == expected
    assert len(expected) == bins.used[0].sum() - 1


def test_a_bin_beside_one_of_its_own_says_which_ends_are_in_it() -> None:
    bins = bins_from(np.concatenate([CONTINUOUS[::4], np.full((100, 1), 500.0)]))

    assert [label for label in labels(bins, 0) if "500" in label] == ["(416, 500)", "500", "(500, 576]"]


def test_texts_are_told_by_name() -> None:
    bins = texts_of(["at"] * 80 + ["de"] * 20)

    assert labels(bins, 0) == ["'at'", "'de'", "new texts"]
    assert change_of(bins, 0, shares(0.8, 0.2), shares(0.7, 0.19, 0.11)) == "new texts: 0 % → 11 %"
    assert change_of(bins, 0, shares(0.8, 0.2), shares(0.5, 0.5)) == "'at': 80 % → 50 %"


def test_texts_without_a_bin_of_their_own_are_others() -> None:
    bins = texts_of([f"t{number:02}" for number in range(50) for _ in range(50 - number)])

    assert labels(bins, 0) == [*(f"'t{number:02}'" for number in range(BINS - 2)), "other texts", "new texts"]


def test_what_has_gone_missing_is_told_where_nothing_else_moved_as_much() -> None:
    bins = bins_from(CONTINUOUS)

    assert change_of(bins, 0, shares(1.0), shares(0.93, missing=0.07)) == "without a number: 0 % → 7 %"
    assert change_of(bins, 0, shares(missing=1.0), shares(missing=1.0)) == "without a number: 100 % → 100 %"


def test_a_sentence_names_a_few_and_counts_the_rest() -> None:
    carriers = [Carrier(f"x{place}", 0.1, 1.0, 0.5, "up") for place in range(NAMED + 2)]

    assert drifted("psi", "predictions", "b", carriers) == (
        "predictions of b have drifted: x0 (up), x1 (up), x2 (up), x3 (up), x4 (up), 2 more"
    )
    assert drifted("sequential", "features", "b", carriers[:1]) == "features of b have drifted: x0 (up)"


def test_pairs_of_features_depend_on_each_other_in_another_way() -> None:
    pair = Carrier("a ~ b", 1.0, 0.6, 0.0, "correlation 0.02 → 0.61")

    assert drifted("dependence", "features", "b", [pair]) == (
        "features of b depend on each other in another way: a ~ b (correlation 0.02 → 0.61)"
    )


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "0"), (4e-5, "0"), (1.6e-4, "0.02"), (0.01234, "1.23"), (0.5, "50"), (0.99961, "100"), (1.0, "100")],
)
def test_shares_are_told_to_a_hundredth_of_a_percent_and_three_digits(share: float, expected: str) -> None:
    bins = bins_from(CONTINUOUS)

    assert change_of(bins, 0, shares(missing=share), shares(missing=share + 5)).startswith(
        f"without a number: {expected} % → "
    )


def at_the_end_of_floats() -> Bins:
    """A bin of the least float there is: the edge below it is no float."""
    with np.errstate(over="ignore"):
        return bins_from(np.repeat([[-np.finfo(np.float64).max], [0.0]], 50, axis=0))


def test_names_of_bins_are_those_that_people_see_and_what_is_missing() -> None:
    bins = bins_from(CONTINUOUS)
    assert bin_names(bins, 0) == [*labels(bins, 0), "missing"]
    assert bin_names(texts_of(["a"] * 5 + ["b"] * 4), 0) == ["'a'", "'b'", "new texts", "missing"]


@pytest.mark.parametrize(
    "bins",
    [
        bins_from((1.7e9 + np.arange(1000.0))[:, None]),
        bins_from(np.arange(1000.0)[:, None] * 1e-13 + 0.1),
        at_the_end_of_floats(),
        bins_from(np.array([[-1e308], [1e308], [0.0], [np.nan]])),
        bins_from(np.full((10, 1), 3.0)),
        texts_of(["missing", "other texts", "new texts", "'", "", "''"]),
        texts_of([f"{'x' * 60}{number}" for number in range(6)]),
        texts_of([*"abcdefghijklmnopqrstuvwxyz", *"abc"], [1.0, 2.0]),
        texts_of(["\n", "\\n", "\ud800", "\\ud800"]),
        texts_of([f"{'x' * 255}\n{number}" for number in range(3)]),
        bins_from(np.full((5, 1), NAN), {0: [None, "a", None, None, None]}),
    ],
)
def test_no_two_bins_of_a_column_have_one_name(bins: Bins) -> None:
    names = bin_names(bins, 0)
    assert len(names) == bins.used[0].sum()
    assert len(set(names)) == len(names)
    assert names[-1] == "missing"
    assert all(names)


def test_what_looks_alike_is_named_exactly() -> None:
    names = bin_names(bins_from((1.7e9 + np.arange(1000.0))[:, None]), 0)
    assert names[:2] == ["<= 1700000099", "(1700000099, 1700000199]"]
    longer = [f"{'x' * 60}{number}" for number in range(2)]
    assert bin_names(texts_of(longer), 0)[:2] == [f"'{each}'" for each in longer]
