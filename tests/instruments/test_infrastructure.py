from math import isfinite

from sidecar.admin.prometheus import render
from sidecar.infrastructure.readings import (
    NAN,
    Absence,
    Container,
    Cpu,
    Disk,
    Gpu,
    Interface,
    Memory,
    Part,
    Pressure,
    Processes,
    Readings,
)
from sidecar.instruments.infrastructure import infrastructure_metrics
from sidecar.records import Attributes, Report
from tests.instruments.rig import by_name

OWN: Attributes = {"sidecar.part": "sidecar"}
MODEL: Attributes = {"sidecar.part": "upstream", "feature_flag.result.variant": "champion", "sidecar.version": "3"}

PROCESSES = Processes(1, 2.5, 0.5, 100.0, 900.0, 4.0, 20.0, 1024.0, 7.0, 8.0, 60.0)
CONTAINER = Container(
    life=1,
    cpu=Cpu(9.0, 1.0, 1.5, 40.0, 7.0, 1.25),
    memory=Memory(1000.0, 750.0, 600.0, 4000.0, 1500.0, 90.0, 4.0, 1.0),
    pressure=Pressure(6.0, 5.0, 4.0, 3.0, 2.0, 1.0),
    disk=Disk(111.0, 22.0),
    tasks=12.0,
    max_tasks=100.0,
)
GPU = Gpu("GPU-8f6d", "GPU 0", "NVIDIA L4", 0.37, 6e9, 24e9, 61.0, 71.5, 6.5, 8.0, 1.0)
READINGS = Readings(
    parts=[Part(processes=PROCESSES), Part("champion", "3", PROCESSES, CONTAINER), Part("challenger", "4")],
    interfaces=[Interface("eth0", "receive", 5.0, 4.0, 3.0, 2.0)],
    gpus=[GPU],
    absences=[Absence("container", "", "", "cgroup_v1", "why"), Absence("gpu", "", "", "nvml", "why")],
)


def test_processes_are_told_by_whose_they_are() -> None:
    told = by_name(infrastructure_metrics(READINGS))
    assert told["process.cpu.time"].points == [
        ({**OWN, "cpu.mode": "user"}, 2.5),
        ({**OWN, "cpu.mode": "system"}, 0.5),
        ({**MODEL, "cpu.mode": "user"}, 2.5),
        ({**MODEL, "cpu.mode": "system"}, 0.5),
    ]
    assert told["process.disk.io"].points[2:] == [
        ({**MODEL, "disk.io.direction": "read"}, 7.0),
        ({**MODEL, "disk.io.direction": "write"}, 8.0),
    ]
    figures = {name: told[name].points[1] for name in told if told[name].points[1:] and len(told[name].points) == 2}
    assert figures == {
        "process.memory.usage": (MODEL, 100.0),
        "process.memory.virtual": (MODEL, 900.0),
        "process.thread.count": (MODEL, 4.0),
        "process.unix.file_descriptor.count": (MODEL, 20.0),
        "process.uptime": (MODEL, 60.0),
        "sidecar.process.count": (MODEL, 1),
        "sidecar.process.file_descriptor.limit": (MODEL, 1024.0),
        # These have two of one part.
        "container.cpu.time": ({**MODEL, "cpu.mode": "system"}, 1.0),
        "container.paging.faults": ({**MODEL, "system.paging.fault.type": "minor"}, 86.0),
        "container.disk.io": ({**MODEL, "disk.io.direction": "write"}, 22.0),
        "hw.errors": ({**_gpu(), "error.type": "uncorrected"}, 1.0),
        "sidecar.infrastructure.unreadable": ({"sidecar.subject": "gpu", "error.type": "nvml"}, 1.0),
    }


def _gpu() -> Attributes:
    return {
        "hw.id": "GPU-8f6d",
        "hw.name": "GPU 0",
        "hw.model": "NVIDIA L4",
        "hw.vendor": "NVIDIA",
        "hw.type": "gpu",
    }


def test_a_container_is_told_with_its_limits_and_its_waiting() -> None:
    told = by_name(infrastructure_metrics(READINGS))
    figures = {name: each.points[0][1] for name, each in told.items() if each.points and "container" in name}
    assert figures == {
        "container.cpu.time": 9.0,
        "container.memory.usage": 1000.0,
        "container.memory.working_set": 750.0,
        "container.memory.rss": 600.0,
        "container.memory.available": 3250.0,
        "container.paging.faults": 4.0,
        "container.disk.io": 111.0,
        "sidecar.container.cpu.limit": 1.5,
        "sidecar.container.cpu.periods": 40.0,
        "sidecar.container.cpu.throttled_periods": 7.0,
        "sidecar.container.cpu.throttled": 1.25,
        "sidecar.container.memory.limit": 4000.0,
        "sidecar.container.memory.peak": 1500.0,
        "sidecar.container.memory.oom_kills": 1.0,
        "sidecar.container.task.count": 12.0,
        "sidecar.container.task.limit": 100.0,
        "sidecar.container.stalled": 6.0,
    }
    stalled = {(at["sidecar.resource"], at["sidecar.stalled"]): s for at, s in told["sidecar.container.stalled"].points}
    assert list(stalled.values()) == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert stalled["memory", "full"] == 3.0


def test_network_and_gpus_are_nobodys_part() -> None:
    told = by_name(infrastructure_metrics(READINGS))
    way: Attributes = {"network.interface.name": "eth0", "network.io.direction": "receive"}
    single = {name: each.points for name, each in told.items() if name.startswith(("system.", "hw."))}
    assert len(single.pop("hw.errors")) == 2
    assert single == {
        "system.network.io": [(way, 5.0)],
        "system.network.packet.count": [(way, 4.0)],
        "system.network.packet.dropped": [(way, 2.0)],
        "system.network.errors": [(way, 3.0)],
        "hw.gpu.utilization": [({**_gpu(), "hw.gpu.task": "general"}, 0.37)],
        "hw.gpu.memory.usage": [(_gpu(), 6e9)],
        "hw.gpu.memory.limit": [(_gpu(), 24e9)],
        "hw.temperature": [(_gpu(), 61.0)],
        "hw.power": [(_gpu(), 71.5)],
        "hw.energy": [(_gpu(), 6.5)],
    }


def test_what_cannot_be_read_is_left_out_and_says_why() -> None:
    unread = Processes(1, 2.5, 0.5, 100.0, 900.0, 4.0, NAN, NAN, NAN, NAN, 60.0)
    told = by_name(infrastructure_metrics(Readings([Part(processes=unread)], [], [], READINGS.absences)))
    assert told["process.unix.file_descriptor.count"].points == told["process.disk.io"].points == []
    values = [value for each in told.values() for _, value in each.points]
    assert all(isinstance(value, float | int) and isfinite(value) for value in values)
    assert told["sidecar.infrastructure.unreadable"].points[0] == (
        {**OWN, "sidecar.subject": "container", "error.type": "cgroup_v1"},
        1.0,
    )


def test_the_network_that_cannot_be_read_is_nobodys_part() -> None:
    told = by_name(infrastructure_metrics(Readings([], [], [], [Absence("network", "", "", "unreadable", "why")])))
    at: Attributes = {"sidecar.subject": "network", "error.type": "unreadable"}
    assert told["sidecar.infrastructure.unreadable"].points == [(at, 1.0)]


def test_prometheus_reads_it_under_the_usual_names() -> None:
    text = render(Report(0.0, 1.0, infrastructure_metrics(READINGS))).decode()
    assert 'process_cpu_time_seconds_total{sidecar_part="sidecar",cpu_mode="user"} 2.5\n' in text
    assert "container_memory_working_set_bytes{" in text
    assert "sidecar_container_cpu_throttled_seconds_total{" in text
