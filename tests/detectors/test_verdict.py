import numpy as np

from sidecar.detectors.verdict import beyond, unlikely

NAN = np.nan


def test_what_is_not_known_has_not_drifted() -> None:
    statistic = np.array([0.1, 0.2, NAN])

    assert beyond(statistic, 0.1).drifted.tolist() == [False, True, False]
    assert unlikely(statistic, np.array([0.5, 0.001, NAN]), 0.01).drifted.tolist() == [False, True, False]


def test_drift_by_p_values_is_a_verdict_on_all_features_together() -> None:
    p_values = np.array([0.009, 0.5, 0.6, NAN])

    assert unlikely(p_values, p_values, 0.01).drifted.tolist() == [False] * 4
    assert unlikely(p_values[:1], p_values[:1], 0.01).drifted.tolist() == [True]
