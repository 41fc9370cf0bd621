import numpy as np
import pytest

from sidecar.detectors.distance import LInfinity
from tests.detectors.rig import tally


# By hand, from Deequ's public formula: max(0, D - 1.8 sqrt((n + m) / (n m))).
@pytest.mark.parametrize(
    ("past", "now", "simple", "robust"),
    [
        ([50, 50], [80, 20], 0.3, 0.3 - 1.8 * (200 / 10_000) ** 0.5),
        ([5000, 5000], [800, 200], 0.3, 0.3 - 1.8 * (11_000 / 10_000_000) ** 0.5),
        ([5, 5], [8, 2], 0.3, 0.0),
        ([100, 0, 0], [0, 0, 100], 1.0, 1 - 1.8 * (200 / 10_000) ** 0.5),
        ([1, 1, 1], [1, 1, 1], 0.0, 0.0),
    ],
)
def test_the_distance_is_deequ_s(past: list[int], now: list[int], simple: float, robust: float) -> None:
    reference, current = tally(past), tally(now)

    told = {method: LInfinity(method=method).check(reference, current).statistic for method in ("Simple", "Robust")}

    np.testing.assert_allclose(told["Simple"], [simple], atol=1e-12)
    np.testing.assert_allclose(told["Robust"], [robust], atol=1e-12)


def test_categories_are_compared_as_they_are() -> None:
    comparison = LInfinity().check(tally([5, 5], ordered=False), tally([8, 2], ordered=False))

    np.testing.assert_allclose(comparison.statistic, [0.3])
    assert comparison.drifted.tolist() == [True]


def test_above_the_threshold_is_drift() -> None:
    comparison = LInfinity(threshold=0.3, method="Simple").check(tally([50, 50], [50, 50]), tally([75, 25], [90, 10]))

    assert comparison.drifted.tolist() == [False, True]
    assert comparison.limit.tolist() == [0.3, 0.3]
    assert np.isnan(comparison.p_value).all()
