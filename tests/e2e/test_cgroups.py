"""A cgroup of a real kernel. Version 2 is there for whoever mounts it, though the machine may go by version 1."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.rig import PATIENCE_S, missing, program

MOUNTED = 'mount -t cgroup2 none "$1" && exec "$2" -c "$3" "$1"'

READ = """
import json, os, sys, time
from pathlib import Path
from sidecar.infrastructure.reader import Infrastructure

mount, now = Path(sys.argv[1]), iter(range(0, 99, 9))
lines = Path("/proc/self/cgroup").read_text().splitlines()
former = mount / next(line[3:] for line in lines if line.startswith("0::")).lstrip("/")
own = former / f"sidecar-test-{os.getpid()}"
own.mkdir()
try:
    (own / "cgroup.procs").write_text("0")
    infrastructure = Infrastructure(dict, now_s=lambda: next(now), wall_s=time.time, cgroup=mount)
    first = infrastructure.read().parts[0].container
    before_s = time.process_time()
    while time.process_time() < before_s + 0.1:
        pass
    second = infrastructure.read().parts[0].container
    spent_s = second.cpu.user_s + second.cpu.system_s - first.cpu.user_s - first.cpu.system_s
    seen = {"tasks": second.tasks, "memory": second.memory.used_bytes, "stalled": second.pressure.cpu_some_s}
    known = sorted(name for name, value in seen.items() if value == value)
    files = {"tasks": "pids.current", "memory": "memory.current", "stalled": "cpu.pressure"}
    there = sorted(name for name, file in files.items() if (own / file).exists())
    print(json.dumps([spent_s, second.life == own.stat().st_ino, known, there]))
finally:
    (former / "cgroup.procs").write_text("0")
    own.rmdir()
"""


def test_a_real_cgroup_tells_what_its_processes_use(tmp_path: Path) -> None:
    if os.geteuid():
        missing("root, who may mount,")
    command = [program("unshare"), "--mount", "sh", "-c", MOUNTED, "sh", str(tmp_path), sys.executable, READ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if "mount:" in ran.stderr:
        missing("a cgroup of version 2")
    assert ran.returncode == 0, ran.stderr
    spent_s, alike, known, there = json.loads(ran.stdout)
    assert 0.09 <= spent_s < PATIENCE_S
    assert alike
    assert known == there
