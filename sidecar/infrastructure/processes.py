"""What processes use, as their kernel says; through psutil, which knows more kernels than Linux."""

from collections.abc import Callable, Collection

import psutil

from sidecar.infrastructure.readings import NAN, Interface, Processes

MAX_INTERFACES = 16
"""A pod has two; a machine with containers has two for each of them besides its own, which come first."""

UNREADABLE = (psutil.Error, OSError, NotImplementedError, ValueError)
"""What psutil raises for what it may not read, cannot read or cannot make sense of."""


def single(pid: int, wall_s: float) -> Processes | None:
    """One; None where it cannot be read, as one that has ended and was waited for.

    Until it was waited for it has CPU time, and nothing else.

    Args:
        wall_s: Unix time.
    """
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return _figures(process, wall_s)
    except UNREADABLE:
        return None


def together(found: Collection[Processes]) -> Processes | None:
    """Sums over several; None of none."""
    if len(found) <= 1:
        return next(iter(found), None)
    return Processes(
        count=len(found),
        user_s=sum(each.user_s for each in found),
        system_s=sum(each.system_s for each in found),
        resident_bytes=sum(each.resident_bytes for each in found),
        virtual_bytes=sum(each.virtual_bytes for each in found),
        threads=sum(each.threads for each in found),
        descriptors=sum(each.descriptors for each in found),
        max_descriptors=NAN,
        read_bytes=sum(each.read_bytes for each in found),
        written_bytes=sum(each.written_bytes for each in found),
        uptime_s=max(each.uptime_s for each in found),
    )


def interfaces() -> list[Interface]:
    """Both directions of each interface of our network namespace, in the kernel's order.

    Raises:
        UNREADABLE: One of these.
    """
    told: list[Interface] = []
    counted = psutil.net_io_counters(pernic=True)
    for name, each in list(counted.items())[:MAX_INTERFACES]:
        told += [
            Interface(name, "receive", each.bytes_recv, each.packets_recv, each.errin, each.dropin),
            Interface(name, "transmit", each.bytes_sent, each.packets_sent, each.errout, each.dropout),
        ]
    return told


def _figures(process: psutil.Process, wall_s: float) -> Processes:
    spent = process.cpu_times()
    memory = process.memory_info()
    # Of one that has ended only root may ask for files, and a sum must not be undefined for that.
    ended = process.status() == psutil.STATUS_ZOMBIE
    read_bytes, written_bytes = (0.0, 0.0) if ended else _moved(process)
    return Processes(
        count=1,
        # A server's workers come and go: those that were waited for live on in their parent's sums. Not all kernels
        # tell them.
        user_s=spent.user + getattr(spent, "children_user", 0.0),
        system_s=spent.system + getattr(spent, "children_system", 0.0),
        resident_bytes=float(memory.rss),
        virtual_bytes=float(memory.vms),
        threads=float(process.num_threads()),
        descriptors=0.0 if ended else _allowed(process.num_fds),
        max_descriptors=_allowed(lambda: _descriptor_limit(process)),
        read_bytes=read_bytes,
        written_bytes=written_bytes,
        uptime_s=max(0.0, wall_s - process.create_time()),
    )


def _moved(process: psutil.Process) -> tuple[float, float]:
    # Not every kernel counts them, and Linux shows them to those only who may trace the process.
    try:
        counted = process.io_counters()
    except (AttributeError, psutil.AccessDenied, NotImplementedError, OSError):
        return NAN, NAN
    return float(counted.read_bytes), float(counted.write_bytes)


def _descriptor_limit(process: psutil.Process) -> float:
    soft, _ = process.rlimit(psutil.RLIMIT_NOFILE)
    return float(soft) if soft >= 0 else NAN


def _allowed(asked: Callable[[], float]) -> float:
    try:
        return float(asked())
    except (AttributeError, psutil.AccessDenied, OSError):
        return NAN
