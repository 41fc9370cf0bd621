import numpy as np
import pytest

from sidecar.detectors.betting import log_likelihood_ratios
from sidecar.detectors.tilts import ODDS, SCALES
from tests.detectors.rig import GAUSSIAN, batches_of, build, equal_bins, polya


@pytest.mark.parametrize("alpha", [(3.0, 1.0, 0.5), (20.0, 5.0, 1.0), (300.0, 300.0, 400.0)])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_no_alternative_gains_on_the_urn_on_average(alpha: tuple[float, ...], n: int) -> None:
    detector = build(np.array([[30, 10, 5]]), tolerance=0.0)
    urn = np.array([alpha])
    free = np.array([[[0.2, 1.0, 5.0], [1.5, 0.5, 0.7], [1.0, 1.0, 1.0]]])
    expected = np.zeros(GAUSSIAN + 3 * len(ODDS) + 3)
    for batch in batches_of(n, 3):
        gains = log_likelihood_ratios(detector.fixed, urn, free, batch[None].astype(float), 0.0)[0][0]
        expected += polya(batch, urn[0]) * np.exp(gains)
    assert (expected <= 1 + 1e-9).all()
    assert expected[GAUSSIAN + 12 + 2] == pytest.approx(1.0)  # betting on no change is free


def test_little_is_given_away_when_the_urn_is_large() -> None:
    detector = build(np.array([[300, 300, 400]]), tolerance=0.0)
    urn, free = detector.state.urn, np.ones((1, 3, 3))
    expected = sum(
        polya(batch, urn[0])
        * np.exp(log_likelihood_ratios(detector.fixed, urn, free, batch[None].astype(float), 0.0)[0][0])
        for batch in batches_of(12, 3)
    )
    assert (expected[: len(SCALES) + 10] > 0.98).all()


@pytest.mark.parametrize("tolerance", [0.005, 0.1])
def test_shares_within_the_tolerance_gain_nothing_from_one_row(tolerance: float) -> None:
    detector = build(equal_bins(bins=4), tolerance=tolerance)
    p = detector.state.urn[0] / detector.state.urn[0].sum()
    for signs in ([1, 1, -1, -1], [1, -1, 1, -1], [-1, -1, 1, 1], [-1, 1, 1, -1]):
        near = p * (1 + tolerance * np.array(signs))
        gains = [
            log_likelihood_ratios(detector.fixed, detector.state.urn, np.ones((1, 3, 4)), row[None], tolerance)[0][0]
            for row in np.eye(4)
        ]
        assert (near @ np.exp(gains) <= 1 + 1e-12).all()
