import numpy as np

from sidecar.detectors.missing import MissingShare
from tests.detectors.rig import tally


def test_the_difference_of_the_shares_is_told() -> None:
    then = tally([9], [9], [1], [0], missing=[1, 1, 9, 0])
    now = tally([8], [5], [8], [5], missing=[2, 5, 2, 5])

    found = MissingShare(threshold=0.1).check(then, now)

    np.testing.assert_allclose(found.statistic, [0.1, 0.4, -0.7, np.nan], atol=1e-12)
    assert found.drifted.tolist() == [False, True, False, False]
