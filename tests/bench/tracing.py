"""What traces cost a request, and the thread that exports them.

    taskset -c 1 python -m tests.bench.tracing

Requests pass the request path without sockets, the upstream answers within the write; figures are the best of ROUNDS,
in which all cases take turns. The exporting thread's share, spans and protobuf, is measured by itself: on the path the
traces are thrown away.
"""

import asyncio
import gc
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from sidecar.app import GC_ALLOCATIONS
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.gateway import Gateway, Sampling
from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.tap import Tap
from sidecar.proxy.upstream import Connection
from sidecar.routing.availability import Availability, Settings
from sidecar.routing.table import RoutingTable, Variant
from sidecar.routing.templates import Templates
from sidecar.sinks.otlp_resource import resource
from sidecar.sinks.otlp_spans import add_spans, without_spans
from sidecar.stats.traced import Sampler, Tail, Traced, Tracing
from sidecar.stats.traffic import Traffic
from sidecar.tasks import Tasks
from tests.bench.table import at_most, print_table, print_verdicts

REQUESTS = 10_000
TURN = 100
"""Requests between two turns of the loop."""

ROUNDS = 15
VARIANT = "champion"
REQUEST = (
    b"POST /v2/models/fraud/infer HTTP/1.1\r\n"
    b"Host: models.example.com\r\n"
    b"User-Agent: python-requests/2.32.3\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"Accept: */*\r\n"
    b"Connection: keep-alive\r\n"
    b"Content-Type: application/json\r\n"
    b"X-Request-Id: %032x\r\n"
    b"%b"
    b"Content-Length: 600\r\n"
    b"\r\n" + b"x" * 600
)
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 120\r\n\r\n" + b"y" * 120
TAIL = Tail(errors=True, slow_s=60.0)


def traced(ratio: float, tail: Tail | None = None) -> Callable[[], Tracing]:
    chance = random.Random(1)
    return lambda: Tracing(Sampler(ratio, parent_based=False), tail, max_waiting=1 << 20, bits=chance.getrandbits)


def nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Case:
    """How requests are traced; with a context of the caller's, or without."""

    tracing: Callable[[], Tracing | None]
    context: bool = True


CASES: Mapping[str, Case] = {
    "no tracing": Case(nothing),
    "none sampled": Case(traced(0.0)),
    "none sampled, with a tail": Case(traced(0.0, TAIL)),
    "10 % sampled": Case(traced(0.1)),
    "all sampled": Case(traced(1.0)),
    "no context came, no tracing": Case(nothing, context=False),
    "no context came, none sampled": Case(traced(0.0), context=False),
    "no context came, all sampled": Case(traced(1.0), context=False),
}


class Nowhere(asyncio.Transport):
    """A transport that takes everything."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("203.0.113.7", 1) if name == "peername" else default


class Echo(Nowhere):
    """One that answers what is written."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:  # noqa: ARG002 - the transport's
        self._connection.data_received(REPLY)


class Door:
    draining = False

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def joined(self, connection: Downstream) -> int:  # noqa: ARG002 - the listener's
        return 1

    def forget(self, connection: Downstream) -> None:
        pass


def gateway(tracing: Tracing | None) -> Gateway:
    timeouts = Timeouts()
    pool = Pool("127.0.0.1", 8081, timeouts=timeouts, idle_limit=1, availability=Availability(Settings()))
    connection = Connection(pool, timeouts)
    connection.connection_made(Echo(connection))
    pool.put(connection)
    return Gateway(
        table=RoutingTable((Variant(VARIANT, "3"),)),
        templates=Templates(),
        pools={VARIANT: pool},
        signs={},
        redeal=lambda: None,
        timeouts=timeouts,
        limits=Limits(),
        sampling=Sampling(ratio=0.0, all_errors=False),
        request_ids=True,
        server_timing=True,
        forwarded_for=False,
        traffic=Traffic(max_series=100),
        tap=Tap(buffer_bytes=1 << 20),
        tasks=Tasks(),
        shadow=None,
        served=None,
        tracing=tracing,
        fresh_id=lambda: b"never",
        now_s=time.monotonic,
        wall_s=time.time,
    )


def requests(*, context: bool) -> list[bytes]:
    chance = random.Random(2)
    parent = b"traceparent: 00-%032x-%016x-01\r\n"
    return [
        REQUEST
        % (chance.getrandbits(128), parent % (chance.getrandbits(128), chance.getrandbits(64)) if context else b"")
        for _ in range(REQUESTS)
    ]


async def pass_through(case: Case) -> tuple[float, Traced | None]:
    """Seconds of CPU a request, and the last trace."""
    tracing = case.tracing()
    downstream = Downstream(Door(gateway(tracing)))
    downstream.connection_made(Nowhere())
    asked, last = requests(context=case.context), None
    started_s = time.process_time()
    for first in range(0, REQUESTS, TURN):
        for each in asked[first : first + TURN]:
            downstream.data_received(each)
        if tracing is not None and tracing.waiting:
            last = tracing.waiting[-1]
            tracing.waiting.clear()
        await asyncio.sleep(0)
    return (time.process_time() - started_s) / REQUESTS, last


async def path_s() -> tuple[dict[str, float], Traced]:
    """Seconds a request, by case."""
    best, last = dict.fromkeys(CASES, 1.0), None
    for _ in range(ROUNDS):
        for name, case in CASES.items():
            took_s, found = await pass_through(case)
            best[name], last = min(best[name], took_s), found or last
    return best, cast("Traced", last)


def export_s(trace: Traced) -> float:
    """Seconds that a trace takes its thread, in batches of 256."""
    whose, best = resource(service="scorer", version="1"), 1.0
    for _ in range(ROUNDS):
        started_s = time.process_time()
        request = without_spans(whose, "1")
        add_spans(request, [trace] * 256, scheme="http")
        request.SerializeToString()
        best = min(best, (time.process_time() - started_s) / 256)
    return best


def main() -> None:
    gc.set_threshold(GC_ALLOCATIONS)
    took, trace = asyncio.run(path_s())
    plain, bare = took["no tracing"], took["no context came, no tracing"]
    more = {name: 1e6 * (each - (plain if CASES[name].context else bare)) for name, each in took.items()}
    rows = [(name, f"{1e6 * each:.2f}", f"{more[name]:+.2f}") for name, each in took.items()]
    print_table("a request on the path", ("", "us", "more, us"), rows)
    print_table("beyond it", ("", "us"), [("a trace, by its thread", f"{1e6 * export_s(trace):.1f}")])
    print_verdicts(
        [
            at_most("none sampled", more["none sampled"], 1.0, "us"),
            at_most("all sampled", more["all sampled"], 3.0, "us"),
        ]
    )


if __name__ == "__main__":
    main()
