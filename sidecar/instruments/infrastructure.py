"""What the sidecar, the model server, their containers, the network and the GPUs use.

Under the names of OpenTelemetry's process, container, system and hardware conventions (semconv 1.44.0) where they have
one; throttling, pressure and limits they do not know. Utilization of a GPU has no unit here: there it is `1`.
"""

from collections.abc import Iterable, Sequence

from sidecar.infrastructure.readings import Absence, Container, Gpu, Interface, Part, Processes, Readings
from sidecar.instruments.table import Points, bounded, known, whose
from sidecar.records import Attributes, Metric
from sidecar.texts import encodable

MAX_POINTS = 1000
"""Never reached: the readings are bounded."""


def infrastructure_metrics(readings: Readings) -> list[Metric]:
    """All that was read; what could not be is left out, and said by `sidecar.infrastructure.unreadable`."""
    containers = [(_of(part), part.container) for part in readings.parts if part.container is not None]
    named = {
        **_process_points([(_of(part), part.processes) for part in readings.parts if part.processes is not None]),
        **_container_points(containers),
        **_own_container_points(containers),
        **_network_points(readings.interfaces),
        **_gpu_points(readings.gpus),
        "sidecar.infrastructure.unreadable": [(_unreadable(absence), 1.0) for absence in readings.absences],
    }
    return bounded(named, MAX_POINTS)[0]


def _process_points(parts: Sequence[tuple[Attributes, Processes]]) -> dict[str, Points]:
    return {
        "process.cpu.time": _by_mode((at, each.user_s, each.system_s) for at, each in parts),
        "process.memory.usage": [(at, each.resident_bytes) for at, each in parts],
        "process.memory.virtual": [(at, each.virtual_bytes) for at, each in parts],
        "process.thread.count": [(at, each.threads) for at, each in parts],
        "process.unix.file_descriptor.count": [(at, each.descriptors) for at, each in parts],
        "process.disk.io": _by_direction((at, each.read_bytes, each.written_bytes) for at, each in parts),
        "process.uptime": [(at, each.uptime_s) for at, each in parts],
        "sidecar.process.count": [(at, each.count) for at, each in parts],
        "sidecar.process.file_descriptor.limit": [(at, each.max_descriptors) for at, each in parts],
    }


def _container_points(parts: Sequence[tuple[Attributes, Container]]) -> dict[str, Points]:
    """What the conventions know."""
    faults: Points = []
    for at, each in parts:
        faults.append(({**at, "system.paging.fault.type": "major"}, each.memory.major_faults))
        faults.append(({**at, "system.paging.fault.type": "minor"}, each.memory.faults - each.memory.major_faults))
    return {
        "container.cpu.time": _by_mode((at, each.cpu.user_s, each.cpu.system_s) for at, each in parts),
        "container.memory.usage": [(at, each.memory.used_bytes) for at, each in parts],
        "container.memory.working_set": [(at, each.memory.working_set_bytes) for at, each in parts],
        "container.memory.rss": [(at, each.memory.resident_bytes) for at, each in parts],
        "container.memory.available": [(at, each.memory.available_bytes) for at, each in parts],
        "container.paging.faults": faults,
        "container.disk.io": _by_direction((at, each.disk.read_bytes, each.disk.written_bytes) for at, each in parts),
    }


def _own_container_points(parts: Sequence[tuple[Attributes, Container]]) -> dict[str, Points]:
    """What the conventions do not know."""
    return {
        "sidecar.container.cpu.limit": [(at, each.cpu.limit) for at, each in parts],
        "sidecar.container.cpu.periods": [(at, each.cpu.periods) for at, each in parts],
        "sidecar.container.cpu.throttled_periods": [(at, each.cpu.throttled_periods) for at, each in parts],
        "sidecar.container.cpu.throttled": [(at, each.cpu.throttled_s) for at, each in parts],
        "sidecar.container.memory.limit": [(at, each.memory.limit_bytes) for at, each in parts],
        "sidecar.container.memory.peak": [(at, each.memory.peak_bytes) for at, each in parts],
        "sidecar.container.memory.oom_kills": [(at, each.memory.oom_kills) for at, each in parts],
        "sidecar.container.task.count": [(at, each.tasks) for at, each in parts],
        "sidecar.container.task.limit": [(at, each.max_tasks) for at, each in parts],
        "sidecar.container.stalled": [
            ({**at, "sidecar.resource": resource, "sidecar.stalled": who}, stalled_s)
            for at, each in parts
            for resource, who, stalled_s in _stalls(each)
        ],
    }


def _stalls(container: Container) -> list[tuple[str, str, float]]:
    pressure = container.pressure
    return [
        ("cpu", "some", pressure.cpu_some_s),
        ("cpu", "full", pressure.cpu_full_s),
        ("memory", "some", pressure.memory_some_s),
        ("memory", "full", pressure.memory_full_s),
        ("io", "some", pressure.io_some_s),
        ("io", "full", pressure.io_full_s),
    ]


def _network_points(interfaces: Sequence[Interface]) -> dict[str, Points]:
    ways: list[tuple[Attributes, Interface]] = [
        ({"network.interface.name": encodable(each.name), "network.io.direction": each.direction}, each)
        for each in interfaces
    ]
    return {
        "system.network.io": [(at, each.bytes) for at, each in ways],
        "system.network.packet.count": [(at, each.packets) for at, each in ways],
        "system.network.packet.dropped": [(at, each.drops) for at, each in ways],
        "system.network.errors": [(at, each.errors) for at, each in ways],
    }


def _gpu_points(gpus: Sequence[Gpu]) -> dict[str, Points]:
    told: list[tuple[Attributes, Gpu]] = [(_of_gpu(gpu), gpu) for gpu in gpus]
    errors: Points = []
    for at, gpu in told:
        errors.append(({**at, "error.type": "corrected"}, gpu.corrected_errors))
        errors.append(({**at, "error.type": "uncorrected"}, gpu.uncorrected_errors))
    return {
        "hw.gpu.utilization": [({**at, "hw.gpu.task": "general"}, gpu.utilization) for at, gpu in told],
        "hw.gpu.memory.usage": [(at, gpu.used_bytes) for at, gpu in told],
        "hw.gpu.memory.limit": [(at, gpu.limit_bytes) for at, gpu in told],
        "hw.temperature": [(at, gpu.celsius) for at, gpu in told],
        "hw.power": [(at, gpu.watts) for at, gpu in told],
        "hw.energy": [(at, gpu.energy_j) for at, gpu in told],
        "hw.errors": errors,
    }


def _by_mode(spent: Iterable[tuple[Attributes, float, float]]) -> Points:
    """Of CPU time: that of the programs, and the kernel's for them."""
    points: Points = []
    for at, user_s, system_s in spent:
        points += [({**at, "cpu.mode": "user"}, user_s), ({**at, "cpu.mode": "system"}, system_s)]
    return points


def _by_direction(moved: Iterable[tuple[Attributes, float, float]]) -> Points:
    points: Points = []
    for at, read, written in moved:
        points += [({**at, "disk.io.direction": "read"}, read), ({**at, "disk.io.direction": "write"}, written)]
    return points


def _of(part: Part) -> Attributes:
    whole = "upstream" if part.variant else "sidecar"
    return {"sidecar.part": whole, **whose(part.variant, part.version)}


def _of_gpu(gpu: Gpu) -> Attributes:
    told = {"hw.id": encodable(gpu.id), "hw.name": gpu.name, "hw.model": encodable(gpu.model)}
    return {**known(told), "hw.vendor": "NVIDIA", "hw.type": "gpu"}


def _unreadable(absence: Absence) -> Attributes:
    # These are the machine's, and the pod's.
    of = {} if absence.subject in {"gpu", "network"} else _of(Part(absence.variant, absence.version))
    return {**of, "sidecar.subject": absence.subject, "error.type": absence.reason}
