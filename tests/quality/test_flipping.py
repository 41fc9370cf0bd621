from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from sidecar.quality.bias import Facet
from sidecar.quality.flipping import MAX_ROWS, compared, flip_test
from sidecar.stats.moments import Floats


def drawn(seed: int, rows: int, k: int = 4) -> tuple[Facet, Floats]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, k)) * 10.0 ** np.arange(k)
    disfavoured = rng.random(rows) < 0.4
    predicted = rng.random(rows) < 0.5 + 0.3 * (features[:, 0] > 0) - 0.3 * disfavoured
    return Facet(disfavoured, predicted, predicted, np.ones(rows)), features


def at_places(disfavoured: list[int], predicted: list[int]) -> Facet:
    return Facet(
        np.array(disfavoured, dtype=bool),
        np.array(predicted, dtype=bool),
        np.array(predicted, dtype=bool),
        np.ones(len(predicted)),
    )


@pytest.mark.parametrize(("seed", "rows"), [(0, 12), (1, 40), (2, 400), (3, 700), (4, 2)])
def test_the_test_is_that_of_scikit_learn_s_neighbours(seed: int, rows: int) -> None:
    given, features = drawn(seed, rows)
    if rows == 2:
        given = replace(given, disfavoured=np.array([False, True]))
    scaled = StandardScaler().fit_transform(features)
    favoured = ~given.disfavoured
    neighbours = KNeighborsClassifier(5 if favoured.sum() > 9 else 1).fit(scaled[favoured], given.predicted[favoured])
    flipped = neighbours.predict(scaled[~favoured]).astype(int) - given.predicted[~favoured]

    assert flip_test(given, features) == pytest.approx(flipped.mean(), abs=1e-12)


def test_who_is_rejected_where_the_favoured_are_accepted_counts_for_bias() -> None:
    # One nearest neighbour each: flipped to accepted, flipped to rejected, as accepted, flipped to accepted.
    given = at_places([0, 1, 0, 1, 0, 1, 0, 1], [1, 0, 0, 1, 1, 1, 1, 0])
    features = np.array([[0.0], [0.1], [10], [10.1], [20], [20.1], [30], [30.1]])

    assert flip_test(given, features) == (2 - 1) / 4
    assert flip_test(replace(given, weights=np.repeat([1.0, 4.0, 1.0], [3, 1, 4])), features) == (2 - 4) / 7


def test_no_feature_decides_alone_by_its_unit() -> None:
    given, features = drawn(5, 300)

    assert flip_test(given, features) == flip_test(given, features * [1.0, 1e-9, 1e9, 1e300] + [0, 0, 5, 0])


def test_neighbours_vote_by_their_weights() -> None:
    # Ten favoured at the same place: the five earliest are asked, of whom two are accepted.
    given = at_places([0] * 10 + [1], [1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0])
    features = np.zeros((11, 1))

    assert flip_test(given, features) == 0.0
    assert flip_test(replace(given, weights=np.repeat([3.0, 1.0], [2, 9])), features) == 1.0


def test_equal_votes_are_no_acceptance() -> None:
    given = at_places([0] * 10 + [1], [1, 1, 0, 0, 0] * 2 + [0])

    assert flip_test(replace(given, weights=np.repeat([3.0, 2.0, 1.0], [2, 3, 6])), np.zeros((11, 1))) == 0.0


@pytest.mark.parametrize(("favoured", "flipped"), [(9, 1.0), (10, 0.0)])
def test_of_few_favoured_rows_only_the_nearest_is_asked(favoured: int, flipped: float) -> None:
    given = at_places([0] * favoured + [1], [1] + [0] * favoured)

    assert flip_test(given, np.arange(favoured + 1.0)[:, None] % favoured) == flipped


def test_a_missing_value_is_neither_near_nor_far() -> None:
    # In the second column the mean is 12: the first row is there, and so is whoever has no value.
    features = np.array([[0.0, 12.0], [-1.0, 14.0], [1.0, -np.inf], [0.1, np.nan], [0.2, 10.0]])
    given = at_places([0, 0, 0, 1, 0], [1, 0, 0, 0, 0])

    assert flip_test(given, features) == 1.0


@pytest.mark.parametrize("constant", [0.0, 0.1, np.nan, 1e308])
def test_a_column_that_does_not_vary_changes_nothing(constant: float) -> None:
    given, features = drawn(6, 200)
    more = np.column_stack([features, np.full(200, constant), np.where(np.arange(200) % 3 == 0, np.nan, constant)])

    assert flip_test(given, more) == flip_test(given, features)


def test_many_rows_are_thinned_evenly_and_the_answer_stays_near() -> None:
    given, features = drawn(7, 12_000)
    kept = compared(given)

    assert np.bincount(given.disfavoured[kept]).tolist() == [MAX_ROWS, MAX_ROWS]
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert flip_test(given, features) == flip_test(given.at(kept), features[kept])
    assert flip_test(given, features) == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(
    ("given", "k"),
    [
        (at_places([0, 0], [1, 0]), 1),
        (at_places([1, 1], [1, 0]), 1),
        (at_places([], []), 1),
        (at_places([0, 1], [1, 0]), 0),
        (replace(at_places([0, 1], [1, 0]), weights=np.array([1.0, 0.0])), 1),
    ],
)
def test_without_a_group_or_features_nothing_is_known(given: Facet, k: int) -> None:
    assert np.isnan(flip_test(given, np.zeros((len(given.weights), k))))
