import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sidecar.wire.context import parted

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
VALUE = b"00-" + TRACE + b"-" + SPAN + b"-01"
NEW = b"the new one"
FRESH = b"traceparent: " + NEW + b"\r\n"

REPLACED = {
    "alone": (b"traceparent: " + VALUE, b"traceparent: " + NEW),
    "in any spelling": (b"TraceParent:\t" + VALUE + b" \t", b"TraceParent:\t" + NEW),
    "without a space": (b"TRACEPARENT:" + VALUE, b"TRACEPARENT:" + NEW),
    "first of several": (b"traceparent: " + VALUE + b"\r\nHost: m", b"traceparent: " + NEW + b"\r\nHost: m"),
    "with its state": (
        b"tracestate: a=1\r\ntraceparent: " + VALUE + b"\r\ntracestate: b=2",
        b"tracestate: a=1\r\ntraceparent: " + NEW + b"\r\ntracestate: b=2",
    ),
    "beside fields that only look alike": (
        b"x-traceparent: " + VALUE + b"\r\ntraceparent: " + VALUE + b"\r\ntraceparents: " + VALUE,
        b"x-traceparent: " + VALUE + b"\r\ntraceparent: " + NEW + b"\r\ntraceparents: " + VALUE,
    ),
}


@pytest.mark.parametrize(("before", "after"), REPLACED.values(), ids=REPLACED.keys())
def test_the_value_is_replaced_in_its_place(before: bytes, after: bytes) -> None:
    around, value, rest = parted(before + b"\r\n")
    assert value == VALUE
    assert around + NEW + rest == after + b"\r\n"


@pytest.mark.parametrize("flags", [b"00", b"01", b"02", b"03", b"ff"])
def test_any_flags_count(flags: bytes) -> None:
    assert parted(b"traceparent: " + VALUE[:-2] + flags + b"\r\n")[1] == VALUE[:-2] + flags


@pytest.mark.parametrize("more", [b"", b"-", b"-what=ever"])
def test_a_version_to_come_may_say_more(more: bytes) -> None:
    value = b"cc" + VALUE[2:] + more
    assert parted(b"traceparent: " + value + b"\r\n")[1] == value


MALFORMED = {
    "empty": b"",
    "upper case": VALUE.upper(),
    "too short": VALUE[:-1],
    "too long": VALUE + b"0",
    "more in a version that has no more": VALUE + b"-00",
    "an unknown version that goes on at once": b"cc" + VALUE[2:] + b".00",
    "a forbidden version": b"ff" + VALUE[2:],
    "no trace": b"00-" + b"0" * 32 + VALUE[35:],
    "no span": VALUE[:36] + b"0" * 16 + VALUE[52:],
    "dashes elsewhere": b"00" + TRACE + b"---" + SPAN + b"01",
    "not hexadecimal": VALUE[:-1] + b"g",
    "two in one": VALUE + b", " + VALUE,
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_goes_with_its_state(value: bytes) -> None:
    lines = b"TraceParent: " + value + b"\r\nHost: m\r\nTraceState: a=1\r\nbaggage: b=2\r\ntracestate:c=3\r\n"
    around, found, rest = parted(lines)
    assert found == b""
    assert around + NEW + rest == b"Host: m\r\nbaggage: b=2\r\n" + FRESH


@pytest.mark.parametrize("lines", [b"", b"Host: m\r\n", b"tracestate: a=1\r\n", b"Host: m\r\ntracestate: a=1\r\n"])
def test_where_there_is_none_it_stands_last(lines: bytes) -> None:
    around, found, rest = parted(lines)
    assert found == b""
    assert around + NEW + rest == lines.replace(b"tracestate: a=1\r\n", b"") + FRESH


def test_two_that_are_well_formed_are_none() -> None:
    line = b"traceparent: " + VALUE + b"\r\n"
    around, found, rest = parted(line + b"Host: m\r\n" + line + b"tracestate: a=1\r\n")
    assert (found, around + NEW + rest) == (b"", b"Host: m\r\n" + FRESH)


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"Host", b"traceparen", b"X-traceparent", b"tracestate", b"baggage", b"A"]),
        st.sampled_from([b"", b" ", b" 1", b":", b" traceparent: " + VALUE, b" \xff"]),
    ),
    max_size=6,
)


@given(FIELDS, FIELDS, st.sampled_from([b"traceparent", b"Traceparent", b"TRACEPARENT"]))
def test_every_other_line_is_as_it_came(
    before: list[tuple[bytes, bytes]], after: list[tuple[bytes, bytes]], name: bytes
) -> None:
    first, last = (b"".join(b"%b:%b\r\n" % field for field in fields) for fields in (before, after))
    assert parted(first + name + b": " + VALUE + b"\r\n" + last) == (first + name + b": ", VALUE, b"\r\n" + last)


DIGIT = st.sampled_from(list("0f1a"))
SOME = st.builds(
    "-".join,
    st.tuples(
        st.sampled_from(["00", "01", "ff", "0"]),
        st.one_of(st.just("0" * 32), st.text(DIGIT, min_size=31, max_size=33)),
        st.one_of(st.just("0" * 16), st.text(DIGIT, min_size=16, max_size=16)),
        st.sampled_from(["00", "01", "0A", "01-x", "01x", "1"]),
    ),
)


@given(SOME)
def test_another_implementation_reads_the_same(value: str) -> None:
    context = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": value})).get_span_context()
    found = parted(b"traceparent: %b\r\n" % value.encode())[1]
    assert bool(found) == context.is_valid
    assert not found or (int(found[3:35], 16), int(found[36:52], 16)) == (context.trace_id, context.span_id)
