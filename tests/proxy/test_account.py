"""What is counted of a request, and what of it goes to the tap."""

import pytest

from sidecar.proxy.account import Account
from sidecar.proxy.gateway import Gateway, Sampling
from sidecar.proxy.tap import HEAD_BYTES, PIECE_BYTES, Tap
from sidecar.routing.table import Choice, Variant, points
from sidecar.stats.served import Served
from sidecar.wire.http1 import parse_reply, parse_request
from tests.proxy.rig import EVERYTHING, GET, NOTHING, OK, Rig, gateway_to, on_both_loops, sidecar, until

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
DRAWN = Choice(A, "a", 7, 0, keyed=True)


def account_of(choice: Choice) -> tuple[Gateway, Account]:
    gateway = gateway_to({}, (A, B), sampling=EVERYTHING, served=Served())
    gateway.traffic.enter()
    head = parse_request(b"GET /ping HTTP/1.1\r\nHost: m\r\n")
    return gateway, Account(gateway, head, 0.0, b"r", choice)


WHOSE = {
    "drawn": (DRAWN, [], 7, {}),
    "drawn, and diverted": (DRAWN, [B], 0, {("a", "b"): 1}),
    "drawn, and away when it was": (DRAWN._replace(variant=B), [], 0, {("a", "b"): 1}),
    "away, and whose replacement failed": (DRAWN._replace(variant=B), [A], 0, {}),
    "apart from the split": (DRAWN._replace(drawn=""), [], 0, {}),
    "apart from the split, and diverted": (DRAWN._replace(drawn=""), [B], 0, {("a", "b"): 1}),
}


@pytest.mark.parametrize(("choice", "others", "unit", "diverted"), WHOSE.values(), ids=WHOSE.keys())
def test_a_unit_counts_for_whom_the_split_drew_and_for_nobody_else(
    choice: Choice, others: list[Variant], unit: int, diverted: dict[tuple[str, str], int]
) -> None:
    gateway, account = account_of(choice)
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
    ((variant, unit, found, began_s, duration_s),) = gateway.served.take()

    assert (variant, unit, found) == ("a", 7, failed)
    assert began_s == 1e9 - duration_s


@pytest.mark.parametrize(("choice", "error_type"), [(DRAWN, "client_closed"), (DRAWN._replace(drawn=""), "")])
def test_who_went_away_or_was_not_drawn_is_no_outcome(choice: Choice, error_type: str) -> None:
    gateway, account = account_of(choice)
    account.close(error_type, whole=True)
    assert gateway.served is not None

    assert gateway.served.take() == []


def test_a_diverted_outcome_is_a_failure_of_whom_the_split_drew() -> None:
    gateway, account = account_of(DRAWN)
    account.divert(B)
    account.reply(parse_reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", to_head=False), 0.0)
    account.close("", whole=True)
    assert gateway.served is not None

    assert [(each.variant, each.failed) for each in gateway.served.take()] == [("a", True)]
