"""What is read of machines, containers and processes. NaN is what could not be read, or is not limited.

What only grows is counted since it was first seen here; `CPU_COUNTS` and the like name those fields; of
processes CPU time and bytes are such.
"""

from collections.abc import Sequence
from dataclasses import dataclass

NAN = float("nan")

CPU_COUNTS = ("user_s", "system_s", "throttled_s", "periods", "throttled_periods")
MEMORY_COUNTS = ("faults", "major_faults", "oom_kills")
PRESSURE_COUNTS = ("cpu_some_s", "cpu_full_s", "memory_some_s", "memory_full_s", "io_some_s", "io_full_s")
DISK_COUNTS = ("read_bytes", "written_bytes")
INTERFACE_COUNTS = ("bytes", "packets", "errors", "drops")
GPU_COUNTS = ("energy_j", "corrected_errors", "uncorrected_errors")


@dataclass(frozen=True, slots=True)
class Processes:
    """Sums over a process, or over a server's processes.

    Args:
        count: How many.
        user_s: CPU time, that of children that have ended included; likewise `system_s`.
        resident_bytes: A page that k processes share counts k times.
        max_descriptors: The limit of each; NaN for several processes.
        read_bytes: From disks, that of children that have ended included; likewise `written_bytes`.
        uptime_s: Of the oldest.
    """

    count: int
    user_s: float
    system_s: float
    resident_bytes: float
    virtual_bytes: float
    threads: float
    descriptors: float
    max_descriptors: float
    read_bytes: float
    written_bytes: float
    uptime_s: float


@dataclass(frozen=True, slots=True)
class Cpu:
    """A container's CPU.

    Args:
        limit: In CPUs.
        periods: In which the limit was enforced, 100 ms each as a rule.
        throttled_periods: Of these the ones in which the container had to stop.
        throttled_s: For so long, summed over its CPUs.
    """

    user_s: float
    system_s: float
    limit: float
    periods: float
    throttled_periods: float
    throttled_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """A container's memory.

    Args:
        working_set_bytes: What is used, less files that were not needed lately: what Kubernetes evicts by.
        peak_bytes: The most that was ever used.
        oom_kills: Processes of it that the kernel killed for want of memory.
    """

    used_bytes: float
    working_set_bytes: float
    resident_bytes: float
    limit_bytes: float
    peak_bytes: float
    faults: float
    major_faults: float
    oom_kills: float

    @property
    def available_bytes(self) -> float:
        """What is left to the limit."""
        # In this order what is undefined stays so.
        return max(self.limit_bytes - self.working_set_bytes, 0.0)


@dataclass(frozen=True, slots=True)
class Pressure:
    """For how long some, or all, of a container's processes had to wait for a resource (Linux' PSI)."""

    cpu_some_s: float
    cpu_full_s: float
    memory_some_s: float
    memory_full_s: float
    io_some_s: float
    io_full_s: float


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes a container moved, summed over devices: what lies on several layers of devices counts for each."""

    read_bytes: float
    written_bytes: float


@dataclass(frozen=True, slots=True)
class Container:
    """A cgroup of version 2.

    Args:
        life: Tells it from the one that takes its place when it is started again.
        tasks: Processes and threads.
    """

    life: int
    cpu: Cpu
    memory: Memory
    pressure: Pressure
    disk: Disk
    tasks: float
    max_tasks: float


@dataclass(frozen=True, slots=True)
class Interface:
    """One direction of a network interface: `transmit` or `receive`."""

    name: str
    direction: str
    bytes: float
    packets: float
    errors: float
    drops: float


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Args:
        id: Unique in the world.
        name: As in `GPU 0`.
        utilization: Part of the time, 0 to 1, in which something ran on it lately.
        corrected_errors: Of its memory, since the driver was loaded; likewise `uncorrected_errors`.
    """

    id: str
    name: str
    model: str
    utilization: float
    used_bytes: float
    limit_bytes: float
    celsius: float
    watts: float
    energy_j: float
    corrected_errors: float
    uncorrected_errors: float


@dataclass(frozen=True, slots=True)
class Part:
    """The sidecar (with neither variant nor version), or the model server of a variant."""

    variant: str = ""
    version: str = ""
    processes: Processes | None = None
    container: Container | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """What one might expect and cannot be read.

    Args:
        subject: `processes`, `container`, `network` or `gpu`.
        variant: Whose; empty for the sidecar, and for what is the machine's.
        reason: A word of a small set: `not_found`, `forbidden`, `unreadable`, `no_procfs`, `cgroup_v1`, `no_cgroup`,
            `nvml`.
        message: For people.
    """

    subject: str
    variant: str
    version: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Readings:
    """All that was read at one moment.

    Args:
        parts: The sidecar first.
        interfaces: Of the network namespace, which the containers of a pod share.
    """

    parts: Sequence[Part]
    interfaces: Sequence[Interface]
    gpus: Sequence[Gpu]
    absences: Sequence[Absence]
