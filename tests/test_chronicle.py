import asyncio
from collections.abc import Callable
from math import nan

import numpy as np
import pytest

from sidecar.chronicle import COPIED, Chronicle, until_next
from sidecar.stats.history import Past
from sidecar.stats.traffic import Labels, Traffic
from tests.admin.rig import STARTED_S, Sidecar, Trials, follow, learned
from tests.admin.test_experiments import KNOWN, UNKNOWN, standing, verdict
from tests.instruments.rig import grading, labelled

OK = Labels("champion", "3", "POST", "/", 200, "")


def serve(sidecar: Sidecar, labels: Labels, *durations_s: float) -> None:
    for duration_s in durations_s:
        sidecar.traffic.series(labels).add(duration_s, duration_s / 2, 0.0001, 10, 10)


def looked(sidecar: Sidecar, *between: Callable[[], None]) -> Chronicle:
    """Looks every ten seconds, and what happens before each look."""
    chronicle = Chronicle(sidecar.watching, sidecar.traffic, wall_s=sidecar.wall_s)

    async def run() -> None:
        for happen in between:
            happen()
            sidecar.now_s += 10.0
            await chronicle.look()
        assert dict(sidecar.pipeline.failures) == {}

    asyncio.run(run())
    return chronicle


def past(chronicle: Chronicle, of: str, variant: str = "champion", name: str = "") -> Past:
    return chronicle.history.past(of, variant, name, now_s=STARTED_S + 1000)


def told(chronicle: Chronicle, of: str, series: str, variant: str = "champion", name: str = "") -> list[float]:
    """What is known of a series, up to the last number."""
    values = list(past(chronicle, of, variant, name).series[series])
    while values and np.isnan(values[-1]):
        values.pop()
    return values


def nothing() -> None:
    """In these ten seconds nothing happens."""


def test_traffic_is_that_since_the_last_look() -> None:
    sidecar = Sidecar()
    chronicle = looked(
        sidecar,
        lambda: serve(sidecar, OK, *[0.01] * 20),
        nothing,
        lambda: serve(sidecar, OK, *[1.0] * 5),
    )
    assert told(chronicle, "traffic", "requests_per_s") == [2.0, 0.0, 0.5]
    np.testing.assert_allclose(told(chronicle, "traffic", "p50_s"), [0.01, nan, 1.0], rtol=0.05)
    np.testing.assert_allclose(told(chronicle, "traffic", "overhead_p99_s"), [0.0001, nan, 0.0001], rtol=0.05)


def test_errors_are_those_of_the_metrics() -> None:
    sidecar = Sidecar()

    def happen() -> None:
        serve(sidecar, OK, *[0.01] * 6)
        serve(sidecar, OK._replace(status=404), 0.01)
        serve(sidecar, OK._replace(status=503), 0.01)
        serve(sidecar, OK._replace(status=0, error_type="connect_failed"), 0.01, 0.01)

    assert told(looked(sidecar, happen), "traffic", "errors_ratio") == [pytest.approx(0.3, rel=1e-6)]


def test_variants_are_told_apart_and_refusals_are_of_none() -> None:
    sidecar = Sidecar()

    def happen() -> None:
        for variant, count in (("champion", 1), ("b", 2), ("", 4)):
            serve(sidecar, OK._replace(variant=variant), *[0.01] * count)

    chronicle = looked(sidecar, happen)
    assert {key.variant for key in chronicle.history.kept} == {"champion", "b"}
    assert told(chronicle, "traffic", "requests_per_s", "b") == [pytest.approx(0.2)]


def test_of_many_series_all_count() -> None:
    sidecar = Sidecar()
    sidecar.traffic = Traffic(max_series=10 * COPIED)

    def happen() -> None:
        for place in range(3 * COPIED + 1):
            serve(sidecar, OK._replace(route=str(place)), 0.01)

    assert told(looked(sidecar, happen), "traffic", "requests_per_s") == [pytest.approx((3 * COPIED + 1) / 10)]


def test_drift_of_every_column_and_the_greatest_are_kept() -> None:
    sidecar = Sidecar()
    following = sidecar.watch(learned())
    chronicle = looked(sidecar, lambda: follow(following, 100), lambda: follow(following, 100, shift=2.0))

    columns = {each.name: each for each in following.columns("champion")}
    assert past(chronicle, "drift", name="amount").series.keys() == {"evidence_nats", "psi"}
    for name, column in columns.items():
        assert told(chronicle, "drift", "evidence_nats", name=name)[-1] == pytest.approx(column.nats, rel=1e-6)
        assert told(chronicle, "drift", "psi", name=name)[-1] == pytest.approx(
            column.statistics["psi"].statistic, rel=1e-6
        )
    greatest = max(column.nats or 0.0 for column in columns.values())
    assert told(chronicle, "evidence", "evidence_nats")[-1] == pytest.approx(greatest, rel=1e-6)


def test_before_the_first_row_there_is_no_drift() -> None:
    sidecar = Sidecar()
    sidecar.watch(learned())
    assert past(looked(sidecar, nothing), "drift", name="amount") == ([], {})


def test_quality_of_every_version_is_kept_and_that_which_serves_is_the_first_to_be_told() -> None:
    sidecar = Sidecar()
    sidecar.judge(grading(labelled(300, wrong=0.4, version="4"), labelled(300, wrong=0.0, version="3")), None)
    truth = sidecar.watching.truth
    assert truth is not None
    assert truth.grading is not None
    chronicle = looked(sidecar, nothing)

    latest = dict(key for key, _ in truth.grading.versions.latest())["champion"]
    values = {version: grade.window.scores["f1"].value for (_, version), grade in truth.grading.grades.items()}
    assert set(values) == {"3", "4"}
    assert told(chronicle, "quality", "value", name="f1") == [pytest.approx(values[latest], rel=1e-6)]


def test_experiments_are_kept_by_challenger_and_measure() -> None:
    sidecar = Sidecar()
    found = standing(verdict(KNOWN), verdict(UNKNOWN, measure="auc"))
    sidecar.watching.trials = Trials({"experiment": found, "rollout": standing(verdict(UNKNOWN))})  # type: ignore[assignment]  # to be read
    chronicle = looked(sidecar, nothing)

    numbers = {name: values[0] for name, values in past(chronicle, "experiments", "b", "b/errors").series.items()}
    assert numbers == pytest.approx({"estimate": 0.007, "low": 0.003, "high": 0.011}, rel=1e-6)
    unknown = past(chronicle, "experiments", "b", "b/auc").series
    assert all(np.isnan(values).all() for values in unknown.values())


def test_what_fails_is_counted_and_keeps_nothing_else_from_being_noted(caplog: pytest.LogCaptureFixture) -> None:
    sidecar = Sidecar()
    serve(sidecar, OK, 0.01)
    sidecar.watching.truth = 3  # type: ignore[assignment]  # has nothing that is asked of it
    follow(sidecar.watch(learned()), 100)
    chronicle = Chronicle(sidecar.watching, sidecar.traffic, wall_s=sidecar.wall_s)
    asyncio.run(chronicle.look())

    assert sidecar.pipeline.failures["internal"] == 1
    assert {key.of for key in chronicle.history.kept} == {"traffic", "evidence", "drift"}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("now_s", "wait_s"),
    [(0.0, 5.0), (4.9, 10.1), (4.9999, 10.0001), (5.0, 10.0), (5.1, 9.9), (9.0, 6.0), (10.0, 5.0), (STARTED_S, 5.0)],
)
def test_it_looks_in_the_middle_of_every_step_and_once(now_s: float, wait_s: float) -> None:
    assert until_next(now_s) == pytest.approx(wait_s)
