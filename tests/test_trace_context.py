import asyncio

import pytest
from hypothesis import given
from hypothesis.strategies import text
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sidecar.trace_context import Trace, current, parse, under

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACE = Trace(TRACE_ID, SPAN_ID, 1)


def theirs(traceparent: str) -> tuple[int, int]:
    """Trace and span id as opentelemetry reads them; zeros where it ignores the field."""
    found = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    context = get_current_span(found).get_span_context()
    return context.trace_id, context.span_id


@pytest.mark.parametrize(
    ("field", "flags"),
    [
        (f"00-{TRACE_ID}-{SPAN_ID}-01", 1),
        (f"00-{TRACE_ID}-{SPAN_ID}-00", 0),
        (f"00-{TRACE_ID}-{SPAN_ID}-ff", 3),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01", 1),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what-comes-later", 1),
    ],
)
def test_a_trace_context_is_read_as_opentelemetry_reads_it(field: str, flags: int) -> None:
    assert parse(field) == Trace(TRACE_ID, SPAN_ID, flags)
    assert theirs(field) == (int(TRACE_ID, 16), int(SPAN_ID, 16))


@pytest.mark.parametrize(
    "field",
    [
        "",
        "00",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"0x-{TRACE_ID}-{SPAN_ID}-01",
        f"cc-{TRACE_ID}-{SPAN_ID}-01more",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID[1:]}٣-{SPAN_ID}-01",
    ],
)
def test_what_is_malformed_is_ignored(field: str) -> None:
    assert parse(field) is None


@given(text())
def test_no_text_is_too_strange(field: str) -> None:
    assert parse(field) is None


def test_work_is_under_the_trace_of_who_asked_in_threads_too() -> None:
    async def scenario() -> None:
        assert current() is None
        with under(TRACE):
            assert current() == TRACE
            assert await asyncio.to_thread(current) == TRACE
        assert current() is None

    asyncio.run(scenario())


def test_a_task_that_outlives_the_answer_is_under_no_trace() -> None:
    async def scenario() -> None:
        answered = asyncio.Event()

        async def later() -> Trace | None:
            await answered.wait()
            return current()

        with under(TRACE):
            task = asyncio.get_running_loop().create_task(later())
            await asyncio.sleep(0)
        answered.set()
        assert await task is None

    asyncio.run(scenario())


def test_of_two_who_ask_at_once_each_has_its_own_trace() -> None:
    other = TRACE._replace(span_id="1" * 16)

    async def ask(trace: Trace) -> Trace | None:
        with under(trace):
            await asyncio.sleep(0)
            return current()

    async def scenario() -> tuple[Trace | None, Trace | None]:
        return await asyncio.gather(ask(TRACE), ask(other))

    assert list(asyncio.run(scenario())) == [TRACE, other]


def test_whoever_asks_without_a_trace_hides_the_one_around() -> None:
    with under(TRACE):
        with under(None):
            assert current() is None
        assert current() == TRACE
