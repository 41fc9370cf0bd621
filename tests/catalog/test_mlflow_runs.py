from math import inf, nan

import pytest

from sidecar.catalog.mlflow_replies import Metric, RunData, RunDocument, RunInfo, Tag
from sidecar.catalog.mlflow_runs import BATCH, as_metrics, batches, live_points, nameable, read_run, status_of
from sidecar.entries import Point


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("RUNNING", "running"),
        ("SCHEDULED", "running"),
        ("FINISHED", "finished"),
        ("FAILED", "failed"),
        ("KILLED", "failed"),
        ("", "running"),
        ("LATER", "running"),
    ],
)
def test_every_word_of_mlflow_is_one_of_ours(word: str, expected: str) -> None:
    assert status_of(RunDocument(RunInfo("r", status=word))) == expected


def test_points_come_out_oldest_first_and_at_one_time_as_they_were() -> None:
    found = [Metric("a", 1.0, 2000, 2), Metric("a", 2.0, 1000, 1), Metric("b", 3.0, 1000, 7)]
    run = read_run(RunDocument(RunInfo("r")), "fraud", found)
    assert run.points == [Point("a", 1, 2.0, 1.0), Point("b", 7, 3.0, 1.0), Point("a", 2, 1.0, 2.0)]


def test_a_run_that_runs_has_not_ended_whatever_its_time_says() -> None:
    assert read_run(RunDocument(RunInfo("r", status="RUNNING", end_time=5)), "fraud", ()).ended_s is None


def test_a_parameter_that_mlflow_has_already_goes_into_a_tag_unless_it_says_the_same() -> None:
    known = RunData(params=[Tag("a", "1"), Tag("b", "1"), Tag("c", "1")], tags=[Tag("sidecar.parameter.c", "2")])
    (batch,) = batches(RunDocument(RunInfo("r"), known), {"a": "1", "b": "2", "c": "2", "d": "1"}, [], {})
    assert batch["params"] == [{"key": "d", "value": "1"}]
    assert batch["tags"] == [{"key": "sidecar.parameter.b", "value": "2"}]


def test_a_parameter_may_change_back() -> None:
    known = RunData(params=[Tag("c", "1")], tags=[Tag("sidecar.parameter.c", "2")])
    (batch,) = batches(RunDocument(RunInfo("r"), known), {"c": "1"}, [], {})
    assert batch["tags"] == [{"key": "sidecar.parameter.c", "value": "1"}]
    assert dict(read_run(RunDocument(RunInfo("r"), known), "fraud", ()).parameters) == {"c": "2"}


def test_nothing_to_say_is_no_request() -> None:
    assert list(batches(RunDocument(RunInfo("r")), {}, [], {})) == []


def test_requests_hold_no_more_than_mlflow_takes_and_nothing_is_lost() -> None:
    points = [Point("m", step, 0.0, 0.0) for step in range(1700)]
    parameters, artefacts = {str(n): "" for n in range(90)}, {str(n): "" for n in range(50)}
    sent = list(batches(RunDocument(RunInfo("r")), parameters, points, artefacts))
    sizes = [[len(list(map(str, each[name]))) for name in ("params", "tags", "metrics")] for each in sent]  # type: ignore[call-overload]  # they are lists
    assert sizes == [[40, 40, 800], [40, 10, 800], [10, 0, 100]]
    assert sum(BATCH) <= 1000


def test_values_are_spelled_as_protobuf_has_them() -> None:
    told = [each["value"] for each in as_metrics(Point("m", 0, value, 0.0) for value in (nan, inf, -inf, 0.5))]
    assert told == ["NaN", "Infinity", "-Infinity", 0.5]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("f1", "f1"),
        ("psi{amount}", "psi_amount_"),
        ("a/b c:d-e.f", "a/b c:d-e.f"),
        ("größe", "größe"),
        ("/a", "_a"),
        ("../a", "_a"),
        ("a//b", "a/_b"),
        ("a/./b", "a/_b"),
        ("a/", "a_"),
        (".", "_"),
    ],
)
def test_a_name_becomes_one_that_mlflow_takes(name: str, expected: str) -> None:
    assert nameable(name) == expected


def test_what_is_undefined_is_no_point() -> None:
    assert live_points({"a": nan, "b": inf}, 1.5) == [Point("b", 1, inf, 1.5)]
