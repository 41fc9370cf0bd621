import math
from contextlib import closing

import pytest

from sidecar.catalog.bounds import NAMED
from sidecar.catalog.bounds import POINTS as AT_ONCE
from sidecar.catalog.sqlite import Sqlite
from sidecar.catalog.sqlite_runs import LISTED, POINTS
from sidecar.entries import Point
from sidecar.errors import ConfigError
from tests.catalog.contract import GROUP, NOW_S, log


def test_too_many_points_are_thinned_and_counted_and_the_last_stays() -> None:
    with closing(Sqlite()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        log(catalog, run, Point("once", 0, 0.5, NOW_S))
        for start in range(0, POINTS, AT_ONCE):
            steps = range(start, start + AT_ONCE)
            log(catalog, run, *(Point("loss", step, float(step), NOW_S) for step in steps))
        told = catalog.run(run.id)
        assert [point.step for point in told.points if point.name == "loss"] == list(range(1, POINTS, 2))
        assert told.thinned == POINTS // 2
        assert dict(told.metrics) == {"once": 0.5, "loss": POINTS - 1.0}
        assert dict(catalog.runs(GROUP)[0].metrics) == dict(told.metrics)
        log(catalog, run, Point("loss", POINTS, -1.0, NOW_S))
        assert catalog.run(run.id).metrics["loss"] == -1.0
        assert catalog.run(run.id).thinned == POINTS // 2


def test_too_many_points_at_once_are_refused() -> None:
    with closing(Sqlite()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        with pytest.raises(ConfigError, match="points: expected at most 10000, got 10001"):
            log(catalog, run, *[Point("loss", 0, 0.0, NOW_S)] * (AT_ONCE + 1))


def test_the_last_point_is_the_last_that_was_logged() -> None:
    with closing(Sqlite()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        log(catalog, run, Point("a", 5, 1.0, NOW_S), Point("b", 0, math.nan, NOW_S), Point("a", 2, 2.0, NOW_S))
        [told] = catalog.runs(GROUP)
        assert repr(dict(told.metrics)) == "{'b': nan, 'a': 2.0}"


def test_metrics_are_bounded_over_all_calls() -> None:
    with closing(Sqlite()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        log(catalog, run, *(Point(f"m{n}", 0, 0.0, NOW_S) for n in range(NAMED)))
        with pytest.raises(ConfigError, match="metrics: expected at most 1000, got 1001"):
            log(catalog, run, Point("one more", 0, 0.0, NOW_S))
        log(catalog, run, Point("m1", 1, 1.0, NOW_S))
        assert len(catalog.run(run.id).points) == NAMED + 1


def test_a_run_never_ends_before_it_began() -> None:
    with closing(Sqlite()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        catalog.end(run.id, "failed", now_s=0.0)
        assert catalog.run(run.id).ended_s == NOW_S


def test_a_list_of_runs_ends() -> None:
    with closing(Sqlite()) as catalog:
        for number in range(LISTED + 2):
            catalog.begin(GROUP, str(number), now_s=NOW_S)
        assert [each.name for each in catalog.runs(GROUP)] == [str(number) for number in range(LISTED + 1, 1, -1)]
