from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.records import Table
from sidecar.reference.binning import BINS, QUANTILE_STEPS, Bins, bins_of
from sidecar.reference.learning import Learner
from sidecar.reference.profile import Numbers, Profile, Profiles
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

    counts = found.count(np.column_stack(list(columns.values())), texts)
    np.testing.assert_array_equal(counts, found.reference)
    assert counts.sum(axis=1).tolist() == [1500] * 5
    assert counts[4, [0, 1, 2, BINS]].tolist() == [500, 500, 0, 500]
    assert counts[3, BINS] == 500


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

    counts = found.count(np.array(values)[:, None], {})

    edges = found.edges[0]
    places = [BINS if np.isnan(v) else sum(v > edge for edge in edges) for v in values]
    assert counts[0].tolist() == np.bincount(places, minlength=BINS + 1).tolist()
    assert found.reference.sum() == len(past)
    assert (found.reference >= 0).all()


def test_what_the_reference_has_not_seen_is_other_or_missing() -> None:
    found = bins({"text": np.full(4, NAN), "number": np.arange(4.0)}, {0: ["x", "x", "y", None]})

    values = np.array([[NAN, 1.0], [7.0, NAN], [NAN, NAN], [NAN, NAN]])
    counts = found.count(values, {0: ["z", None, "y", None], 1: [None, "seven", None, None]})

    assert found.categories == {0: {"x": 0, "y": 1}}
    assert counts[0, [0, 1, 2, BINS]].tolist() == [0, 1, 2, 1]
    assert counts[1, BINS] == 3


def test_of_many_categories_the_most_frequent_have_bins() -> None:
    texts = [f"t{min(row % 40, row % 7)}" for row in range(4000)]
    found = bins({"a": np.full(4000, NAN)}, {0: texts})
    many = bins({"a": np.full(4000, NAN)}, {0: [f"t{row % 40}" for row in range(4000)]})

    assert len(found.categories[0]) == 7
    assert len(many.categories[0]) == BINS - 1 == many.other[0]
    assert many.reference[0, BINS - 1] == 4000 - 1900


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
