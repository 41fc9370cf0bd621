import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import false_discovery_control

from sidecar.detectors.combining import adjusted, benjamini_hochberg, e_bh
from sidecar.stats.moments import Floats


@pytest.mark.parametrize(
    ("values", "level", "named"),
    [
        ([39.0, 1, 1, 1], 0.1, [0, 0, 0, 0]),
        ([40.0, 1, 1, 1], 0.1, [1, 0, 0, 0]),
        ([20.0, 20, 1, 1], 0.1, [1, 1, 0, 0]),
        ([15.0, 1, 14, 14], 0.1, [1, 0, 1, 1]),
        ([np.nan, 40, 0, 0], 0.1, [0, 1, 0, 0]),
        ([], 0.1, []),
    ],
)
def test_e_bh_by_hand(values: list[float], level: float, named: list[int]) -> None:
    with np.errstate(divide="ignore"):
        nats = np.log(np.array(values))
    assert e_bh(nats, level).tolist() == [bool(n) for n in named]


@given(arrays(np.float64, 6, elements=st.floats(-5, 12)), st.integers(0, 5))
def test_more_evidence_names_no_fewer(nats: Floats, which: int) -> None:
    more = nats.copy()
    more[which] += 1
    assert (e_bh(more, 0.1) >= e_bh(nats, 0.1)).all()


@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)), st.sampled_from([0.01, 0.1, 0.5]))
def test_the_features_named_by_p_values_are_scipy_s(p_values: Floats, level: float) -> None:
    adjusted_p = false_discovery_control(p_values)
    clear = np.abs(adjusted_p - level) > 1e-12  # where rounding does not decide

    named = benjamini_hochberg(p_values, level)

    assert named[clear].tolist() == (adjusted_p <= level)[clear].tolist()


@pytest.mark.parametrize(
    ("p_values", "named"),
    [
        ([], []),
        ([np.nan, np.nan], [0, 0]),
        ([0.1], [1]),
        ([0.1, np.nan], [1, 0]),
        ([0.1, 0.9], [0, 0]),
        ([0.1, 0.1], [1, 1]),
        ([0.1, 0.06, np.nan, 0.0], [1, 1, 0, 1]),
    ],
)
def test_benjamini_hochberg_by_hand(p_values: list[float], named: list[int]) -> None:
    assert benjamini_hochberg(np.array(p_values), 0.1).tolist() == [bool(n) for n in named]


def test_of_those_named_by_p_values_few_are_unchanged() -> None:
    rng, wrong = np.random.default_rng(5), []
    for _ in range(2000):
        p_values = np.r_[rng.random(20), rng.random(5) * 1e-3]
        named = benjamini_hochberg(p_values, 0.2)
        wrong.append(named[:20].sum() / max(1, named.sum()))
    assert np.mean(wrong) <= 0.2 * 20 / 25 + 0.01


def test_the_adjuster_is_admissible_and_increasing() -> None:
    total, _ = quad(lambda s: math.exp(adjusted(np.array([s]))[0] - s), 0, 60)  # s = ln e
    assert 0.9 < total <= 1
    assert (np.diff(adjusted(np.linspace(0, 50, 1000))) > 0).all()


def test_adjusted_maxima_control_false_discoveries() -> None:
    """Betting on fair coins: running maxima reject too often, their adjusted values do not."""
    rng = np.random.default_rng(11)
    paths = np.cumsum(np.log(np.where(rng.random((2000, 200, 4)) < 0.5, 1.5, 0.5)), axis=1).max(axis=1)
    paths = np.maximum(paths, 0)
    plain, careful = (np.mean([e_bh(worth(p), 0.4).any() for p in paths]) for worth in (lambda p: p, adjusted))
    assert careful < 0.4
    assert careful <= plain
