import numpy as np

from sidecar.detectors.missing import MissingShare
from sidecar.stats.tally import Tally


def tally(present: list[int], missing: list[int]) -> Tally:
    return Tally(np.array(present)[:, None], np.array(missing), np.ones(len(present), dtype=np.bool_))


def test_the_difference_of_the_shares_is_told() -> None:
    found = MissingShare(threshold=0.1).check(tally([9, 9, 1, 0], [1, 1, 9, 0]), tally([8, 5, 8, 5], [2, 5, 2, 5]))

    np.testing.assert_allclose(found.statistic, [0.1, 0.4, -0.7, np.nan], atol=1e-12)
    assert found.drifted.tolist() == [False, True, False, False]
