"""A program of the user's, run for an alert: what pages somebody, opens a ticket, or starts a retraining."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import IO, TYPE_CHECKING

from sidecar.alerts.document import document
from sidecar.alerts.posting import On, encode, on_faults
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import Notice

if TYPE_CHECKING:
    from aiohttp import ClientSession

TIMEOUT_S = 60.0
TAIL_CHARACTERS = 500
TAIL_BYTES = 4 * TAIL_CHARACTERS
"""UTF-8 has no longer characters."""
READ_BYTES = 1 << 16
"""What a pipe holds unless told otherwise."""
LAST_READS = 16
"""Of a pipe whose writer has ended; others may still write."""

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of our own variables, which may hold tokens; `env NAME=value program` gives a program more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Runs a program once for each alert and state, the alert as JSON on its standard input.

    It is taken when the program exits with 0; what that leaves running in the background needs an output of its own.
    The program's is thrown away, but for the end of its standard error, which says why it failed. SIDECAR_ALERT_ID,
    SIDECAR_ALERT_STATE, SIDECAR_ALERT_SEVERITY and SIDECAR_ALERT_VARIANT are in its environment.

    Args:
        arguments: The program and its arguments, as they are: no shell reads them.
        on: The states of an alert that it is run for.
        timeout_s: A run that takes longer is killed, with all that it has started, and has failed.

    Raises:
        ConfigError: There is no program, no state or no time.
    """

    arguments: tuple[str, ...]
    on: On = ("firing",)
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        faults = on_faults(self.on)
        if not any(self.arguments[:1]) or not all(map(_can_be_passed, self.arguments)):
            faults.append(Fault("arguments", "expected a program and its arguments, without null characters"))
        if not 0 < self.timeout_s < inf:
            faults.append(Fault("timeout_s", f"expected a number > 0, got {self.timeout_s:g}"))
        if faults:
            raise ConfigError(*faults)

    async def send(self, notice: Notice, http: "ClientSession") -> None:  # noqa: ARG002 - a Channel
        """Run the program, unless it is not to be run for this state, or has been: this is only a reminder.

        Raises:
            DeliveryError: It could not be started, did not exit with 0, or took too long.
        """
        alert = notice.alert
        if alert.state not in self.on or (alert.state == "firing" and alert.told > 1):
            return
        try:
            with _Tail() as tail:
                await self._run(notice, tail)
        except OSError as error:
            raise DeliveryError(f"{self.arguments[0]}: cannot be started: {error.strerror}") from error

    async def _run(self, notice: Notice, tail: "_Tail") -> None:
        """Run the program to its end, which comes with the end of this, whatever that is."""
        process = await self._started(notice, tail)
        try:
            async with asyncio.timeout(self.timeout_s):
                code = await process.wait()
        except TimeoutError:
            raise self._error(f"killed after {self.timeout_s:g} s", tail) from None
        finally:
            await _end(process)
        if code:
            raise self._error(f"exit code {code}" if code > 0 else f"killed by signal {-code}", tail)

    async def _started(self, notice: Notice, tail: "_Tail") -> asyncio.subprocess.Process:
        with _file(encode(document(notice.alert, link=notice.link))) as stdin:
            return await _uncut(
                asyncio.create_subprocess_exec(
                    *self.arguments,
                    stdin=stdin,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=tail.writing,
                    env=_environment(notice),
                    start_new_session=True,
                )
            )

    def _error(self, what: str, tail: "_Tail") -> DeliveryError:
        said = tail.text()
        return DeliveryError(f"{self.arguments[0]}: {what}, expected exit code 0" + (f": {said}" if said else ""))


def _can_be_passed(argument: str) -> bool:
    try:
        return b"\0" not in os.fsencode(argument)
    except UnicodeEncodeError:  # a lone surrogate, as YAML's "\\ud800" makes one
        return False


def _environment(notice: Notice) -> dict[str, str]:
    alert = notice.alert
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | {
        "SIDECAR_ALERT_ID": alert.id,
        "SIDECAR_ALERT_STATE": alert.state,
        "SIDECAR_ALERT_SEVERITY": alert.severity,
        "SIDECAR_ALERT_VARIANT": alert.finding.key.variant,
    }


def _file(data: bytes) -> IO[bytes]:
    """A file without a name. A pipe would have to be fed, at the pace of a program that may not care to read it."""
    if sys.platform == "linux":  # in memory: a container's disk is often not to be written
        file: IO[bytes] = open(os.memfd_create("alert"), "w+b")  # noqa: SIM115 - the caller closes it
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - likewise
    file.write(data)
    file.seek(0)
    return file


async def _uncut(starting: Coroutine[None, None, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """The process, once it has started. Cut short, asyncio would kill it, but not what it has started itself."""
    task = asyncio.get_running_loop().create_task(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(OSError):
            await _end(await task)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill its group, unless it has ended, and reap it."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except PermissionError:  # somebody else's, as under sudo: nobody may wait for that
        return
    except ProcessLookupError:  # it has just ended, and the loop does not know yet
        pass
    await process.wait()


class _Tail:
    """The last that is written to a pipe; the rest is thrown away as it comes, so that nobody waits to be read.

    It is open for writing here too, and so has no end: who else may still write is nobody's concern.
    """

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._kept = b""

    def __enter__(self) -> "_Tail":
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.writing)

    def text(self) -> str:
        """What was written last, on one line, of TAIL_CHARACTERS at most."""
        for _ in range(LAST_READS):
            if not self._read():
                break
        text = self._kept.decode(errors="replace")
        words = "".join(each if each.isprintable() else " " for each in text).split()
        return " ".join(words)[-TAIL_CHARACTERS:]

    def _read(self) -> bool:
        """Whether there was something to read."""
        try:
            data = os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return False
        self._kept = (self._kept + data)[-TAIL_BYTES:]
        return True
