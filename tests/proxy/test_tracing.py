"""What the upstream is told of a request's trace, and what is told of the request in the end."""

import gc
import random
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import pytest

from sidecar.proxy.account import Account
from sidecar.proxy.copying import MARK
from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.tracing import AGENT_BYTES, PATH_BYTES, Trail, agent_of, path_of
from sidecar.routing.availability import Availability, Settings
from sidecar.stats.traced import FAILED, SAMPLED, SLOW, Sampler, Tail, Traced, Tracing
from sidecar.wire.http1 import parse_request
from tests.proxy.rig import (
    CHAMPION,
    EVERYTHING,
    GET,
    LOCALHOST,
    OK,
    SPARE,
    Peer,
    Rig,
    gateway_to,
    on_both_loops,
    reply_fields,
    reserved_port,
    sidecar,
    turn,
    until,
)
from tests.proxy.test_shadow import shadowed

TRACE, CALLER = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
POST = (
    b"POST /v2/models/fraud/infer?user=7 HTTP/1.1\r\nHost: m\r\nUser-Agent: curl/8 \r\nX-Request-Id: r-1\r\n"
    b"TraceParent: 00-%b-%b-%b\r\ntracestate: a=1\r\nbaggage: b=2\r\nContent-Length: 4\r\n\r\nbody"
)
SAMPLED_POST, UNSAMPLED_POST = (POST % (TRACE, CALLER, flags) for flags in (b"01", b"00"))
ON, OFF, BY_CALLER = Sampler(1.0, parent_based=False), Sampler(0.0, parent_based=False), Sampler(0.0)
SERVER_ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad"


def tracing(
    sampler: Sampler = BY_CALLER, tail: Tail | None = None, *, propagates: bool = True, max_waiting: int = 100
) -> Tracing:
    """Whose ids are 1, 2, 3 and so on."""
    numbers = iter(range(1, 1_000_000))
    return Tracing(sampler, tail, propagates=propagates, max_waiting=max_waiting, bits=lambda _: next(numbers))


def span(number: int) -> bytes:
    return b"%016x" % number


def traces(rig: Rig) -> list[Traced]:
    assert rig.gateway.tracing is not None
    return list(rig.gateway.tracing.waiting)


async def converse(rig: Rig, request: bytes, arrives: bytes, reply: bytes = OK) -> None:
    client = await rig.client()
    await client.send(request)
    upstream = await rig.upstream.accept()
    await upstream.expect(arrives)
    await upstream.send(reply)
    await client.expect(reply)
    upstream.close()
    await until(lambda: not rig.pool.idle)


CARRIED = {
    "a sampled caller": (SAMPLED_POST, BY_CALLER, POST % (TRACE, span(1), b"01")),
    "an unsampled caller": (UNSAMPLED_POST, BY_CALLER, POST % (TRACE, span(1), b"00")),
    "a caller whose trace id is random": (POST % (TRACE, CALLER, b"02"), BY_CALLER, POST % (TRACE, span(1), b"02")),
    "a caller with flags that nobody knows": (POST % (TRACE, CALLER, b"fd"), BY_CALLER, POST % (TRACE, span(1), b"01")),
    "whatever the caller says, all": (UNSAMPLED_POST, ON, POST % (TRACE, span(1), b"01")),
    "whatever the caller says, none": (SAMPLED_POST, OFF, POST % (TRACE, span(1), b"00")),
    "of a version to come": (
        SAMPLED_POST.replace(b": 00-", b": 01-").replace(b"-01\r\n", b"-01-x\r\n"),
        BY_CALLER,
        POST % (TRACE, span(1), b"01"),
    ),
    "no caller": (GET, ON, GET[:-2] + b"traceparent: 00-%b-%b-03\r\n\r\n" % (b"0" * 31 + b"2", span(1))),
    "no caller, and not sampled": (
        GET,
        OFF,
        GET[:-2] + b"traceparent: 00-%b-%b-02\r\n\r\n" % (b"0" * 31 + b"2", span(1)),
    ),
    "a caller who cannot spell": (
        GET[:-2] + b"traceparent: 7\r\ntracestate: a=1\r\nbaggage: b=2\r\n\r\n",
        OFF,
        GET[:-2] + b"baggage: b=2\r\ntraceparent: 00-%b-%b-02\r\n\r\n" % (b"0" * 31 + b"2", span(1)),
    ),
}


@pytest.mark.parametrize(("request_", "sampler", "arrives"), CARRIED.values(), ids=CARRIED.keys())
@on_both_loops
async def test_requests_carry_our_span_in_the_trace_of_their_caller(
    request_: bytes, sampler: Sampler, arrives: bytes
) -> None:
    async with sidecar(tracing=tracing(sampler)) as rig:
        await converse(rig, request_, arrives)


@pytest.mark.parametrize("given", [None, tracing(ON, propagates=False)])
@on_both_loops
async def test_without_propagation_bytes_pass_as_they_are(given: Tracing | None) -> None:
    for request in (SAMPLED_POST, GET, GET[:-2] + b"traceparent: 7\r\ntracestate: a=1\r\n\r\n"):
        async with sidecar(tracing=given) as rig:
            await converse(rig, request, request)


@on_both_loops
async def test_context_that_connection_names_is_not_passed_on() -> None:
    async with sidecar(tracing=tracing(ON)) as rig:
        named = b"Connection: traceparent\r\ntraceparent: 00-%b-%b-01\r\n\r\n" % (TRACE, CALLER)
        await converse(
            rig, GET[:-2] + named, GET[:-2] + b"traceparent: 00-%b-%b-03\r\n\r\n" % (b"0" * 31 + b"2", span(1))
        )


@on_both_loops
async def test_a_sampled_request_is_told_whole() -> None:
    async with sidecar(tracing=tracing()) as rig:
        await converse(
            rig, SAMPLED_POST, POST % (TRACE, span(1), b"01"), b"HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\nok"
        )
        (traced,) = traces(rig)

        assert traced._replace(duration_s=0, overhead_s=0, started_s=0, sent_s=0, ended_s=0, first_byte_s=0) == Traced(
            trace_id=TRACE,
            parent_id=CALLER,
            server_id=span(2),
            client_id=span(1),
            reason=SAMPLED,
            request_id=b"r-1",
            method=b"POST",
            path=b"/v2/models/fraud/infer",
            minor=1,
            route="/v2/models/{model}/infer",
            user_agent=b"curl/8",
            status=201,
            error_type="",
            cut=False,
            started_s=0,
            duration_s=0,
            request_bytes=4,
            reply_bytes=2,
            variant="v0",
            version="3",
            address="127.0.0.1",
            port=rig.upstream.port,
        )
        assert 0 <= 1e9 - traced.duration_s - traced.started_s < 1  # told a moment after it was over
        assert 0 < traced.sent_s < traced.sent_s + traced.first_byte_s <= traced.ended_s <= traced.duration_s
        assert 0 < traced.overhead_s < traced.duration_s
        assert rig.gateway.tracing is not None
        assert (rig.gateway.tracing.kept, rig.gateway.tracing.dropped) == ({SAMPLED: 1}, {})


def test_our_span_upstream_begins_before_the_upstream_can_have_the_request() -> None:
    given = tracing(ON)
    pool = Pool(LOCALHOST, 1, timeouts=Timeouts(), idle_limit=1, availability=Availability(Settings()))
    gateway = replace(gateway_to({}, (CHAMPION,)), pools={"v0": pool}, tracing=given)
    gateway.traffic.enter()
    head, started_s = parse_request(b"GET / HTTP/1.1\r\nHost: m\r\n"), perf_counter()
    account = Account(gateway, head, started_s, b"r", gateway.table.choose(head, b"r"))
    account.sending()
    has_it_s = perf_counter()
    account.sent()
    account.close("", whole=True)
    assert 0 < given.waiting[0].sent_s <= has_it_s - started_s


@on_both_loops
async def test_a_reply_in_pieces_ends_with_its_last() -> None:
    async with sidecar(tracing=tracing(ON)) as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK[:-1])
        await client.expect(OK[:-1])
        await upstream.send(OK[-1:])
        await client.expect(OK[-1:])
        (traced,) = traces(rig)

        assert traced.sent_s + traced.first_byte_s < traced.ended_s <= traced.duration_s


@on_both_loops
async def test_an_unsampled_request_is_not_told() -> None:
    async with sidecar(tracing=tracing(tail=Tail())) as rig:
        await converse(rig, UNSAMPLED_POST, POST % (TRACE, span(1), b"00"))
        assert traces(rig) == []


@on_both_loops
async def test_who_looks_whether_the_server_is_well_is_not_told() -> None:
    probe = b"GET /health HTTP/1.1\r\nHost: m\r\nUser-Agent: kube-probe/1.33\r\nx-request-id: 1\r\n\r\n"
    async with sidecar(tracing=tracing(ON)) as rig:
        await converse(rig, probe, probe)

        assert traces(rig) == []


@on_both_loops
async def test_of_a_long_request_id_the_beginning_is_told() -> None:
    request = POST.replace(b"r-1", b"r" * 5000) % (TRACE, CALLER, b"01")
    async with sidecar(tracing=tracing()) as rig:
        await converse(rig, request, POST.replace(b"r-1", b"r" * 5000) % (TRACE, span(1), b"01"))
        (traced,) = traces(rig)

    assert traced.request_id == b"r" * 256


@on_both_loops
async def test_the_tail_keeps_a_failed_request_with_the_context_that_was_sent() -> None:
    async with sidecar(tracing=tracing(tail=Tail())) as rig:
        await converse(rig, UNSAMPLED_POST, POST % (TRACE, span(1), b"00"), SERVER_ERROR)
        (traced,) = traces(rig)

        assert (traced.reason, traced.trace_id, traced.parent_id, traced.client_id) == (FAILED, TRACE, CALLER, span(1))
        assert (traced.status, traced.error_type, traced.cut) == (500, "", False)


@on_both_loops
async def test_the_tail_keeps_a_slow_request() -> None:
    async with sidecar(tracing=tracing(tail=Tail(slow_s=0.0))) as rig:
        await converse(rig, UNSAMPLED_POST, POST % (TRACE, span(1), b"00"))
        assert [traced.reason for traced in traces(rig)] == [SLOW]


@on_both_loops
async def test_of_many_failures_the_tail_keeps_so_many_a_minute() -> None:
    given = tracing(OFF, Tail(per_minute=2))
    async with sidecar(tracing=given) as rig:
        client, upstream = await rig.asks()
        for _ in range(5):
            await upstream.send(SERVER_ERROR)
            await client.expect(SERVER_ERROR)
            await client.send(GET)
            await upstream.head()
        await upstream.send(OK)
        await client.expect(OK)

        assert (len(traces(rig)), given.kept, given.dropped) == (2, {FAILED: 2}, {"tail_limit": 3})


# What goes wrong

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
FAULTS = {
    "no reply": (b"", (502, "reset", True)),
    "half a reply": (HALF, (200, "reset", True)),
    "no HTTP": (b"what?\r\n\r\n", (502, "bad_reply", True)),
}


@pytest.mark.parametrize(("reply", "expected"), FAULTS.values(), ids=FAULTS.keys())
@on_both_loops
async def test_a_fault_of_the_upstream_is_told(reply: bytes, expected: tuple[int, str, bool]) -> None:
    async with sidecar(tracing=tracing(OFF, Tail())) as rig:
        _, upstream = await rig.asks(SAMPLED_POST)
        await upstream.receive(4)
        await upstream.send(reply)
        upstream.close()
        await until(lambda: traces(rig))
        (traced,) = traces(rig)

        assert (traced.status, traced.error_type, traced.cut) == expected
        assert (traced.reason, traced.variant, traced.resends) == (FAILED, "v0", 0)
        assert traced.sent_s > 0
        assert bool(traced.first_byte_s) == (reply == HALF)


@on_both_loops
async def test_an_upstream_that_is_not_there_has_no_span() -> None:
    async with sidecar(tracing=tracing(ON)) as rig:
        with reserved_port() as deaf:
            rig.pool.port = deaf.getsockname()[1]
            client = await rig.client()
            await client.send(GET)
            await client.until(b"id-1")
        (traced,) = traces(rig)

        assert (traced.status, traced.error_type, traced.cut) == (502, "connect_failed", True)
        assert (traced.sent_s, traced.address, traced.port, traced.variant) == (0.0, "", 0, "v0")


@on_both_loops
async def test_who_is_gone_has_not_failed() -> None:
    async with sidecar(tracing=tracing(OFF, Tail())) as rig:
        client, _ = await rig.asks()
        client.reset()
        await until(rig.errors)

        assert (rig.errors(), traces(rig)) == ([(0, "client_closed")], [])


@on_both_loops
async def test_a_sampled_request_whose_client_is_gone_is_told() -> None:
    async with sidecar(tracing=tracing(ON)) as rig:
        client, _ = await rig.asks()
        client.reset()
        await until(lambda: traces(rig))
        (traced,) = traces(rig)

        assert (traced.status, traced.error_type, traced.cut) == (0, "client_closed", False)


MALFORMED = b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("pieces", [[MALFORMED + b"x\r\n"], [MALFORMED, b"x\r\n"]])
@on_both_loops
async def test_a_body_that_nobody_understands_is_told_of_a_sampled_request(pieces: Sequence[bytes]) -> None:
    for sampler, kept in ((ON, 1), (OFF, 0)):
        async with sidecar(tracing=tracing(sampler, Tail())) as rig:
            client = await rig.client()
            for piece in pieces:
                await client.send(piece)
                await turn()
            assert (await client.head()).startswith(b"HTTP/1.1 400 ")

            told = [(each.method, each.status, each.error_type, each.cut) for each in traces(rig)]
            assert told == [(b"POST", 400, "bad_request", False)] * kept


@on_both_loops
async def test_a_request_for_which_there_is_no_room_is_told() -> None:
    async with sidecar(tracing=tracing(OFF, Tail()), limits=Limits(in_flight=0)) as rig:
        client = await rig.client()
        await client.send(SAMPLED_POST)
        assert (await client.head()).startswith(b"HTTP/1.1 503 ")
        (traced,) = traces(rig)

        assert (traced.reason, traced.trace_id, traced.parent_id) == (FAILED, TRACE, CALLER)
        assert (traced.status, traced.error_type, traced.cut) == (503, "overload", True)
        assert (traced.route, traced.variant, traced.sent_s) == ("/v2/models/{model}/infer", "", 0.0)
        assert traced.server_id != traced.client_id


@on_both_loops
async def test_what_was_never_read_is_not_told() -> None:
    async with sidecar(tracing=tracing(ON)) as rig:
        client = await rig.client()
        await client.send(b"what?\r\n\r\n")
        await client.head()
        assert traces(rig) == []


@on_both_loops
async def test_a_request_that_is_over_before_it_is_sent_has_one_span() -> None:
    async with sidecar(tracing=tracing(ON), timeouts=Timeouts(total_s=1e-6)) as rig:
        client = await rig.client()
        await client.send(GET)
        await client.until(b"id-1")
        (traced,) = traces(rig)

        assert (traced.status, traced.error_type, traced.sent_s) == (504, "total_timeout", 0.0)


# Who answers


@on_both_loops
async def test_a_request_sent_twice_says_so() -> None:
    async with sidecar(tracing=tracing(ON)) as rig:
        before = await rig.warm()
        client = await rig.client()
        await client.send(GET)
        await before.head()
        before.close()
        upstream = await rig.upstream.accept()
        again = await upstream.head()
        await upstream.send(OK)
        await client.expect(OK)
        (_, traced) = traces(rig)

        assert (traced.resends, traced.status) == (1, 200)
        assert traced.client_id in again


@on_both_loops
async def test_a_diverted_request_tells_of_who_answered() -> None:
    async with sidecar(tracing=tracing(ON), variants=(CHAMPION, SPARE), split={"fallback": "v1"}) as rig:
        client, upstream = await rig.asks()
        upstream.close()
        spare = await rig.upstreams["v1"].accept()
        await spare.head()
        await spare.send(OK)
        await client.expect(OK)
        (traced,) = traces(rig)

        assert (traced.variant, traced.version, traced.port) == ("v1", "4", rig.upstreams["v1"].port)
        assert (traced.status, traced.resends) == (200, 1)


@on_both_loops
async def test_a_tunnel_is_told_by_its_handshake() -> None:
    upgrade = b"GET /chat HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with sidecar(tracing=tracing(ON)) as rig:
        client, upstream = await rig.asks(upgrade)
        await upstream.send(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await client.head()
        (traced,) = traces(rig)

        assert (traced.path, traced.status, traced.error_type) == (b"/chat", 101, "")
        assert traced.ended_s == traced.duration_s > traced.first_byte_s > 0


@on_both_loops
async def test_a_copy_carries_the_context_of_the_original_as_it_came() -> None:
    async with shadowed(sampling=EVERYTHING) as stage:
        rig = stage.rig
        rig.listener.gateway = replace(rig.gateway, tracing=tracing())
        await stage.ask(SAMPLED_POST)
        shade = await stage.shade.accept()
        await shade.expect(SAMPLED_POST[:-8] + b"\r\n" + MARK + b"\r\nbody")
        await shade.send(OK)
        await stage.settled()
        original, copy = sorted(rig.exchanges(), key=lambda each: each.shadow)

        assert original.request.field(b"traceparent") == b"00-%b-%b-01" % (TRACE, span(1))
        assert copy.request.field(b"traceparent") == b"00-%b-%b-01" % (TRACE, CALLER)


# What is captured, and what is left


@on_both_loops
async def test_a_capture_can_be_joined_with_its_trace() -> None:
    async with sidecar(tracing=tracing(ON), sampling=EVERYTHING) as rig:
        client, upstream = await rig.asks()
        await upstream.send(OK)
        await client.expect(OK)
        (exchange,), (traced,) = rig.exchanges(), traces(rig)

        sent = b"00-%b-%b-03" % (traced.trace_id, traced.client_id)
        assert exchange.request.lines == b"Host: m\r\ntraceparent: %b\r\n" % sent


@pytest.mark.parametrize("given", [None, tracing(ON, propagates=False)])
@on_both_loops
async def test_without_propagation_a_capture_holds_what_came(given: Tracing | None) -> None:
    async with sidecar(tracing=given, sampling=EVERYTHING) as rig:
        await converse(rig, SAMPLED_POST, SAMPLED_POST)
        (exchange,) = rig.exchanges()
        assert exchange.request.field(b"traceparent") == b"00-%b-%b-01" % (TRACE, CALLER)


@on_both_loops
async def test_no_trail_outlives_its_request() -> None:
    async with sidecar(tracing=tracing(ON, max_waiting=3)) as rig:
        client, upstream = await rig.asks()
        for _ in range(10):
            await upstream.send(OK)
            await client.expect(OK)
            await client.send(GET)
            await upstream.head()
        await upstream.send(OK)
        await client.expect(OK)
        assert (len(traces(rig)), dict(rig.gateway.tracing.dropped)) == (3, {"queue_full": 8})  # type: ignore[union-attr]  # given above
    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, Trail)] == []


# The client's address


@pytest.mark.parametrize(
    ("lines", "arrives"),
    [
        (b"", b"x-forwarded-for: 127.0.0.1\r\n"),
        (b"X-Forwarded-For: 10.0.0.1\r\nA: b\r\n", b"X-Forwarded-For: 10.0.0.1, 127.0.0.1\r\nA: b\r\n"),
        (b"Connection: X-Forwarded-For\r\nX-Forwarded-For: 10.0.0.1\r\n", b"x-forwarded-for: 127.0.0.1\r\n"),
    ],
)
@on_both_loops
async def test_upstreams_are_told_the_clients_address_where_asked(lines: bytes, arrives: bytes) -> None:
    async with sidecar(forwarded_for=True, sampling=EVERYTHING) as rig:
        await converse(rig, GET[:-2] + lines + b"\r\n", GET[:-2] + arrives + b"\r\n")
        (exchange,) = rig.exchanges()
        assert exchange.request.lines == b"Host: m\r\n" + lines


@on_both_loops
async def test_the_address_and_the_context_go_together() -> None:
    async with sidecar(forwarded_for=True, tracing=tracing()) as rig:
        after = b"Content-Length: 4\r\nx-forwarded-for: 127.0.0.1\r\n"
        await converse(rig, SAMPLED_POST, (POST % (TRACE, span(1), b"01")).replace(b"Content-Length: 4\r\n", after))


@on_both_loops
async def test_copies_tell_the_address_too() -> None:
    async with shadowed() as stage:
        stage.rig.listener.gateway = replace(stage.rig.gateway, forwarded_for=True)
        await stage.ask(GET)
        shade: Peer = await stage.shade.accept()
        assert b"x-forwarded-for: 127.0.0.1" in reply_fields(await shade.head())
        await shade.send(OK)
        await stage.settled()


# What is told of targets and agents


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", b"/"),
        (b"/a/b?user=7", b"/a/b"),
        (b"*", b"*"),
        (b"http://m/x?y", b"/x"),
        (b"HTTPS://m", b"/"),
        (b"http://m?y", b"/"),
        (b"/" + b"a" * 16384, b"/" + b"a" * (PATH_BYTES - 1)),
    ],
)
def test_of_a_target_the_path_is_told(target: bytes, path: bytes) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize(
    ("lines", "agent"),
    [
        (b"", b""),
        (b"USER-agent:\t curl/8 \r\nUser-Agent: b\r\n", b"curl/8"),
        (b"X-User-Agent: a\r\nuser-agent:b\r\n", b"b"),
        (b"User-Agent:\r\n", b""),
        (b"User-Agent: " + b"a" * 4000 + b"\r\n", b"a" * AGENT_BYTES),
    ],
)
def test_of_an_agent_the_beginning_is_told(lines: bytes, agent: bytes) -> None:
    assert agent_of(lines) == agent


def test_sampling_by_ratio_goes_by_the_trace_the_caller_has_begun() -> None:
    chance = random.Random(1)
    given = Tracing(Sampler(0.3, parent_based=False), None, bits=chance.getrandbits)
    lines = [b"traceparent: 00-%032x-%b-01\r\n" % (chance.getrandbits(128), CALLER) for _ in range(2000)]
    decisions = [[Trail(given, line).sampled for line in lines] for _ in range(2)]
    assert decisions[0] == decisions[1]
    assert sum(decisions[0]) == pytest.approx(600, abs=80)
