import numpy as np
import pytest
from scipy import stats

from sidecar.records import Table
from sidecar.reference.learning import MAX_CATEGORIES, Learner
from sidecar.reference.profile import Kind, Profile

RNG = np.random.default_rng(3)
NAN = np.nan


def profile_of(values: list[float], texts: list[str | None] | None = None, fractional: tuple[int, ...] = ()) -> Profile:
    learner = Learner()
    learner.update(Table(("x",), np.array(values)[:, None], {0: texts} if texts else {}), fractional)
    (profile,) = learner.profiles().features
    return profile


@pytest.mark.parametrize(
    ("values", "texts", "fractional", "kind", "present"),
    [
        ([1.0, 2.0], None, (), "Integral", 2),
        ([1.0, NAN], None, (), "Integral", 1),
        ([1.0, 2.0], None, (0,), "Fractional", 2),
        ([1.0, 2.5], None, (), "Fractional", 2),
        ([1.0, np.inf], None, (), "Fractional", 2),
        ([np.inf, -np.inf], None, (), "Fractional", 2),
        ([NAN, NAN], ["a", None], (), "String", 1),
        ([1.0, NAN], [None, "a"], (), "String", 2),
        ([NAN, NAN], None, (), "Unknown", 0),
    ],
)
def test_the_kind_follows_from_every_value(
    values: list[float], texts: list[str | None] | None, fractional: tuple[int, ...], kind: Kind, present: int
) -> None:
    profile = profile_of(values, texts, fractional)

    assert (profile.kind, profile.present, profile.missing) == (kind, present, len(values) - present)
    assert profile.completeness == present / len(values)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_numbers_are_those_of_numpy(scale: float) -> None:
    values = RNG.lognormal(size=(20_000, 2)) * scale
    learner = Learner()
    for batch in np.array_split(values, 13):
        learner.update(Table(("a", "b"), batch))

    for profile, column in zip(learner.profiles().features, values.T, strict=True):
        numbers = profile.numbers
        assert numbers is not None
        assert numbers.sketch is not None
        assert (numbers.minimum, numbers.maximum) == (column.min(), column.max())
        np.testing.assert_allclose(numbers.mean, column.mean())
        np.testing.assert_allclose(numbers.total, column.sum())
        np.testing.assert_allclose(numbers.std, np.std(column / scale) * scale)


def test_ranks_are_within_the_sketch_s_bound() -> None:
    values = RNG.standard_t(3, size=300_000)
    learner = Learner()
    for batch in np.array_split(values, 50):
        learner.update(Table(("x",), batch[:, None]))

    numbers = learner.profiles().features[0].numbers
    assert numbers is not None
    assert numbers.sketch is not None
    points = np.quantile(values, np.linspace(0, 1, 101))
    exact = stats.ecdf(values).cdf.evaluate(points)
    assert numbers.sketch.n == len(values)
    assert np.abs(numbers.sketch.ranks(points) - exact).max() < 0.0015
    assert sum(map(len, numbers.sketch.levels)) < 8000


def test_a_column_that_comes_late_was_missing_before() -> None:
    learner = Learner()
    learner.update(Table(("a",), np.array([[1.0], [2.0]])))
    learner.update(Table(("b", "a"), np.array([[5.0, 3.0]])))

    profiles = learner.profiles()

    assert profiles.rows == 3
    assert [(each.name, each.present, each.missing) for each in profiles.features] == [("a", 3, 0), ("b", 1, 2)]


def test_texts_are_counted_and_many_are_estimated() -> None:
    texts = [f"t{row % (3 * MAX_CATEGORIES)}" for row in range(9 * MAX_CATEGORIES)]
    few = profile_of([NAN] * 4, ["a", "b", "a", None]).categories
    many = profile_of([NAN] * len(texts), list(texts)).categories

    assert few is not None
    assert (few.distinct, dict(few.counts)) == (2, {"a": 2, "b": 1})
    assert many is not None
    assert len(many.counts) == MAX_CATEGORIES
    assert many.distinct == pytest.approx(3 * MAX_CATEGORIES, rel=0.05)


def test_nothing_learned_is_an_empty_data_set() -> None:
    profiles = Learner().profiles()

    assert (profiles.rows, list(profiles.features)) == (0, [])
