from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.records import Table
from sidecar.reference.binning import BINS, QUANTILE_STEPS, Bins, bins_of
from sidecar.reference.learning import Learner
from sidecar.reference.profile import Categories, Numbers, Profile, Profiles
from sidecar.reference.sketch import Sketch
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats

RNG = np.random.default_rng(11)
NAN = np.nan


def bins(columns: dict[str, Floats], texts: Mapping[int, Cells] | None = None) -> Bins:
    learner = Learner()
    learner.update(Table(tuple(columns), np.column_stack(list(columns.values())), texts or {}))
    return bins_of(learner.profiles())


def test_continuous_numbers_fall_into_bins_of_about_equal_mass() -> None:
    values = {name: RNG.normal(size=20_000) for name in "ab"}

    found = bins(values)

    assert found.reference[:, :QUANTILE_STEPS].tolist() == pytest.approx(np.full((2, QUANTILE_STEPS), 2000), rel=0.02)
    assert found.reference[:, QUANTILE_STEPS:].sum() == 0


def test_the_reference_counted_is_the_reference() -> None:
    """With so few rows the sketch holds all of them."""
    columns = {
        "normal": RNG.normal(size=1500),
        "ties": RNG.integers(0, 4, 1500).astype(float),
        "constant": np.ones(1500),
        "gaps": np.where(np.arange(1500) % 3, RNG.normal(size=1500), NAN),
        "text": np.full(1500, NAN),
    }
    texts = {4: [("x", "y", None)[row % 3] for row in range(1500)]}

    found = bins(columns, texts)

    counts, sums = found.count(np.column_stack(list(columns.values())), texts)
    np.testing.assert_array_equal(counts, found.reference)
    np.testing.assert_allclose(sums, found.sums, rtol=1e-9, atol=1e-9)
    assert counts.sum(axis=1).tolist() == [1500] * 5
    assert counts[4, [0, 1, 2, BINS]].tolist() == [500, 500, 0, 500]
    assert counts[3, BINS] == 500
    np.testing.assert_allclose(found.std[:4], [np.nanstd(column) for column in list(columns.values())[:4]])
    assert np.isnan(found.std[4])


def test_a_value_that_many_rows_share_has_a_bin_of_its_own() -> None:
    values = np.concatenate([np.zeros(500), RNG.exponential(size=500) + 0.001, -RNG.exponential(size=500) - 0.001])

    found = bins({"a": values})

    (at,) = np.flatnonzero(found.edges[0] == 0.0)
    assert found.edges[0, at - 1] == np.nextafter(0.0, -1.0)
    assert found.reference[0, at] == 500


finite = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, NAN, np.inf, -np.inf])


@given(st.lists(finite, min_size=1, max_size=40), st.lists(finite, min_size=1, max_size=40))
def test_every_row_falls_into_the_bin_between_its_edges(past: list[float], values: list[float]) -> None:
    found = bins({"a": np.array(past)})
    if not found.names:
        return

    counts, sums = found.count(np.array(values)[:, None], {})

    edges = found.edges[0]
    places = [BINS if np.isnan(v) else sum(v > edge for edge in edges) for v in values]
    ends = edges[np.isfinite(edges)][[0, -1]] if np.isfinite(edges).any() else np.zeros(2)
    known = np.nan_to_num(values, nan=0.0, neginf=ends[0], posinf=ends[1])
    assert counts[0].tolist() == np.bincount(places, minlength=BINS + 1).tolist()
    np.testing.assert_allclose(sums[0], np.bincount(places, weights=known, minlength=BINS + 1), atol=1e-6)
    assert found.reference.sum() == len(past)
    assert (found.reference >= 0).all()


@pytest.mark.parametrize("rows", [0, 1, 7, 300])
def test_wide_and_tall_batches_are_counted_alike(rows: int) -> None:
    values = RNG.normal(size=(rows, 40))
    values[RNG.random(values.shape) < 0.1] = NAN
    texts = {39: [None if np.isnan(value) else "x" for value in values[:, 39]]}
    values[:, 39] = NAN
    found = bins({f"f{j}": RNG.normal(size=50) if j < 39 else np.full(50, NAN) for j in range(40)}, {39: ["x"] * 50})

    whole = found.count(values, texts)
    alone = found.count(np.empty((0, 40)), {})
    for row in range(rows):
        alone = alone.plus(found.count(values[row : row + 1], {39: [texts[39][row]]}))

    np.testing.assert_array_equal(alone.counts, whole.counts)
    np.testing.assert_allclose(alone.sums, whole.sums, atol=1e-12)
    assert (whole.counts.sum(axis=1) == rows).all()


def test_the_bins_of_single_cells_are_those_that_are_counted() -> None:
    rng = np.random.default_rng(3)
    found = bins(
        {"number": rng.normal(size=1000), "text": np.full(1000, NAN)},
        {1: [("a", "b", "c", None)[i % 4] for i in range(1000)]},
    )
    values = np.column_stack([rng.normal(size=50), np.where(np.arange(50) % 5 == 1, 7.0, NAN)])
    values[::7, 0] = NAN
    texts = {1: ["a", None, "d", "b" * 2000, None] * 10}
    places = found.places(values, texts)
    counts = np.array([np.bincount(column, minlength=found.reference.shape[1]) for column in places.T])
    np.testing.assert_array_equal(counts, found.count(values, texts).counts)


def test_no_features_are_counted_too() -> None:
    counted = bins_of(Profiles(0, [])).count(np.empty((3, 0)), {})

    assert counted.counts.shape == counted.sums.shape == (0, BINS + 1)


def test_what_the_reference_has_not_seen_is_new_or_missing() -> None:
    found = bins({"text": np.full(4, NAN), "number": np.arange(4.0)}, {0: ["x", "x", "y", None]})

    values = np.array([[NAN, 1.0], [7.0, NAN], [NAN, NAN], [NAN, NAN]])
    counts, sums = found.count(values, {0: ["z", None, "y", None], 1: [None, "seven", None, None]})

    assert found.categories == {0: {"x": 0, "y": 1}}
    assert (found.other[0], found.new[0]) == (-1, 2)
    assert counts[0, [0, 1, 2, BINS]].tolist() == [0, 1, 2, 1]
    assert counts[1, BINS] == 3
    assert not sums[0].any()


def test_a_number_among_texts_is_other_where_the_reference_had_some() -> None:
    found = bins({"text": np.array([NAN, NAN, 5.0])}, {0: ["x", "y", None]})

    counts = found.count(np.array([[NAN], [7.0], [np.inf]]), {0: ["z", None, None]}).counts

    assert (found.other[0], found.new[0]) == (2, 3)
    assert found.reference[0, :5].tolist() == [1, 1, 1, 0, 0]
    assert counts[0, :5].tolist() == [0, 0, 2, 1, 0]


@pytest.mark.parametrize(
    ("different", "own", "other", "new"),
    [(7, 7, -1, 7), (BINS - 1, BINS - 1, -1, BINS - 1), (BINS, BINS - 2, BINS - 2, BINS - 1), (40, 18, 18, 19)],
)
def test_of_many_categories_the_most_frequent_have_bins(different: int, own: int, other: int, new: int) -> None:
    rows = 40 * different
    found = bins({"a": np.full(rows, NAN)}, {0: [f"t{row % different}" for row in range(rows)]})

    counts = found.count(np.full((2, 1), NAN), {0: [f"t{different - 1}", "never seen"]}).counts

    assert (found.other[0], found.new[0]) == (other, new)
    assert found.reference[0, :own].tolist() == [40] * own
    assert found.reference[0].sum() == rows
    assert found.reference[0, new] == 0
    assert counts[0, [other if other >= 0 else own - 1, new]].tolist() == [1, 1]
    assert found.used[0].sum() == new + 2


def test_where_not_all_texts_are_listed_none_is_new() -> None:
    categories = Categories(distinct=100.0, counts={"x": 60, "y": 20})
    found = bins_of(Profiles(90, [Profile("a", "String", 90, 0, categories=categories)]))
    unlisted = bins_of(Profiles(90, [Profile("a", "String", 90, 0, categories=Categories(0.0, {}))]))

    assert (found.other[0], found.new[0]) == (2, -1)
    assert found.reference[0, :3].tolist() == [60, 20, 10]
    assert found.count(np.full((1, 1), NAN), {0: ["z"]}).counts[0, 2] == 1
    assert (unlisted.other[0], unlisted.new[0], unlisted.reference[0, 0]) == (0, -1, 90)


def test_long_texts_are_one_category_as_they_are_when_learned() -> None:
    long = "x" * 1000
    found = bins({"a": np.full(2, NAN)}, {0: [long, "y"]})

    assert found.count(np.full((1, 1), NAN), {0: [long + "z"]}).counts[0, 0] == 1


def test_a_tally_tells_what_detectors_ask_for() -> None:
    found = bins({"number": np.arange(100.0), "text": np.full(100, NAN)}, {1: ["x", "y"] * 50})

    told = found.tally(found.count(np.array([[3.0, NAN], [NAN, NAN], [5.0, NAN]]), {1: ["z", "x", None]}))

    assert (told.n.tolist(), told.missing.tolist()) == ([2, 2], [1, 1])
    np.testing.assert_array_equal(told.new, [NAN, 1])
    np.testing.assert_array_equal(told.mean, [4, NAN])
    assert told.ordered.tolist() == [True, False]
    np.testing.assert_allclose(found.reference_tally.mean, [49.5, NAN])
    np.testing.assert_array_equal(found.reference_tally.new, [NAN, 0])


def profile_of(values: Floats, total: float | None = None, k: int = 2048) -> Profile:
    """As it is read from a file with one retained number in 128."""
    sketch = Sketch(k=k, levels=[*([[]] * 7), values.tolist()])
    total = 128 * values.sum() if total is None else total
    numbers = Numbers(mean=0.0, total=total, std=1.0, minimum=0.0, maximum=1.0, sketch=sketch)
    return Profile("a", "Fractional", sketch.n, 0, numbers=numbers)


@pytest.mark.parametrize("total", [0.0, 70_000.0, -1e9])
def test_the_mean_of_the_reference_is_the_file_s(total: float) -> None:
    found = bins_of(Profiles(128_000, [profile_of(RNG.random(1000), total)]))

    assert found.reference_tally.mean == pytest.approx(total / 128_000)


@pytest.mark.parametrize("total", [NAN, np.inf])
def test_a_total_that_is_not_known_leaves_the_sketch_s(total: float) -> None:
    values = RNG.random(1000)
    found = bins_of(Profiles(128_000, [profile_of(values, total)]))

    assert found.reference_tally.mean == pytest.approx(values.mean())


@pytest.mark.parametrize(("total", "mean"), [(12.0, 3.0), (NAN, NAN)])
def test_without_a_sketch_there_is_one_bin_and_maybe_its_mean(total: float, mean: float) -> None:
    numbers = Numbers(mean=3.0, total=total, std=1.0, minimum=0.0, maximum=9.0, sketch=None)
    found = bins_of(Profiles(4, [Profile("a", "Fractional", 4, 0, numbers=numbers)]))

    assert found.reference[0, 0] == 4
    assert found.used[0].sum() == 2
    np.testing.assert_array_equal(found.reference_tally.mean, [mean])


def test_infinities_count_as_the_outermost_edges() -> None:
    found = bins({"a": np.append(np.arange(10.0), np.inf)})
    edges = found.edges[0][np.isfinite(found.edges[0])]

    counted = found.count(np.array([[np.inf], [-np.inf], [NAN]]), {})

    assert counted.sums.sum() == edges[0] + edges[-1]
    assert found.sums.sum() == pytest.approx(45 + edges[-1])


def test_sums_too_large_are_not_numbers_and_nobody_is_warned() -> None:
    found = bins({"a": np.array([-1e308, 1e308, 1e308, 1e308])})
    counted = found.count(np.array([[1e308], [1e308], [-1e308], [-1e308]]), {})

    assert not np.isfinite(found.tally(counted.plus(counted)).mean).any()


def test_used_bins_are_those_that_a_row_can_fall_into() -> None:
    found = bins(
        {"number": RNG.normal(size=900), "pair": RNG.integers(0, 2, 900).astype(float), "text": np.full(900, NAN)},
        {2: [("x", "y", None)[row % 3] for row in range(900)]},
    )

    # The pair's: 0, 1, below, between, above, missing.
    assert found.used.sum(axis=1).tolist() == [QUANTILE_STEPS + 1, 6, 4]
    assert found.ordered.sum(axis=1).tolist() == [QUANTILE_STEPS, 5, 0]
    assert found.used[:, BINS].all()
    assert not (found.reference[~found.used]).any()


def test_a_sketch_is_trusted_as_far_as_its_error_goes() -> None:
    def trusted(k: int, levels: list[list[float]]) -> tuple[int, int]:
        sketch = Sketch(k=k, levels=levels)
        numbers = Numbers(mean=0.0, total=0.0, std=1.0, minimum=0.0, maximum=1.0, sketch=sketch)
        profile = Profile("a", "Fractional", sketch.n, 0, numbers=numbers)
        found = bins_of(Profiles(sketch.n, [profile]))
        return int(found.reference.sum()), int(found.trusted.sum())

    many = RNG.random(1000).tolist()

    rows, good_for = trusted(200, [[], [], [], [], [], [], [], many])
    assert rows == 128_000
    assert good_for == pytest.approx(9_400, rel=0.01)
    assert trusted(2048, [[], [], [], [], [], [], [], many]) == (128_000, 128_000)
    assert trusted(200, [many]) == (1000, 1000)


def test_features_without_a_value_have_no_bins() -> None:
    assert bins({"a": np.full(3, NAN), "b": np.ones(3)}).names == ("b",)
