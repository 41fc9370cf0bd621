import asyncio
import json
import os
from math import inf, nan
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from sidecar.alerts.command import INHERITED, TAIL_CHARACTERS, Command
from sidecar.alerts.document import document
from sidecar.alerts.posting import On
from sidecar.errors import ConfigError, DeliveryError
from sidecar.records import Notice
from tests.alerts.notices import ALERT_ID, notice
from tests.proxy.rig import on_both_loops, until

SHORT_S = 0.05
FOREVER = "while :; do sleep 1000; done"


def shell(script: str, *arguments: object, timeout_s: float = 60.0) -> Command:
    return Command(arguments=("/bin/sh", "-c", script, "sh", *map(str, arguments)), timeout_s=timeout_s)


async def run(command: Command, told: Notice | None = None) -> None:
    """Send a notice; of what that needs nothing is left."""
    async with aiohttp.ClientSession() as http:
        before, children = len(os.listdir("/dev/fd")), psutil.Process().children()
        try:
            await command.send(told or notice(), http)
        finally:
            assert psutil.Process().children() == children
            assert len(os.listdir("/dev/fd")) == before


async def failure(command: Command) -> str:
    """Why it was not taken."""
    with pytest.raises(DeliveryError) as raised:
        await run(command)
    return str(raised.value)


class Witness:
    """A named pipe that commands write to and hold open: it ends when the last of them has ended."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writing = os.open(path, os.O_WRONLY)  # what nobody has opened yet would not end

    async def says(self) -> bytes:
        """What is written next."""
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        loop.add_reader(self._reading, lambda: None if readable.done() else readable.set_result(None))
        await readable
        loop.remove_reader(self._reading)
        return os.read(self._reading, 100)

    async def ends(self) -> None:
        """Nobody else holds it open any more."""
        os.close(self._writing)
        assert await self.says() == b""
        os.close(self._reading)


@on_both_loops
async def test_a_program_reads_the_alert_from_its_standard_input(tmp_path: Path) -> None:
    told = notice()
    await run(shell('cat > "$1"', tmp_path / "seen"), told)
    assert json.loads((tmp_path / "seen").read_bytes()) == document(told.alert, link=told.link)


@on_both_loops
async def test_its_environment_names_the_alert_and_holds_no_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_ADMIN_TOKEN", "secret")
    await run(Command(arguments=("/bin/sh", "-c", 'exec /usr/bin/env > "$0"', str(tmp_path / "seen"))))
    lines = (tmp_path / "seen").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert {name: value for name, value in seen.items() if name.startswith("SIDECAR")} == {
        "SIDECAR_ALERT_ID": ALERT_ID,
        "SIDECAR_ALERT_STATE": "firing",
        "SIDECAR_ALERT_SEVERITY": "critical",
        "SIDECAR_ALERT_VARIANT": "champion",
    }
    assert {name for name in seen if not name.startswith("SIDECAR")} <= {*INHERITED, "PWD", "OLDPWD", "SHLVL", "_"}


@on_both_loops
async def test_a_program_is_looked_for_in_the_path() -> None:
    await run(Command(arguments=("true",)))


@on_both_loops
async def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    await run(Command(arguments=("touch", f"{tmp_path}/$(id) ; *")))
    assert os.listdir(tmp_path) == ["$(id) ; *"]


@on_both_loops
async def test_a_program_need_not_read_a_long_alert() -> None:
    await run(Command(arguments=("true",)), notice(columns=tuple(f"{number:0100}" for number in range(1000))))


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "exit code 3, expected exit code 0"),
        ("echo no room >&2; exit 1", "exit code 1, expected exit code 0: no room"),
        ("echo fine; echo 1>&2 'two\nlines\033[0m'; exit 1", "exit code 1, expected exit code 0: two lines [0m"),
        ("kill -9 $$", "killed by signal 9, expected exit code 0"),
        ("printf '\\377' >&2; exit 255", "exit code 255, expected exit code 0: \ufffd"),
    ],
)
@on_both_loops
async def test_a_program_that_fails_has_not_taken_it_and_is_quoted(script: str, problem: str) -> None:
    assert await failure(shell(script)) == f"/bin/sh: {problem}"


@on_both_loops
async def test_only_the_end_of_what_it_says_is_kept() -> None:
    problem = await failure(shell("printf %0100000d 7 >&2; echo the reason >&2; exit 1"))
    said = "0" * TAIL_CHARACTERS + "7the reason"
    assert problem == f"/bin/sh: exit code 1, expected exit code 0: {said[-TAIL_CHARACTERS:]}"


@pytest.mark.parametrize("stream", [1, 2])
@on_both_loops
async def test_a_program_that_says_much_neither_waits_nor_is_kept(stream: int) -> None:
    before = psutil.Process().memory_info().rss
    await run(shell(f"head -c 50000000 /dev/zero >&{stream}"))
    assert psutil.Process().memory_info().rss - before < 10_000_000


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("/nowhere/at-all", "No such file or directory"),
        ("sidecar-no-such-program", "No such file or directory"),
        ("/dev/null", "Permission denied"),
    ],
)
@on_both_loops
async def test_a_program_that_cannot_be_started_has_not_taken_it(program: str, reason: str) -> None:
    assert await failure(Command(arguments=(program,))) == f"{program}: cannot be started: {reason}"


@on_both_loops
async def test_a_program_that_takes_too_long_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness")
    script = f'exec 3> "$1"; trap "" TERM; ({FOREVER}) & {FOREVER}'
    problem = await failure(shell(script, witness.path, timeout_s=SHORT_S))
    assert problem == f"/bin/sh: killed after {SHORT_S:g} s, expected exit code 0"
    await witness.ends()


@on_both_loops
async def test_cancellation_kills_all_and_passes(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness")
    running = asyncio.ensure_future(run(shell(f'exec 3> "$1"; ({FOREVER}) & echo up >&3; {FOREVER}', witness.path)))
    assert await witness.says() == b"up\n"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await witness.ends()


@pytest.mark.parametrize("turns", range(6))
@on_both_loops
async def test_cancellation_while_it_starts_leaves_nothing(turns: int, tmp_path: Path) -> None:
    running = asyncio.ensure_future(run(shell(f"({FOREVER}) & {FOREVER}", tmp_path)))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # What is killed takes a moment to end.
    await until(
        lambda: not any(str(tmp_path) in (each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"]))
    )


@on_both_loops
async def test_cancellation_of_what_cannot_be_started_passes() -> None:
    running = asyncio.ensure_future(run(Command(arguments=("/nowhere",))))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@on_both_loops
async def test_what_it_leaves_in_the_background_holds_nobody_up_and_goes_on(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness")
    go = tmp_path / "go"
    os.mkfifo(go)
    async with aiohttp.ClientSession() as http:
        await shell('(read line < "$2"; echo done > "$1") & exit 0', witness.path, go).send(notice(), http)
    go.write_text("go\n")
    assert await witness.says() == b"done\n"
    await witness.ends()


@pytest.mark.parametrize(
    ("on", "told", "runs"),
    [
        (("firing",), notice(), True),
        (("firing",), notice("resolved", told=2), False),
        (("resolved",), notice("resolved", told=2), True),
        (("resolved",), notice(), False),
        (("firing", "resolved"), notice("resolved", told=3), True),
        (("firing", "resolved"), notice(told=2), False),
    ],
)
@on_both_loops
async def test_it_is_run_once_for_each_alert_and_state(on: On, told: Notice, runs: bool, tmp_path: Path) -> None:
    await run(Command(arguments=("touch", str(tmp_path / "seen")), on=on), told)
    assert (tmp_path / "seen").exists() == runs


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"arguments": ()}, ["arguments: expected a program and its arguments, without null characters"]),
        ({"arguments": ("",)}, ["arguments: expected a program and its arguments, without null characters"]),
        ({"arguments": ("a", "\0")}, ["arguments: expected a program and its arguments, without null characters"]),
        ({"arguments": ("a", "\ud800")}, ["arguments: expected a program and its arguments, without null characters"]),
        ({"arguments": ("a",), "on": ()}, ["on: empty; expected firing, resolved or both"]),
        ({"arguments": ("a",), "timeout_s": 0.0}, ["timeout_s: expected a number > 0, got 0"]),
        ({"arguments": ("a",), "timeout_s": nan}, ["timeout_s: expected a number > 0, got nan"]),
        ({"arguments": ("a",), "timeout_s": inf}, ["timeout_s: expected a number > 0, got inf"]),
    ],
)
def test_what_cannot_be_run_is_refused(options: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        Command(**options)
    assert [str(fault) for fault in raised.value.faults] == faults
