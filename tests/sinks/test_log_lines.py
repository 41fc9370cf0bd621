import json
from math import inf, nan

import orjson
import pytest
from hypothesis import given
from hypothesis.strategies import booleans, dictionaries, floats, integers, sampled_from, text

from sidecar.records import Event, Level
from sidecar.sinks.log_lines import line
from sidecar.texts import encodable
from sidecar.trace_context import Trace

TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error", "critical")


def test_a_line_of_the_log_has_its_time_logger_and_message() -> None:
    event = Event("", 1_700_000_000.9876, "warning", "it fails", {"code.line.number": 7}, "sidecar.app", TRACE)
    assert json.loads(line(event)) == {
        "time": "2023-11-14T22:13:20.987Z",
        "severity": "warning",
        "logger": "sidecar.app",
        "message": "it fails",
        "trace_id": TRACE.trace_id,
        "span_id": TRACE.span_id,
    }


def test_an_event_has_all_its_attributes() -> None:
    event = Event("sidecar.alert", 1.0, "critical", "it drifts", {"rows": 3, "share": 0.5, "told": True, "at": "x"})
    assert json.loads(line(event)) == {
        "time": "1970-01-01T00:00:01.000Z",
        "severity": "critical",
        "logger": "sidecar",
        "message": "it drifts",
        "event": "sidecar.alert",
        "attributes": {"rows": 3, "share": 0.5, "told": True, "at": "x"},
    }


def test_an_exception_is_one_text() -> None:
    told = json.loads(line(Event("", 1.0, "error", "m", {"exception.stacktrace": "Traceback\n  one\n", "a": 1})))
    assert told["exception"] == "Traceback\n  one\n"
    assert "attributes" not in told


def test_numbers_that_json_cannot_spell_are_null() -> None:
    told = json.loads(line(Event("e", 1.0, "info", "m", {"a": nan, "b": inf, "c": -inf, "d": 1.5, "e": 10**400})))
    assert told["attributes"] == {"a": None, "b": None, "c": None, "d": 1.5, "e": 10**400}


@given(
    text(),
    text(),
    sampled_from(LEVELS),
    dictionaries(text(), text() | integers() | floats() | booleans()),
    floats(0.0, 4e9),
)
def test_whatever_is_told_is_one_line_that_a_strict_reader_takes(
    body: str, scope: str, level: Level, attributes: dict[str, str | int | float | bool], time_s: float
) -> None:
    told = line(Event("e", time_s, level, body, attributes, scope))
    assert told.isascii()
    assert told.splitlines() == [told]
    assert json.loads(told)["message"] == encodable(body)
    if all(isinstance(each, str | float) or abs(each) < 2**63 for each in attributes.values()):
        assert orjson.loads(told)["logger"] == encodable(scope)


@pytest.mark.parametrize("time_s", [nan, inf, -inf, 1e30])
def test_a_time_that_no_calendar_has_is_null(time_s: float) -> None:
    assert json.loads(line(Event("e", time_s, "info", "m", {})))["time"] is None


def test_a_lone_surrogate_is_told_as_its_escape() -> None:
    told = orjson.loads(line(Event("e", 1.0, "info", "a\ud800b\u2028\n", {"\ud800": "\udfff"})))
    assert (told["message"], told["attributes"]) == ("a\\ud800b\u2028\n", {"\\ud800": "\\udfff"})
