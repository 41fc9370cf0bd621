"""What servers have used since they were first seen, whichever of their processes are still there.

A process counts for itself, and takes what it has counted with it. But who waits for a child that has ended inherits
what the child had counted (Linux: CPU time and bytes, its own children's included), so that workers that are replaced
under one master are all in the master's counts, while those that nobody waits for are in none.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from math import isnan
from typing import NamedTuple

from sidecar.infrastructure.processes import together
from sidecar.infrastructure.readings import NAN, Processes
from sidecar.infrastructure.servers import MAX_FAMILY, Known, Process, is_there

TOLERANCE = 1e-6
"""Sums of hundredths of seconds are not exact."""

Counts = tuple[float, ...]
"""What only grows: CPU time of the program and of the kernel for it, bytes read and written."""

NOTHING: Counts = (0.0,) * 4


class _Member(NamedTuple):
    """A process as it was last seen."""

    parent: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Family:
    """A server as it was last seen.

    Args:
        used: By all of them, since it was first seen.
        members: Those that were there, or have ended and were not waited for; parents first.
        latest: Of all processes of the machine those that were started last, in the same tick.
    """

    used: Counts
    members: Mapping[Process, _Member]
    latest: frozenset[Process]


@dataclass(slots=True)
class Families:
    """Counts of all servers, by subject: of each at most twice MAX_FAMILY processes are remembered."""

    _families: dict[Hashable, _Family] = field(default_factory=dict)

    def since(
        self, subject: Hashable, members: Mapping[Process, Processes], table: Mapping[int, Known]
    ) -> Processes | None:
        """The sums over a server's processes, what only grows counted since the subject was first seen.

        It never falls. None where there is no process.

        Args:
            members: Parents first.
            table: Everybody, those included that have ended and are not waited for.
        """
        whole = together(members.values())
        if whole is None:
            return None
        before = self._families.get(subject)
        latest = _latest(table)
        now = {process: _Member(_parent(process, table), _counts(reading)) for process, reading in members.items()}
        if before is None:
            family = _Family(NOTHING, now, latest)
        else:
            now = {process: _later(member, before.members.get(process)) for process, member in now.items()}
            used = _sum(before.used, *_growth(before, now, table))
            family = _Family(used, now | _unburied(before, now, table), latest)
        self._families[subject] = family
        return _with(whole, family.used)

    def keep(self, subjects: Iterable[Hashable]) -> None:
        """Forget the others."""
        self._families = {name: self._families[name] for name in subjects if name in self._families}


def _growth(before: _Family, now: Mapping[Process, _Member], table: Mapping[int, Known]) -> list[Counts]:
    """What each of them has used that was not told yet."""
    legacies = _legacies(before, now, table)
    grown: list[Counts] = []
    for process, member in now.items():
        seen = before.members.get(process)
        first = NOTHING if _is_fresh(process, before.latest) else member.counts
        grown.append(_less_inherited(_difference(member.counts, seen.counts if seen else first), legacies, process.pid))
    return grown


def _latest(table: Mapping[int, Known]) -> frozenset[Process]:
    tick = max((known.started for known in table.values()), default=0)
    return frozenset(Process(pid, tick) for pid, known in table.items() if known.started == tick)


def _is_fresh(process: Process, latest: frozenset[Process]) -> bool:
    """It began after those had: all that it has used is new."""
    return process not in latest and all(process.started >= each.started for each in latest)


def _less_inherited(grown: Counts, legacies: Mapping[int, list[Counts]], heir: int) -> Counts:
    """A growth without what was told of those whom this process has waited for.

    Whether it has, nobody says: it has not where it grew by less.
    """
    for legacy in legacies.get(heir, ()):
        if all(mine + TOLERANCE >= theirs for mine, theirs in zip(grown, legacy, strict=True)):
            grown = _difference(grown, legacy)
    return grown


def _legacies(before: _Family, now: Mapping[Process, _Member], table: Mapping[int, Known]) -> dict[int, list[Counts]]:
    """The last counts of those that are gone, by the process that inherits them if it waits: the next of kin."""
    kin = {process.pid: member.parent for process, member in before.members.items()}
    heirs = {process.pid for process in now if process in before.members}
    legacies: dict[int, list[Counts]] = {}
    for process, member in before.members.items():
        if is_there(process, table):
            continue
        heir = _heir(member.parent, kin, heirs)
        if heir is not None:
            legacies.setdefault(heir, []).append(tuple(0.0 if isnan(each) else each for each in member.counts))
    return legacies


def _heir(pid: int, kin: Mapping[int, int], heirs: set[int]) -> int | None:
    # What was seen at several moments may hold a circle.
    for _ in range(len(kin)):
        if pid in heirs or pid not in kin:
            break
        pid = kin[pid]
    return pid if pid in heirs else None


def _unburied(before: _Family, now: Mapping[Process, _Member], table: Mapping[int, Known]) -> dict[Process, _Member]:
    """Those that have ended, and are not inherited from yet."""
    left = (
        (process, member)
        for process, member in before.members.items()
        if process not in now and is_there(process, table) and table[process.pid].ended
    )
    return dict(islice(left, MAX_FAMILY))


def _parent(process: Process, table: Mapping[int, Known]) -> int:
    known = table.get(process.pid)
    return known.parent if known is not None else 0


def _counts(reading: Processes) -> Counts:
    return reading.user_s, reading.system_s, reading.read_bytes, reading.written_bytes


def _with(whole: Processes, used: Counts) -> Processes:
    """What cannot be read of one of them is not known of all."""
    told = [NAN if isnan(read) else each for read, each in zip(_counts(whole), used, strict=True)]
    user_s, system_s, read_bytes, written_bytes = told
    return replace(whole, user_s=user_s, system_s=system_s, read_bytes=read_bytes, written_bytes=written_bytes)


def _later(now: _Member, before: _Member | None) -> _Member:
    """Nobody's counts fall; what cannot be read now is as it was."""
    if before is None:
        return now
    pairs = zip(now.counts, before.counts, strict=True)
    return now._replace(counts=tuple(then if isnan(value) or then > value else value for value, then in pairs))


def _difference(now: Counts, before: Counts) -> Counts:
    """Never negative; nothing of what is undefined."""
    # `max` gives its first argument where the second is undefined.
    return tuple(max(0.0, value - then) for value, then in zip(now, before, strict=True))


def _sum(*grown: Counts) -> Counts:
    return tuple(sum(column) for column in zip(*grown, strict=True))
