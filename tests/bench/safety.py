"""What a proxy does when things go wrong: `python -m tests.bench.safety [--only PROXY] [--figure NAME]`.

Every figure has a proxy of its own, freshly started, one core for it and the other for the client and the upstream,
which share a loop. Targets are the best of nginx, HAProxy and Envoy, or near it.
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tests.bench.contestants import ALL_NAME, BARE_NAME, CONTESTANTS, Contestant, Place, launched
from tests.bench.rig import RigError, Running, await_reply, take_load_core
from tests.bench.scripted import EVENTS, LATE_S, WAITING_BYTES, Client, Upstream, connect, request
from tests.bench.table import print_table

LIMIT_S = 1.0
PATIENCE_S = 10.0
IDLE_CONNECTIONS = 1000
GETS, RESTARTS = 1000, 19
DRIP_GAP_S = 0.1
STALLED = b"GET /stalled HTTP/1.1\r\nHost: bench\r\n"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bench:
    """One proxy, warm, between the client and the upstream."""

    contestant: Contestant
    process: Running
    place: Place
    upstream: Upstream

    async def client(self) -> Client:
        """A new connection to the proxy."""
        return await connect(self.place.listen)


@dataclass(frozen=True, slots=True)
class Figure:
    """Something to be measured of a proxy.

    Args:
        target: What is to be reached.
        measure: Does it; the figure in words.
        limits: The timeouts that are set to `LIMIT_S` for it.
    """

    title: str
    target: str
    measure: Callable[[Bench], Awaitable[str]]
    limits: tuple[str, ...] = ()


async def stopped_reader(bench: Bench) -> str:
    """The growth of memory while nobody reads, what upstream got rid of, and whether the rest came when asked for."""
    loop = asyncio.get_running_loop()
    before_bytes = bench.process.rss_bytes()
    with socket.create_connection(("127.0.0.1", bench.place.listen)) as reader:
        reader.setblocking(False)
        await loop.sock_sendall(reader, request("/large"))
        accepted_bytes = await _steady(lambda: bench.upstream.accepted_bytes)
        growth_bytes = bench.process.rss_bytes() - before_bytes
        got_bytes = 0
        while got_bytes < WAITING_BYTES and (piece := await loop.sock_recv(reader, MIB)):
            got_bytes += len(piece)
    whole = "" if got_bytes >= WAITING_BYTES else f", CUT at {got_bytes / MIB:.0f} MiB"
    return f"{growth_bytes / MIB:+.1f} MiB; {accepted_bytes / MIB:.1f} MiB accepted{whole}"


async def _steady(value: Callable[[], int]) -> int:
    """A value that has not changed for a second."""
    before = -1
    while (now := value()) != before or not now:
        before = now
        await asyncio.sleep(1)
    return now


async def idle_connections(bench: Bench) -> str:
    """Memory for connections that have had one reply each and are kept."""
    before_bytes = bench.process.rss_bytes()
    clients = [await bench.client() for _ in range(IDLE_CONNECTIONS)]
    statuses = {(await client.ask("/")).status for client in clients}
    growth_bytes = bench.process.rss_bytes() - before_bytes
    for client in clients:
        await client.close()
    return f"{growth_bytes / 1e6:+.1f} MB" + ("" if statuses == {200} else f", STATUSES {sorted(statuses)}")


async def event_delay(bench: Bench) -> str:
    """From an event's writing upstream to its arrival."""
    client = await bench.client()
    client.writer.write(request("/events"))
    delays_ms: list[float] = []
    while len(delays_ms) < EVENTS:
        line = await client.reader.readline()
        if not line:
            return f"CUT after {len(delays_ms)} events"
        if line.startswith(b"data: "):
            delays_ms.append((time.perf_counter_ns() - int(line[6:])) / 1e6)
    await client.close()
    return f"worst {max(delays_ms):.2f} ms, median {statistics.median(delays_ms):.2f} ms"


async def refused(bench: Bench) -> str:
    """The reply, and the slowest of five, when nobody listens upstream."""
    await bench.upstream.stop()
    statuses, seconds = set(), []
    for _ in range(5):
        client, begun_s = await bench.client(), time.perf_counter()
        statuses.add((await client.ask("/refused")).status)
        seconds.append(time.perf_counter() - begun_s)
        await client.close()
    return f"{_words(statuses)} in {max(seconds):.3f} s"


async def silent(bench: Bench) -> str:
    """The reply to a POST that upstream never answers, how late after its limit, and how often upstream was asked."""
    client, begun_s = await bench.client(), time.perf_counter()
    async with asyncio.timeout(PATIENCE_S):
        reply = await client.ask("/silent", "POST", b"{}")
    late_s = time.perf_counter() - begun_s - LIMIT_S
    await client.close()
    return f"{reply.status}, {late_s:+.3f} s, attempts {bench.upstream.asked['/silent']}"


async def restarts(bench: Bench) -> str:
    """How many of the GETs are answered with 200 while upstream goes away and comes back between some of them."""
    client, good = await bench.client(), 0
    for number in range(GETS):
        if number and number % (GETS // (RESTARTS + 1)) == 0:
            await bench.upstream.restart()
        reply = await client.ask("/")
        good += reply.status == 200
        if reply.closes:
            await client.close()
            client = await bench.client()
    await client.close()
    return f"{good} of {GETS}"


async def slow_head(bench: Bench) -> str:
    """Seconds until a head that stops, and one that comes byte by byte, are cut off."""
    stalled = await _until_closed(await bench.client(), drip=False)
    return f"stalled {stalled}, dripping {await _until_closed(await bench.client(), drip=True)}"


async def _until_closed(client: Client, *, drip: bool) -> str:
    begun_s = time.perf_counter()
    client.writer.write(STALLED)
    reading = asyncio.get_running_loop().create_task(client.reader.read())
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(PATIENCE_S):
            while drip and not reading.done():
                client.writer.write(b"x")
                await asyncio.sleep(DRIP_GAP_S)
            await reading
    passed_s = time.perf_counter() - begun_s
    reading.cancel()
    await client.close()
    return f"{passed_s:.2f} s" if passed_s < PATIENCE_S else "NEVER"


async def drained(bench: Bench) -> str:
    """Whether a request in flight is answered after the signal, and how the process ends."""
    client = await bench.client()
    asking = asyncio.get_running_loop().create_task(client.ask("/late"))
    await asyncio.sleep(LATE_S / 2)
    bench.process.process.send_signal(bench.contestant.drain)
    reply = await asking
    await client.close()
    code = await asyncio.to_thread(bench.process.process.wait, PATIENCE_S)
    return f"{reply.status or 'no reply'}, exit {code} ({bench.contestant.drain.name})"


def _words(statuses: set[int]) -> str:
    return "/".join(str(status or "no reply") for status in sorted(statuses))


FIRST_BYTE, HEADER = "first_byte_s", "header_s"
FIGURES = {
    "reader": Figure("a reader that stops, 192 MiB waiting", "< 1 MiB; ≤ 12 MiB accepted", stopped_reader),
    "idle": Figure("1,000 idle connections", "≤ 25 MB", idle_connections),
    "events": Figure("server-sent events", "worst < 1 ms", event_delay),
    "refused": Figure("upstream refuses", "502 in < 0.1 s", refused),
    "silent": Figure("upstream silent", "504, < 0.1 s past its limit, 1 attempt", silent, (FIRST_BYTE,)),
    "restarts": Figure("1,000 GETs, upstream restarts 19 times", "1000 of 1000", restarts),
    "head": Figure("a slow head", "1 s, its limit", slow_head, (HEADER,)),
    "drain": Figure("told to stop, a request in flight", "200, exit 0", drained),
}


@contextlib.asynccontextmanager
async def benches(contestant: Contestant, figure: Figure) -> AsyncIterator[Bench]:
    """The proxy with its upstream, after one request, at rest."""
    upstream = Upstream()
    await upstream.start()
    limits = dict.fromkeys(figure.limits, LIMIT_S)
    with launched(contestant, upstream.port, **limits) as (process, place):
        await asyncio.to_thread(await_reply, place.listen, process, b"200")
        await asyncio.to_thread(process.settle)  # what is loaded after the first reply is no growth
        yield Bench(contestant, process, place, upstream)
        await upstream.stop()


async def measured(contestant: Contestant, figure: Figure) -> str:
    """The figure in words."""
    try:
        async with benches(contestant, figure) as bench:
            return await figure.measure(bench)
    except RigError as error:
        print(f"{contestant.name}: {error}", file=sys.stderr)
        return "does not start"
    except (OSError, TimeoutError) as error:
        return f"FAILED: {error!r}"


async def table(contestants: list[Contestant], figures: list[Figure]) -> None:
    """Every figure of every contestant."""
    rows = []
    for figure in figures:
        row = [await measured(contestant, figure) for contestant in contestants]
        rows.append((figure.title, figure.target, *row))
    print_table("figures of safety", ("figure", "target", *(each.name for each in contestants)), rows)


def main() -> int:
    """Exit code 1 if the measurement could not be made."""
    variants = (ALL_NAME, BARE_NAME)
    parser = argparse.ArgumentParser(prog="python -m tests.bench.safety", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(CONTESTANTS), metavar="NAME", help="a proxy")
    parser.add_argument("--figure", action="append", choices=list(FIGURES), metavar="NAME", help="a figure")
    options = parser.parse_args()
    contestants = [CONTESTANTS[name] for name in options.only or CONTESTANTS if options.only or name not in variants]
    try:
        take_load_core()
    except RigError as error:
        print(f"tests.bench.safety: {error}", file=sys.stderr)
        return 1
    asyncio.run(table(contestants, [FIGURES[name] for name in options.figure or FIGURES]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
