import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from sidecar.detectors.scores import MAX_FEATURES, PLACES, scores_of
from sidecar.stats.categories import MAX_KEY
from sidecar.stats.moments import Floats

NAN = np.nan
RNG = default_rng(1)
X = RNG.normal(size=(4000, 1))


def test_scores_follow_the_normal_scores_of_the_ranks() -> None:
    scored = scores_of(X, {}).score(X, {})
    exact = stats.norm.ppf((stats.rankdata(X[:, 0]) - 0.5) / len(X))

    assert np.corrcoef(scored[:, 1], exact)[0, 1] > 0.985
    assert np.corrcoef(scored[:, 2], exact**2)[0, 1] > 0.88
    np.testing.assert_array_equal(scored[:, 0], 1)


@pytest.mark.parametrize(
    "column",
    [
        X[:, 0],
        np.exp(3 * X[:, 0]),
        np.where(X[:, 0] < 0.3, 0.0, X[:, 0]),
        np.where(X[:, 0] < -1, NAN, X[:, 0]),
        np.where(X[:, 0] < -1, -np.inf, np.where(X[:, 0] > 1, np.inf, X[:, 0])),
        np.rint(2 * X[:, 0]),
    ],
)
def test_columns_are_standardised_and_a_square_has_nothing_of_its_line(column: Floats) -> None:
    scored = scores_of(column[:, None], {}).score(column[:, None], {})

    assert scored.shape == (len(X), 3)
    np.testing.assert_allclose(scored[:, 1:].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scored.T @ scored / len(X), np.eye(3), atol=1e-9)


def test_a_monotone_map_changes_nothing() -> None:
    one, two = scores_of(X, {}), scores_of(np.exp(X), {})

    np.testing.assert_array_equal(one.score(X, {}), two.score(np.exp(X), {}))


def test_an_atom_has_its_own_place() -> None:
    column = np.concatenate([np.full(900, 5.0), np.linspace(0, 4, 50), np.linspace(6, 9, 50)])[:, None]
    scores = scores_of(column, {})
    low, atom, high = scores.score(np.array([[4.9], [5.0], [5.1]]), {})[:, 1]

    assert low < atom < high


def test_categories_are_ordered_by_frequency() -> None:
    cells = ["b"] * 5 + ["a"] * 3 + ["c"] * 3 + [None]
    values = np.full((len(cells), 1), NAN)
    scores = scores_of(values, {0: cells})
    live = ["b", "a", "c", "new", None]
    scored = scores.score(np.full((5, 1), NAN), {0: live})[:, 1]

    assert list(np.argsort(scored[:4])) == [0, 1, 2, 3]
    assert scores.categories == {0: {"b": 0, "a": 1, "c": 2}}
    assert scored[4] == scores.table[1, PLACES]


def test_texts_are_told_apart_as_far_as_their_category_goes() -> None:
    long = "x" * MAX_KEY
    scores = scores_of(np.full((4, 1), NAN), {0: [f"{long}1", "y", f"{long}2", "y"]})
    one, two, other = scores.score(np.full((3, 1), NAN), {0: [long, f"{long}3", "z"]})[:, 1]

    assert one == two != other


def test_rare_categories_are_one() -> None:
    cells = [f"t{row % 40}" for row in range(400)]
    scored = scores_of(np.full((400, 1), NAN), {0: cells}).score(np.full((400, 1), NAN), {0: cells})

    assert len(np.unique(scored[:, 1])) == PLACES


def test_a_number_among_texts_is_none_of_them_and_a_text_among_numbers_is_missing() -> None:
    values = np.column_stack([X[:8, 0], [NAN] * 8])
    scores = scores_of(values, {1: ["a", "b"] * 4})
    scored = scores.score(np.array([[NAN, 3.0], [NAN, NAN]]), {0: ["a", None], 1: [None, "new"]})

    np.testing.assert_array_equal(scored[0], scored[1])
    assert scored[0, 1] == scores.table[1, PLACES]


def test_what_does_not_vary_or_has_only_two_values_has_no_column_for_it() -> None:
    values = np.column_stack([np.full(len(X), 3.0), np.full(len(X), NAN), X[:, 0] > 0, X[:, 0]])
    scores = scores_of(values, {})

    assert scores.features.tolist() == [0, 2, 3, 3]
    assert scores.squares.tolist() == [False, False, False, True]


def test_no_more_than_so_many_features_are_scored() -> None:
    values = np.column_stack([np.zeros(50), RNG.normal(size=(50, MAX_FEATURES + 5))])

    assert set(scores_of(values, {}).features.tolist()) == set(range(MAX_FEATURES + 1))


def test_one_row_has_no_scores() -> None:
    assert scores_of(X[:1], {}).score(X[:3], {}).tolist() == [[1.0]] * 3
