import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sidecar.catalog.sqlite import FILE, Sqlite
from sidecar.entries import Draft, Link, Point
from sidecar.errors import ConfigError, DeliveryError
from sidecar.ports import Serving
from sidecar.sqlite_file import BROKEN
from tests.catalog import contract
from tests.catalog.contract import GROUP, NOW_S, Open, register

IN_MEMORY = Path("/dev/shm")
"""What is asked of many files is not asked of the disk."""


@contextmanager
def place() -> Iterator[Open]:
    with TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        yield lambda: Sqlite(folder)


@pytest.mark.parametrize(
    "case", [*contract.VERSIONS, *contract.SERVING, *contract.RUNS], ids=lambda case: case.__name__
)
def test_it_does_what_every_catalogue_promises(case: Callable[[Open], None]) -> None:
    with place() as fresh:
        case(fresh)


def test_to_make_one_touches_nothing(tmp_path: Path) -> None:
    Sqlite(str(tmp_path / "state")).close()
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_it_is_in_memory() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog)
        assert catalog.groups() == [GROUP]
        assert catalog.mark(GROUP) != catalog.mark("other")


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path / "state"))) as catalog:
        register(catalog)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"state": 0o700, FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


def test_it_may_have_a_path_of_its_own(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path / "state"), path=str(tmp_path / "shared" / "a.sqlite"))) as catalog:
        register(catalog)
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


def test_a_closed_catalogue_says_so(tmp_path: Path) -> None:
    catalog = Sqlite(str(tmp_path))
    catalog.close()
    with pytest.raises(DeliveryError, match="the catalogue is closed"):
        catalog.groups()


def test_a_file_that_is_not_ours_is_told_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as raw, raw:
        raw.execute("CREATE TABLE theirs (a)")
    before = (tmp_path / FILE).read_bytes()
    catalog = Sqlite(str(tmp_path))
    with pytest.raises(ConfigError, match="another application's file"):
        catalog.open()
    with pytest.raises(DeliveryError, match="another application's file"):
        catalog.groups()
    assert (tmp_path / FILE).read_bytes() == before


def test_who_waits_too_long_for_the_others_is_told(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path), 0.0)) as catalog, closing(sqlite3.connect(tmp_path / FILE)) as other:
        catalog.open()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DeliveryError, match="locked"):
            register(catalog)
        assert catalog.groups() == []  # reading goes on
        other.rollback()
        assert register(catalog).number == 1


def test_a_document_that_was_damaged_is_told(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as catalog:
        register(catalog)
        with closing(sqlite3.connect(tmp_path / FILE)) as raw, raw:
            raw.execute("UPDATE versions SET draft = '{'")
        with pytest.raises(DeliveryError, match="expected a whole file"):
            catalog.versions(GROUP)


def test_what_is_refused_by_what_is_there_changes_nothing(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        catalog.log(run.id, parameters={str(n): "" for n in range(999)}, points=[], artefacts={})
        with pytest.raises(ConfigError, match="parameters: expected at most 1000, got 1001"):
            catalog.log(run.id, parameters={"a": "", "b": ""}, points=[Point("x", 0, 0.0, NOW_S)], artefacts={"m": ""})
        assert len(catalog.run(run.id).parameters) == 999
        assert (catalog.run(run.id).points, dict(catalog.run(run.id).artefacts)) == ((), {})


def test_words_of_no_meaning_are_refused() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog)
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        with pytest.raises(ConfigError, match="approval"):
            catalog.decide(GROUP, "1", "maybe", by="", why="", now_s=NOW_S)  # type: ignore[arg-type]  # from outside
        with pytest.raises(ConfigError, match="status"):
            catalog.end(run.id, "running", now_s=NOW_S)


@pytest.mark.parametrize("how", ["taken away", "replaced"])
def test_a_file_that_goes_while_it_is_open_is_begun_anew(tmp_path: Path, how: str) -> None:
    with closing(Sqlite(str(tmp_path))) as catalog, closing(Sqlite(str(tmp_path / "other"))) as other:
        register(catalog)
        mark = catalog.mark(GROUP)
        register(other, group="other")
        if how == "replaced":
            other.close()
            (tmp_path / "other" / FILE).replace(tmp_path / FILE)
        else:
            (tmp_path / FILE).unlink()
        for end in ("-wal", "-shm"):
            (tmp_path / f"{FILE}{end}").unlink()
        assert catalog.groups() == (["other"] if how == "replaced" else [])
        assert catalog.mark(GROUP) != mark
        assert register(catalog).number == 1


def test_one_that_is_broken_is_put_aside_once_however_many_find_it(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as catalog:
        register(catalog)
    (tmp_path / FILE).write_bytes(b"broken" * 1000)
    catalogs = [Sqlite(str(tmp_path)) for _ in range(8)]
    threads = [threading.Thread(target=register, args=(catalog,)) for catalog in catalogs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert (tmp_path / f"{FILE}{BROKEN}").read_bytes() == b"broken" * 1000
        assert [each.number for each in catalogs[0].versions(GROUP)] == list(range(8, 0, -1))
    finally:
        for catalog in catalogs:
            catalog.close()


def test_threads_share_one(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as catalog:
        threads = [threading.Thread(target=register, args=(catalog, Draft())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [each.number for each in catalog.versions(GROUP)] == list(range(8, 0, -1))


PROCESS = """
import sys
from sidecar.catalog.sqlite import Sqlite
from sidecar.entries import Draft, Link, Point
from sidecar.ports import Serving
catalog = Sqlite(sys.argv[1], 60.0)
run = catalog.begin("fraud", sys.argv[2], now_s=0.0)
for n in range(10):
    draft = Draft(notes=f"{sys.argv[2]}-{n}", links=[Link("produced_by", run.id)])
    version = catalog.register("fraud", draft, by=sys.argv[2], now_s=0.0)
    catalog.log(run.id, parameters={}, points=[Point("n", n, float(n), 0.0)], artefacts={})
    catalog.deploy("fraud", [Serving("a", str(version.number), 50.0)], by=sys.argv[2], why="", now_s=0.0)
    assert "rejected" == catalog.decide("fraud", str(version.number), "rejected", by="", why="", now_s=0.0).approval
catalog.end(run.id, "finished", now_s=1.0)
"""


def test_processes_at_once_leave_no_gap_and_lose_nothing(tmp_path: Path) -> None:
    names = ["p", "q", "r", "s"]
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), name]) for name in names]
    assert [process.wait(60) for process in processes] == [0] * 4
    with closing(Sqlite(str(tmp_path))) as catalog:
        versions = catalog.versions(GROUP)
        assert [each.number for each in versions] == list(range(40, 0, -1))
        assert {each.draft.notes for each in versions} == {f"{name}-{n}" for name in names for n in range(10)}
        assert {each.approval for each in versions} == {"rejected"}
        assert sum(len(each.deployed) for each in versions) == 1
        assert sum(len(each.deployments) for each in versions) == 40
        runs = [catalog.run(each.id) for each in catalog.runs(GROUP)]
        assert sorted(each.name for each in runs) == names
        assert {tuple(point.step for point in each.points) for each in runs} == {tuple(range(10))}


ENDLESS = """
import sys
from itertools import count
from sidecar.catalog.sqlite import Sqlite
from sidecar.entries import Draft
catalog = Sqlite(sys.argv[1])
for n in count():
    print(catalog.register("fraud", Draft(notes="x" * n), by="", now_s=0.0).number, flush=True)
"""


def test_what_was_registered_survives_a_kill_and_nothing_half_does(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) == 20:
                os.kill(process.pid, signal.SIGKILL)
                break
        told = [20, *(int(line) for line in process.stdout if line.endswith("\n"))]
    with closing(Sqlite(str(tmp_path))) as catalog:
        numbers = [each.number for each in catalog.versions(GROUP)]
        assert numbers == list(range(len(numbers), 0, -1))
        assert numbers[0] in (told[-1], told[-1] + 1)
        assert [len(each.draft.notes) for each in catalog.versions(GROUP)] == [number - 1 for number in numbers]
        assert register(catalog).number == numbers[0] + 1


def test_the_mark_of_another_model_stays() -> None:
    with closing(Sqlite()) as catalog:
        register(catalog, group="other")
        mark = catalog.mark("other")
        register(catalog)
        catalog.report("other", "1", {"f1": 0.5}, now_s=NOW_S)
        run = catalog.begin("other", "", now_s=NOW_S)
        catalog.end(run.id, "finished", now_s=NOW_S)
        assert catalog.mark("other") == mark


def test_a_run_may_lead_to_versions_of_several_models() -> None:
    with closing(Sqlite(new_id=lambda: "b" * 32)) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        assert run.id == "b" * 32
        catalog.log(run.id, parameters={"a": "1"}, points=[], artefacts={})
        draft = Draft(links=[Link("produced_by", run.id)])
        assert dict(register(catalog, draft, group="other").draft.parameters) == {"a": "1"}
        catalog.deploy("other", [Serving("a", "1", 100.0)], by="", why="", now_s=NOW_S)
