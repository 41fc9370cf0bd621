import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sidecar.demo.children import Child, Command, free_ports, start
from sidecar.demo.ending import DemoError

PATIENCE_S = 10.0
RUNS_ON = "import time; print('up', flush=True); time.sleep(600)"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + RUNS_ON
HAS_A_CHILD = (
    "import subprocess, sys;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(child.pid, flush=True); child.wait()"
)


def python(program: str, folder: Path) -> Command:
    return Command("the child", (sys.executable, "-c", program), folder, dict(os.environ), folder / "log")


async def said(folder: Path) -> str:
    while not (text := (folder / "log").read_text()).endswith("\n"):  # noqa: ASYNC110  # told by another process
        await asyncio.sleep(0)
    return text.strip()


async def ended(child: Child) -> str:
    while True:
        try:
            child.require_running()
        except DemoError as error:
            return str(error)
        await asyncio.sleep(0)


@asynccontextmanager
async def answering(*statuses: int) -> AsyncIterator[str]:
    """The address of a server that answers with these, the last again and again."""
    left = list(statuses)

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0])

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def _ready(folder: Path, program: str, url: str, stop: asyncio.Event, limit_s: float) -> None:
    child = await start(python(program, folder))
    try:
        async with aiohttp.ClientSession() as session:
            await child.ready(session, url, stop, limit_s)
    finally:
        await child.stop(0)


def test_a_child_is_ready_when_its_address_answers_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with answering(503, 200) as url:
            await _ready(tmp_path, RUNS_ON, url, asyncio.Event(), 60.0)

    asyncio.run(scenario())


def test_a_child_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with answering(503) as url:
            await _ready(tmp_path, RUNS_ON, url, asyncio.Event(), 0.2)

    with pytest.raises(DemoError, match=r"^the child: not ready within 0.2 s; the end of its log, .*log:"):
        asyncio.run(scenario())


def test_waiting_ends_when_the_demo_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        stop.set()
        await _ready(tmp_path, RUNS_ON, f"http://127.0.0.1:{free_ports(1)[0]}/", stop, 60.0)

    asyncio.run(scenario())


def test_a_child_that_ends_is_told_with_the_tail_of_its_log(tmp_path: Path) -> None:
    program = "print('\\n'.join(map(str, range(5000)))); print(); raise SystemExit(3)"

    async def scenario() -> None:
        await _ready(tmp_path, program, f"http://127.0.0.1:{free_ports(1)[0]}/", asyncio.Event(), 60.0)

    with pytest.raises(DemoError) as caught:
        asyncio.run(scenario())
    assert str(caught.value).splitlines() == [
        f"the child: ended with exit code 3; the end of its log, {tmp_path / 'log'}:",
        *(f"  {number}" for number in range(4992, 5000)),
    ]


def test_a_child_that_runs_is_no_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = await start(python(RUNS_ON, tmp_path))
        child.require_running()
        await child.stop()

    asyncio.run(scenario())


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    command = Command("the child", (str(tmp_path / "none"),), tmp_path, {}, tmp_path / "log")

    with pytest.raises(DemoError, match=r"^the child: cannot be started: .*No such file"):
        asyncio.run(start(command))


async def _done(folder: Path, program: str, stop: asyncio.Event, limit_s: float) -> None:
    child = await start(python(program, folder))
    try:
        await child.done(stop, limit_s)
    finally:
        await child.stop(0)


def test_a_child_that_ended_well_is_done(tmp_path: Path) -> None:
    asyncio.run(_done(tmp_path, "print('here you are')", asyncio.Event(), 60.0))

    assert (tmp_path / "log").read_text() == "here you are\n"


def test_a_child_that_ended_badly_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"^the child: ended with exit code 3; the end of its log, "):
        asyncio.run(_done(tmp_path, "raise SystemExit(3)", asyncio.Event(), 60.0))


def test_a_child_that_never_ends_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"^the child: not done within 0\.05 s; the end of its log, "):
        asyncio.run(_done(tmp_path, RUNS_ON, asyncio.Event(), 0.05))


def test_waiting_for_a_child_to_be_done_ends_when_the_demo_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        stop.set()
        await _done(tmp_path, RUNS_ON, stop, 60.0)

    asyncio.run(scenario())


@pytest.mark.parametrize(("program", "signal_number"), [(RUNS_ON, signal.SIGTERM), (IGNORES, signal.SIGKILL)])
def test_a_stopped_child_has_ended(program: str, signal_number: signal.Signals, tmp_path: Path) -> None:
    async def scenario() -> str:
        child = await start(python(program, tmp_path))
        await said(tmp_path)
        await child.stop(grace_s=60.0 if signal_number is signal.SIGTERM else 0.05)
        await child.stop()
        return await ended(child)

    assert f"ended with exit code {-signal_number};" in asyncio.run(scenario())


def test_no_grandchild_is_left_behind(tmp_path: Path) -> None:
    async def scenario() -> int:
        child = await start(python(HAS_A_CHILD, tmp_path))
        grandchild = int(await said(tmp_path))
        await child.stop()
        return grandchild

    grandchild = asyncio.run(scenario())
    deadline_s = time.monotonic() + PATIENCE_S  # a signal is on its way when `kill` returns
    while not _is_gone(grandchild) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert _is_gone(grandchild)


def _is_gone(pid: int) -> bool:
    """Dead, even if nobody has waited for it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20
