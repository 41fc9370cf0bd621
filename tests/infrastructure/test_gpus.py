"""A real shared library takes the driver's place: pynvml loads it, in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from sidecar.infrastructure.gpus import RETRY_S, Gpus
from sidecar.infrastructure.readings import Gpu
from tests.e2e.rig import program

HERE = Path(__file__).parent
NAN = float("nan")

READ = """
import json, sys
from dataclasses import asdict
from sidecar.infrastructure.gpus import Gpus

gpus = Gpus()
seen = []
for now_s in json.loads(sys.argv[1]):
    seen.append([[asdict(gpu) for gpu in gpus.read(now_s)], gpus.problem])
gpus.close()
gpus.close()
print(json.dumps(seen))
"""

Seen = list[tuple[list[dict[str, float | str]], str]]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a library that answers as NVML does."""
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([program("gcc"), "-shared", "-fPIC", "-o", library, HERE / "nvml.c"], check=True)
    return folder


def seen(folder: Path, *times_s: float, environ: dict[str, str] | None = None) -> Seen:
    """What is read at these times, and what is said to be wrong."""
    home = {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(HERE.parent.parent), **(environ or {})}
    command = [sys.executable, "-c", READ, json.dumps(times_s)]
    ran = subprocess.run(command, env=home, capture_output=True, text=True, check=True)
    return [(gpus, problem) for gpus, problem in json.loads(ran.stdout)]


def test_what_a_gpu_says_is_read_and_what_it_does_not_say_is_undefined(driver: Path) -> None:
    [(gpus, problem)] = seen(driver, 0.0)
    whole = Gpu("GPU-8f6d", "GPU 0", "NVIDIA L4", 0.37, 6e9, 24e9, 61.0, 71.5, 6.5, 8.0, 1.0)
    partly = Gpu("GPU-11aa", "GPU 1", "", NAN, 6e9, 24e9, NAN, NAN, NAN, NAN, NAN)
    assert repr(gpus) == repr([asdict(whole), asdict(partly)])
    assert problem == ""


def test_a_driver_that_goes_away_is_reached_again_when_it_is_back(driver: Path) -> None:
    times_s = (0.0, 10.0, 20.0, 25.0, 20.0 + RETRY_S)
    counts = [(len(gpus), problem) for gpus, problem in seen(driver, *times_s)]
    assert counts == [(2, ""), (2, ""), (0, "Uninitialized"), (0, "Uninitialized"), (2, "")]


def test_a_driver_that_is_not_loaded_says_so(driver: Path) -> None:
    first, second = seen(driver, 0.0, RETRY_S, environ={"NVML_UNLOADED": "1"})
    assert first == second == ([], "Driver Not Loaded")


def test_a_library_that_lacks_all_functions_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int nothing;\n")
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([program("gcc"), "-shared", "-o", library, tmp_path / "empty.c"], check=True)
    [(gpus, problem)] = seen(tmp_path, 0.0)
    assert (gpus, bool(problem)) == ([], True)


def test_without_a_driver_there_are_no_gpus_and_nothing_is_wrong(tmp_path: Path) -> None:
    assert seen(tmp_path, 0.0, 1.0, RETRY_S) == [([], "")] * 3


def test_without_the_extra_there_are_no_gpus_and_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gpus = Gpus()
    assert [gpus.read(now_s) for now_s in (0.0, 1e9)] == [[], []]
    assert gpus.problem == ""
