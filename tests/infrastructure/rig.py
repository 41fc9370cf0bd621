"""Folders of files as a kernel shows them, and processes that listen."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TCP_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
UNIX_HEAD = "Num       RefCount Protocol Flags    Type St Inode Path\n"

CGROUP = {
    "cgroup.controllers": "cpu io memory pids\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "cpu.stat": (
        "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\n"
        "nr_periods 40\nnr_throttled 7\nthrottled_usec 1250000\n"
    ),
    "cpu.max": "150000 100000\n",
    "cpu.pressure": "some avg10=1.00 avg60=0.50 avg300=0.10 total=4000000\nfull avg10=0.00 total=1500000\n",
    "memory.current": "1000\n",
    "memory.max": "4000\n",
    "memory.peak": "1500\n",
    "memory.stat": "anon 600\nfile 300\ninactive_file 250\npgfault 90\npgmajfault 4\n",
    "memory.events": "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n",
    "memory.pressure": "some avg10=0.00 total=500000\nfull avg10=0.00 total=250000\n",
    "pids.current": "12\n",
    "pids.max": "100\n",
    "io.stat": "8:0 rbytes=100 wbytes=20 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=11 wbytes=2 rios=1 wios=1\n",
    "io.pressure": "some avg10=0.00 total=125000\nfull avg10=0.00 total=0\n",
}
"""A container at work: every value another one."""


def folder(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def process(
    proc: Path, pid: int, parent: int, *, sockets: Sequence[str] = (), name: str = "model", state: str = "S"
) -> None:
    """One that started `pid` ticks after the machine did, and whose first open files are no sockets."""
    rest = " ".join([state, str(parent), *["0"] * 17, str(pid), "0", "0"])
    folder(proc / str(pid), {"stat": f"{pid} ({name}) {rest}\n", "cgroup": "0::/\n"})
    files = proc / str(pid) / "fd"
    files.mkdir()
    for number, target in enumerate(["/dev/null", "pipe:[77]", *(f"socket:[{inode}]" for inode in sockets)]):
        (files / str(number)).symlink_to(target)


def tcp_line(address: str, port: int, inode: str, *, state: str = "0A") -> str:
    return (
        f"   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0 0 {inode} 1 0\n"
    )


SERVER = """
import os, socket, sys, time
family, address, workers, busy_s = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
while time.process_time() < busy_s:
    pass
listener = socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET)
listener.bind(address if family == "unix" else (address, 0))
listener.listen()
for _ in range(workers):
    if os.fork() == 0:
        time.sleep(600)
print(address if family == "unix" else listener.getsockname()[1], flush=True)
sys.stdin.read()
os.killpg(0, 9)
"""


@contextmanager
def server(
    address: str = "127.0.0.1", *, family: str = "tcp", workers: int = 0, busy_s: float = 0.0
) -> Iterator[tuple[int, str]]:
    """A process that listens, with workers that share its socket: its number, and its port or path.

    Args:
        busy_s: CPU time that it spends before.
    """
    command = [sys.executable, "-S", "-c", SERVER, family, address, str(workers), str(busy_s)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        try:
            yield started.pid, started.stdout.readline().strip()
        finally:
            started.stdin.close()


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))
