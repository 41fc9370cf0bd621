import math

import numpy as np

from sidecar.experiments.guardrails import Drift, Saturation
from sidecar.experiments.measures import Lost, Predicted


def test_drift_reads_predictions_and_leaves_out_what_is_none() -> None:
    found = Drift().values("champion", Predicted(np.array([1.0, math.nan, math.inf, 1e300])))

    np.testing.assert_array_equal(found, [1.0, math.nan, math.nan, math.nan])
    assert Drift().values("champion", Lost(np.ones(1))) is None


def test_drift_is_judged_by_bins() -> None:
    judged = Drift(margin=0.2).judged

    assert (judged.name, judged.margin, judged.binned, judged.most) == ("drift", 0.2, True, 1.0)


def test_saturation_has_a_name() -> None:
    assert Saturation(in_flight=8).name == "saturation"
