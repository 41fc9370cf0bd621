"""All that is read of machine, containers and processes for a report: of the sidecar, and of model servers beside it.

Everything is read in the caller's thread, from files of the kernel and from NVML; no program is started, no name is
looked up. What may not be read, or is not there, is left out and told once why.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sidecar.infrastructure.cgroups import container_of
from sidecar.infrastructure.families import Families
from sidecar.infrastructure.gpus import Gpus
from sidecar.infrastructure.processes import UNREADABLE, interfaces, single
from sidecar.infrastructure.readings import (
    CPU_COUNTS,
    DISK_COUNTS,
    GPU_COUNTS,
    INTERFACE_COUNTS,
    MEMORY_COUNTS,
    PRESSURE_COUNTS,
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
from sidecar.infrastructure.search import ELSEWHERE, Found, Search
from sidecar.infrastructure.servers import Known, Process, alive, everybody, family
from sidecar.infrastructure.tally import Life, Tally

log = logging.getLogger(__name__)

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")

MAX_VARIANTS = 16
FRESH_S = 1.0
"""Whoever asks sooner gets what the one before got: two ways out, and anybody who polls, cost one reading a second."""

MESSAGES = {
    "not_found": "nobody that can be seen listens there; in a pod, shareProcessNamespace lets it be seen",
    "forbidden": (
        "nobody whose open files may be looked at listens there; its own user may look, and who has SYS_PTRACE;"
        " if it is in another container of the pod, shareProcessNamespace lets it be seen"
    ),
    "unreadable": "what the system says of it cannot be read",
    "no_procfs": "there is no /proc to see processes in",
    "cgroup_v1": "the machine has cgroups of version 1, of which none are read",
    "no_cgroup": "no cgroups are mounted",
}

Place = tuple[str, str, int]
"""Version, host and port; a path that begins with `/`, and 0, for a Unix socket."""

_FOREVER = Life("")
_DRIVEN = Life("", resets=True)
"""A GPU's counts begin anew with its driver."""


class _Glance(NamedTuple):
    """What one reading goes by.

    Args:
        everybody: Those included that have ended and are not waited for.
        table: The others.
    """

    everybody: Mapping[int, Known]
    table: Mapping[int, Known]
    wall_s: float


class Infrastructure:
    """Reads, from any thread.

    Args:
        upstreams: Where the variants are now, by name.
        now_s: A clock that does not go back.
        wall_s: Unix time.
        proc: Where the kernel tells of processes.
        cgroup: Where it tells of containers.
    """

    def __init__(
        self,
        upstreams: Callable[[], Mapping[str, Place]],
        *,
        now_s: Callable[[], float],
        wall_s: Callable[[], float],
        proc: Path = PROC,
        cgroup: Path = CGROUP,
    ) -> None:
        self._upstreams = upstreams
        self._now_s = now_s
        self._wall_s = wall_s
        self._proc = proc
        self._cgroup = cgroup
        self._search = Search(proc, os.getpid())
        self._gpus = Gpus()
        self._families = Families()
        self._tally = Tally()
        self._of_network = Tally()
        self._of_gpus = Tally()  # never forgotten: a GPU that is not seen now comes back with its driver
        self._before: Mapping[int, Known] = {}
        self._told: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()
        self._last: tuple[float, Readings] | None = None

    def read(self) -> Readings:
        """All there is, no older than FRESH_S."""
        with self._lock:
            now_s = self._now_s()
            if self._last is None or now_s - self._last[0] >= FRESH_S:
                self._last = now_s, self._read(now_s)
            return self._last[1]

    def close(self) -> None:
        """Let go of the GPUs' driver."""
        with self._lock:
            self._gpus.close()

    def _read(self, now_s: float) -> Readings:
        seen = everybody(self._proc)
        glance = _Glance(seen, alive(seen), self._wall_s())
        upstreams = dict(islice(self._upstreams().items(), MAX_VARIANTS))
        found = self._search.found({name: at[1:] for name, at in upstreams.items()}, glance.table, now_s)
        absences: list[Absence] = []
        parts = [self._sidecar(glance, absences)]
        for name, (version, _, _) in upstreams.items():
            parts.append(self._upstream(Part(name, version), found[name], glance, absences))
        gpus = self._gpus.read(now_s)
        if self._gpus.problem:
            absences.append(Absence("gpu", "", "", "nvml", self._gpus.problem))
        readings = Readings(parts, self._network(absences), self._since_gpus(gpus), absences)
        self._forget(parts)
        self._before = glance.table
        self._tell(absences)
        return readings

    def _sidecar(self, glance: _Glance, absences: list[Absence]) -> Part:
        """The sidecar's own figures: its process has counted for as long as the report has."""
        part = Part()
        container = self._container(part, "self", _FOREVER, absences)
        read = single(os.getpid(), glance.wall_s)
        if read is None:
            absences.append(_absence("processes", part, "unreadable"))
        return Part(processes=read, container=container)

    def _upstream(self, part: Part, found: Found, glance: _Glance, absences: list[Absence]) -> Part:
        if not found.server:
            if found.reason != ELSEWHERE:
                reason = found.reason if glance.table else "no_procfs"
                absences.append(_absence("processes", part, reason))
            return part
        first = min(found.server, key=lambda process: (process.started, process.pid))
        known = self._before.get(first.pid)
        life = Life(first, fresh=known is None or known.started != first.started)
        read = self._families.since(_subject(part, "processes"), _members(found, glance), glance.everybody)
        if read is None:
            absences.append(_absence("processes", part, "unreadable"))
        container = self._container(part, str(first.pid), life, absences)
        return Part(part.variant, part.version, read, container)

    def _container(self, part: Part, pid: str, process: Life, absences: list[Absence]) -> Container | None:
        try:
            read = container_of(self._proc, self._cgroup, pid)
        except OSError:
            read = "unreadable"
        if isinstance(read, Container):
            return self._since_container(part, Life(read.life, process.fresh), read)
        if read:
            absences.append(_absence("container", part, read))
        return None

    def _since_container(self, part: Part, life: Life, read: Container) -> Container:
        since = self._tally.since
        cpu: Cpu = since(_subject(part, "cpu"), life, read.cpu, CPU_COUNTS)
        memory: Memory = since(_subject(part, "memory"), life, read.memory, MEMORY_COUNTS)
        pressure: Pressure = since(_subject(part, "pressure"), life, read.pressure, PRESSURE_COUNTS)
        disk: Disk = since(_subject(part, "disk"), life, read.disk, DISK_COUNTS)
        return Container(read.life, cpu, memory, pressure, disk, read.tasks, read.max_tasks)

    def _network(self, absences: list[Absence]) -> list[Interface]:
        try:
            read = interfaces()
        except UNREADABLE:
            absences.append(_absence("network", Part(), "unreadable"))
            return []
        since = self._of_network.since
        told = [since((each.name, each.direction), _FOREVER, each, INTERFACE_COUNTS) for each in read]
        self._of_network.keep({(each.name, each.direction) for each in read})
        return told

    def _since_gpus(self, gpus: Sequence[Gpu]) -> list[Gpu]:
        return [self._of_gpus.since(gpu.id, _DRIVEN, gpu, GPU_COUNTS) for gpu in gpus]

    def _forget(self, parts: Sequence[Part]) -> None:
        """Counts of variants and versions that are gone; those of a server that is away are kept."""
        kinds = ("cpu", "memory", "pressure", "disk")
        self._tally.keep({_subject(part, kind) for part in parts for kind in kinds})
        self._families.keep({_subject(part, "processes") for part in parts})

    def _tell(self, absences: Sequence[Absence]) -> None:
        """Log each of them, once."""
        for each in absences:
            key = each.subject, each.variant, each.reason
            if key not in self._told:
                self._told.add(key)
                whose = f" of the upstream {each.variant!r}" if each.variant else ""
                log.info("no figures of the %s%s: %s", each.subject, whose, each.message)


def _members(found: Found, glance: _Glance) -> dict[Process, Processes]:
    """What the processes of a server use, parents first."""
    read = {pid: single(pid, glance.wall_s) for pid in family(found.server, glance.table, os.getpid())}
    return {Process(pid, glance.table[pid].started): each for pid, each in read.items() if each is not None}


def _absence(subject: str, part: Part, reason: str) -> Absence:
    return Absence(subject, part.variant, part.version, reason, MESSAGES[reason])


def _subject(part: Part, kind: str) -> tuple[str, str, str]:
    return kind, part.variant, part.version
