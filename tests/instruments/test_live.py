import pytest

from sidecar.instruments.live import live_measures
from sidecar.stats.traffic import Labels, Traffic
from tests.instruments.rig import OK, grading, labelled, traffic_of


def test_of_each_version_all_series_are_one() -> None:
    failed = OK._replace(status=503)
    refused = OK._replace(status=0, error_type="connect_failed")
    other = Labels("challenger", "4", "POST", "/infer", 200, "")
    told = live_measures(traffic_of((OK, 0.1), (OK, 0.1), (failed, 0.1), (refused, 0.1), (other, 0.4)), None)
    assert set(told) == {("champion", "3"), ("challenger", "4")}
    champion = told["champion", "3"]
    assert (champion["requests"], champion["error_ratio"]) == (4.0, 0.5)
    assert champion["duration_p50_s"] == pytest.approx(0.1, rel=0.1)
    assert told["challenger", "4"]["duration_p99_s"] == pytest.approx(0.4, rel=0.1)


def test_a_client_at_fault_is_no_error_and_requests_of_no_variant_are_nobodys() -> None:
    told = live_measures(traffic_of((OK._replace(status=404), 0.1), (Labels("", "", "GET", "", 400, ""), 0.1)), None)
    assert told["champion", "3"]["error_ratio"] == 0.0
    assert len(told) == 1


def test_quality_stands_beside_it() -> None:
    told = live_measures(
        traffic_of((OK, 0.1)), grading(labelled(300), labelled(200, variant="challenger", version="4"))
    )
    assert told["champion", "3"]["labelled_rows"] == 300.0
    assert 0.5 < told["champion", "3"]["quality.accuracy"] < 1
    assert told["challenger", "4"]["labelled_rows"] == 200.0
    assert "requests" not in told["challenger", "4"]


def test_nothing_is_undefined() -> None:
    assert live_measures(Traffic(max_series=10), None) == {}
    told = live_measures(traffic_of((OK, 0.1)), grading(labelled(2)))
    assert all(value == value for each in told.values() for value in each.values())  # noqa: PLR0124  (NaN is not)
