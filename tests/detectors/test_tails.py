import numpy as np
import pytest
from scipy import special, stats

from sidecar.detectors.tails import chi_squared_tail, kolmogorov_tail


@pytest.mark.parametrize("x", [0.0, 0.1, 0.15, 0.2, 0.5, 0.8, 0.999, 1.0, 1.001, 1.36, 2.0, 3.0, 5.0])
def test_kolmogorov_s_tail_is_scipy_s(x: float) -> None:
    np.testing.assert_allclose(kolmogorov_tail(x), special.kolmogorov(x), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 19, 100, 1000])
@pytest.mark.parametrize("ratio", [0.0, 1e-9, 0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 5.0, 30.0])
def test_the_chi_squared_tail_is_scipy_s(freedom: int, ratio: float) -> None:
    x = freedom * ratio

    np.testing.assert_allclose(chi_squared_tail(x, freedom), stats.chi2.sf(x, freedom), rtol=1e-9, atol=1e-13)


def test_a_statistic_beyond_all_measure_has_no_tail() -> None:
    assert chi_squared_tail(1e9, 19) == 0.0
    assert kolmogorov_tail(1e9) == 0.0
