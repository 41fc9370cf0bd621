import math
from typing import get_args

import numpy as np
import pytest

from sidecar.instruments.drift import watch_metrics
from sidecar.monitors.data import Data
from sidecar.records import Table
from sidecar.reference.checks import Check
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from tests.instruments.rig import BROKEN, attributes, by_name, drifted, numbers


def test_drift_is_told_by_column() -> None:
    names = ("amount", "age", "hour")
    metrics = by_name(watch_metrics(drifted(names), {}, max_series=100))
    champion = {"feature_flag.result.variant": "champion"}
    assert metrics["sidecar.drift.rows"].points == [(champion, 200)]
    assert metrics["sidecar.drift.columns"].points == [
        ({**champion, "sidecar.subject": "features"}, 1),
        ({**champion, "sidecar.subject": "predictions"}, 0),
    ]
    assert attributes(metrics["sidecar.drift.evidence"]) == [{**champion, "sidecar.column": name} for name in names]
    statistics = metrics["sidecar.drift.statistic"].points
    assert [at for at, _ in statistics] == [
        {**champion, "sidecar.column": name, "sidecar.detector": "psi"} for name in names
    ]
    assert [isinstance(value, float) and value > 0.25 for _, value in statistics] == [True, False, False]


def test_where_nothing_is_watched_nothing_is_told_of_drift() -> None:
    assert all(metric.points == [] for metric in watch_metrics(None, {}, max_series=100))


@pytest.mark.parametrize(("limit", "told"), [(0, 0), (3, 3), (7, 7), (8, 8), (21, 8)])
def test_drift_is_bounded_by_the_limit_of_series(limit: int, told: int) -> None:
    following = drifted(("a", "b", "c", "d"), ("champion", "challenger"))
    metrics = by_name(watch_metrics(following, {}, max_series=limit))
    assert len(metrics["sidecar.drift.evidence"].points) == told
    assert len(metrics["sidecar.drift.statistic"].points) == told
    [(_, omitted)] = metrics["sidecar.drift.omitted"].points
    # Bins have a test of their own; of no column all of them fit.
    assert metrics["sidecar.drift.bin.rows"].points == []
    assert omitted == 2 * (8 - told) + 4 * 3 * 11
    assert len(metrics["sidecar.drift.rows"].points) == 2


def test_a_column_that_is_no_text_is_told_as_its_escape_and_what_is_no_number_is_left_out() -> None:
    odd = ("\udc80", "b\ud800")
    following = drifted(odd)
    following.count("challenger", "", Table((), np.empty((5, 0))), Table((), np.empty((5, 0))))
    metrics = by_name(watch_metrics(following, {}, max_series=99))
    columns = {at["sidecar.column"] for at in attributes(metrics["sidecar.drift.evidence"])}
    assert columns == {"\\udc80", "b\\ud800"}
    values = [value for metric in metrics.values() for _, value in metric.points]
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def test_violations_are_counted_by_check_and_those_that_are_mended_are_zero() -> None:
    broken = {"champion": [BROKEN, BROKEN._replace(feature="age"), BROKEN._replace(check="range_check")], "b": []}
    points = by_name(watch_metrics(None, broken, max_series=100))["sidecar.violations"].points
    told = {(at["feature_flag.result.variant"], at["sidecar.check"]): value for at, value in points}
    assert set(told) == {(variant, check) for variant in broken for check in get_args(Check)}
    assert {key: value for key, value in told.items() if value} == {
        ("champion", "completeness_check"): 2,
        ("champion", "range_check"): 1,
    }


def test_rows_are_counted_since_the_reference_was_taken_up_whatever_was_saved() -> None:
    """A count that goes on from a saved state would go back by what was not saved."""
    learner = Learner()
    learner.update(numbers(1000, 0.0, ("amount", "age")))
    reference = Reference(learner.profiles(), suggested(learner.profiles()))
    earlier, later = (Data().follow(reference, since_s) for since_s in (None, 1000.0))
    earlier.count("champion", "3", numbers(200, 0.0, ("amount", "age")), Table((), np.empty((200, 0))))
    earlier.judge(1e9)
    assert later.restore(earlier.state())

    assert later.variants["champion"].rows == 200
    for following, expected in ((earlier, 200), (later, 0)):
        metrics = by_name(watch_metrics(following, {}, max_series=100))
        rows, bins = metrics["sidecar.drift.rows"], metrics["sidecar.drift.bin.rows"]
        assert [value for _, value in rows.points] == [expected]
        assert sum(value for at, value in bins.points if at["sidecar.column"] == "age") == expected  # type: ignore[misc]  # counts
        assert (rows.since_s, bins.since_s) == (following.since_s, following.since_s)
