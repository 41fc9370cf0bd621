"""Masters and workers that come and go, on a machine that is a table: each has used what the test says."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.infrastructure.families import Families
from sidecar.infrastructure.processes import single
from sidecar.infrastructure.readings import NAN, Processes
from sidecar.infrastructure.servers import MAX_FAMILY, Known, Process, everybody

MASTER = Process(7, 7)


def used(bytes_: float) -> Processes:
    """What counts here is what was written."""
    return Processes(1, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, bytes_, 1.0)


@dataclass
class Machine:
    """A server, and the table of everybody; process 999 is no part of the server."""

    families: Families = field(default_factory=Families)
    parents: dict[int, int] = field(default_factory=dict)
    zombies: set[Process] = field(default_factory=set)

    def told(self, written: Mapping[Process, float], subject: str = "model", others: Sequence[Process] = ()) -> float:
        seen = [*written, *others]
        table = {each.pid: Known(self.parents.get(each.pid, 7), each.started) for each in seen}
        table |= {each.pid: Known(self.parents.get(each.pid, 7), each.started, ended=True) for each in self.zombies}
        read = self.families.since(subject, {each: used(bytes_) for each, bytes_ in written.items()}, table)
        assert read is not None
        assert read.count == len(written)
        return read.written_bytes


def worker(number: int) -> Process:
    return Process(number, number)


def test_counting_begins_when_a_server_is_first_seen() -> None:
    machine = Machine()
    assert [machine.told({MASTER: bytes_}) for bytes_ in (1000.0, 1000.0, 1003.0)] == [0.0, 0.0, 3.0]


def test_workers_whom_nobody_waits_for_take_nothing_away() -> None:
    machine = Machine()
    seen = [(20, 0.0), (20, 1000.0), (21, 0.0), (21, 400.0), (21, 900.0), (22, 0.0), (22, 800.0)]
    told = [machine.told({MASTER: 0.0, worker(number): bytes_}) for number, bytes_ in seen]
    assert told == [0.0, 1000.0, 1000.0, 1400.0, 1900.0, 1900.0, 2700.0]


def test_workers_whom_their_master_waits_for_count_once() -> None:
    machine = Machine()
    told = [
        machine.told({MASTER: 0.0, worker(20): 0.0}),
        machine.told({MASTER: 0.0, worker(20): 1000.0}),
        machine.told({MASTER: 1100.0, worker(21): 30.0}),  # 20 wrote 100 more before it ended
        machine.told({MASTER: 1100.0, worker(21): 400.0}),
        machine.told({MASTER: 1500.0, worker(22): 0.0}),
        machine.told({MASTER: 1507.0}),  # 22 wrote 7, and was never seen doing it
    ]
    assert told == [0.0, 1000.0, 1130.0, 1500.0, 1500.0, 1507.0]


def test_a_worker_that_ends_and_is_waited_for_later_counts_once() -> None:
    machine = Machine()
    machine.told({MASTER: 0.0, worker(20): 0.0})
    told = [machine.told({MASTER: 0.0, worker(20): 1000.0})]
    machine.zombies.add(worker(20))
    told += [machine.told({MASTER: 5.0}), machine.told({MASTER: 6.0})]
    machine.zombies.clear()
    told += [machine.told({MASTER: 1006.0}), machine.told({MASTER: 3000.0})]
    assert told == [1000.0, 1005.0, 1006.0, 1006.0, 3000.0]


def test_of_a_whole_branch_that_ends_the_next_of_kin_inherits_who_was_waited_for() -> None:
    for waited, expected in ((1200.0, 1200.0), (1000.0, 1200.0), (0.0, 1200.0)):
        machine = Machine(parents={30: 20})
        machine.told({MASTER: 0.0, worker(20): 0.0, worker(30): 0.0})
        machine.told({MASTER: 0.0, worker(20): 1000.0, worker(30): 200.0})
        assert machine.told({MASTER: waited}) == expected


def test_a_server_that_is_started_again_is_all_new_and_one_that_was_there_is_not() -> None:
    machine = Machine()
    machine.told({MASTER: 50.0})
    assert machine.told({Process(60, 60): 5.0}, others=[Process(999, 61)]) == 5.0
    # It began before the latest of those that were there already, or is one of them.
    assert [machine.told({Process(40, 59): bytes_}) for bytes_ in (9000.0, 9001.0)] == [5.0, 6.0]
    assert machine.told({Process(60, 61): 5.0}) == 11.0
    assert machine.told({Process(50, 61): 4.0}, others=[Process(999, 62)]) == 15.0
    assert machine.told({Process(999, 62): 700.0}) == 15.0


def test_another_process_of_the_same_number_is_another() -> None:
    machine = Machine()
    machine.told({MASTER: 0.0, worker(20): 0.0})
    assert machine.told({MASTER: 0.0, worker(20): 70.0}) == 70.0
    assert machine.told({MASTER: 0.0, Process(20, 88): 80.0}) == 150.0


def test_what_cannot_be_read_of_one_is_undefined_of_all_and_counts_on_after_that() -> None:
    machine = Machine()
    told = [
        machine.told({MASTER: 0.0, worker(20): 0.0}),
        machine.told({MASTER: 5.0, worker(20): NAN}),
        machine.told({MASTER: 5.0, worker(20): 30.0, worker(21): NAN}),
        machine.told({MASTER: 5.0, worker(20): 30.0, worker(21): 400.0}),
        machine.told({MASTER: 5.0}),
    ]
    assert [isnan(each) for each in told] == [False, True, True, False, False]
    assert told[3:] == [35.0, 35.0]


def test_of_a_server_without_processes_nothing_is_told() -> None:
    assert Families().since("model", {}, {}) is None


def test_whoever_is_forgotten_begins_again() -> None:
    machine = Machine()
    for subject in ("model", "other"):
        machine.told({MASTER: 1.0}, subject)
    machine.families.keep({"other", "never seen"})
    assert [machine.told({MASTER: 5.0}, subject) for subject in ("model", "other")] == [0.0, 4.0]


def test_parents_in_a_circle_are_nobodys_heirs() -> None:
    machine = Machine(parents={20: 30, 30: 20})
    machine.told({MASTER: 0.0, worker(20): 0.0, worker(30): 0.0})
    machine.told({MASTER: 0.0, worker(20): 1.0, worker(30): 2.0})
    assert machine.told({MASTER: 10.0}) == 13.0


def test_who_is_never_waited_for_is_remembered_within_bounds() -> None:
    machine = Machine()
    machine.told({MASTER: 0.0, **{worker(number): 1.0 for number in range(1000, 3000)}})
    machine.zombies = {worker(number) for number in range(1000, 3000)}
    machine.told({MASTER: 0.0})
    machine.zombies.clear()
    # Those beyond the bound count twice.
    assert machine.told({MASTER: 2000.0}) == 2000.0 - MAX_FAMILY


Steps = list[tuple[bool, int, int]]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_all_that_was_seen_is_told_and_what_was_inherited_once(steps: Steps) -> None:
    """In each step a worker writes and may end, its successor writes; the master waits for all of them, or for none."""
    for waits in (True, False):
        machine = Machine()
        inherited, written, number, expected = 0.0, 0.0, 20, 0.0
        machine.told({MASTER: 0.0, worker(number): 0.0})
        for ends, before, after in steps:
            written += before
            # What nobody saw of one whom nobody waited for is lost.
            expected += 0 if ends and not waits else before
            if ends:
                inherited += written if waits else 0.0
                number, written, expected = number + 1, float(after), expected + after
            assert machine.told({MASTER: inherited, worker(number): written}) == expected


FORKING = """
import os, signal, sys, time
if sys.argv[1] == "ignores":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("begins", flush=True)
sys.stdin.readline()
for _ in range(2):
    child = os.fork()
    if child == 0:
        while time.process_time() < 0.1:
            pass
        print(os.getpid(), flush=True)
        sys.stdin.readline()
        os._exit(0)
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        pass
    print("ended", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("habit", ["waits", "ignores"])
def test_the_real_kernel_lets_those_inherit_who_wait(habit: str) -> None:
    command = [sys.executable, "-S", "-u", "-c", FORKING, habit]
    families = Families()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as master:
        assert master.stdin is not None
        assert master.stdout is not None

        def look(*pids: int) -> float:
            table = everybody(Path("/proc"))
            read = {pid: single(pid, 0.0) for pid in (master.pid, *pids)}
            members = {Process(pid, table[pid].started): each for pid, each in read.items() if each is not None}
            now = families.since("model", members, table)
            assert now is not None
            return now.user_s + now.system_s

        assert master.stdout.readline() == "begins\n"
        told = [look()]
        print(file=master.stdin, flush=True)
        for _ in range(2):
            told.append(look(int(master.stdout.readline())))
            print(file=master.stdin, flush=True)
            assert master.stdout.readline() == "ended\n"
            told.append(look())
            print(file=master.stdin, flush=True)
    assert told == sorted(told)
    assert told == pytest.approx([0.0, 0.1, 0.1, 0.2, 0.2], abs=0.06)
