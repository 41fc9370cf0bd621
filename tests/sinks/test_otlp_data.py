import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sidecar.records import Event, Severity
from sidecar.sinks.otlp_data import log_records


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
