"""A container as the kernel accounts for it: the files of its cgroup, version 2.

https://docs.kernel.org/admin-guide/cgroup-v2.html. Version 1 is not read: Kubernetes has deprecated it, and its files
are others. A file that a kernel or a container runtime leaves out leaves its values NaN.
"""

from collections.abc import Mapping
from pathlib import Path

from sidecar.infrastructure.files import text_of
from sidecar.infrastructure.readings import NAN, Container, Cpu, Disk, Memory, Pressure

IN_A_CGROUP = "cgroup.events"
"""A file that every cgroup has except the machine's own."""

OF_A_HIERARCHY = "cgroup.controllers"
"""A file that every folder of version 2 has, and none of version 1."""


def container_of(proc: Path, mount: Path, pid: str) -> Container | str:
    """The container in which a process runs; the reason where none can be read, empty where it is in none.

    The process says where its cgroup is as seen from our own. Where that is outside of what we see, there is what the
    process itself sees, through its root folder; that takes the right to trace it.

    Args:
        mount: Where cgroups are mounted, as in /sys/fs/cgroup.
        pid: A number, or `self`.
    """
    if not (mount / OF_A_HIERARCHY).exists():
        return "cgroup_v1" if any((mount / name).exists() for name in ("memory", "cpu", "unified")) else "no_cgroup"
    said = _path_of(text_of(proc / pid / "cgroup") or "")
    inside = ".." not in Path(said).parts
    candidates = [mount / said.lstrip("/")] if inside else []
    # Some runtimes mount only the container's own cgroup, and leave its path as the machine sees it.
    candidates.append(mount if pid == "self" else proc / pid / "root" / mount.relative_to(mount.anchor))
    for folder in candidates:
        found = _container(folder)
        if found is not None:
            return found
    return "" if inside else "forbidden"


def _path_of(cgroups: str) -> str:
    """The path in the line `0::/path`, which is version 2's."""
    return next((line[3:] for line in cgroups.splitlines() if line.startswith("0::")), "/")


def _container(folder: Path) -> Container | None:
    try:
        if not (folder / IN_A_CGROUP).exists():
            return None
        life = folder.stat().st_ino
    except OSError:
        return None
    return Container(
        life=life,
        cpu=_cpu(folder),
        memory=_memory(folder),
        pressure=_pressure(folder),
        disk=_disk(folder),
        tasks=_number(folder / "pids.current"),
        max_tasks=_number(folder / "pids.max"),
    )


def _cpu(folder: Path) -> Cpu:
    stat = _keyed(folder / "cpu.stat")
    return Cpu(
        user_s=stat.get("user_usec", NAN) / 1e6,
        system_s=stat.get("system_usec", NAN) / 1e6,
        limit=_cpu_limit(text_of(folder / "cpu.max") or ""),
        periods=stat.get("nr_periods", NAN),
        throttled_periods=stat.get("nr_throttled", NAN),
        throttled_s=stat.get("throttled_usec", NAN) / 1e6,
    )


def _cpu_limit(text: str) -> float:
    """In CPUs: `150000 100000` is 1.5; `max 100000` is none."""
    quota_us, _, period_us = text.strip().partition(" ")
    period = _plain(period_us)
    return _plain(quota_us) / period if period > 0 else NAN


def _memory(folder: Path) -> Memory:
    stat = _keyed(folder / "memory.stat")
    used = _number(folder / "memory.current")
    idle = stat.get("inactive_file", NAN)
    return Memory(
        used_bytes=used,
        working_set_bytes=0.0 if idle > used else used - idle,  # the two are not read at once
        resident_bytes=stat.get("anon", NAN),
        limit_bytes=_number(folder / "memory.max"),
        peak_bytes=_number(folder / "memory.peak"),
        faults=stat.get("pgfault", NAN),
        major_faults=stat.get("pgmajfault", NAN),
        oom_kills=_keyed(folder / "memory.events").get("oom_kill", NAN),
    )


def _pressure(folder: Path) -> Pressure:
    cpu, memory, io = (_stalls(text_of(folder / f"{name}.pressure") or "") for name in ("cpu", "memory", "io"))
    return Pressure(*cpu, *memory, *io)


def _stalls(text: str) -> tuple[float, float]:
    """Seconds of the lines `some avg10=0.00 ... total=12` and `full ...`, which are microseconds."""
    totals = {
        words[0]: _plain(words[-1].removeprefix("total=")) for line in text.splitlines() if (words := line.split())
    }
    return totals.get("some", NAN) / 1e6, totals.get("full", NAN) / 1e6


def _disk(folder: Path) -> Disk:
    """Sums over the lines `8:0 rbytes=1 wbytes=2 rios=3 ...`, one a device; none before the first byte."""
    text = text_of(folder / "io.stat")
    if text is None:
        return Disk(NAN, NAN)
    sums = {"rbytes": 0.0, "wbytes": 0.0}
    for word in text.split():
        key, _, value = word.partition("=")
        if key in sums:
            sums[key] += _plain(value)
    return Disk(sums["rbytes"], sums["wbytes"])


def _keyed(path: Path) -> Mapping[str, float]:
    """Lines of a word and a number."""
    pairs = (line.partition(" ") for line in (text_of(path) or "").splitlines())
    return {key: _plain(value) for key, _, value in pairs}


def _number(path: Path) -> float:
    return _plain((text_of(path) or "").strip())


def _plain(text: str) -> float:
    """A number of decimal digits; NaN for anything else, `max` above all."""
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else NAN
