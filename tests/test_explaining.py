"""What brings attributions to their monitor, with a real model server behind a real socket."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import trustme
from aiohttp import web

from sidecar.explaining import EXCHANGES, MARK, Explaining, Upstream
from sidecar.monitors.attribution import Attributing, Attribution
from sidecar.payload import DECODERS
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.pipeline import DECODED_BYTES, Parts, Pipeline
from sidecar.records import JSON
from sidecar.stats.moments import Floats
from sidecar.stats.window import Window
from tests.monitors.rig import of
from tests.test_pipeline import Waiting, exchange

NAMES = ("feature_0", "feature_1", "feature_2")
SAMPLE = of(np.random.default_rng(0).normal(size=(64, 3)), *NAMES)
WEIGHTS = np.array([4.0, 1.0, 0.1])
PATIENCE_S = 20.0

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "TICK_S"):
        monkeypatch.setattr(f"sidecar.explaining.{name}", 0.001)
    monkeypatch.setattr("sidecar.monitors.attributed.EVERY_S", 0.0)


class Model:
    """A linear model, and what it was asked."""

    def __init__(self) -> None:
        self.weights = WEIGHTS
        self.asked: list[tuple[str, str, str | None, Floats]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        rows = np.array(json.loads(await request.read())["instances"])
        self.asked.append((request.method, request.path, request.headers.get(MARK), rows))
        return web.json_response({"predictions": (rows @ self.weights).tolist()})


class Site:
    """What explains, and the pipeline before it; a clock that a test moves."""

    def __init__(self, monitor: Attributing, upstream: Upstream) -> None:
        self.now_s = 0.0
        self.paused = False
        self.monitor = monitor
        self._waiting = Waiting()
        self._rng = np.random.default_rng(1)
        self.pipeline = Pipeline(
            self._waiting,
            Parts(Reader(max_inflated_bytes=1 << 24), Decoding(DECODERS), ()),
            make_window=lambda: Window(rows=100, panes=1, seconds=1e9, max_features=10, max_categories=10),
            now_s=lambda: self.now_s,
            wall_s=lambda: self.now_s,
        )
        self.explaining = Explaining(
            self.pipeline,
            monitor,
            upstreams={"champion": upstream},
            paused=lambda: self.paused,
            wall_s=lambda: self.now_s,
            rng=np.random.default_rng(2),
        )

    async def send(self, answer: JSON = (1.0,), **changes: object) -> None:
        row = self._rng.normal(size=3).tolist()
        self._waiting.append(exchange({"instances": [row]}, answer)._replace(variant="champion", **changes))  # type: ignore[arg-type]
        await self.pipeline.drain()

    async def explain(self, count: int, *, step_s: float = 60.0) -> None:
        """Until so many calls more have ended, whatever they end like."""
        calls = self.explaining.calls
        before = calls["made"]
        async with asyncio.timeout(PATIENCE_S):
            while calls["made"] < before + count:
                await self.send()
                self.now_s += step_s
                await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(
    answering: Answering, *, socket: Path | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Upstream]:
    application = web.Application(client_max_size=1 << 24)
    application.router.add_route("*", "/{path:.*}", answering)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        if socket is not None:
            await web.UnixSite(runner, str(socket)).start()
            yield Upstream("http://localhost", str(socket))
        else:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            yield Upstream(f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


@asynccontextmanager
async def site(upstream: Upstream, **options: object) -> AsyncIterator[Site]:
    settings = {"calls_per_minute": 1, "reference_rows": 50, "rows": 50, "background_rows": 64, **options}
    found = Site(Attribution(**settings).attribute(), upstream)  # type: ignore[arg-type]  # the test names them
    await found.explaining.rest_on(SAMPLE)
    await found.explaining.start(None)
    try:
        yield found
    finally:
        await found.explaining.close()
    assert not found.pipeline.failures["internal"]
    assert found.pipeline.keeps == []


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (the real parts tell nobody)
            await asyncio.sleep(0.001)


def version_of(here: Site) -> tuple[int, dict[str, float]]:
    ((_, version),) = here.monitor.versions
    return version.rows, dict(version.reference)


def test_calls_recover_what_the_features_of_a_linear_model_add() -> None:
    async def scenario() -> None:
        model = Model()
        async with serving(model.answer) as upstream, site(upstream) as here:
            await here.explain(50)
            await until(lambda: version_of(here)[0] == 50)
            asked = [rows[3] for *_, rows in model.asked]
            method, path, mark, rows = model.asked[0]
            expected = np.abs(WEIGHTS * (np.array(asked) - SAMPLE.values.mean(axis=0))).mean(axis=0)
            assert version_of(here)[1] == pytest.approx(dict(zip(NAMES, expected, strict=True)))
            assert (method, path, mark, rows.shape) == ("POST", "/v1/models/fraud:predict", "1", (64 * 4, 3))
            assert (here.explaining.calls["made"], here.explaining.calls["failed"]) == (len(model.asked), 0)

    asyncio.run(scenario())


def test_a_change_of_the_weights_is_found_and_none_while_they_stay() -> None:
    async def scenario() -> None:
        model = Model()
        async with serving(model.answer) as upstream, site(upstream) as here:
            await here.explain(110)
            await until(lambda: version_of(here)[0] == 110)
            await until(lambda: here.explaining.findings is not None)
            assert not here.explaining.findings
            ((_, version),) = here.monitor.versions
            assert version.ranking is not None

            model.weights = WEIGHTS[::-1]
            await here.explain(60)
            await until(lambda: here.explaining.findings)
            (finding,) = here.explaining.findings or ()
            assert {each.name for each in finding.carriers[:2]} == {"feature_0", "feature_2"}
            assert finding.carriers[0].sentence.startswith("rank ")

    asyncio.run(scenario())


def test_the_budget_is_never_exceeded_however_many_rows_come() -> None:
    async def scenario() -> None:
        model = Model()
        async with serving(model.answer) as upstream, site(upstream, calls_per_minute=6) as here:
            made: list[float] = []
            for _ in range(300):
                await here.send()
                await asyncio.sleep(0.004)
                # The clock stood while calls were made.
                made += [here.now_s] * (here.explaining.calls["made"] - len(made))
                here.now_s += 0.5
            assert len(made) > 10
            assert max(sum(0 <= later - each < 60 for later in made) for each in made) <= 6
        assert len(model.asked) <= here.explaining.calls["made"]

    asyncio.run(scenario())


async def _slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def _failing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def _garbage(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\x00garbage", content_type="application/json")


async def _elsewhere(request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": str(request.url.with_path("/other"))})


async def _huge(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b" " * (DECODED_BYTES + 1))


async def _cut(request: web.Request) -> web.StreamResponse:
    reply = web.StreamResponse(headers={"Content-Length": "100"})
    await reply.prepare(request)
    assert request.transport
    request.transport.close()
    return reply


async def _few(_: web.Request) -> web.StreamResponse:
    return web.json_response({"predictions": [1.0]})


@pytest.mark.parametrize("answering", [_slow, _failing, _garbage, _elsewhere, _huge, _cut, _few])
def test_a_model_that_does_not_answer_as_it_ought_to_is_counted_and_called_less_often(answering: Answering) -> None:
    async def scenario() -> None:
        async with serving(answering) as upstream, site(upstream, timeout_s=0.05, calls_per_minute=600) as here:
            await here.explain(3, step_s=1.0)
            await until(lambda: here.explaining.calls["failed"] == here.explaining.calls["made"])
            assert here.now_s > 2 + 4  # of the gaps after failures, which double
            assert list(here.monitor.versions) == []
            await here.send()
            assert here.pipeline.captured > 0

    asyncio.run(scenario())


def test_a_model_that_is_gone_is_counted_too() -> None:
    async def scenario() -> None:
        async with serving(_few) as upstream:
            pass
        async with site(upstream, timeout_s=1.0) as here:
            await here.explain(1)
            await until(lambda: here.explaining.calls["failed"])

    asyncio.run(scenario())


def test_no_call_is_made_while_the_sidecar_drains_nor_without_a_background_nor_for_what_failed() -> None:
    async def scenario() -> None:
        model = Model()
        async with serving(model.answer) as upstream, site(upstream) as here:

            async def offer(**changes: object) -> None:
                for _ in range(5):
                    await here.send(**changes)
                    here.now_s += 100.0
                    await asyncio.sleep(0.005)

            await offer(status=500)
            await offer(method="PUT")
            here.paused = True
            await offer()
            await here.explaining.rest_on(None)
            here.paused = False
            await offer()
            assert (model.asked, here.explaining.calls["made"]) == ([], 0)

            here.explaining.upstreams = {}
            await here.explaining.rest_on(SAMPLE)
            await offer()
            assert (model.asked, here.explaining.calls["made"]) == ([], 0)
            assert here.explaining.calls["skipped"] > 0

    asyncio.run(scenario())


def test_rows_without_a_column_of_the_sample_are_skipped() -> None:
    async def scenario() -> None:
        model = Model()
        async with serving(model.answer) as upstream, site(upstream) as here:
            await here.explaining.rest_on(of(SAMPLE.values, "a", "b", "c"))
            await here.send()
            here.now_s += 100.0
            await until(lambda: here.explaining.calls["skipped"])
            assert model.asked == []

    asyncio.run(scenario())


def test_a_unix_socket_is_called(tmp_path: Path) -> None:
    async def scenario() -> None:
        model = Model()
        async with serving(model.answer, socket=tmp_path / "model.sock") as upstream, site(upstream) as here:
            await here.explain(1)
            await until(lambda: list(here.monitor.versions))
            assert dict(here.explaining.calls) == {"made": 1, "failed": 0, "skipped": 0}

    asyncio.run(scenario())


@pytest.mark.parametrize(("trusted", "failed"), [(True, 0), (False, 1)])
def test_a_model_that_speaks_tls_is_verified(trusted: bool, failed: int) -> None:
    async def scenario() -> None:
        authority, other = trustme.CA(), trustme.CA()
        server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(server)
        (authority if trusted else other).configure_trust(client)
        model = Model()
        async with serving(model.answer, tls=server) as upstream, site(upstream._replace(tls=client)) as here:
            await here.explain(1)
            await until(lambda: here.explaining.calls["failed"] if failed else list(here.monitor.versions))
            assert here.explaining.calls["failed"] == failed

    asyncio.run(scenario())


def carrying(values: dict[str, float]) -> list[JSON]:
    return [{"score": 0.5, **{f"attribution_{name}": value for name, value in values.items()}}]


def test_what_replies_carry_is_read_without_any_call_and_goes_on_after_a_restart() -> None:
    async def scenario() -> None:
        nobody = Upstream("http://127.0.0.1:1")
        async with site(nobody, calls_per_minute=0) as here:
            for _ in range(100):
                await here.send(carrying({"a": 0.7, "b": 0.1}))
            await until(lambda: version_of(here)[0] == 100)
            state = await here.explaining.state()
            assert here.explaining.calls["made"] == 0
        options = {"calls_per_minute": 0, "reference_rows": 50, "rows": 50}
        second = Site(Attribution(**options).attribute(), nobody)  # type: ignore[arg-type]  # as above
        assert second.explaining.findings is None
        await second.explaining.start(state)
        for _ in range(50):
            await second.send(carrying({"a": 0.1, "b": 0.7}))
        await until(lambda: version_of(second)[0] == 150 and second.explaining.findings)
        await second.explaining.close()

    asyncio.run(scenario())


def test_more_replies_than_are_needed_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.explaining.LOOK_S", 3600.0)

    async def scenario() -> None:
        async with site(Upstream(""), calls_per_minute=0) as here:
            for _ in range(EXCHANGES + 30):
                await here.send(carrying({"a": 0.7}))
            assert here.explaining.left_out == 30
        assert version_of(here)[0] == EXCHANGES

    asyncio.run(scenario())


def test_a_state_of_other_settings_is_left() -> None:
    async def scenario() -> None:
        async with site(Upstream(""), calls_per_minute=0) as here:
            state = await here.explaining.state()
        other = Site(Attribution(rows=500).attribute(), Upstream(""))
        await other.explaining.start(state)
        await other.explaining.close()
        assert list(other.monitor.versions) == []

    asyncio.run(scenario())
