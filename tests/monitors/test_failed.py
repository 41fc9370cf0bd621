import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.monitors.failed import MAX_TEXT, Failed, failed, failure_event
from sidecar.records import Body, Capture, Event
from sidecar.trace_context import Trace

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def capture(status: int = 503, error_type: str = "", traceparent: str = "", *, shadow: bool = False) -> Capture:
    return Capture(
        request_id="r1",
        inference_id="",
        variant="champion",
        version="3",
        method="POST",
        path="/v1/models/m:predict",
        route="/v1/models/{model}:predict",
        status=status,
        error_type=error_type,
        started_s=1_700_000_000.0,
        duration_s=0.5,
        first_byte_s=0.0,
        overhead_s=0.0001,
        sample_ratio=1.0,
        headers={"request": {"traceparent": traceparent} if traceparent else {}, "reply": {}},
        request=Body("application/json", b"{}"),
        reply=Body("", b""),
        shadow=shadow,
    )


@pytest.mark.parametrize(
    ("status", "error_type", "expected"),
    [
        (200, "", False),
        (404, "", False),
        (400, "bad_request", False),
        (431, "head_too_large", False),
        (0, "client_closed", False),
        (200, "client_closed", False),
        (500, "", True),
        (503, "overload", True),
        (504, "first_byte_timeout", True),
        (200, "reset", True),
    ],
)
def test_only_a_fault_of_the_server_or_of_ours_is_a_failure(status: int, error_type: str, expected: bool) -> None:
    assert failed(capture(status, error_type)) is expected


def test_the_reply_to_a_copy_fails_nobody() -> None:
    assert not failed(capture(shadow=True))


def test_a_failure_tells_what_was_asked_and_under_which_trace() -> None:
    event = failure_event(capture(502, "reset", TRACEPARENT))
    assert (event.name, event.severity, event.time_s) == ("sidecar.exchange.failed", "error", 1_700_000_000.5)
    assert event.body == "POST /v1/models/m:predict: 502, reset"
    assert event.trace == Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
    assert event.attributes == {
        "http.request.method": "POST",
        "url.path": "/v1/models/m:predict",
        "http.route": "/v1/models/{model}:predict",
        "http.response.status_code": 502,
        "error.type": "reset",
        "feature_flag.result.variant": "champion",
        "sidecar.version": "3",
        "sidecar.request.id": "r1",
        "sidecar.duration": 0.5,
    }


@pytest.mark.parametrize("traceparent", ["", "nonsense"])
def test_without_a_trace_the_status_is_its_own_kind(traceparent: str) -> None:
    event = failure_event(capture(500, "", traceparent))
    assert (event.trace, event.attributes["error.type"]) == (None, "500")


def test_a_path_of_any_length_is_told_within_bounds() -> None:
    event = failure_event(capture()._replace(path="/" + "\n" * 100_000))
    assert len(str(event.attributes["url.path"])) == MAX_TEXT
    assert "\n" not in event.body


def test_a_storm_of_failures_is_told_in_part_and_counted() -> None:
    events: list[Event] = []
    now_s = 0.0
    telling = Failed(events.append, now_s=lambda: now_s, per_minute=6)
    telling.note([capture(), capture(200), *[capture()] * 9])
    assert (len(events), telling.untold) == (6, 4)
    now_s = 9.0
    telling.note([capture()])
    assert (len(events), telling.untold) == (6, 5)
    now_s = 20.5
    telling.note([capture()] * 3)
    assert (len(events), telling.untold) == (8, 6)


@given(st.lists(st.tuples(st.floats(-10, 40), st.integers(0, 30)), max_size=40), st.integers(1, 20))
def test_every_failure_is_told_or_counted_and_never_too_many_are_told(
    storm: list[tuple[float, int]], per_minute: int
) -> None:
    events: list[Event] = []
    now_s, passed_s = 1e6, 0.0
    telling = Failed(events.append, now_s=lambda: now_s, per_minute=per_minute)
    for step_s, number in storm:
        now_s += step_s
        passed_s += max(step_s, 0.0)
        telling.note([capture()] * number)
    assert len(events) + telling.untold == sum(number for _, number in storm)
    assert len(events) <= per_minute * (1 + passed_s / 60) + 1e-6
