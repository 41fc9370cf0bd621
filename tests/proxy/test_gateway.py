"""Several variants behind one gateway: who serves, who serves instead, and what is told of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import pytest

from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.pool import Pool
from sidecar.routing.availability import Availability, Settings
from sidecar.routing.matching import Rule
from sidecar.routing.sticky import Address, Header, Pointer
from sidecar.routing.table import RoutingTable, Variant
from sidecar.stats.served import Served
from sidecar.wire.http1 import parse_request
from tests.proxy.rig import (
    CHAMPION,
    EVERYTHING,
    GET,
    LOCALHOST,
    LONGER_S,
    OK,
    SHORT_S,
    SPARE,
    WELL,
    Peer,
    Rig,
    on_both_loops,
    reply_fields,
    reserved_port,
    sidecar,
    turn,
    until,
)

EQUAL = (Variant("v0", version="3"), Variant("v1", version="4"))
"""Of these two the split draws the first for the rig's first three request ids, where it does not go by a key."""

FALLBACK = {"fallback": "v1"}
SIGNS = {
    "v0": b"x-sidecar-variant: v0\r\nx-sidecar-version: 3\r\n",
    "v1": b"x-sidecar-variant: v1\r\nx-sidecar-version: 4\r\n",
}
POST = b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n"
SERVER_ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad"


@asynccontextmanager
async def fallible(**changes: Any) -> AsyncIterator[Rig]:  # noqa: ANN401  (as `sidecar` has it)
    """A sidecar whose requests go to `v0`, and to `v1` where that cannot serve; all are kept and weighed."""
    given = {"variants": (CHAMPION, SPARE), "split": FALLBACK, "served": Served(), "sampling": EVERYTHING}
    async with sidecar(**{**given, **changes}) as rig:
        yield rig


@contextmanager
def refusing(rig: Rig, *names: str) -> Iterator[None]:
    """Connections to these variants are refused."""
    with reserved_port() as deaf:
        for name in names:
            rig.gateway.pools[name].port = deaf.getsockname()[1]
        yield


def never_in_time(rig: Rig) -> None:
    """Connections to `v0` take too long."""
    pools, timeouts = rig.gateway.pools, Timeouts(connect_s=1e-6)
    assert isinstance(pools, dict)
    pools["v0"] = Pool(LOCALHOST, rig.upstream.port, timeouts=timeouts, idle_limit=1, availability=WELL())


def signed(reply: bytes, variant: str) -> bytes:
    return reply.replace(b"\r\n\r\n", b"\r\n" + SIGNS[variant] + b"\r\n")


def outcomes(rig: Rig) -> list[tuple[str, bool]]:
    """Of each request: whom the split drew, and whether it failed."""
    assert rig.gateway.served is not None
    return [(each.variant, each.failed) for each in rig.gateway.served.take()]


def who(rig: Rig) -> list[tuple[str, str, int, str]]:
    """Of each series: variant, version, status and error type."""
    return sorted((labels.variant, labels.version, labels.status, labels.error_type) for labels in rig.series())


def diverted_once(rig: Rig, *, spared: bool = False) -> None:
    """One request was meant for `v0` and served by `v1`, and all accounts say so; who was spared has not failed."""
    (exchange,) = rig.exchanges()

    assert rig.gateway.traffic.diverted == {("v0", "v1"): 1}
    assert (exchange.variant, exchange.version, exchange.unit) == ("v1", "4", 0)
    assert outcomes(rig) == [("v0", not spared)]
    assert not any(rig.gateway.traffic.active_by_variant.values())


# Who serves instead: nothing was sent yet

UNSENT = {
    "GET": [GET],
    "POST": [POST],
    "a body that is to come": [POST[:-4], b"bo", b"dy"],
    "a chunked body": [CHUNKED_HEAD, b"2\r\nab\r\n", b"1\r\nc\r\n", b"0\r\nX-Sum: 3\r\n\r\n"],
    "a long body": [b"PUT / HTTP/1.1\r\nHost: m\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000, b"y" * 500_000],
}


@pytest.mark.parametrize("pieces", UNSENT.values(), ids=UNSENT.keys())
@pytest.mark.parametrize("way", ["refused", "too slow"])
@on_both_loops
async def test_what_was_not_sent_goes_to_the_fallback_whole(pieces: Sequence[bytes], way: str) -> None:
    async with fallible(signs=SIGNS) as rig:
        if way == "too slow":
            never_in_time(rig)
        with refusing(rig, *(["v0"] if way == "refused" else [])):
            client = await rig.client()
            sending = rig.gateway.tasks.start(client.send(pieces[0]))
            spare = await rig.upstreams["v1"].accept()
            head = await spare.head()
            await sending
            for piece in pieces[1:]:
                await client.send(piece)
            body = b"".join(pieces).removeprefix(head)
            await spare.expect(body) if b"chunked" not in head else await spare.until(b"0\r\nX-Sum: 3\r\n\r\n")
            await spare.send(OK)
            await client.expect(signed(OK, "v1"))

        assert who(rig) == [("v1", "4", 200, "")]
        diverted_once(rig)


@on_both_loops
async def test_a_diverted_request_is_captured_whole_and_counted_once() -> None:
    async with fallible() as rig:
        with refusing(rig, "v0"):
            client, spare = await rig.asks(POST, "v1")
            await spare.expect(b"body")
            await spare.send(OK)
            await client.expect(OK)
        (exchange,) = rig.exchanges()
        ((_, series),) = rig.series().items()

        assert (b"".join(exchange.request.chunks), exchange.request.truncated) == (b"body", False)
        assert (series.request_bytes.total, series.reply_bytes.total) == (4.0, 2.0)


@on_both_loops
async def test_a_diverted_request_takes_a_connection_that_is_there() -> None:
    async with fallible(split={**FALLBACK, "override_header": "x-to"}) as rig:
        client, spare = await rig.asks(b"GET / HTTP/1.1\r\nHost: m\r\nX-To: v1\r\n\r\n", "v1")
        await spare.send(OK)
        await client.expect(OK)
        with refusing(rig, "v0"):
            await client.send(POST[:-2])
            await spare.head()
            await client.send(POST[-2:])
            await spare.expect(b"body")
            await spare.send(OK)
            await client.expect(OK)

        assert rig.gateway.traffic.diverted == {("v0", "v1"): 1}
        assert rig.gateway.pools["v1"].opened == 1


@on_both_loops
async def test_a_client_that_goes_while_the_fallback_is_dialled_takes_its_request_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    connect, let, dialled = loop.create_connection, asyncio.Event(), asyncio.Event()

    async with fallible() as rig:

        async def late(make: Any, host: str, port: int, **options: Any) -> Any:  # noqa: ANN401  (the loop's own)
            if port == rig.upstreams["v1"].port:
                dialled.set()
                await let.wait()
            return await connect(make, host, port, **options)

        monkeypatch.setattr(loop, "create_connection", late)
        with refusing(rig, "v0"):
            client = await rig.client()
            await client.send(POST)
            await dialled.wait()
            assert rig.gateway.traffic.active_by_variant == {"v0": 0, "v1": 1}
            client.reset()
            await until(lambda: not rig.gateway.traffic.active)
            let.set()
            spare = await rig.upstreams["v1"].accept()
            await until(lambda: rig.gateway.pools["v1"].idle)

        assert who(rig) == [("v1", "4", 0, "client_closed")]
        assert outcomes(rig) == []
        assert not any(rig.gateway.traffic.active_by_variant.values())
        spare.close()
        await until(lambda: not rig.gateway.pools["v1"].idle)


@on_both_loops
async def test_without_a_fallback_another_with_a_weight_serves() -> None:
    async with fallible(variants=(CHAMPION, Variant("v1", version="4", weight=1e-9)), split={}) as rig:
        with refusing(rig, "v0"):
            client, spare = await rig.asks(GET, "v1")
            await spare.send(OK)
            await client.expect(OK)

        diverted_once(rig)


NOBODY_ELSE = {
    "one variant": {"variants": (CHAMPION,), "split": {}},
    "another without a weight": {"split": {}},
    "a fallback that is not available": {"variants": (CHAMPION, Variant("v1", weight=0.0, available=0.0))},
    "the fallback itself": {"split": {"fallback": "v0"}},
}


@pytest.mark.parametrize("changes", NOBODY_ELSE.values(), ids=NOBODY_ELSE.keys())
@on_both_loops
async def test_with_nobody_to_fall_back_to_the_error_is_the_answer(changes: dict[str, Any]) -> None:
    async with fallible(**changes) as rig:
        with refusing(rig, "v0"):
            client = await rig.client()
            await client.send(GET)
            head = await client.head()

        assert head.startswith(b"HTTP/1.1 502 ")
        assert who(rig) == [("v0", "3", 502, "connect_failed")]
        assert rig.gateway.traffic.diverted == {}
        assert outcomes(rig) == [("v0", True)]
        assert all(upstream.untouched() for upstream in rig.upstreams.values())


@on_both_loops
async def test_http_1_0_without_a_host_names_whom_it_comes_to() -> None:
    async with fallible() as rig:
        with refusing(rig, "v0"):
            trap = b"X-Host: %b\r\n" % rig.pool.authority
            client = await rig.client()
            await client.send(b"GET / HTTP/1.0\r\n" + trap + b"\r\n")
            spare = await rig.upstreams["v1"].accept()
            host = b"Host: 127.0.0.1:%d\r\n" % rig.upstreams["v1"].port
            await spare.expect(b"GET / HTTP/1.1\r\n" + trap + host + b"\r\n")
            await spare.send(OK)

            assert await client.rest() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


# Who serves instead: it was sent, but its reply has not begun

FAULTS = {
    "reset": {},
    "close": {},
    "silence": {"timeouts": Timeouts(first_byte_s=LONGER_S)},
    "nonsense": {},
}


async def fail(upstream: Peer, fault: str) -> None:
    if fault == "nonsense":
        await upstream.send(b"220 mail\r\n\r\n")
    elif fault != "silence":
        getattr(upstream, fault)()


@pytest.mark.parametrize(("fault", "changes"), FAULTS.items(), ids=FAULTS.keys())
@on_both_loops
async def test_an_idempotent_request_goes_to_the_fallback_before_its_reply(fault: str, changes: dict[str, Any]) -> None:
    async with fallible(**changes) as rig:
        client, upstream = await rig.asks(GET)
        await fail(upstream, fault)
        spare = await rig.upstreams["v1"].accept()
        await spare.expect(GET)
        await spare.send(OK)
        await client.expect(OK)

        assert who(rig) == [("v1", "4", 200, "")]
        diverted_once(rig)


@pytest.mark.parametrize(("fault", "changes"), FAULTS.items(), ids=FAULTS.keys())
@pytest.mark.parametrize("request_", [POST, POST[:-1], POST.replace(b"POST", b"GET"), CHUNKED_HEAD + b"0\r\n\r\n"])
@on_both_loops
async def test_what_was_sent_and_may_do_something_never_goes_twice(
    request_: bytes, fault: str, changes: dict[str, Any]
) -> None:
    if fault == "silence":
        changes = {"timeouts": Timeouts(first_byte_s=SHORT_S, idle_s=SHORT_S)}
    async with fallible(**changes) as rig:
        client, upstream = await rig.asks(request_)
        await fail(upstream, fault)
        head = await client.head()

        assert head[:12] in {b"HTTP/1.1 502", b"HTTP/1.1 504", b"HTTP/1.1 408"}
        assert rig.upstreams["v1"].untouched()
        assert rig.gateway.traffic.diverted == {}
        assert [each.variant for each in rig.exchanges()] == ["v0"]


@on_both_loops
async def test_a_reply_that_has_begun_is_cut_and_not_begun_again() -> None:
    async with fallible() as rig:
        client, upstream = await rig.asks(GET)
        await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await client.until(b"ab")
        upstream.reset()
        await client.gone()

        assert rig.upstreams["v1"].untouched()
        assert who(rig) == [("v0", "3", 200, "reset")]
        assert outcomes(rig) == [("v0", True)]


@on_both_loops
async def test_a_server_error_is_an_answer_and_goes_to_nobody_else() -> None:
    async with fallible() as rig:
        client, upstream = await rig.asks(GET)
        await upstream.send(SERVER_ERROR)
        await client.expect(SERVER_ERROR)

        assert rig.upstreams["v1"].untouched()
        assert outcomes(rig) == [("v0", True)]


@pytest.mark.parametrize("again", ["refused", "reset"])
@on_both_loops
async def test_a_stale_connection_is_tried_again_before_the_fallback(again: str) -> None:
    async with fallible() as rig:
        stale = await rig.warm()
        rig.exchanges()
        outcomes(rig)
        client = await rig.client()
        with refusing(rig, *(["v0"] if again == "refused" else [])):
            await client.send(GET)
            await stale.head()
            stale.close()
            if again == "reset":
                fresh = await rig.upstream.accept()
                await fresh.expect(GET)
                fresh.reset()
            spare = await rig.upstreams["v1"].accept()
            await spare.expect(GET)
            await spare.send(OK)
            await client.expect(OK)

        diverted_once(rig)


TWICE = {
    "both refuse": ("refuses", "refuses", 502, "connect_failed"),
    "one refuses, the other resets": ("refuses", "reset", 502, "reset"),
    "one refuses, the other is silent": ("refuses", "silence", 504, "first_byte_timeout"),
    "one resets, the other refuses": ("reset", "refuses", 502, "connect_failed"),
    "both reset": ("reset", "reset", 502, "reset"),
}


@pytest.mark.parametrize(("one", "other", "status", "error_type"), TWICE.values(), ids=TWICE.keys())
@on_both_loops
async def test_a_fallback_that_fails_too_ends_it_with_one_reply(
    one: str, other: str, status: int, error_type: str
) -> None:
    timeouts = Timeouts(first_byte_s=SHORT_S if other == "silence" else 60.0)
    async with fallible(signs=SIGNS, timeouts=timeouts) as rig:
        ways = {"v0": one, "v1": other}
        with refusing(rig, *(name for name, way in ways.items() if way == "refuses")):
            client = await rig.client()
            await client.send(GET)
            for name, way in ways.items():
                if way != "refuses":
                    upstream = await rig.upstreams[name].accept()
                    await upstream.expect(GET)
                    await fail(upstream, way)
            head = await client.head()
            await client.until(b'"id-1"}')

        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert SIGNS["v1"] in head
        assert b"Connection: close" not in head
        assert who(rig) == [("v1", "4", status, error_type)]
        diverted_once(rig)
        assert all(upstream.untouched() for upstream in rig.upstreams.values())


# Whom the split drew has failed, and is told so

TELLING = {
    "a refused connection": (POST, "refuses", 1),
    "a reset": (POST, "reset", 1),
    "a reset where another may try": (GET, "reset", 1),
    "a server error": (POST, "error", 1),
    "an answer": (POST, "answer", 0),
    "a client that goes": (POST, "leave", 0),
    "no reply in all the time there is": (POST, "wait", 1),
    "no request in all the time there is": (POST[:-1], "wait", 0),
}


@pytest.mark.parametrize(("request_", "way", "ejections"), TELLING.values(), ids=TELLING.keys())
@on_both_loops
async def test_a_variant_that_fails_is_ejected_and_the_traffic_dealt_anew(
    request_: bytes, way: str, ejections: int
) -> None:
    redealt: list[float] = []
    timeouts = Timeouts(total_s=LONGER_S) if way == "wait" else None
    async with sidecar(redeal=lambda: redealt.append(1.0), timeouts=timeouts) as rig:
        availability = rig.pool.availability = Availability(Settings(errors=1, connect_failures=1))
        with refusing(rig, *(["v0"] if way == "refuses" else [])):
            client = await rig.client()
            await client.send(request_)
            if way != "refuses":
                upstream = await rig.upstream.accept()
                await upstream.head()
                if way == "reset":
                    upstream.reset()
                elif way in {"error", "answer"}:
                    await upstream.send(SERVER_ERROR if way == "error" else OK)
            if way == "leave":
                client.reset()
            else:
                await client.head()
            await until(lambda: not rig.gateway.traffic.active)

        assert (availability.ejections, len(redealt)) == (ejections, ejections)


@on_both_loops
async def test_a_switch_of_protocol_is_a_success() -> None:
    async with sidecar() as rig:
        availability = rig.pool.availability = Availability(Settings(errors=2))
        availability.failed("error", 1e3)
        client, upstream = await rig.asks(
            b"GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        await upstream.send(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await client.head()

        assert availability.failed("error", 1e3) is False


# Who serves: by what a request says

USERS = RoutingTable(EQUAL, sticky=Header("x-user"))


def user_of(variant: str) -> bytes:
    """A user whom the split gives to that variant."""
    for number in count():
        head = parse_request(b"GET / HTTP/1.1\r\nHost: m\r\nX-User: %d\r\n" % number)
        if USERS.choose(head, b"").variant.name == variant:
            return b"%d" % number
    raise AssertionError


@pytest.mark.parametrize("variant", ["v0", "v1"])
@on_both_loops
async def test_a_user_stays_with_one_variant(variant: str) -> None:
    request = b"GET / HTTP/1.1\r\nHost: m\r\nX-User: %b\r\n\r\n" % user_of(variant)
    async with fallible(variants=EQUAL, split={"sticky": Header("x-user")}, signs=SIGNS) as rig:
        for _ in range(5):
            client, upstream = await rig.asks(request, variant)
            await upstream.send(OK)
            await client.expect(signed(OK, variant))
            upstream.close()
            await until(lambda: not rig.gateway.pools[variant].idle)

        assert outcomes(rig) == [(variant, False)] * 5
        assert len({exchange.unit for exchange in rig.exchanges()}) == 1
        assert rig.gateway.traffic.unkeyed == 0


@on_both_loops
async def test_who_does_not_say_who_they_are_is_counted() -> None:
    async with fallible(variants=EQUAL, split={"sticky": Header("x-user")}) as rig:
        client, upstream = await rig.asks(GET)
        await upstream.send(OK)
        await client.expect(OK)

        assert rig.gateway.traffic.unkeyed == 1
        assert outcomes(rig) == [("v0", False)]


@on_both_loops
async def test_whom_a_rule_or_a_field_takes_need_not_say_who_they_are() -> None:
    split = {"sticky": Header("x-user"), "override_header": "x-variant", "rules": (Rule("v0", path="/health*"),)}
    async with fallible(variants=EQUAL, split=split) as rig:
        for request in (b"GET /healthz HTTP/1.1\r\nHost: m\r\n\r\n", GET[:-2] + b"X-Variant: v0\r\n\r\n"):
            client, upstream = await rig.asks(request)
            await upstream.send(OK)
            await client.expect(OK)
            upstream.close()
            await until(lambda: not rig.gateway.pools["v0"].idle)

        assert rig.gateway.traffic.unkeyed == 0
        assert outcomes(rig) == []


@on_both_loops
async def test_where_nobody_asks_who_they_are_nobody_is_counted() -> None:
    async with sidecar() as rig:
        client, upstream = await rig.asks(GET)
        await upstream.send(OK)
        await client.expect(OK)

        assert rig.gateway.traffic.unkeyed == 0


def salt_for(variant: str) -> str:
    """One with which the client's address belongs to that variant."""
    head = parse_request(b"GET / HTTP/1.1\r\nHost: m\r\n")
    tables = (RoutingTable(EQUAL, sticky=Address(), salt=str(number)) for number in count())
    return next(t.salt for t in tables if t.choose(head, b"", address=b"127.0.0.1").variant.name == variant)


@pytest.mark.parametrize("variant", ["v0", "v1"])
@on_both_loops
async def test_an_address_stays_with_one_variant(variant: str) -> None:
    async with sidecar(variants=EQUAL, split={"sticky": Address(), "salt": salt_for(variant)}) as rig:
        for _ in range(2):
            client, upstream = await rig.asks(GET, variant)
            await upstream.send(OK)
            await client.expect(OK)
            upstream.close()
            await until(lambda: not rig.gateway.pools[variant].idle)


APART = {
    "the override field": (b"x-variant: v1\r\n", "v1"),
    "an override field that names nobody": (b"x-variant: v9\r\n", "v0"),
    "a rule": (b"x-tenant: lab-7\r\n", "v1"),
    "the override field before a rule": (b"x-variant: v0\r\nx-tenant: lab-7\r\n", "v0"),
    "neither": (b"", "v0"),
}
RULES = {"override_header": "x-variant", "rules": (Rule("v1", header="x-tenant", value="lab-*"),)}


@pytest.mark.parametrize(("lines", "variant"), APART.values(), ids=APART.keys())
@on_both_loops
async def test_a_field_or_a_rule_says_who_serves(lines: bytes, variant: str) -> None:
    async with fallible(split=RULES, signs=SIGNS) as rig:
        client, upstream = await rig.asks(b"GET / HTTP/1.1\r\nHost: m\r\n" + lines + b"\r\n", variant)
        await upstream.send(OK)
        await client.expect(signed(OK, variant))
        (exchange,) = rig.exchanges()

        drawn = lines in {b"", APART["an override field that names nobody"][0]}
        assert (exchange.variant, bool(exchange.unit)) == (variant, drawn)
        assert outcomes(rig) == ([("v0", False)] if drawn else [])


@on_both_loops
async def test_whom_a_field_meant_only_the_fallback_replaces() -> None:
    async with fallible(split={**RULES, "fallback": "v0"}) as rig:
        with refusing(rig, "v1"):
            client, upstream = await rig.asks(b"GET / HTTP/1.1\r\nHost: m\r\nx-variant: v1\r\n\r\n")
            await upstream.send(OK)
            await client.expect(OK)

        assert rig.gateway.traffic.diverted == {("v1", "v0"): 1}
        assert outcomes(rig) == []


@pytest.mark.parametrize(("available", "spared"), [(0.0, False), (1e-9, True)])
@on_both_loops
async def test_requests_of_a_variant_that_is_away_or_comes_back_are_counted_as_diverted(
    available: float, spared: bool
) -> None:
    first = Variant("v0", version="3", available=available)
    async with fallible(variants=(first, SPARE)) as rig:
        client, spare = await rig.asks(GET, "v1")
        await spare.send(OK)
        await client.expect(OK)

        assert rig.upstream.untouched()
        diverted_once(rig, spared=spared)


# Who serves: by what the body says

BY_BODY = {"sticky": Pointer("/user")}
BODY = b'{"user": "%b", "rows": [1, 2, 3]}' % user_of("v1")
KEYED = b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKS = b'3\r\n{"u\r\n%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n' % (len(BODY) - 3, BODY[3:])
IN_CHUNKS = CHUNKED_HEAD + CHUNKS
ONE_CHUNK = CHUNKED_HEAD + b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(BODY), BODY)
EXPECTING = KEYED.replace(b"\r\nContent", b"\r\nExpect: 100-continue\r\nContent")


@asynccontextmanager
async def reading(**changes: Any) -> AsyncIterator[Rig]:  # noqa: ANN401  (as above)
    """A sidecar that goes by what bodies say."""
    given = {"variants": EQUAL, "split": BY_BODY, "served": Served(), "sampling": EVERYTHING}
    async with sidecar(**{**given, **changes}) as rig:
        yield rig


FOUND = {
    "in one piece": ([KEYED], KEYED),
    "behind its head": ([KEYED[: -len(BODY)], BODY], KEYED),
    "byte by byte": ([KEYED[at : at + 1] for at in range(len(KEYED))], KEYED),
    "in chunks": ([IN_CHUNKS], ONE_CHUNK),
    "in chunks, byte by byte": ([IN_CHUNKS[at : at + 1] for at in range(len(IN_CHUNKS))], ONE_CHUNK),
    "at once, though a 100 is expected": ([EXPECTING], EXPECTING),
}


@pytest.mark.parametrize(("pieces", "arrives"), FOUND.values(), ids=FOUND.keys())
@on_both_loops
async def test_a_key_is_found_in_the_body_however_it_comes(pieces: Sequence[bytes], arrives: bytes) -> None:
    async with reading(limits=Limits(early_bytes=len(BODY))) as rig:
        client = await rig.client()
        for piece in pieces:
            await client.send(piece)
            await turn()
        upstream = await rig.upstreams["v1"].accept()
        await upstream.expect(arrives)
        await upstream.send(OK)
        await client.expect(OK)
        (exchange,) = rig.exchanges()

        assert (exchange.variant, b"".join(exchange.request.chunks)) == ("v1", BODY)
        assert (rig.upstream.untouched(), rig.gateway.traffic.unkeyed) == (True, 0)
        assert outcomes(rig) == [("v1", False)]


UNKEYED = {
    "without a body": (GET, GET),
    "a body that is not JSON": (POST, POST),
    "a body that is longer than may wait": (KEYED[:-1], KEYED[:-1]),
    "a body for which a 100 is expected": (EXPECTING[: -len(BODY)], EXPECTING[: -len(BODY)]),
    "a chunked body that is longer than may wait": (
        CHUNKED_HEAD + b"%x\r\n" % len(BODY) + BODY[:-1],
        CHUNKED_HEAD + b"%x\r\n" % (len(BODY) - 1) + BODY[:-1] + b"\r\n",
    ),
}


@pytest.mark.parametrize(("request_", "arrives"), UNKEYED.values(), ids=UNKEYED.keys())
@on_both_loops
async def test_what_has_no_key_or_does_not_wait_goes_by_its_id(request_: bytes, arrives: bytes) -> None:
    async with reading(limits=Limits(early_bytes=len(BODY) - 2)) as rig:
        client = await rig.client()
        await client.send(request_)
        upstream = await rig.upstream.accept()
        await upstream.expect(arrives)
        await upstream.send(OK)
        await client.until(b"ok")

        assert rig.gateway.traffic.unkeyed == 1
        assert outcomes(rig) == [("v0", False)]


@on_both_loops
async def test_nobody_is_bothered_before_the_body_is_whole() -> None:
    async with reading() as rig:
        client = await rig.client()
        await client.send(KEYED[:-1])
        await until(lambda: rig.gateway.traffic.active)
        await turn()

        assert (rig.gateway.traffic.active, dict(rig.gateway.traffic.active_by_variant)) == (1, {})
        assert [upstream.untouched() for upstream in rig.upstreams.values()] == [True, True]
        await client.send(KEYED[-1:])
        upstream = await rig.upstreams["v1"].accept()
        await upstream.expect(KEYED)
        assert rig.gateway.traffic.active_by_variant == {"v1": 1}
        await upstream.send(OK)
        await client.expect(OK)


ENDS = {
    "the client is gone": (KEYED[:-1], {}, (0, "client_closed")),
    "the rest is malformed": (CHUNKED_HEAD + b"2\r\nabc", {}, (400, "bad_request")),
    "the rest does not come": (KEYED[:-1], {"idle_s": SHORT_S}, (408, "body_timeout")),
    "all the time is over": (KEYED[:-1], {"total_s": SHORT_S}, (504, "total_timeout")),
}


@pytest.mark.parametrize(("request_", "limits", "end"), ENDS.values(), ids=ENDS.keys())
@on_both_loops
async def test_a_request_that_ends_before_anybody_was_chosen(
    request_: bytes, limits: dict[str, float], end: tuple[int, str]
) -> None:
    status, error_type = end
    async with reading(timeouts=Timeouts(**limits), signs=SIGNS) as rig:
        client = await rig.client()
        await client.send(request_[:-1])
        await until(lambda: rig.gateway.traffic.active or rig.errors())
        if not status:
            client.reset()
        else:
            await client.send(request_[-1:]) if status == 400 else None
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"Connection: close" in reply_fields(head)
            assert b"x-sidecar-variant" not in head
        await until(rig.errors)
        (exchange,) = rig.exchanges()

        assert who(rig) == [("", "", *end)]
        assert (exchange.variant, exchange.unit, exchange.error_type) == ("", 0, error_type)
        assert (exchange.request.truncated, exchange.sample_ratio) == (True, 1.0)
        assert outcomes(rig) == []
        assert not any(rig.gateway.traffic.active_by_variant.values())
        assert [upstream.untouched() for upstream in rig.upstreams.values()] == [True, True]


@on_both_loops
async def test_requests_behind_a_body_that_is_waited_for_are_answered_in_order() -> None:
    async with reading(signs=SIGNS) as rig:
        client = await rig.client()
        await client.send(KEYED[:-5])
        await until(lambda: rig.gateway.traffic.active)
        await client.send(KEYED[-5:] + GET + KEYED)
        second = await rig.upstreams["v1"].accept()
        await second.expect(KEYED)
        assert rig.upstream.untouched()
        await second.send(OK)
        first = await rig.upstream.accept()
        await first.expect(GET)
        await first.send(OK)
        await second.expect(KEYED)
        await second.send(OK)
        await client.expect(signed(OK, "v1") + signed(OK, "v0") + signed(OK, "v1"))


@on_both_loops
async def test_a_body_that_was_waited_for_goes_to_the_fallback_whole() -> None:
    async with reading(split={**BY_BODY, "fallback": "v0"}) as rig:
        with refusing(rig, "v1"):
            client = await rig.client()
            await client.send(KEYED[:-1])
            await until(lambda: rig.gateway.traffic.active)
            await client.send(KEYED[-1:])
            upstream = await rig.upstream.accept()
            await upstream.expect(KEYED)
            await upstream.send(OK)
            await client.expect(OK)

        assert rig.gateway.traffic.diverted == {("v1", "v0"): 1}
        assert outcomes(rig) == [("v1", True)]


# Who has served, in the reply's head


@on_both_loops
async def test_every_kind_of_reply_says_who_has_answered() -> None:
    upgrade = b"GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    switching = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    replies = [(GET, OK), (GET, SERVER_ERROR), (GET, chunked), (b"GET / HTTP/1.0\r\n\r\n", OK), (upgrade, switching)]
    for request, reply in replies:
        async with sidecar(signs=SIGNS) as rig:
            client, upstream = await rig.asks(request)
            await upstream.send(reply)
            fields = reply_fields(await client.head())

            assert [each for each in fields if each.startswith(b"x-sidecar")] == SIGNS["v0"].split(b"\r\n")[:2]


@pytest.mark.parametrize("signs", [SIGNS, {}])
@on_both_loops
async def test_what_a_server_says_of_variants_gives_way_to_what_was_chosen_here(signs: dict[str, bytes]) -> None:
    theirs = OK.replace(b"\r\n\r\n", b"\r\nX-Sidecar-Variant: mine\r\nx-sidecar-version: 9\r\n\r\n")
    async with sidecar(signs=signs) as rig:
        client, upstream = await rig.asks(GET)
        await upstream.send(theirs)

        await client.expect(signed(OK, "v0") if signs else theirs)


@on_both_loops
async def test_an_error_of_ours_says_who_has_not() -> None:
    async with sidecar(signs=SIGNS) as rig:
        client, upstream = await rig.asks(POST)
        upstream.reset()

        assert SIGNS["v0"] in await client.head()


@on_both_loops
async def test_who_has_no_name_signs_nothing() -> None:
    async with sidecar(signs={"v1": SIGNS["v1"]}) as rig:
        client, upstream = await rig.asks(GET)
        await upstream.send(OK)
        await client.expect(OK)
