import asyncio
import gc
import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from sidecar.records import JSON, Event
from sidecar.sinks.line_writer import MAX_WAITING
from sidecar.sinks.otlp_logs import OtlpLogsSettings, otlp_logs
from sidecar.sinks.own_log import HELD, MAX_TEXT, OwnLog, as_event, configuration_event, configure, text
from sidecar.trace_context import Trace, under
from tests.sinks.rig import PATIENCE_S, Collector, plain
from tests.sinks.test_otlp_logs import opened, records, settings

TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
EVENT = Event("sidecar.alert", 1.5, "info", "it drifts", {"rows": 3})
log = logging.getLogger("sidecar.some.part")


class Told(io.StringIO):
    """What was written, line by line."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    @property
    def documents(self) -> list[JSON]:
        return [json.loads(each) for each in self.lines]

    @property
    def messages(self) -> list[str]:
        return [each["message"] for each in self.documents]


@contextmanager
def configured(format: Literal["text", "json"] = "json", level: str = "info") -> Iterator[tuple[OwnLog, Told]]:
    stream = Told()
    own = configure(format=format, level=level, stream=stream)
    try:
        yield own, stream
    finally:
        own.close()


def told(own: OwnLog) -> list[Event]:
    """What is exported from now on, and what came before."""
    events: list[Event] = []
    own.export(events.append)
    return events


def test_lines_of_json_tell_what_is_logged() -> None:
    with configured() as (_, stream):
        log.warning("%d of %s", 3, "many")
    (document,) = stream.documents
    assert document.pop("time").endswith("Z")
    assert document == {"severity": "warning", "logger": "sidecar.some.part", "message": "3 of many"}


def test_lines_of_text_are_as_people_read_them() -> None:
    with configured("text") as (own, stream):
        log.warning("it fails")
        own.tell(EVENT)
    (line,) = stream.lines
    assert line.endswith(" WARNING sidecar.some.part: it fails")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["d", "i", "w", "e", "it drifts"]),
        ("info", ["i", "w", "e", "it drifts"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_the_level_rules_lines_of_the_log_and_of_events(level: str, expected: list[str]) -> None:
    with configured(level=level) as (own, stream):
        for say, message in ((log.debug, "d"), (log.info, "i"), (log.warning, "w"), (log.error, "e")):
            say(message)
        own.tell(EVENT)
    assert stream.messages == expected


def test_events_are_exported_whatever_their_severity() -> None:
    with configured(level="error") as (own, _):
        events = told(own)
        log.info("not this")
        own.tell(EVENT)
    assert events == [EVENT]


def test_a_line_that_is_told_as_an_event_too_is_told_once() -> None:
    with configured() as (own, stream):
        events = told(own)
        log.info("it drifts", extra={"event_name": "sidecar.alert"})
        own.tell(EVENT)
    assert (stream.messages, events) == (["it drifts"], [EVENT])
    with configured("text") as (_, lines):
        log.info("it drifts", extra={"event_name": "sidecar.alert"})
    assert len(lines.lines) == 1


def test_an_exception_is_told_with_its_kind_and_its_trace() -> None:
    with configured() as (own, stream):
        events = told(own)
        try:
            json.loads("{")
        except ValueError:
            log.exception("a fault")
    (event,) = events
    assert event.attributes["exception.type"] == "json.decoder.JSONDecodeError"
    assert str(event.attributes["exception.message"]).startswith("Expecting property name")
    assert str(event.attributes["exception.stacktrace"]).startswith("Traceback (most recent call last):\n")
    assert stream.documents[0]["exception"] == event.attributes["exception.stacktrace"]
    assert (event.name, event.severity, event.body, event.scope) == ("", "error", "a fault", "sidecar.some.part")


def test_an_error_of_python_itself_has_a_short_name() -> None:
    event = as_event(logging.LogRecord("a", 40, "p", 1, "m", None, (ValueError, ValueError("x"), None)))
    assert event.attributes["exception.type"] == "ValueError"


def test_where_in_the_code_and_on_which_thread_is_told() -> None:
    with configured() as (own, _):
        events = told(own)
        speaking = threading.Thread(target=log.info, args=("here",), name="the-thread")
        speaking.start()
        speaking.join()
        log.info("there")
    assert events[0].attributes["thread.name"] == "the-thread"
    assert events[1].attributes["code.function.name"] == "test_where_in_the_code_and_on_which_thread_is_told"
    assert events[1].attributes["code.file.path"] == __file__
    assert int(events[1].attributes["code.line.number"]) > 0


@pytest.mark.parametrize(
    ("number", "word"), [(1, "debug"), (10, "debug"), (20, "info"), (35, "warning"), (40, "error"), (99, "critical")]
)
def test_every_level_has_a_severity(number: int, word: str) -> None:
    assert as_event(logging.LogRecord("a", number, "p", 1, "m", None, None)).severity == word


class Unspeakable(Exception):
    """Cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("not even so")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "arguments", "expected"),
    [
        ("%d of them", ("many",), "%d of them"),
        ("%s and %s", (1,), "%s and %s"),
        ("it is %s", (Unspeakable(),), "it is %s"),
        (Unspeakable(), (), "Unspeakable"),
        ("x" * 100_000, (), "x" * MAX_TEXT),
    ],
)
def test_a_line_whose_arguments_do_not_fit_is_told_without_them(
    message: object, arguments: tuple[object, ...], expected: str
) -> None:
    assert as_event(logging.LogRecord("a", 40, "p", 1, message, arguments, None)).body == expected


def test_an_error_that_cannot_be_told_has_its_kind() -> None:
    with configured() as (own, _):
        events = told(own)
        log.error("a fault", exc_info=Unspeakable())
    told_of = events[0].attributes
    assert str(told_of["exception.type"]).endswith("Unspeakable")
    assert "exception str() failed" in str(told_of["exception.stacktrace"])
    assert "exception.message" not in told_of


def test_the_end_of_a_long_trace_is_kept() -> None:
    error = ValueError("\n".join(str(number) for number in range(100_000)))
    event = as_event(logging.LogRecord("a", 40, "p", 1, "m", None, (ValueError, error, None)))
    trace = str(event.attributes["exception.stacktrace"])
    assert (len(trace), trace.endswith("99999\n")) == (MAX_TEXT, True)


@given(st.text(), st.text())
def test_whatever_is_logged_is_one_line(message: str, name: str) -> None:
    with configured() as (_, stream):
        logging.getLogger("sidecar.hostile").warning("%s", message, extra={"taken": name})
    assert len(stream.getvalue().split("\n")) == 2
    assert len(stream.documents) == 1


def test_what_happens_under_a_trace_says_so() -> None:
    with configured() as (own, stream):
        events = told(own)
        with under(TRACE):
            log.info("meanwhile")
            own.tell(EVENT)
            asyncio.run(asyncio.to_thread(log.info, "in a thread"))
        log.info("afterwards")
    assert [event.trace for event in events] == [TRACE, TRACE, TRACE, None]
    assert [document.get("span_id") for document in stream.documents] == [TRACE.span_id] * 3 + [None]


def test_an_event_that_knows_its_trace_keeps_it() -> None:
    other = TRACE._replace(span_id="1" * 16)
    with configured() as (own, _), under(other):
        events = told(own)
        own.tell(Event("e", 1.0, "info", "m", {}, trace=TRACE))
    assert events[0].trace == TRACE


def test_what_is_said_before_there_is_an_exporter_comes_first() -> None:
    with configured() as (own, _):
        log.info("first")
        own.tell(EVENT)
        events = told(own)
        log.info("second")
    assert [event.body for event in events] == ["first", "it drifts", "second"]


def test_of_a_long_start_the_latest_are_kept_and_the_others_counted() -> None:
    with configured() as (own, _):
        for number in range(HELD + 3):
            log.info("%d", number)
        assert own.dropped_events == 3
        events = told(own)
    assert [event.body for event in events] == [str(number) for number in range(3, HELD + 3)]


def test_where_nobody_exports_nothing_is_held() -> None:
    with configured() as (own, _):
        log.info("first")
        own.export(None)
        log.info("second")
        assert (told(own), own.dropped_events) == ([], 0)


def test_a_line_of_text_that_cannot_be_told_whole_tells_what_it_can() -> None:
    record = logging.LogRecord("a", 40, "p", 1, "%d of them", ("many",), (ValueError, ValueError("no"), None))
    line, *trace = text(record).splitlines()
    assert line.endswith(" ERROR a: %d of them")
    assert trace == ["ValueError: no"]


def test_what_python_says_is_a_line_like_the_others() -> None:
    def fail() -> None:
        raise ValueError("no")

    with warnings.catch_warnings(), configured() as (_, stream):
        warnings.simplefilter("always")
        warnings.warn_explicit("of old", DeprecationWarning, "some.py", 7)
        ending = threading.Thread(target=fail, name="the-thread")
        ending.start()
        ending.join()
    assert stream.messages == ["DeprecationWarning: of old (some.py:7)", "a fault that ended thread the-thread"]
    assert str(stream.documents[1]["exception"]).endswith("ValueError: no\n")


class Stuck(Told):
    """Nobody reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.reading = threading.Event(), threading.Event()

    def write(self, line: str) -> int:
        self.waiting.set()
        assert self.reading.wait(PATIENCE_S)
        return super().write(line)


@pytest.mark.parametrize("format", ["text", "json"])
def test_where_nobody_reads_stderr_lines_are_lost_events_are_not_and_the_gap_is_told(
    format: Literal["text", "json"],
) -> None:
    stream = Stuck()
    own = configure(format=format, level="info", stream=stream)
    events = told(own)
    log.info("first")
    assert stream.waiting.wait(PATIENCE_S)
    log.info("x" * MAX_TEXT)
    for _ in range(MAX_WAITING // MAX_TEXT):
        log.info("x" * MAX_TEXT)
    lost = own.dropped_lines
    stream.reading.set()
    own.close(PATIENCE_S)
    assert len(events) == 2 + MAX_WAITING // MAX_TEXT
    assert 1 <= lost == len(events) - len(stream.lines) + 1
    assert f"lines missing here, as stderr did not take them: {lost}" in stream.lines[-1]
    assert "WARNING" in stream.lines[-1].upper()


def test_closing_waits_no_longer_than_it_is_told_for_whoever_does_not_read() -> None:
    stream = Stuck()
    own = configure(format="json", level="info", stream=stream)
    log.info("first")
    own.close(0.001)
    assert stream.lines == []
    stream.reading.set()


def test_after_closing_all_is_as_it_was() -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    with configured(level="debug") as (own, stream):
        assert root.level == logging.DEBUG
        events = told(own)
    log.warning("to nobody")
    own.tell(EVENT)
    assert (list(root.handlers), root.level) == before
    assert events == []
    assert "to nobody" not in stream.getvalue()


@pytest.mark.parametrize("name", ["opentelemetry.exporter", "urllib3.connectionpool", "requests", "grpc._cython"])
def test_what_exporters_say_is_not_exported(name: str) -> None:
    with configured() as (own, stream):
        events = told(own)
        logging.getLogger(name).warning("it fails")
    assert (events, stream.messages) == ([], ["it fails"])


def test_what_is_said_on_the_exporting_thread_is_not_exported() -> None:
    with configured() as (own, stream):
        events = told(own)
        exporting = threading.Thread(target=log.warning, args=("it fails",), name="otlp-events")
        exporting.start()
        exporting.join()
    assert (events, stream.messages) == ([], ["it fails"])


def test_what_is_said_while_the_start_is_handed_over_comes_after_it() -> None:
    events: list[str] = []

    def emit(event: Event) -> None:
        if event.body == "first":
            log.info("third")
        events.append(event.body)

    with configured() as (own, _):
        log.info("first")
        log.info("second")
        own.export(emit)
    assert events == ["first", "second", "third"]


class Talkative:
    """Says something when it is collected as garbage: in the midst of anything."""

    def __del__(self) -> None:
        log.info("collected")


def test_garbage_that_speaks_while_something_is_handed_over_holds_up_nobody() -> None:
    events: list[str] = []

    def emit(event: Event) -> None:
        if event.body == "first":
            cycle: list[object] = [Talkative()]
            cycle.append(cycle)
            del cycle
            gc.collect()
        events.append(event.body)

    with configured() as (own, _):
        own.export(emit)
        log.info("first")
    assert events == ["collected", "first"]


def test_a_stderr_that_is_gone_costs_its_lines_only(capfd: pytest.CaptureFixture[str]) -> None:
    with configured() as (own, stream):
        events = told(own)
        stream.close()
        log.info("it goes on")
        own.tell(EVENT)
    assert [event.body for event in events] == ["it goes on", "it drifts"]
    assert capfd.readouterr() == ("", "")


def test_of_a_storm_from_many_threads_every_line_is_whole_and_every_event_counted(collector: Collector) -> None:
    otlp = opened(settings(max_waiting=400, max_batch=50, delay_s=0.001))
    with configured() as (own, stream):
        own.export(otlp.put)

        def storm(thread: int) -> None:
            for number in range(100):
                log.info("%d\n%d", thread, number)

        storming = [threading.Thread(target=storm, args=(each,)) for each in range(8)]
        for each in storming:
            each.start()
        for each in storming:
            each.join()
        own.export(None)
    otlp.close(PATIENCE_S)
    said = [message for message in stream.messages if not message.startswith("events export: no room")]
    assert sorted(said) == sorted(f"{thread}\n{number}" for thread in range(8) for number in range(100))
    assert otlp.delivered + otlp.dropped == 800
    arrived = [body for _ in range(collector.bodies.qsize()) for body in records(collector.body())]
    assert len(arrived) == otlp.delivered


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_is_dead_is_not_told_of_its_own_death(protocol: Literal["http/protobuf", "grpc"]) -> None:
    otlp = otlp_logs(OtlpLogsSettings(("otlp",), protocol, 0.05, 0.001, 10, 10), service="scorer", version="1")
    emitted: list[Event] = []

    def emit(event: Event) -> None:
        emitted.append(event)
        otlp.put(event)

    with configured("json", "debug") as (own, stream):
        own.export(emit)
        log.warning("first")
        otlp.close(PATIENCE_S)
        assert [event.body for event in emitted if event.scope.startswith("sidecar")] == ["first"]
        assert (otlp.dropped, otlp.failed) == (1, 0)
    assert any("events export fails" in message for message in stream.messages)


def test_lines_of_the_log_and_events_arrive_as_log_records(collector: Collector) -> None:
    otlp = opened(settings())
    with configured() as (own, _):
        own.export(otlp.put)
        with under(TRACE):
            log.error("it %s", "fails")
        logging.getLogger("aiohttp.access").info("theirs")
        own.tell(configuration_event(7, 3.5))
        own.export(None)
    otlp.close(PATIENCE_S)
    scopes = dict(collected(collector))
    assert set(scopes) == {("sidecar.some.part", "1.2.3"), ("aiohttp.access", ""), ("sidecar", "1.2.3")}
    line, theirs, event = (scopes[name] for name in scopes)
    assert (line.event_name, line.severity_number, line.severity_text) == ("", 17, "error")
    assert (line.body.string_value, line.trace_id.hex(), line.span_id.hex()) == ("it fails", *TRACE[:2])
    assert line.flags == 1
    assert plain(line.attributes)["thread.name"] == "MainThread"
    assert (theirs.body.string_value, theirs.trace_id, theirs.flags) == ("theirs", b"", 0)
    assert (event.event_name, event.severity_number, event.time_unix_nano) == (
        "sidecar.configuration",
        9,
        3_500_000_000,
    )


def collected(collector: Collector) -> Iterator[tuple[tuple[str, str], LogRecord]]:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    (resource,) = ExportLogsServiceRequest.FromString(collector.body()).resource_logs
    for scope in resource.scope_logs:
        (record,) = scope.log_records
        yield (scope.scope.name, scope.scope.version), record


def test_a_configuration_that_is_in_force_is_told() -> None:
    event = configuration_event(3, 1.5)
    assert (event.name, event.severity, event.body) == ("sidecar.configuration", "info", "configuration 3 in force")
    assert event.attributes == {"sidecar.configuration.revision": 3, "sidecar.configuration.state": "in_force"}


def test_a_configuration_that_is_refused_is_told_with_every_fault() -> None:
    event = configuration_event(3, 1.5, "listen: no\nadmin: no")
    assert (event.severity, event.body) == ("error", "configuration refused, 3 stays: listen: no; admin: no")
    assert event.attributes == {
        "sidecar.configuration.revision": 3,
        "sidecar.configuration.state": "refused",
        "sidecar.reason": "listen: no; admin: no",
    }
