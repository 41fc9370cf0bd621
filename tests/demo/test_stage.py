import asyncio
import io
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from rich.console import Console

from sidecar.demo.admin import Admin
from sidecar.demo.children import Command, free_ports
from sidecar.demo.client import Request
from sidecar.demo.ending import DemoError
from sidecar.demo.place import Place
from sidecar.demo.plot import Plot
from sidecar.demo.screen import Progress, Scene, Screen
from sidecar.demo.stage import Cast, Options, Stage

STATUS = {
    "variants": [{"duration_s": {"p50": 0.004, "p99": 0.008}, "overhead_s": {"p50": 0.001, "p99": 0.002}}],
    "captures": {"rows": {"default": 10**6}, "dropped": {}},
}


class Counting:
    """A play that counts looks, and ends the demo after some."""

    def __init__(self, stop: asyncio.Event, looks: int) -> None:
        self.plot = Plot({}, 1.0)
        self.begun = 0
        self.looks = 0
        self._stop = stop
        self._enough = looks

    def begin(self) -> None:
        self.begun += 1

    async def look(self, admin: Admin) -> Scene:
        await admin.get("/v1/status")
        self.looks += 1
        if self.looks == self._enough:
            self._stop.set()
        return Scene(f"look {self.looks}")


async def staged(folder: Path, seconds: float | None, looks: int) -> tuple[Progress, Counting, str]:
    """What comes of sending to one who answers for the listener and the admin side."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response({"/v1/status": STATUS, "/v1/features": {"variants": []}}.get(request.path, {}))

    runner, out = web.ServerRunner(web.Server(answer)), io.StringIO()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    place = Place(folder, folder / "captures", "iris", address, address, address)
    try:
        async with aiohttp.ClientSession() as session:
            stage = Stage(place, Screen(Console(file=out, width=200)), session, asyncio.Event())
            playing = Counting(stage.stop, looks)
            requests: Iterator[Request] = cycle([Request(b"{}")])
            cast = Cast(requests, Command("none", (), folder, {}, folder / "log"), (), (), playing)
            last = await stage.send(cast, Options(500.0, seconds, None), [])
    finally:
        await runner.cleanup()
    return last, playing, out.getvalue()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.demo.stage.WATCH_S", 0.01)


def test_a_play_is_begun_once_and_goes_on_until_the_end(tmp_path: Path) -> None:
    last, playing, out = asyncio.run(staged(tmp_path, None, 3))

    assert (playing.begun, playing.looks) == (1, 3)
    assert last.requests > 0
    assert last.errors == 0
    assert last.figures.rows == 10**6
    assert "requests" in out


def test_the_demo_ends_after_its_seconds(tmp_path: Path) -> None:
    last, _, _ = asyncio.run(staged(tmp_path, 0.05, 10**6))

    assert last.elapsed_s >= 0.05


def test_a_stage_that_is_told_to_end_starts_nothing_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_ports(1)[0]
        place = Place(tmp_path, tmp_path, "iris", f"127.0.0.1:{port}", "127.0.0.1:2", "127.0.0.1:3")
        async with aiohttp.ClientSession() as session:
            stage = Stage(place, Screen(Console(file=io.StringIO())), session, asyncio.Event())
            assert stage.server_port == port
            stage.stop.set()
            stage._require_going_on()

    with pytest.raises(DemoError, match="stopped before the first request; logs are in "):
        asyncio.run(scenario())
