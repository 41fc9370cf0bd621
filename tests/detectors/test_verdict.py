import numpy as np

from sidecar.detectors.verdict import beyond, unlikely

NAN = np.nan


def test_what_is_not_known_has_not_drifted() -> None:
    statistic = np.array([0.1, 0.2, NAN])

    assert beyond(statistic, 0.1).drifted.tolist() == [False, True, False]
    assert unlikely(statistic, np.array([0.5, 0.001, NAN]), 0.01).drifted.tolist() == [False, True, False]
