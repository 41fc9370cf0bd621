import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sidecar.detectors.tilts import MAX_RATIO, gaussian_tilts, prior
from sidecar.stats.moments import Floats
from tests.detectors.rig import GAUSSIAN, shifted


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (1, 8), elements=st.floats(0, 1)).filter(lambda s: s.sum() > 0))
def test_tilts_keep_the_mass_and_the_bounds(shares: Floats) -> None:
    shares = shares / shares.sum()
    ratios = gaussian_tilts(shares, np.ones((1, 8), dtype=np.bool_)).ratios
    assert ((ratios >= 1 / MAX_RATIO) & (ratios <= MAX_RATIO)).all()


def test_a_tilt_is_the_shifted_normal_on_the_bins() -> None:
    tilts = gaussian_tilts(np.full((1, 10), 0.1), np.ones((1, 10), dtype=np.bool_))
    ratios = tilts.ratios[0, :, tilts.names.index("location +0.6 sd")]
    np.testing.assert_allclose(ratios * 0.1, shifted(0.6), rtol=1e-9)


def test_the_prior_is_one_in_all_and_spares_gaussians_for_categories() -> None:
    ordered = np.array([[True] * 4, [False] * 4])
    weights = np.exp(prior(np.full((2, 4), 0.25), ordered, np.ones((2, 4), dtype=np.bool_), 3))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights[1, :GAUSSIAN].sum() == 0


def test_a_bin_that_is_next_to_empty_has_next_to_no_bet_on_its_odds() -> None:
    shares = np.array([[0.5, 0.5, 1e-5]])
    weights = np.exp(prior(shares, np.zeros((1, 3), dtype=np.bool_), np.ones((1, 3), dtype=np.bool_), 3))
    full, empty = weights[0, GAUSSIAN : GAUSSIAN + 4], weights[0, GAUSSIAN + 8 : GAUSSIAN + 12]
    np.testing.assert_allclose(empty, full / 100)
