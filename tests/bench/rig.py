"""What every measurement stands on: processes pinned to a core, their CPU time and memory, free ports, first replies.

The proxy under test has one core for itself; load, upstreams and the measurement share another one. CPU time is that
of the whole process tree, in ticks of 10 ms: measure over seconds.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[-1]
START_LIMIT_S = 20.0
STOP_LIMIT_S = 15.0
POLL_S = 0.002


class RigError(Exception):
    """The measurement cannot be made, or would not be worth anything."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started process with its children."""

    process: subprocess.Popen[bytes]
    log: Path

    def cpu_s(self) -> float:
        """User and system time of the tree since its start."""
        times = [process.cpu_times() for process in self._tree()]
        return sum(each.user + each.system for each in times)

    def rss_bytes(self) -> int:
        """Resident memory of the tree; pages that its processes share count once for each."""
        return self._memory_bytes("smaps_rollup", "Rss:")

    def forget_peak(self) -> None:
        """Let `peak_rss_bytes` begin anew (proc(5), clear_refs)."""
        for process in self._tree():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")

    def peak_rss_bytes(self) -> int:
        """Most resident memory since the last `forget_peak`."""
        return self._memory_bytes("status", "VmHWM:")

    def settle(self, limit_s: float = 5.0) -> None:
        """Wait until the tree is idle: what it does after the last request belongs to the requests too."""
        end_s = time.monotonic() + limit_s
        before_s = -1.0
        while (now_s := self.cpu_s()) - before_s > 0.02 and time.monotonic() < end_s:
            before_s = now_s
            time.sleep(0.25)

    def last_words(self) -> str:
        """The end of what the process wrote."""
        return self.log.read_text(errors="replace")[-2000:].strip()

    def _tree(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def _memory_bytes(self, file: str, key: str) -> int:
        texts = (Path(f"/proc/{process.pid}/{file}").read_text() for process in self._tree())
        return sum(int(text.partition(key)[2].split(maxsplit=1)[0]) * 1024 for text in texts)


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Whatever this thread starts meanwhile runs on `core` only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(command: Sequence[str], core: int, log: Path) -> Iterator[Running]:
    """Run `command` on `core` from the repository's root; ended with SIGTERM, then SIGKILL, if it still runs."""
    with on_core(core), log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT)
    try:
        yield Running(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_reply(port: int, started: Running, status: bytes = b"") -> None:
    """Ask for `/` until a reply comes, with this status if one is given.

    Raises:
        RigError: The process ended, or nothing came in time.
    """
    end_s = time.monotonic() + START_LIMIT_S
    while not _first_line(port).startswith(b"HTTP/1.1 " + status):
        if started.process.poll() is not None or time.monotonic() > end_s:
            raise RigError(f"no reply on port {port}; the process wrote: {started.last_words() or 'nothing'}")
        time.sleep(POLL_S)


def _first_line(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            return connection.recv(4096)
    except OSError:
        return b""


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def program(name: str) -> str:
    """Where `name` is: the variable of that name in upper case, PATH, beside this Python, /usr/sbin.

    Raises:
        RigError: It is in none of these places.
    """
    beside = (Path(sys.executable).parent, Path("/usr/sbin"), Path("/usr/local/bin"))
    path = os.environ.get(name.upper()) or shutil.which(name) or shutil.which(name, path=":".join(map(str, beside)))
    if not path:
        raise RigError(f"{name}: not found, expected on PATH or in the variable {name.upper()}")
    return path


def take_load_core() -> None:
    """Move this process, and what it starts, off the proxy's core.

    Raises:
        RigError: There is only one core.
    """
    if PROXY_CORE == LOAD_CORE:
        raise RigError("one core only, expected two: the load would be measured with the proxy")
    os.sched_setaffinity(0, {LOAD_CORE})
