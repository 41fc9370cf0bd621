import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import DeliveryError
from sidecar.fleet.events import Event, Lines, parse_event
from sidecar.kubernetes.access import Refused


@given(
    st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"\n", b"")), max_size=8), st.lists(st.integers(0, 80))
)
def test_lines_are_the_same_however_they_are_cut(told: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in told)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    lines = Lines(8)
    found = [line for start, end in pairwise(edges) for line in lines.feed(stream[start:end])]
    assert found == [line for line in told if line.strip()]


def test_a_line_without_its_end_is_none() -> None:
    assert Lines(8).feed(b"{}") == []


@pytest.mark.parametrize(
    ("before", "chunk"),
    [(b"", b"x" * 9), (b"x" * 5, b"x" * 4), (b"x\n", b"x" * 9 + b"\n"), (b"", b"x" * 9 + b"\nx")],
)
def test_a_line_too_long_is_refused_before_it_ends(before: bytes, chunk: bytes) -> None:
    lines = Lines(8)
    lines.feed(before)
    with pytest.raises(DeliveryError, match="an event of more than 8 bytes"):
        lines.feed(chunk)


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
def test_an_event_is_its_kind_and_its_object(kind: str) -> None:
    assert parse_event(json.dumps({"type": kind, "object": {"a": 1}}).encode()) == Event(kind, {"a": 1})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"<html>", "a watch with a line that is not JSON: <html>; expected an event"),
        (b"\xff", "a watch with a line that is not JSON: \ufffd; expected an event"),
        (b"x" * 999, f"a watch with a line that is not JSON: {'x' * 59}…; expected an event"),
        (b"7", "a watch with a line that is no event: 7; expected type and object"),
        (b'{"type":7,"object":{}}', "a watch with a line that is no event: "),
        (b'{"type":"ADDED"}', "a watch with a line that is no event: "),
        (b'{"type":"S\\n","object":{}}', "a watch with an event of type S\\n, expected one of ADDED, MODIFIED, "),
    ],
)
def test_what_is_no_event_is_told_by_its_beginning(line: bytes, problem: str) -> None:
    with pytest.raises(DeliveryError) as raised:
        parse_event(line)
    assert str(raised.value).startswith(problem)
    assert not isinstance(raised.value, Refused)


def test_an_error_says_why_and_for_how_long() -> None:
    status = {"code": 429, "reason": "TooManyRequests", "message": "a\nb", "details": {"retryAfterSeconds": 2}}
    with pytest.raises(Refused) as raised:
        parse_event(json.dumps({"type": "ERROR", "object": status}).encode())
    error = raised.value
    assert str(error) == "the watch has failed: TooManyRequests: a\\nb"
    assert (error.status, error.reason, error.retry_after_s) == (429, "TooManyRequests", 2.0)


def test_an_error_without_a_code_is_a_failure_of_the_server() -> None:
    with pytest.raises(Refused) as raised:
        parse_event(b'{"type":"ERROR","object":{"details":7}}')
    assert (raised.value.status, raised.value.retry_after_s) == (500, 0.0)
