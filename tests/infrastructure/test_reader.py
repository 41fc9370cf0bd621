import logging
import threading
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

import psutil
import pytest

from sidecar.infrastructure.reader import MAX_VARIANTS, Infrastructure, Place
from sidecar.infrastructure.readings import Container, Readings
from tests.infrastructure.rig import CGROUP, folder, server

WALL_S = 4e9
"""Later than any process was started."""


@dataclass
class Rig:
    """A reader with a clock of its own, of this machine's processes and of containers in a folder."""

    cgroup: Path
    upstreams: dict[str, Place] = field(default_factory=dict)
    proc: Path = Path("/proc")
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.infrastructure = Infrastructure(
            lambda: self.upstreams,
            now_s=lambda: self.now_s,
            wall_s=lambda: WALL_S,
            proc=self.proc,
            cgroup=self.cgroup,
        )

    def later(self, s: float = 30.0) -> Readings:
        self.now_s += s
        return self.infrastructure.read()


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """No process but us, in a container of its own."""
    return folder(tmp_path / "proc", {"self/cgroup": "0::/\n"})


def reasons(readings: Readings) -> list[tuple[str, str, str]]:
    return [(each.subject, each.variant, each.reason) for each in readings.absences]


def test_without_anything_to_read_the_sidecar_is_told_and_why_no_more(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "absent", {"champion": ("3", "127.0.0.1", 1), "far": ("4", "model.svc", 80)}, tmp_path)
    readings = rig.infrastructure.read()
    assert [part.variant for part in readings.parts] == ["", "champion", "far"]
    assert readings.parts[0].processes is not None
    assert [part.processes for part in readings.parts[1:]] == [None, None]
    assert reasons(readings) == [("container", "", "no_cgroup"), ("processes", "champion", "no_procfs")]


def test_why_something_is_not_told_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path / "absent", {"champion": ("3", "127.0.0.1", 1)}, tmp_path)
    with caplog.at_level(logging.INFO, "sidecar.infrastructure"):
        for _ in range(3):
            rig.later()
    assert caplog.messages == [
        "no figures of the container: no cgroups are mounted",
        "no figures of the processes of the upstream 'champion': there is no /proc to see processes in",
    ]


def test_a_server_with_workers_is_read_as_one(tmp_path: Path) -> None:
    with server(workers=2) as (pid, port):
        rig = Rig(tmp_path, {"champion": ("3", "127.0.0.1", int(port))})
        readings = rig.infrastructure.read()
        descriptors = [each.num_fds() for each in [psutil.Process(pid), *psutil.Process(pid).children()]]
    part = readings.parts[1]
    assert part.processes is not None
    assert (part.variant, part.version, part.processes.count) == ("champion", "3", 3)
    assert part.processes.descriptors == sum(descriptors)
    assert (part.processes.user_s, part.processes.read_bytes) == (0.0, 0.0)  # since it was first seen


def test_a_server_behind_a_unix_socket_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "model.sock")
    with server(path, family="unix"):
        readings = Rig(tmp_path, {"champion": ("3", path, 0)}).infrastructure.read()
    assert readings.parts[1].processes is not None


def test_a_server_that_is_started_again_is_found_again_and_its_counts_go_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {"champion": ("3", "127.0.0.1", 1)})
    told = []
    for _ in range(2):
        with server(busy_s=0.06) as (_, port):
            rig.upstreams["champion"] = ("3", "127.0.0.1", int(port))
            told.append(rig.later().parts[1].processes)
        assert rig.later().parts[1].processes is None
        assert ("processes", "champion", "not_found") in reasons(rig.later())
    first, second = told
    assert first is not None
    assert second is not None
    # All that the second has used is new.
    assert second.user_s + second.system_s > first.user_s + first.system_s == 0.0


def test_a_container_is_counted_since_it_was_first_seen(proc: Path, tmp_path: Path) -> None:
    rig = Rig(folder(tmp_path / "cgroup", CGROUP), proc=proc)
    first = rig.later().parts[0].container
    folder(rig.cgroup, {"memory.events": "oom_kill 3\n", "io.stat": "8:0 rbytes=1111 wbytes=22\n"})
    second = rig.later().parts[0].container
    assert isinstance(first, Container)
    assert isinstance(second, Container)
    assert (first.memory.oom_kills, second.memory.oom_kills) == (0, 2)
    assert (first.disk.read_bytes, second.disk.read_bytes) == (0, 1000)
    assert (first.cpu.limit, first.memory.used_bytes, first.tasks) == (1.5, 1000, 12)


def test_a_value_that_comes_later_is_counted_since_then(proc: Path, tmp_path: Path) -> None:
    rig = Rig(folder(tmp_path / "cgroup", CGROUP | {"memory.events": ""}), proc=proc)
    first = rig.later().parts[0].container
    folder(rig.cgroup, {"memory.events": "oom_kill 3\n"})
    second = rig.later().parts[0].container
    assert first is not None
    assert second is not None
    assert (isnan(first.memory.oom_kills), second.memory.oom_kills) == (True, 0.0)


def test_who_asks_at_once_gets_what_the_one_before_got(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    first = rig.infrastructure.read()
    assert rig.later(0.9) is first
    assert rig.later(0.1) is not first


def test_several_threads_may_read(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    read: list[Readings] = []
    threads = [threading.Thread(target=lambda: read.append(rig.infrastructure.read())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each is read[0] for each in read] == [True] * 8


def test_so_many_variants_are_read_and_no_more(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {f"v{number}": ("", "127.0.0.1", 1) for number in range(MAX_VARIANTS + 5)})
    assert len(rig.infrastructure.read().parts) == 1 + MAX_VARIANTS


def test_the_network_is_counted_since_it_was_first_seen(tmp_path: Path) -> None:
    told = Rig(tmp_path).infrastructure.read().interfaces
    assert {each.bytes for each in told} == {0.0}
    assert {each.direction for each in told} == {"receive", "transmit"}


def test_one_source_that_cannot_be_read_costs_no_other(
    proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: bool) -> None:
        raise PermissionError("/proc/net/dev")

    rig = Rig(folder(tmp_path / "cgroup", CGROUP), proc=proc)
    before = rig.later().interfaces
    monkeypatch.setattr(psutil, "net_io_counters", refused)
    readings = rig.later()
    assert (readings.interfaces, reasons(readings)) == ([], [("network", "", "unreadable")])
    assert readings.parts[0].processes is not None
    assert readings.parts[0].container is not None
    monkeypatch.undo()
    # What was counted is not forgotten.
    assert [each.name for each in rig.later().interfaces] == [each.name for each in before]


def test_a_container_and_processes_that_cannot_be_read_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int) -> psutil.Process:
        raise psutil.AccessDenied(pid)

    long = tmp_path / ("x" * 300)  # no name of a file: an error that is none of those expected
    with server() as (_, port):
        rig = Rig(long, {"champion": ("3", "127.0.0.1", int(port))})
        monkeypatch.setattr(psutil, "Process", refused)
        readings = rig.later()
    assert reasons(readings) == [
        ("container", "", "unreadable"),
        ("processes", "", "unreadable"),
        ("processes", "champion", "unreadable"),
        ("container", "champion", "unreadable"),
    ]
    assert readings.interfaces


def test_closing_twice_and_reading_after_it_are_harmless(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.infrastructure.close()
    rig.infrastructure.close()
    assert rig.later().gpus == []
