import math
import tracemalloc
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from sidecar.quality import segments as module
from sidecar.quality.relation import Labelled
from sidecar.quality.segments import Segment, segments
from sidecar.stats.moments import Counts, Floats


def labelled(codes: Counts, loss: Floats, weights: Floats) -> Labelled:
    return Labelled(codes, loss, 1 - loss, weights)


def losses(seed: int, n: int = 4000, rate: Callable[[Counts], Floats | float] = lambda _: 0.1, k: int = 6) -> Labelled:
    rng = default_rng(seed)
    codes = rng.integers(0, 6, (n, k))
    return labelled(codes, (rng.random(n) < rate(codes)).astype(np.float64), np.ones(n))


def places(found: tuple[Segment, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(each.columns, each.bins) for each in found]


def pair(codes: Counts) -> Floats:
    return np.where((codes[:, 1] == 2) & (codes[:, 4] == 5), 0.7, 0.1)


def test_the_bin_where_the_loss_rose_is_named_alone() -> None:
    reference, current = losses(1), losses(2, rate=lambda codes: np.where(codes[:, 3] == 4, 0.3, 0.1))

    (found,) = segments(reference, current)

    before, after = reference.codes[:, 3] == 4, current.codes[:, 3] == 4
    assert (found.columns, found.bins) == ((3,), (4,))
    assert (found.rows, found.reference_rows) == (after.sum(), before.sum())
    assert found.loss == pytest.approx(current.loss[after].mean())
    assert found.reference_loss == pytest.approx(reference.loss[before].mean())
    assert found.z > 5
    assert found.p_value < 1e-4


def test_the_pair_of_bins_where_the_loss_rose_is_named_without_its_parents() -> None:
    assert places(segments(losses(1), losses(2, rate=pair))) == [((1, 4), (2, 5))]


def test_slices_come_by_their_excess_of_loss() -> None:
    def both(codes: Counts) -> Floats:
        return np.where(codes[:, 0] == 1, 0.35, pair(codes))

    found = segments(losses(1), losses(2, n=6000, rate=both))

    assert places(found) == [((0,), (1,)), ((1, 4), (2, 5))]
    assert places(segments(losses(1), losses(2, n=6000, rate=both), most=1)) in ([((0,), (1,))], [((1, 4), (2, 5))])


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_what_is_the_same_everywhere_has_no_slice(rate: float) -> None:
    assert segments(losses(1), losses(2, rate=lambda _: rate)) == ()


def test_a_loss_that_fell_is_not_named() -> None:
    assert segments(losses(1, rate=pair), losses(2)) == ()


def test_a_slice_that_was_bad_before_is_not_named() -> None:
    assert segments(losses(1, rate=pair), losses(2, rate=pair)) == ()


def test_a_slice_with_too_few_rows_is_not_looked_at() -> None:
    reference, current = losses(1), losses(2, rate=pair)
    rows = int(((current.codes[:, 1] == 2) & (current.codes[:, 4] == 5)).sum())

    assert ((1, 4), (2, 5)) not in places(segments(reference, current, least_rows=rows + 1))


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_chance_is_seldom_named(rate: float) -> None:
    named = [
        segments(losses(seed, 3000, lambda _: rate), losses(seed + 500, 1000, lambda _: rate), least_rows=30)
        for seed in range(40)
    ]

    assert sum(map(bool, named)) <= 2


def test_the_score_is_the_root_of_a_likelihood_ratio() -> None:
    # One column of two bins; in the other one nothing rises, so that what rises there does not count.
    codes = np.repeat([0, 1], 100)[:, None]
    reference = labelled(codes, np.r_[np.repeat([1.0, 0.0], [10, 90]), np.repeat([1.0, 0.0], [20, 80])], np.ones(200))
    current = labelled(codes, np.r_[np.repeat([1.0, 0.0], [50, 50]), np.repeat([1.0, 0.0], [20, 80])], np.ones(200))
    table = np.array([[10, 90], [50, 50]])

    (found,) = segments(reference, current)

    ratio = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    assert found.z == pytest.approx(math.sqrt(ratio), rel=1e-9)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(found.z), rel=1e-6)


def test_every_slice_that_rises_alone_is_found_where_it_is() -> None:
    cells: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    cells += [((column,), (code,)) for column, code in product(range(3), range(6))]
    cells += [(columns, bins) for columns in combinations(range(3), 2) for bins in product(range(6), repeat=2)]

    for columns, bins in cells[::7]:

        def rate(codes: Counts, columns: tuple[int, ...] = columns, bins: tuple[int, ...] = bins) -> Floats:
            return np.where((codes[:, list(columns)] == bins).all(axis=1), 0.9, 0.1)

        assert places(segments(losses(3, k=3), losses(4, rate=rate, k=3))) == [(columns, bins)]


def test_losses_that_hardly_vary_are_told_sooner_than_coins() -> None:
    rng = default_rng(5)
    before, after = losses(1), losses(2)
    steady = labelled(before.codes, rng.uniform(0.2, 0.3, 4000), before.weights)
    rose = labelled(after.codes, rng.uniform(0.2, 0.3, 4000) + 0.03 * (after.codes[:, 2] == 0), after.weights)

    assert places(segments(steady, rose)) == [((2,), (0,))]


def test_only_ratios_of_weights_count() -> None:
    reference, current = losses(1), losses(2, rate=pair)
    weights = default_rng(6).uniform(0.5, 2.0, 4000)

    plain = segments(reference, labelled(current.codes, current.loss, weights))
    scaled = segments(reference, labelled(current.codes, current.loss, 1000 * weights))
    even = segments(reference, labelled(current.codes, current.loss, np.full(4000, 7.0)))

    assert [each.z for each in plain] == pytest.approx([each.z for each in scaled])
    assert even == segments(reference, current)
    assert places(plain) == places(even) == [((1, 4), (2, 5))]


def test_weights_that_differ_tell_less() -> None:
    reference, current = losses(1), losses(2, rate=pair)
    weights = np.where(default_rng(7).random(4000) < 0.5, 0.1, 1.0)

    (found,) = segments(reference, labelled(current.codes, current.loss, weights))

    assert found.z < segments(reference, current)[0].z


@pytest.mark.parametrize(("n", "k"), [(0, 3), (100, 0), (1, 1)])
def test_too_little_to_look_at_has_no_slices(n: int, k: int) -> None:
    assert segments(losses(1, n=n, k=k), losses(2, n=n, k=k)) == ()
    assert segments(losses(1, k=k), losses(2, n=n, k=k)) == ()


def test_rows_without_weight_have_no_slices() -> None:
    rows = losses(1)

    assert segments(labelled(rows.codes, rows.loss, np.zeros(4000)), rows) == ()


def test_a_column_of_one_bin_is_no_slice() -> None:
    constant = np.zeros((1000, 2), dtype=np.int64)

    assert (
        segments(labelled(constant, np.zeros(1000), np.ones(1000)), labelled(constant, np.ones(1000), np.ones(1000)))
        == ()
    )


def test_bins_new_to_the_reference_are_left_out() -> None:
    current = losses(2)
    fresh = current.codes.copy()
    fresh[:500, 0] = 9

    assert segments(losses(1), labelled(fresh, np.where(fresh[:, 0] == 9, 1.0, 0.0), current.weights)) == ()


def test_the_model_s_own_answers_make_no_slices() -> None:
    reference, current = losses(1), losses(2, rate=lambda codes: np.where(codes[:, 5] == 4, 0.4, 0.1))

    assert places(segments(reference, current)) == [((5,), (4,))]
    assert segments(reference, current, outputs=1) == ()


def wide(seed: int, rate: Callable[[Counts], Floats | float]) -> Labelled:
    return losses(seed, n=2000, k=400, rate=rate)


def telling(codes: Counts) -> Floats:
    return np.where(codes[:, 390] == 1, 0.3, 0.1)


def test_of_many_columns_every_one_is_looked_at_by_itself() -> None:
    current = wide(2, lambda codes: np.where(codes[:, 395] == 3, 0.5, telling(codes)))

    assert places(segments(wide(1, telling), current)) == [((395,), (3,))]


def test_of_many_columns_those_are_paired_that_tell_most_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAIRED", 8)

    def before(codes: Counts) -> Floats:
        return np.where(codes[:, 7] == 0, 0.15, 0.0) + telling(codes)

    def after(codes: Counts) -> Floats:
        return np.where((codes[:, 7] == 2) & (codes[:, 390] == 5), 0.95, before(codes))

    reference, current = losses(1, n=4000, k=400, rate=before), losses(2, n=4000, k=400, rate=after)

    assert places(segments(reference, current)) == [((7, 390), (2, 5))]


def test_a_thousand_columns_take_no_more_memory_than_what_they_hold() -> None:
    rng = default_rng(1)
    codes = rng.integers(0, 20, (400, 1000))
    rows = labelled(codes, (rng.random(400) < 0.1).astype(np.float64), np.ones(400))
    tracemalloc.start()
    segments(rows, rows)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 200e6
