import asyncio
import itertools
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import thread_time
from typing import TypeVar

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession, web
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin.documents import Maker
from sidecar.admin.live import HEARTBEAT_S, LASTS_S, MAX_STREAMS, PIECE_BYTES, REST, SLOW_S, Live, paces
from sidecar.admin.server import application, start
from tests.admin.rig import LOOPBACK, Client, Sidecar, asking, busy_sidecar

T = TypeVar("T")
PATIENCE_S = 30.0
LOOK_S = 0.005


class Source:
    """Documents that a test changes."""

    def __init__(self, **documents: bytes) -> None:
        self.documents = documents
        self.made: list[str] = []

    def maker(self, name: str) -> Maker:
        async def make() -> bytes:
            self.made.append(name)
            await asyncio.sleep(0)
            return self.documents[name]

        return make

    def makers(self) -> dict[str, Maker]:
        return {name: self.maker(name) for name in self.documents}


class Stream:
    """Reads events as a browser does."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer

    async def line(self) -> str:
        return (await self.answer.content.readuntil(b"\n")).decode()

    async def event(self) -> tuple[str, str]:
        """The next one's type and data."""
        kind, data = "", []
        while line := (await self.line()).rstrip("\n"):
            field, _, value = line.partition(": ")
            kind = value if field == "event" else kind
            data += [value] if field == "data" else []
        return (kind, "\n".join(data)) if data else await self.event()


class Place:
    """A server whose documents are looked on."""

    def __init__(self, live: Live, http: ClientSession, url: str, runner: web.AppRunner) -> None:
        self.live = live
        self.http = http
        self.url = url
        self.runner = runner

    @asynccontextmanager
    async def looking_on(self, of: str) -> AsyncIterator[Stream]:
        async with self.http.get(f"{self.url}/v1/live", params={"of": of}) as answer:
            yield Stream(answer)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  # what is waited for tells nobody
        await asyncio.sleep(0.001)


def live(
    makers: Mapping[str, Maker],
    ask: Callable[[Place], Awaitable[T]],
    *,
    now_s: Callable[[], float] = time.monotonic,
    look_s: float = LOOK_S,
) -> T:
    """What a client finds out of a server with these documents."""

    async def run() -> T:
        app, found = web.Application(), Live(makers, now_s=now_s, look_s=look_s)
        found.add_to(app)
        bound = socket.create_server((LOOPBACK.host, 0))
        runner = await start(app, bound)
        url = f"http://{LOOPBACK.host}:{runner.addresses[0][1]}"
        try:
            async with asyncio.timeout(PATIENCE_S), ClientSession() as http:
                return await ask(Place(found, http, url, runner))
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_documents_come_at_once_and_again_when_they_have_changed() -> None:
    source = Source(status=b"1", drift=b"2")

    async def ask(place: Place) -> list[tuple[str, str]]:
        async with place.looking_on("status,drift") as stream:
            found = [await stream.event(), await stream.event()]
            source.documents["drift"] = b"3"
            return [*found, await stream.event()]

    assert live(source.makers(), ask) == [("drift", "2"), ("status", "1"), ("drift", "3")]


def test_what_is_not_asked_for_is_not_made() -> None:
    source = Source(status=b"1", drift=b"2")

    async def ask(place: Place) -> None:
        async with place.looking_on("status") as stream:
            await stream.event()
            await until(lambda: len(source.made) > 5)

    live(source.makers(), ask)
    assert set(source.made) == {"status"}


def test_a_document_is_made_once_for_all() -> None:
    source = Source(status=b"1")

    async def ask(place: Place) -> tuple[list[tuple[str, str]], list[str]]:
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(place.looking_on("status")) for _ in range(5)]
            return [await each.event() for each in streams], source.made

    found, made = live(source.makers(), ask, look_s=PATIENCE_S)
    assert (found, made) == ([("status", "1")] * 5, ["status"])


def test_who_comes_later_has_at_once_what_others_have_and_what_is_missing() -> None:
    source = Source(status=b"1", drift=b"2")

    async def ask(place: Place) -> set[tuple[str, str]]:
        async with place.looking_on("status") as first:
            await first.event()
            async with place.looking_on("drift,status") as second:
                return {await second.event(), await second.event()}

    assert live(source.makers(), ask, look_s=PATIENCE_S) == {("status", "1"), ("drift", "2")}
    assert source.made == ["status", "drift"]


def test_when_nobody_looks_nothing_runs() -> None:
    source = Source(status=b"1")

    async def ask(place: Place) -> bool:
        before = place.live.looking
        async with place.looking_on("status") as stream:
            await stream.event()
        await until(lambda: not place.live.looking)
        made = len(source.made)
        async with place.looking_on("status") as stream:  # and once more, from the beginning
            await stream.event()
        return before or len(source.made) <= made

    assert live(source.makers(), ask) is False


def test_making_takes_less_than_a_hundredth_of_a_processor() -> None:
    spent_s, made_s = 0.001, []

    async def burn() -> bytes:
        made_s.append(time.monotonic())
        end_s = thread_time() + spent_s
        while thread_time() < end_s:
            pass
        return b"%d" % len(made_s)

    async def ask(place: Place) -> None:
        async with place.looking_on("status") as stream:
            for _ in range(3):
                await stream.event()

    live({"status": burn}, ask)
    assert min(after - before for before, after in itertools.pairwise(made_s)) >= REST * spent_s


@given(
    st.dictionaries(st.text(max_size=3), st.floats(0, 10), min_size=1, max_size=16),
    st.floats(0.001, 60),
)
def test_all_documents_together_take_less_than_their_part(costs_s: Mapping[str, float], look_s: float) -> None:
    found = paces(costs_s, look_s)
    assert found.keys() == costs_s.keys()
    assert min(found.values()) >= look_s
    assert sum(cost_s / found[name] for name, cost_s in costs_s.items()) <= 1 / REST * (1 + 1e-9)


def test_a_wide_document_does_not_slow_the_others() -> None:
    told = paces({"status": 0.001, "overview": 0.001, "drift": 0.1}, 2.0)
    assert (told["status"], told["overview"]) == (2.0, 2.0)
    assert told["drift"] > 20


def test_what_takes_long_is_made_seldom_and_the_others_all_the_same() -> None:
    hours = itertools.count(step=0.01)
    source = Source(status=b"1")

    async def burn() -> bytes:
        source.made.append("drift")
        end_s = thread_time() + 0.02
        while thread_time() < end_s:
            pass
        return b"2"

    async def ask(place: Place) -> list[str]:
        async with place.looking_on("drift,status") as stream:
            await stream.event()
            await until(lambda: source.made.count("status") > 50)
        return source.made

    made = live({**source.makers(), "drift": burn}, ask, now_s=lambda: float(next(hours)))
    assert made.count("status") > 5 * made.count("drift")


def test_who_comes_back_soon_finds_what_there_was() -> None:
    source = Source(status=b"1")

    async def ask(place: Place) -> list[tuple[str, str]]:
        found = []
        for _ in range(5):
            async with place.looking_on("status") as stream:
                found.append(await stream.event())
        return found

    assert live(source.makers(), ask, look_s=PATIENCE_S) == [("status", "1")] * 5
    assert source.made == ["status"]


def test_a_slow_reader_skips_states() -> None:
    hours = itertools.count()  # there is never any need to rest
    wide = b" " * (16 * PIECE_BYTES)
    made: list[int] = []
    last: list[bytes] = []

    async def make() -> bytes:
        made.append(len(made))
        return last[0] if last else b'"%d"%s' % (len(made), wide)

    async def ask(place: Place) -> int:
        # Who pauses: 60 MB are more than all buffers between the two hold.
        reader, writer = await asyncio.open_connection(LOOPBACK.host, int(place.url.rpartition(":")[2]), limit=1 << 16)
        writer.write(b"GET /v1/live?of=status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: len(made) > 60)
        last.append(b'"last"')
        data = bytearray()
        while data.find(b'"last"', -2 * PIECE_BYTES) < 0:
            data += await reader.read(PIECE_BYTES)
        writer.close()
        await writer.wait_closed()
        return data.count(b"event: status")

    assert 1 < live({"status": make}, ask, now_s=lambda: float(next(hours))) < 60


def test_at_most_twenty_look_on() -> None:
    async def ask(place: Place) -> tuple[int, str | None, str]:
        async with AsyncExitStack() as stack:
            for _ in range(MAX_STREAMS):
                stream = await stack.enter_async_context(place.looking_on("status"))
                await stream.event()
            async with place.http.get(f"{place.url}/v1/live", params={"of": "status"}) as answer:
                return answer.status, answer.headers["Retry-After"], await answer.text()

    status, after, told = live(Source(status=b"1").makers(), ask)
    assert (status, after) == (503, "30")
    assert told.startswith("20 look on already; expected fewer open pages")


def test_who_does_not_read_makes_room_for_who_wants_his_place() -> None:
    now_s = [0.0]
    wide = b'"%s"' % (b" " * (128 * PIECE_BYTES))  # more than all buffers between the two hold

    async def ask(place: Place) -> tuple[int, int, bool]:
        port = int(place.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(LOOPBACK.host, port, limit=1 << 10)
        writer.write(b"GET /v1/live?of=wide HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"retry")
        async with AsyncExitStack() as stack:
            for _ in range(MAX_STREAMS - 1):
                stream = await stack.enter_async_context(place.looking_on("status"))
                await stream.event()
            answers = []
            for _ in range(2):
                async with place.http.get(f"{place.url}/v1/live", params={"of": "status"}) as answer:
                    answers.append(answer.status)
                now_s[0] += SLOW_S
            cut = await cut_off(reader)
        writer.close()
        return answers[0], answers[1], cut

    async def cut_off(reader: asyncio.StreamReader) -> bool:
        try:
            return not (await reader.read()).endswith(b'"\n\n')
        except ConnectionError:
            return True

    assert live(Source(wide=wide, status=b"1").makers(), ask, now_s=lambda: now_s[0]) == (503, 200, True)


def test_a_stream_ends_after_a_while_so_that_its_reader_says_again_who_he_is() -> None:
    now_s = [0.0]

    async def ask(place: Place) -> bytes:
        async with place.looking_on("status") as stream:
            await stream.event()
            now_s[0] += LASTS_S
            return await stream.answer.content.read()

    assert live(Source(status=b"1").makers(), ask, now_s=lambda: now_s[0]) == b""


def test_who_goes_before_the_first_word_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def ask(client: Client) -> None:
        for _ in range(20):
            with socket.create_connection((client.host, client.port)) as gone:
                gone.sendall(b"GET /v1/live?of=status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.sleep(0)
        assert (await client.get("/healthz")).status == 200

    asking(Sidecar(), ask)
    assert caplog.records == []


def test_whoever_goes_makes_room() -> None:
    async def ask(place: Place) -> None:
        for _ in range(3 * MAX_STREAMS):
            async with place.looking_on("status") as stream:
                await stream.event()

    live(Source(status=b"1").makers(), ask)


def test_what_is_silent_is_heard_every_fifteen_seconds() -> None:
    now_s = [0.0]

    async def ask(place: Place) -> str:
        async with place.looking_on("status") as stream:
            await stream.event()
            now_s[0] += HEARTBEAT_S
            return await stream.line()

    assert live(Source(status=b"1").makers(), ask, now_s=lambda: now_s[0]) == ":\n"


def test_at_the_end_streams_end_whole_and_at_once() -> None:
    async def ask(place: Place) -> bytes:
        async with place.looking_on("status") as stream:
            await stream.event()
            ending = asyncio.get_running_loop().create_task(place.runner.cleanup())
            rest = await stream.answer.content.read()  # fails where it was cut
            await ending
            return rest

    assert live(Source(status=b"1").makers(), ask, look_s=PATIENCE_S) == b""


def test_why_there_is_no_document_is_told_once() -> None:
    source = Source(shadow=b"1", status=b"0")
    missing = [True]

    async def make() -> bytes:
        source.made.append("shadow")
        if missing:
            raise web.HTTPNotFound(text="no shadow: expected one")
        return b"1"

    async def ask(place: Place) -> list[tuple[str, str]]:
        async with place.looking_on("shadow") as stream:
            first = await stream.event()
            await until(lambda: len(source.made) > 3)
            missing.clear()
            return [first, await stream.event()]

    first, second = live({"shadow": make}, ask)
    assert (first[0], orjson.loads(first[1])) == (
        "failed",
        {"of": "shadow", "status": 404, "message": "no shadow: expected one"},
    )
    assert second == ("shadow", "1")


def test_a_fault_of_ours_is_logged_once_and_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(drift=b"1")

    async def fault() -> bytes:
        source.made.append("status")
        raise ValueError("secret")

    async def ask(place: Place) -> list[tuple[str, str]]:
        async with place.looking_on("status,drift") as stream:
            found = [await stream.event(), await stream.event()]
            await until(lambda: source.made.count("status") > 3)
            return found

    told = live({**source.makers(), "status": fault}, ask)
    assert [kind for kind, _ in told] == ["drift", "failed"]
    assert "secret" not in told[1][1]
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.ERROR, "admin: status failed")]


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ("", "of: missing, expected some of status"),
        (",,", "of: missing, expected some of status"),
        ("status,nothing", "of: 'nothing' is none, expected some of status"),
        ("Status", "of: 'Status' is none, expected some of status"),
        ("x" * 500, f"of: '{'x' * 59}…' is none, expected some of status"),
    ],
)
def test_what_is_no_document_is_refused_by_name(of: str, told: str) -> None:
    async def ask(place: Place) -> tuple[int, str]:
        async with place.http.get(f"{place.url}/v1/live", params={"of": of}) as answer:
            return answer.status, await answer.text()

    assert live(Source(status=b"1").makers(), ask) == (400, told)


def test_head_tells_what_would_come_and_waits_for_nothing() -> None:
    source = Source(status=b"1")

    async def ask(place: Place) -> tuple[int, str]:
        async with place.http.head(f"{place.url}/v1/live", params={"of": "status"}) as answer:
            return answer.status, answer.headers["Content-Type"]

    assert live(source.makers(), ask) == (200, "text/event-stream")
    assert source.made == []


@pytest.mark.parametrize("busy", [True, False])
def test_every_document_is_what_is_answered_when_asked(busy: bool) -> None:
    sidecar = busy_sidecar() if busy else Sidecar()

    async def run() -> None:
        bound = socket.create_server((LOOPBACK.host, 0))
        runner = await start(application(sidecar.view(), token=None, address=LOOPBACK), bound)
        url = f"http://{LOOPBACK.host}:{runner.addresses[0][1]}/v1"
        try:
            async with asyncio.timeout(PATIENCE_S), ClientSession() as http:
                async with http.get(f"{url}/live?of=x") as refused:
                    names = (await refused.json())["error"]["message"].partition("some of ")[2].split(",")
                async with http.get(f"{url}/live", params={"of": ",".join(names)}) as answer:
                    assert answer.headers["Cache-Control"] == "no-store"
                    stream = Stream(answer)
                    for _ in names:
                        await same(http, url, await stream.event())
        finally:
            await runner.cleanup()

    async def same(http: ClientSession, url: str, event: tuple[str, str]) -> None:
        kind, told = event[0], orjson.loads(event[1])
        name = told["of"] if kind == "failed" else kind
        async with http.get(f"{url}/{name}") as answer:
            asked = await answer.json(content_type=None)
        if kind == "failed":
            assert (answer.status, asked["error"]["message"]) == (told["status"], told["message"])
        else:
            assert (answer.status, asked) == (200, told)

    asyncio.run(run())
