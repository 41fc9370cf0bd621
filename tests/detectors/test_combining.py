import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad

from sidecar.detectors.combining import adjusted, e_bh
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
