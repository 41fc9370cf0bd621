import numpy as np
import pytest

from sidecar.quality.shapley import attributions, plan
from sidecar.stats.moments import Floats

RNG = np.random.default_rng


def explained(row: list[float], background: Floats, model: "object", seed: int = 0) -> Floats:
    asked = plan(row, range(len(row)), background.tolist(), RNG(seed))
    return attributions(asked.orders, model(np.array(asked.rows, dtype=np.float64)))  # type: ignore[operator]


def test_a_linear_models_values_are_its_weights_times_the_distance_to_the_mean() -> None:
    rng = RNG(1)
    weights, row, background = rng.normal(size=6), rng.normal(size=6), rng.normal(size=(32, 6))

    found = explained(row.tolist(), background, lambda rows: rows @ weights + 3.0)

    assert found == pytest.approx(weights * (row - background.mean(axis=0)), abs=1e-12)


def test_values_add_up_to_the_answer_minus_the_mean_one_of_the_background() -> None:
    rng = RNG(2)
    row, background = rng.normal(size=5), rng.normal(size=(8, 5))

    def model(rows: Floats) -> Floats:
        found: Floats = np.exp(rows[:, 0] * rows[:, 1]) + np.abs(rows[:, 2])
        return found

    found = explained(row.tolist(), background, model)

    assert found.sum() == pytest.approx(model(row[None])[0] - model(background).mean(), abs=1e-12)
    assert found[3:] == pytest.approx([0, 0], abs=1e-12)


def test_two_features_that_only_matter_together_share_what_they_add() -> None:
    background = np.zeros((4000, 2))

    found = explained([1.0, 1.0], background, lambda rows: rows[:, 0] * rows[:, 1])

    assert found == pytest.approx([0.5, 0.5], abs=0.03)


def test_what_is_not_explained_stays_as_it_is() -> None:
    asked = plan(["a", 2.0, None], [2], [["x"], [5]], RNG(0))

    assert asked.rows == [["a", 2.0, "x"], ["a", 2.0, None], ["a", 2.0, 5], ["a", 2.0, None]]
    assert asked.orders.tolist() == [[0], [0]]


def test_answers_beyond_all_bounds_are_no_warning() -> None:
    found = attributions(np.array([[0]]), np.array([-1.7e308, 1.7e308]))
    assert np.isinf(found).all()
