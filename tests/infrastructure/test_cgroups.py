from dataclasses import astuple
from math import isnan
from pathlib import Path

import pytest

from sidecar.infrastructure.cgroups import container_of
from sidecar.infrastructure.readings import Container, Cpu, Disk, Memory, Pressure
from tests.infrastructure.rig import CGROUP, folder

OF_THE_MACHINE = {"cgroup.controllers": "cpu\n", "cpu.stat": "usage_usec 9\n"}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return folder(tmp_path / "proc", {"self/cgroup": "0::/\n", "7/cgroup": "0::/../other\n"})


def container(proc: Path, mount: Path, pid: str = "self") -> Container:
    read = container_of(proc, mount, pid)
    assert isinstance(read, Container)
    return read


def test_a_container_reads_its_own_files(proc: Path, tmp_path: Path) -> None:
    mount = folder(tmp_path / "cgroup", CGROUP)
    assert container(proc, mount) == Container(
        life=mount.stat().st_ino,
        cpu=Cpu(2.5, 1.0, 1.5, 40, 7, 1.25),
        memory=Memory(1000, 750, 600, 4000, 1500, 90, 4, 1),
        pressure=Pressure(4.0, 1.5, 0.5, 0.25, 0.125, 0.0),
        disk=Disk(111, 22),
        tasks=12,
        max_tasks=100,
    )
    assert container(proc, mount).memory.available_bytes == 3250


def test_without_a_limit_there_is_none_and_nothing_is_available_of_it(proc: Path, tmp_path: Path) -> None:
    unlimited = {"cpu.max": "max 100000\n", "memory.max": "max\n", "pids.max": "max\n"}
    read = container(proc, folder(tmp_path / "cgroup", CGROUP | unlimited))
    limits = [read.cpu.limit, read.memory.limit_bytes, read.memory.available_bytes, read.max_tasks]
    assert [isnan(limit) for limit in limits] == [True] * 4


def test_more_than_the_limit_leaves_nothing(proc: Path, tmp_path: Path) -> None:
    lowered = container(proc, folder(tmp_path / "cgroup", CGROUP | {"memory.max": "10\n"}))
    assert lowered.memory.available_bytes == 0.0


def test_a_cache_that_grew_between_two_reads_makes_no_negative_working_set(proc: Path, tmp_path: Path) -> None:
    read = container(proc, folder(tmp_path / "cgroup", CGROUP | {"memory.current": "200\n"}))
    assert read.memory.working_set_bytes == 0.0


def test_without_controllers_all_is_undefined_and_before_the_first_byte_the_disk_is_0(
    proc: Path, tmp_path: Path
) -> None:
    bare = {name: CGROUP[name] for name in ("cgroup.controllers", "cgroup.events")}
    read = container(proc, folder(tmp_path / "bare", bare))
    values = [*astuple(read.cpu), *astuple(read.memory), *astuple(read.pressure), *astuple(read.disk), read.tasks]
    assert all(isnan(value) for value in values)
    idle = container(proc, folder(tmp_path / "idle", bare | {"io.stat": ""}))
    assert idle.disk == Disk(0.0, 0.0)


@pytest.mark.parametrize(
    "text", ["", "\n", "nonsense", "some\n", "-1 5", "1 0\n", "9" * 400, "\x00\xff", "8:0 rbytes="]
)
def test_nonsense_in_a_file_is_undefined_and_no_crash(proc: Path, tmp_path: Path, text: str) -> None:
    broken = {name: text for name in CGROUP if not name.startswith("cgroup.")}
    read = container(proc, folder(tmp_path / "cgroup", CGROUP | broken))
    assert isnan(read.cpu.limit)
    assert isnan(read.memory.used_bytes)
    assert isnan(read.pressure.io_some_s)


def test_outside_of_containers_a_process_has_the_cgroup_it_names(proc: Path, tmp_path: Path) -> None:
    mount = folder(tmp_path / "cgroup", OF_THE_MACHINE)
    folder(mount / "system.slice" / "model.service", CGROUP)
    folder(proc, {"self/cgroup": "3:memory:/v1\n0::/system.slice/model.service\n", "9/cgroup": "0::/\n"})
    assert container(proc, mount).cpu.limit == 1.5
    assert container_of(proc, mount, "9") == ""


def test_where_only_its_own_cgroup_is_mounted_the_path_of_the_machine_does_not_matter(
    proc: Path, tmp_path: Path
) -> None:
    folder(proc, {"self/cgroup": "0::/kubepods/pod1/abc\n"})
    assert container(proc, folder(tmp_path / "cgroup", CGROUP)).tasks == 12


def test_another_container_is_seen_with_the_eyes_of_its_process(proc: Path, tmp_path: Path) -> None:
    mount = folder(tmp_path / "cgroup", CGROUP)
    assert container_of(proc, mount, "7") == "forbidden"
    folder(proc / "7" / "root" / mount.relative_to("/"), CGROUP | {"pids.current": "99\n"})
    assert container(proc, mount, "7").tasks == 99


def test_version_1_is_told_from_none_at_all(proc: Path, tmp_path: Path) -> None:
    old = folder(tmp_path / "old", {"memory/memory.usage_in_bytes": "1\n", "unified/cgroup.controllers": "\n"})
    assert container_of(proc, old, "self") == "cgroup_v1"
    assert container_of(proc, tmp_path / "absent", "self") == "no_cgroup"
