import numpy as np
import pytest
from numpy.random import Generator, default_rng
from scipy import stats

from sidecar.detectors.contrast import MAX_PAIRS, Contrast, Contrasts
from sidecar.stats.moments import Floats

FEATURES = np.array([0, 0, 1, 2, 3])


def drawn(rng: Generator, n: int, correlations: Floats) -> Floats:
    """Rows of a 1 and normal columns."""
    k = len(correlations)
    return np.column_stack([np.ones(n), rng.multivariate_normal(np.zeros(k), correlations, n, method="cholesky")])


def pair(rho: float, k: int = 4) -> Floats:
    correlations = np.eye(k)
    correlations[0, 1] = correlations[1, 0] = rho
    return correlations


def learned(before: Floats, after: Floats, m: int = 20_000, n: int = 20_000) -> Contrast | None:
    rng, k = default_rng(1), len(before)
    rows = drawn(rng, n, after)
    return Contrasts(drawn(rng, m, before), np.r_[0, :k]).of(rows.T @ rows, n)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.5), (0.8, 0.0), (0.3, -0.6)])
def test_the_score_is_nearly_the_likelihood_ratio(before: float, after: float) -> None:
    contrast = learned(pair(before), pair(after))
    assert contrast is not None
    rows = drawn(default_rng(2), 5000, pair(after))
    one, two = (stats.multivariate_normal(cov=pair(rho)).logpdf(rows[:, 1:]) for rho in (before, after))

    assert np.corrcoef(contrast.score(rows), two - one)[0, 1] > 0.99


def test_a_change_hidden_by_what_all_features_share_is_seen_beside_it() -> None:
    common = np.full((4, 4), 0.7) + 0.3 * np.eye(4)
    changed = common.copy()
    changed[0, 1] = changed[1, 0] = 0.85
    contrast = learned(common, changed)
    assert contrast is not None
    rows = drawn(default_rng(3), 5000, changed)
    one, two = (stats.multivariate_normal(cov=c).logpdf(rows[:, 1:]) for c in (common, changed))

    assert np.corrcoef(contrast.score(rows), two - one)[0, 1] > 0.98


def test_the_pair_that_moved_is_named_with_its_correlations() -> None:
    contrast = learned(pair(0.2), pair(0.6))
    assert contrast is not None

    assert contrast.pairs.tolist() == [[1, 2]]
    assert contrast.before[0] == pytest.approx(0.2, abs=0.02)
    assert contrast.after[0] == pytest.approx(0.6, abs=0.02)
    assert contrast.surprise[0] > 30


@pytest.mark.parametrize("n", [128, 4000])
def test_the_same_dependence_is_no_contrast_but_for_rare_chance(n: int) -> None:
    rng, found = default_rng(4), 0
    for _ in range(60):
        contrasts = Contrasts(drawn(rng, 1000, np.eye(20)), np.r_[0, :20])
        rows = drawn(rng, n, np.eye(20))
        found += contrasts.of(rows.T @ rows, n) is not None
    assert found <= 6


def test_two_columns_of_one_feature_are_no_pair() -> None:
    rng = default_rng(5)
    contrasts = Contrasts(drawn(rng, 2000, np.eye(4)), np.array([0, 0, 0, 1, 2]))
    rows = drawn(rng, 2000, pair(0.9))

    assert contrasts.of(rows.T @ rows, 2000) is None


@pytest.mark.parametrize(("shift", "scale"), [(0.6, 1.0), (0.0, 1.5), (-2.0, 0.4)])
def test_a_margin_that_moves_is_no_contrast(shift: float, scale: float) -> None:
    rng = default_rng(6)

    def rows(shift: float, scale: float) -> Floats:
        z = drawn(rng, 4000, pair(0.5, k=2))[:, 1:]
        x = shift + scale * z[:, 0]
        return np.column_stack([np.ones(4000), x, z[:, 1], (x**2 - 1) / 2**0.5])

    now = rows(shift, scale)

    assert Contrasts(rows(0, 1), np.array([0, 0, 1, 0])).of(now.T @ now, 4000) is None


def test_everything_moving_at_once_is_bounded() -> None:
    contrast = learned(np.eye(12), np.full((12, 12), 0.9) + 0.1 * np.eye(12))
    assert contrast is not None

    assert contrast.pairs.shape == (MAX_PAIRS, 2)
    assert contrast.directions.shape[1] == len(contrast.weights) <= 2 * MAX_PAIRS
    assert (np.diff(contrast.surprise) <= 0).all()


@pytest.mark.parametrize(
    ("sample", "window"),
    [
        (np.ones((50, 1)), np.ones((20, 1))),
        (np.ones((50, 4)), np.ones((20, 4))),
        (
            np.tile([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0]], (30, 1)),
            np.tile([[1.0, 1.0, -1.0], [1.0, -1.0, 1.0]], (30, 1)),
        ),
        (np.tile([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0]], (30, 1)), np.ones((1, 3))),
    ],
)
def test_degenerate_rows_give_numbers_or_nothing(sample: Floats, window: Floats) -> None:
    contrast = Contrasts(sample, np.r_[0, : sample.shape[1] - 1]).of(window.T @ window, len(window))

    assert contrast is None or np.isfinite(contrast.score(sample)).all()
