"""What is counted of a request, and what of it goes to the tap."""

from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest

from sidecar.experiments.users import Users
from sidecar.proxy.account import Account
from sidecar.proxy.gateway import Gateway, Sampling
from sidecar.proxy.limits import Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.tap import HEAD_BYTES, PIECE_BYTES, Tap
from sidecar.routing.availability import Availability, Settings
from sidecar.routing.sticky import Header
from sidecar.routing.table import Choice, Variant, points
from sidecar.stats.served import Served
from sidecar.wire.http1 import parse_reply, parse_request
from tests.proxy.rig import EVERYTHING, GET, LOCALHOST, NOTHING, OK, Rig, gateway_to, on_both_loops, sidecar, until

POST = b"POST /v2/models/m/infer?x=1 HTTP/1.1\r\nHost: m\r\nX-Request-Id: mine\r\nContent-Length: 4\r\n\r\nbody"
ERRORS = Sampling(ratio=0.0, all_errors=True)


async def ask(rig: Rig, request: bytes, answer: bytes) -> None:
    client, upstream = await rig.asks(request)
    await upstream.send(answer)
    await client.receive(len(answer))
    upstream.close()
    await until(lambda: rig.pool.idle == 0)


@on_both_loops
async def test_an_exchange_holds_what_passed() -> None:
    async with sidecar(sampling=EVERYTHING, request_ids=True, server_timing=True) as rig:
        client, upstream = await rig.asks(POST)
        await upstream.send(b"HTTP/1.1 201 Created\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        await client.until(b"0\r\n\r\n")
        (exchange,) = rig.exchanges()

        assert (exchange.request_id, exchange.variant, exchange.version) == ("mine", "v0", "3")
        assert (exchange.method, exchange.target) == ("POST", b"/v2/models/m/infer?x=1")
        assert exchange.route == "/v2/models/{model}/infer"
        assert (exchange.status, exchange.error_type, exchange.sample_ratio) == (201, "", 1.0)
        assert exchange.request.lines == b"Host: m\r\nX-Request-Id: mine\r\nContent-Length: 4\r\n"
        assert exchange.reply.lines == b"X: 1\r\nTransfer-Encoding: chunked\r\n"
        assert (b"".join(exchange.request.chunks), b"".join(exchange.reply.chunks)) == (b"body", b"abc")
        assert (exchange.request.truncated, exchange.reply.truncated) == (False, False)
        assert 0 < exchange.overhead_s < exchange.duration_s
        assert 0 < exchange.first_byte_s < exchange.duration_s
        assert exchange.started_s == 1e9 - exchange.duration_s


@on_both_loops
async def test_a_request_is_counted_under_its_labels() -> None:
    async with sidecar() as rig:
        await ask(rig, POST, OK)
        await ask(rig, b"BREW /pot HTTP/1.1\r\nHost: m\r\n\r\n", OK)
        series = {(labels.method, labels.route): each for labels, each in rig.series().items()}
        infer = series["POST", "/v2/models/{model}/infer"]

        assert set(series) == {("POST", "/v2/models/{model}/infer"), ("_OTHER", "")}
        assert (infer.request_bytes.total, infer.reply_bytes.total) == (4.0, 2.0)
        assert sum(infer.duration_s.counts) == 1
        assert infer.duration_s.total == pytest.approx(infer.upstream_s.total + infer.overhead_s.total)


@on_both_loops
async def test_sampling_follows_the_request_id() -> None:
    sampling = Sampling(ratio=0.5, all_errors=True)
    async with sidecar(sampling=sampling) as rig:
        for number in range(20):
            await ask(rig, b"GET / HTTP/1.1\r\nHost: m\r\nX-Request-Id: %d\r\n\r\n" % number, OK)
        kept = [exchange.request_id for exchange in rig.exchanges()]
        expected = [str(number) for number in range(20) if sampling.takes(points(b"%d" % number)[1])]

        assert kept == expected
        assert 0 < len(kept) < 20


@pytest.mark.parametrize(
    ("sampling", "status", "kept"),
    [
        (NOTHING, 200, []),
        (NOTHING, 500, []),
        (ERRORS, 200, []),
        (ERRORS, 404, [1.0]),
        (Sampling(ratio=1.0, all_errors=False), 404, [1.0]),
        (Sampling(ratio=1.0, all_errors=False), 200, [1.0]),
    ],
)
@on_both_loops
async def test_errors_are_kept_as_told(sampling: Sampling, status: int, kept: list[float]) -> None:
    async with sidecar(sampling=sampling) as rig:
        await ask(rig, POST, b"HTTP/1.1 %d X\r\nContent-Length: 3\r\n\r\nwhy" % status)

        assert [exchange.sample_ratio for exchange in rig.exchanges()] == kept
        assert rig.gateway.tap.held_bytes == 0


@on_both_loops
async def test_an_error_of_ours_is_kept_with_its_body() -> None:
    async with sidecar(sampling=ERRORS) as rig:
        client, upstream = await rig.asks(POST)
        upstream.reset()
        await client.head()
        (exchange,) = rig.exchanges()

        assert (exchange.status, exchange.error_type, exchange.first_byte_s) == (502, "reset", 0.0)
        assert b'"type": "reset"' in b"".join(exchange.reply.chunks)
        assert b"".join(exchange.request.chunks) == b"body"


@on_both_loops
async def test_bodies_beyond_the_limit_are_truncated_and_say_so() -> None:
    async with sidecar(sampling=Sampling(ratio=1.0, max_body_bytes=3)) as rig:
        await ask(rig, POST, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde")
        (exchange,) = rig.exchanges()

        assert (b"".join(exchange.request.chunks), exchange.request.truncated) == (b"bod", True)
        assert (b"".join(exchange.reply.chunks), exchange.reply.truncated) == (b"abc", True)


@pytest.mark.parametrize("buffer_bytes", [0, PIECE_BYTES, PIECE_BYTES + 4, 2 * PIECE_BYTES + 5, HEAD_BYTES])
@on_both_loops
async def test_without_room_the_exchange_is_dropped_and_the_client_served(buffer_bytes: int) -> None:
    async with sidecar(sampling=EVERYTHING, tap=Tap(buffer_bytes=buffer_bytes)) as rig:
        client, upstream = await rig.asks(POST)
        await upstream.send(OK)
        await client.expect(OK)

        assert rig.exchanges() == []
        assert rig.gateway.tap.dropped == {"buffer_full": 1}
        assert rig.gateway.tap.held_bytes == 0


@on_both_loops
async def test_what_waits_in_the_tap_leaves_no_room_for_more() -> None:
    async with sidecar(sampling=EVERYTHING, tap=Tap(buffer_bytes=HEAD_BYTES + PIECE_BYTES + 10)) as rig:
        for _ in range(3):
            await ask(rig, GET, OK)

        assert len(rig.exchanges()) == 1
        assert rig.gateway.tap.dropped == {"buffer_full": 2}


@on_both_loops
async def test_a_request_without_an_id_is_kept_under_ours() -> None:
    async with sidecar(sampling=EVERYTHING) as rig:
        await ask(rig, GET, OK)

        assert [exchange.request_id for exchange in rig.exchanges()] == ["id-1"]


A, B = Variant("a", version="1"), Variant("b", version="2")
AWAY, RETURNING = replace(A, available=0.0), replace(A, available=0.5)
THIRD = Variant("c", available=0.0)
DRAWN = Choice(A, "a", 7, 0, keyed=True)
OTHERS = DRAWN._replace(variant=B)
PING = parse_request(b"GET /ping HTTP/1.1\r\nHost: m\r\n")
ANSWERED = parse_reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", to_head=False)


def account_of(choice: Choice, first: Variant = A) -> tuple[Gateway, Account]:
    gateway = gateway_to({}, (first, B, THIRD), sampling=EVERYTHING, served=Served())
    gateway.traffic.enter()
    return gateway, Account(gateway, PING, 0.0, b"r", choice)


WHOSE = {
    "drawn": (DRAWN, A, [], 7, {}),
    "drawn, and diverted": (DRAWN, A, [B], 0, {("a", "b"): 1}),
    "drawn, and away": (OTHERS, AWAY, [], 0, {("a", "b"): 1}),
    "drawn, and spared": (OTHERS, RETURNING, [], 0, {("a", "b"): 1}),
    "spared, and whose replacement failed": (OTHERS, RETURNING, [A], 0, {}),
    "apart from the split": (DRAWN._replace(drawn=""), A, [], 0, {}),
    "apart from the split, and diverted": (DRAWN._replace(drawn=""), A, [B], 0, {("a", "b"): 1}),
    "without a name": (DRAWN._replace(variant=Variant(""), drawn=""), A, [], 0, {}),
}


@pytest.mark.parametrize(("choice", "first", "others", "unit", "diverted"), WHOSE.values(), ids=WHOSE.keys())
def test_a_unit_counts_for_whom_the_split_drew_and_for_nobody_else(
    choice: Choice, first: Variant, others: list[Variant], unit: int, diverted: dict[tuple[str, str], int]
) -> None:
    gateway, account = account_of(choice, first)
    for other in others:
        account.divert(other)
    original = account.original
    account.close("", whole=True)
    exchange = gateway.tap.take()
    assert exchange is not None

    assert (original.unit, exchange.unit) == (unit, unit)
    assert gateway.traffic.diverted == diverted
    assert (gateway.traffic.active, set(gateway.traffic.active_by_variant.values())) == (0, {0})


ENDS = {
    "a reply": (200, "", False),
    "a refusal": (404, "", False),
    "a server error": (500, "", True),
    "an error of ours": (502, "reset", True),
    "no reply": (0, "connect_failed", True),
    "a cut reply": (200, "reset", True),
    "a reply that did not come in all the time": (200, "total_timeout", True),
    "a client that sends nonsense": (400, "bad_request", False),
    "a client that sends nonsense within its reply": (200, "bad_request", False),
    "a client that sends nothing": (408, "body_timeout", False),
}


@pytest.mark.parametrize(("status", "error_type", "failed"), ENDS.values(), ids=ENDS.keys())
def test_an_outcome_fails_with_its_variant(status: int, error_type: str, failed: bool) -> None:
    gateway, account = account_of(DRAWN)
    if status:
        account.reply(parse_reply(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n" % status, to_head=False), 0.0)
    account.close(error_type, whole=True)
    assert gateway.served is not None
    ((variant, unit, found, began_s, duration_s, spared),) = gateway.served.take()

    assert (variant, unit, found, spared) == ("a", 7, failed, False)
    assert began_s == 1e9 - duration_s


@pytest.mark.parametrize(("choice", "error_type"), [(DRAWN, "client_closed"), (DRAWN._replace(drawn=""), "")])
def test_who_went_away_or_was_not_drawn_is_no_outcome(choice: Choice, error_type: str) -> None:
    gateway, account = account_of(choice)
    account.close(error_type, whole=True)
    assert gateway.served is not None

    assert gateway.served.take() == []


PROBES = [
    (b"GET", b"User-Agent: kube-probe/1.33\r\n", []),
    (b"GET", b"Accept: */*\r\nuser-agent:GoogleHC/1.0\r\n", []),
    (b"GET", b"User-Agent: ELB-HealthChecker/2.0\r\n", []),
    (b"POST", b"User-Agent: kube-probe/1.33\r\n", ["a"]),
    (b"GET", b"User-Agent: curl/8 kube-probe/1\r\n", ["a"]),
    (b"GET", b"X-User-Agent: kube-probe/1\r\n", ["a"]),
]


@pytest.mark.parametrize(("method", "lines", "outcomes"), PROBES)
def test_who_looks_whether_the_server_is_well_is_no_outcome(method: bytes, lines: bytes, outcomes: list[str]) -> None:
    gateway = gateway_to({}, (A, B, THIRD), served=Served())
    gateway.traffic.enter()
    head = parse_request(b"%b /health HTTP/1.1\r\n%bHost: m\r\n" % (method, lines))
    account = Account(gateway, head, 0.0, b"r", DRAWN)
    account.reply(ANSWERED, 0.0)
    account.close("", whole=True)
    assert gateway.served is not None

    assert [each.variant for each in gateway.served.take()] == outcomes


def test_a_diverted_outcome_is_a_failure_of_whom_the_split_drew() -> None:
    gateway, account = account_of(DRAWN)
    account.divert(B)
    account.reply(ANSWERED, 0.0)
    account.close("", whole=True)
    assert gateway.served is not None

    assert [(each.variant, each.failed) for each in gateway.served.take()] == [("a", True)]


@pytest.mark.parametrize(("first", "failed", "spared"), [(AWAY, True, False), (RETURNING, False, True)])
@pytest.mark.parametrize("others", [[], [A]])
@pytest.mark.parametrize("error_type", ["", "reset"])
def test_who_is_away_fails_and_who_comes_back_is_spared(
    first: Variant, failed: bool, spared: bool, others: list[Variant], error_type: str
) -> None:
    gateway, account = account_of(OTHERS, first)
    for other in others:
        account.divert(other)
    account.reply(ANSWERED, 0.0)
    account.close(error_type, whole=True)
    assert gateway.served is not None
    (outcome,) = gateway.served.take()

    # Who was away and is asked in the end, since the replacement fails, answers as ever.
    failed = failed and not (others and not error_type)
    assert (outcome.variant, outcome.unit) == ("a", 7)
    assert (outcome.failed, outcome.spared) == (failed, spared)


@pytest.mark.parametrize(("first", "ejected_s", "spared"), [(AWAY, 960.0, False), (RETURNING, 999.0, True)])
def test_who_is_spared_goes_by_what_was_dealt_and_not_by_what_is_so_since(
    first: Variant, ejected_s: float, spared: bool
) -> None:
    availability = Availability(Settings(errors=1))
    availability.failed("error", ejected_s)
    pool = Pool(LOCALHOST, 1, timeouts=Timeouts(), idle_limit=1, availability=availability)
    gateway = replace(gateway_to({}, (first, B), served=Served()), pools={"a": pool})
    Account(gateway, PING, 0.0, b"r", OTHERS).close("", whole=True)
    assert gateway.served is not None
    (outcome,) = gateway.served.take()

    assert (availability.available(gateway.now_s()) == 0.0) is spared
    assert (outcome.spared, outcome.failed) == (spared, not spared)


@pytest.mark.parametrize("sticky", [None, Header("x-user")])
def test_an_ejection_and_the_way_back_lose_nobody(sticky: Header | None) -> None:
    users, places, ids = Users(2), {"a": 0, "b": 1}, count()
    users.begin(np.array([0.5, 0.5]))
    diverted = 0
    for available in (1.0, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        first = replace(A, available=available)
        gateway = gateway_to({}, (first, B), split={"sticky": sticky}, served=Served())
        assert gateway.served is not None
        for number in islice(ids, 200):
            head = parse_request(b"GET /ping HTTP/1.1\r\nHost: m\r\nX-User: %d\r\n" % (number % 900))
            Account(gateway, head, 0.0, b"%d" % number, gateway.table.choose(head, b"%d" % number)).close(
                "", whole=True
            )
        diverted += gateway.traffic.diverted["a", "b"]
        for outcome in gateway.served.take():
            users.take(places[outcome.variant], np.array([outcome.unit], dtype=np.uint64))

    # Without those who were spared a tenth of the users would be away: enough to be told.
    assert diverted > 250
    assert (users.sides.crossed, sum(users.mismatch.counts)) == (0.0, 900 if sticky else 1600)
    assert users.mismatch.p_value > 0.1
