import numpy as np
import pytest
from numpy.random import default_rng

from sidecar.quality.overlap import Matched
from sidecar.stats.moments import Counts, Floats


def rows(seed: int, n: int, shift: float = 0.0) -> tuple[Counts, Floats]:
    rng = default_rng(seed)
    values = rng.normal(size=(n, 3)) + np.array([shift, 0.0, 0.0])
    return np.clip(np.round(values * 2) + 5, 0, 10).astype(np.int64), rng.uniform(0.5, 1.5, n)


def test_weights_make_both_sides_alike() -> None:
    matched = Matched.of(rows(1, 1500), rows(2, 1000, shift=1.0))
    first = matched.codes[:, 0].astype(np.float64)

    plainly = matched.difference(matched.plain, first)
    before, after, _ = matched.difference(matched.weights, first)

    assert plainly[1] - plainly[0] == pytest.approx(2.0, abs=0.15)
    assert before == pytest.approx(after, abs=0.15)
    assert 0.5 < matched.overlap < 0.9


def test_weights_of_either_side_add_up_to_1() -> None:
    matched = Matched.of(rows(1, 300), rows(2, 200, shift=0.5))

    for weights in (matched.plain, matched.weights):
        assert weights[matched.now].sum() == pytest.approx(1.0)
        assert weights[~matched.now].sum() == pytest.approx(1.0)


def test_rows_of_one_distribution_overlap() -> None:
    assert Matched.of(rows(1, 2000), rows(2, 2000)).overlap > 0.95


def test_rows_that_have_nothing_in_common_do_not() -> None:
    before, after = rows(1, 500), rows(2, 500)

    matched = Matched.of(before, (after[0] + 20, after[1]))

    assert matched.overlap < 0.1
    assert np.isfinite(matched.weights).all()


def test_weights_count_by_their_ratios_only() -> None:
    (codes, weights), after = rows(1, 300), rows(2, 200, shift=0.5)

    plain, scaled = Matched.of((codes, weights), after), Matched.of((codes, weights * 1e6), after)

    np.testing.assert_allclose(plain.weights, scaled.weights, rtol=1e-9)


@pytest.mark.parametrize("before", [0, 5])
def test_without_rows_nothing_is_known(before: int) -> None:
    matched = Matched.of(rows(1, before), rows(2, 5 - before))

    assert np.isnan(matched.weights).all()
    assert np.isnan(matched.overlap)
    assert matched.rows(matched.weights) == (0.0, 0.0)


def test_rows_without_weight_are_no_rows() -> None:
    codes, weights = rows(1, 50)

    assert np.isnan(Matched.of((codes, np.zeros(50)), (codes, weights)).overlap)


def test_pulls_are_what_each_row_does_to_the_difference() -> None:
    matched = Matched.of(rows(1, 40), rows(2, 30))
    values = default_rng(3).random(70)

    before, after, pulls = matched.difference(matched.plain, values)

    now = matched.now
    assert before == pytest.approx(np.average(values[~now], weights=matched.plain[~now]))
    assert after == pytest.approx(np.average(values[now], weights=matched.plain[now]))
    assert pulls[now].sum() == pytest.approx(0, abs=1e-12)
    assert pulls[~now].sum() == pytest.approx(0, abs=1e-12)
    assert pulls[-1] == pytest.approx(matched.plain[-1] * (values[-1] - after))
    assert pulls[0] == pytest.approx(-matched.plain[0] * (values[0] - before))
