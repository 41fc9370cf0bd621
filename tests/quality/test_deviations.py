import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.quality.curves import auc, ranked
from sidecar.quality.deviations import deviations
from sidecar.stats.moments import Floats

Places = NDArray[np.intp]


def test_leaving_out_single_rows_gives_the_textbook_s_error_of_a_mean() -> None:
    x = np.random.default_rng(0).exponential(size=200)

    told = deviations(lambda kept: {"mean": float(x[kept].mean())}, 200, groups=200)

    assert told == {"mean": pytest.approx(x.std(ddof=1) / 200**0.5, rel=1e-12)}


def test_every_group_is_left_out_once() -> None:
    kept: list[list[int]] = []

    def score(places: Places) -> dict[str, float]:
        kept.append(places.tolist())
        return {"rows": float(places.size)}

    deviations(score, 210, groups=3)

    assert kept == [list(range(210))] + [[i for i in range(210) if i % 3 != group] for group in range(3)]


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_below_200_rows_every_name_is_nan(rows: int) -> None:
    told = deviations(lambda kept: {"a": float(kept.size), "b": 1.0}, rows)

    assert list(told) == ["a", "b"]
    assert all(math.isnan(error) for error in told.values())


def test_undefined_in_one_replicate_is_nan_and_leaves_the_others_alone() -> None:
    def score(kept: Places) -> dict[str, float]:
        return {
            "undefined": math.nan if 7 not in kept else 1.0,
            "infinite": math.inf if 7 not in kept else 1.0,
            "constant": 0.25,
            "sum": float(kept.sum()),
        } | ({"sometimes": 1.0} if 7 in kept else {})

    told = deviations(score, 200)

    assert {name for name, error in told.items() if math.isnan(error)} == {"undefined", "infinite", "sometimes"}
    assert told["constant"] == 0.0
    assert told["sum"] > 0.0


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e200, 1e307])
def test_no_size_overflows_or_vanishes(size: float) -> None:
    x = np.random.default_rng(0).normal(size=400)

    plain = deviations(lambda kept: {"mean": float(x[kept].mean())}, 400)["mean"]
    sized = deviations(lambda kept: {"mean": float(x[kept].mean()) * size}, 400)["mean"]

    assert sized == pytest.approx(plain * size, rel=1e-9)


def test_a_score_without_numbers_has_no_deviations() -> None:
    assert deviations(lambda _: {}, 300) == {}


@pytest.mark.parametrize("groups", [-1, 0, 1, 201])
def test_groups_out_of_range_are_refused(groups: int) -> None:
    with pytest.raises(ValueError, match=r"groups: .*expected 2 to 200"):
        deviations(lambda _: {"x": 1.0}, 500, groups=groups)


def test_the_error_of_an_auc_is_how_far_it_strays_from_sample_to_sample() -> None:
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(120):
        came_true = rng.random(1000) < 0.2
        probabilities = 1 / (1 + np.exp(-rng.normal(loc=came_true)))
        weights = np.ones(1000)

        def score(
            kept: Places, p: Floats = probabilities, y: NDArray[np.bool_] = came_true, w: Floats = weights
        ) -> Mapping[str, float]:
            return {"auc": auc(ranked(p[kept], y[kept], w[kept]))}

        values.append(score(np.arange(1000))["auc"])
        errors.append(deviations(score, 1000)["auc"])

    # Both sides are estimates: of 120 samples to 6 %, of 20 groups to 16 % each.
    assert 0.85 < np.mean(errors) / np.std(values) < 1.15
