"""The processes that the demo starts: each in a group of its own, its output in a log, none left behind."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from sidecar.demo.ending import DemoError, is_set_within

READY_S = 120.0
"""For a child to be ready; MLServer takes ten seconds on a quiet machine."""

GRACE_S = 5.0
"""For a child to end by itself."""

LOOK_S = 0.1
"""Between two looks at whether a child is as far as one waits for."""

ANSWER_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
TAIL_LINES = 8
TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Command:
    """What to start.

    Args:
        name: For people.
        arguments: The program first.
        folder: To start it in.
        environment: All of its variables.
        log: The file for what it says.
    """

    name: str
    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    log: Path


class Child:
    """A running process."""

    def __init__(self, command: Command, process: asyncio.subprocess.Process) -> None:
        self._command = command
        self._process = process

    async def ready(
        self, session: aiohttp.ClientSession, url: str, stop: asyncio.Event, limit_s: float = READY_S
    ) -> None:
        """Wait until a GET of `url` is answered with 200, or `stop` is set.

        Raises:
            DemoError: It ended, or `limit_s` went by.
        """
        try:
            async with asyncio.timeout(limit_s):
                while not await _answers(session, url):
                    self.require_running()
                    if await is_set_within(stop, LOOK_S):
                        return
        except TimeoutError:
            raise self._error(f"not ready within {limit_s:g} s") from None

    async def done(self, stop: asyncio.Event, limit_s: float = READY_S) -> None:
        """Wait until it has ended well, or `stop` is set.

        Raises:
            DemoError: It ended with another exit code than 0, or `limit_s` went by.
        """
        try:
            async with asyncio.timeout(limit_s):
                while self._process.returncode is None and not await is_set_within(stop, LOOK_S):
                    pass
        except TimeoutError:
            raise self._error(f"not done within {limit_s:g} s") from None
        if self._process.returncode:
            self.require_running()

    def require_running(self) -> None:
        """Make sure that it has not ended, which nobody asked it to.

        Raises:
            DemoError: It has.
        """
        if self._process.returncode is not None:
            raise self._error(f"ended with exit code {self._process.returncode}")

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask it to end; kill what is left of its group after `grace_s`."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), grace_s)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def _error(self, what: str) -> DemoError:
        lines = [f"{self._command.name}: {what}; the end of its log, {self._command.log}:", *_tail(self._command.log)]
        return DemoError("\n  ".join(lines))


async def start(command: Command) -> Child:
    """Start a process of its own group.

    Raises:
        DemoError: There is no such program.
    """
    with command.log.open("wb") as log:
        try:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=command.folder,
                env=command.environment,
                start_new_session=True,
            )
        except OSError as error:
            raise DemoError(f"{command.name}: cannot be started: {error}") from None
    return Child(command, process)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for listening in sockets:
            listening.bind(("127.0.0.1", 0))
        return [listening.getsockname()[1] for listening in sockets]


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    with suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(url, timeout=ANSWER_TIMEOUT) as reply:
            return reply.status == 200
    return False


def _tail(path: Path) -> list[str]:
    with path.open("rb") as log:
        log.seek(max(path.stat().st_size - TAIL_BYTES, 0))
        text = log.read().decode(errors="replace")
    return [line.rstrip() for line in text.splitlines() if line.strip()][-TAIL_LINES:]
