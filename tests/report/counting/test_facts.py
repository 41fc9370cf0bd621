import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.reference.checks import of_window
from sidecar.reference.constraints import Constraint, Constraints, Monitoring
from sidecar.report.counting.facts import LEAST_K, SKETCH_K, Facts, checked, sketched
from sidecar.stats.categories import Texts
from sidecar.stats.moments import Floats

WORDS = Texts(3, 2, (("a", 2), ("b", 1)), 0, 1.0, 1.0, 1.0)


def numbers(values: Floats, whole: int | None = None) -> Facts:
    return Facts(
        "x", "features", whole or len(values), numbers=whole or len(values), minimum=values.min(), maximum=values.max()
    )


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (Facts("x", "features", 3), "Unknown"),
        (Facts("x", "features", 3, numbers=2, integral=2), "Integral"),
        (Facts("x", "features", 3, numbers=2, integral=1), "Fractional"),
        (Facts("x", "features", 3, infinite=1), "Fractional"),
        (Facts("x", "features", 5, numbers=2, integral=2, texts=WORDS), "String"),
    ],
)
def test_a_kind_is_sagemakers(facts: Facts, kind: str) -> None:
    assert facts.kind == facts.profile.kind == kind


def test_what_has_neither_number_nor_text_is_missing() -> None:
    facts = Facts("x", "features", 10, numbers=3, infinite=1, texts=WORDS)
    assert (facts.missing, facts.profile.present) == (3, 7)


def test_cells_of_both_kinds_do_not_make_rows_missing_that_are_not() -> None:
    assert Facts("x", "features", 3, numbers=2, texts=WORDS).missing == 0


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(0, 5000))
def test_a_sketch_stands_for_all_numbers_between_its_extremes(values: list[float], more: int) -> None:
    known = np.array(values)
    sketch = sketched(known, numbers(known, len(values) + more))

    assert sketch.n == len(values) + more
    assert sketch.quantiles([0.0, 1.0]).tolist() == [known.min(), known.max()]


def test_a_sketch_of_few_numbers_holds_them_all() -> None:
    known = np.array([3.0, 1.0, np.nan, 2.0, np.inf])
    assert sketched(known, Facts("x", "features", 5, numbers=3)).levels == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("n", [SKETCH_K + 1, 10_000, 40_000])
def test_the_ranks_of_a_sketch_are_as_good_as_it_says(n: int) -> None:
    known = np.random.default_rng(1).normal(size=n)
    sketch = sketched(known, numbers(known))
    ascending = np.sort(known)

    error = np.abs(sketch.ranks(ascending) - np.arange(1, n + 1) / n).max()
    assert error <= sketch.rank_error
    assert max(map(len, sketch.levels)) <= SKETCH_K


def test_a_sketch_of_a_sample_says_that_it_knows_no_more_than_the_sample() -> None:
    """And no more rows than it has: `Bins` would take them for infinite."""
    known = np.random.default_rng(1).normal(size=50_000)
    sketch = sketched(known, numbers(known, 50_000_000))

    assert sketch.n == 50_000_000
    assert sketch.rank_error == pytest.approx(2.576 / (2 * 50_000**0.5), rel=0.01)


def test_a_column_of_which_the_sample_has_nothing_has_its_extremes() -> None:
    facts = Facts("x", "features", 9, numbers=5, minimum=1.0, maximum=2.0)
    sketch = sketched(np.full(4, np.nan), facts)
    assert (sketch.n, sketch.k, set(np.concatenate(sketch.levels))) == (5, LEAST_K, {1.0, 2.0})


def test_checks_read_them() -> None:
    facts = [Facts("x", "features", 10, numbers=5, minimum=-1.0, maximum=3.0), Facts("y", "predictions", 4)]
    constraint = Constraint("x", "Fractional", 0.9, non_negative=True, domain=None, monitoring=Monitoring())

    found = of_window(Constraints([constraint]), checked(facts, "features", 10))
    assert [(each.check, each.value) for each in found] == [("completeness_check", 0.5), ("non_negative_check", -1.0)]
    assert [each.check for each in of_window(Constraints([]), checked(facts, "predictions", 4))] == [
        "extra_column_check"
    ]
