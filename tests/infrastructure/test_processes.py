import os
import subprocess
import sys
import time
from math import isnan

import psutil

from sidecar.infrastructure.processes import MAX_INTERFACES, interfaces, single, together
from tests.infrastructure.rig import server


def test_our_own_process_is_told_as_it_is() -> None:
    own = psutil.Process()
    read = single(os.getpid(), own.create_time() + 60.0)
    assert read is not None
    assert (read.count, read.uptime_s) == (1, 60.0)
    assert 0 < read.user_s <= own.cpu_times().user + own.cpu_times().children_user
    assert 1 << 20 < read.resident_bytes < read.virtual_bytes
    assert (read.threads, read.max_descriptors) == (own.num_threads(), own.rlimit(psutil.RLIMIT_NOFILE)[0])
    assert 3 <= read.descriptors < read.max_descriptors


def test_of_several_the_sums_are_told_and_the_age_of_the_oldest() -> None:
    with server(workers=2) as (pid, _):
        pids = [pid, *(child.pid for child in psutil.Process(pid).children())]
        wall_s = time.time()
        found = [each for each in (single(one, wall_s) for one in pids) if each is not None]
    read = together(found)
    assert read is not None
    assert (read.count, len(found)) == (3, 3)
    assert read.threads == 3
    assert read.descriptors == sum(each.descriptors for each in found)
    assert read.virtual_bytes == sum(each.virtual_bytes for each in found)
    assert read.uptime_s == max(each.uptime_s for each in found)
    assert isnan(read.max_descriptors)
    assert (together([]), together(found[:1])) == (None, found[0])


def test_the_time_of_children_that_have_ended_is_not_lost() -> None:
    before = single(os.getpid(), 0.0)
    busy = "import time\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-S", "-c", busy], check=True)
    after = single(os.getpid(), 0.0)
    assert before is not None
    assert after is not None
    assert after.user_s + after.system_s - before.user_s - before.system_s >= 0.05  # the kernel counts ticks


def test_who_has_ended_and_was_not_waited_for_has_no_open_files() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as gone:
        os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
        read = single(gone.pid, 0.0)
    assert read is not None
    assert (read.count, read.resident_bytes, read.descriptors, read.read_bytes) == (1, 0.0, 0.0, 0.0)


def test_who_has_ended_is_nobody() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as gone:
        gone.wait()
        assert single(gone.pid, 0.0) is None


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    read = single(os.getpid(), 0.0)
    assert read is not None
    assert read.uptime_s == 0.0


def test_both_directions_of_the_interfaces_are_told() -> None:
    told = interfaces()
    assert {(each.name, each.direction) for each in told} >= {("lo", "receive"), ("lo", "transmit")}
    assert len(told) <= 2 * MAX_INTERFACES
