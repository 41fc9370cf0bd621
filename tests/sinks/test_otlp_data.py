from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sidecar.records import Attributes, Buckets, Event, Kind, Metric, Report, Severity
from sidecar.sinks.otlp_data import changes, log_records


def metric(kind: Kind, *points: tuple[Attributes, float | Buckets]) -> Metric:
    return Metric(kind, "s", kind, kind, list(points))


def report(time_s: float, *metrics: Metric) -> Report:
    return Report(100.0, time_s, metrics)


def test_what_only_grows_is_told_as_its_growth_and_the_rest_as_it_is() -> None:
    before = report(
        110.0,
        metric("counter", ({"a": 1}, 3), ({"a": 2}, 5), ({"b": 1, "c": 2}, 7)),
        metric("up_down", ({}, 4)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 4), 9.0))),
    )
    after = report(
        120.0,
        metric("counter", ({"a": 1}, 10), ({"a": 2}, 5), ({"a": 3}, 1), ({"c": 2, "b": 1}, 8)),
        metric("up_down", ({}, 3)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 6), 12.5))),
    )
    assert changes(after, before) == [
        metric("counter", ({"a": 1}, 7), ({"a": 3}, 1), ({"c": 2, "b": 1}, 1)),
        metric("up_down", ({}, 3)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), [0, 2], 3.5))),
    ]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), min_size=2))
def test_differences_add_up_to_the_last_report(steps: list[dict[str, int]]) -> None:
    totals: dict[str, int] = {}
    reports = []
    for step in steps:
        totals = totals | {key: totals.get(key, 0) + more for key, more in step.items()}
        reports.append(report(0.0, metric("counter", *[({"k": key}, value) for key, value in totals.items()])))
    summed = {str(at["k"]): value for at, value in reports[0].metrics[0].points}
    for before, after in pairwise(reports):
        for at, value in changes(after, before)[0].points:
            assert isinstance(value, int)
            summed[str(at["k"])] = summed.get(str(at["k"]), 0) + value  # type: ignore[operator]  # counters are numbers
    assert summed == totals


def event(severity: Severity = "info", body: str = "", **attributes: str | float | bool) -> Event:
    return Event("sidecar.alert", 1_700_000_000.5, severity, body, attributes)


@pytest.mark.parametrize(("severity", "number"), [("info", 9), ("warning", 13), ("critical", 21)])
def test_a_severity_has_its_word_and_its_rank(severity: Severity, number: int) -> None:
    [told] = log_records([event(severity)], Resource.get_empty(), "1.2.3")
    assert told.log_record.severity_number is not None
    assert (told.log_record.severity_text, told.log_record.severity_number.value) == (severity, number)


def test_an_event_is_a_log_record_with_a_name_in_our_scope() -> None:
    [told] = log_records([event(body="amount drifts", rows=3)], Resource({"service.name": "scorer"}), "1.2.3")
    record = told.log_record
    assert (record.event_name, record.body, record.attributes) == ("sidecar.alert", "amount drifts", {"rows": 3})
    assert (record.timestamp, record.observed_timestamp) == (1_700_000_000_500_000_000, 1_700_000_000_500_000_000)
    assert told.instrumentation_scope == InstrumentationScope("sidecar", "1.2.3")
    assert told.resource == Resource({"service.name": "scorer"})


@given(st.text(st.characters()))
def test_no_text_of_a_payload_can_spoil_a_batch(text: str) -> None:
    records = log_records([event(body=text, feature=text)], Resource.get_empty(), "1.2.3")
    [told] = encode_logs(records).resource_logs[0].scope_logs[0].log_records
    readable = text.encode("utf-8", "backslashreplace").decode()
    assert (told.body.string_value, told.attributes[0].value.string_value) == (readable, readable)


def test_a_lone_surrogate_is_told_as_its_escape() -> None:
    [told] = log_records([event(body="\ud800")], Resource.get_empty(), "1.2.3")
    assert told.log_record.body == r"\ud800"
