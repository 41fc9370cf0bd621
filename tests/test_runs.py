import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import sidecar
from sidecar.catalog.digests import digest_of
from sidecar.catalog.remote import Remote
from sidecar.catalog.sqlite import FILE, Sqlite
from sidecar.catalog.waiting import FLUSH_POINTS, WAITING_POINTS
from sidecar.entries import Run
from sidecar.errors import ConfigError, ConflictError, DeliveryError, UnknownError
from sidecar.runs import FLUSH_S, PAUSE_S, Training, start_run
from tests.catalog.admin_server import AdminServer, served
from tests.catalog.contract import GROUP, NOW_S, plain


@dataclass
class Clock:
    passed_s: float = 0.0

    def __call__(self) -> float:
        return self.passed_s


@dataclass
class Lab:
    """A sidecar's admin side that may be silent, a training run that logs there, and the clock of both."""

    server: AdminServer
    clock: Clock = field(default_factory=Clock)
    silent: bool = False

    def start(self) -> Training:
        return Training(Remote(self.server.url), GROUP, "xgb-7", now_s=lambda: NOW_S, clock=self.clock)

    def run(self) -> Run:
        [run] = self.server.catalog.runs(GROUP)
        return self.server.catalog.run(run.id)

    def steps(self) -> list[int]:
        return [point.step for point in self.run().points]


@contextmanager
def lab() -> Iterator[Lab]:
    with closing(Sqlite()) as catalog, served(AdminServer(catalog)) as server:
        made = Lab(server)
        server.instead = lambda _method, _path: (503, b"") if made.silent else None
        yield made


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_three_lines_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "catalog.sqlite"
    monkeypatch.setenv("SIDECAR_TRACKING", str(path))
    (tmp_path / "model").write_text("weights")
    with start_run("fraud", name="xgb-7") as run:
        run.log({"max_depth": 6, "eta": 0.1})
        run.metric("auc", 0.91)
        run.metric("auc", 0.93)
        run.artefact("model", tmp_path / "model")
        version = run.register(framework="xgboost 2.1", trained_on="s3://data/2026-07")
    with closing(Sqlite(path=str(path))) as catalog:
        told = catalog.run(run.id)
        assert (told.status, told.name, dict(told.parameters)) == (
            "finished",
            "xgb-7",
            {"max_depth": "6", "eta": "0.1"},
        )
        assert [(point.step, point.value) for point in told.points] == [(0, 0.91), (1, 0.93)]
        assert catalog.version("fraud", "1") == version
    assert dict(version.draft.parameters) == dict(told.parameters)
    assert dict(version.draft.metrics) == {"auc": 0.93}
    assert (version.draft.artefact, version.draft.digest) == (str(tmp_path / "model"), digest_of(tmp_path / "model"))
    assert [tuple(link)[:2] for link in version.draft.links] == [
        ("produced_by", run.id),
        ("trained_on", "s3://data/2026-07"),
    ]
    assert version.by != ""


def test_it_is_what_one_imports_from_here() -> None:
    assert sidecar.start_run is start_run
    with pytest.raises(AttributeError, match="no attribute 'stop_run'"):
        _ = sidecar.stop_run  # type: ignore[attr-defined]  # there is none


def test_who_imports_the_package_alone_waits_for_nothing() -> None:
    code = "import sidecar, sys; print(sorted(set(sys.modules) & {'msgspec', 'sqlite3', 'numpy', 'sidecar.runs'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_training_code_loads_no_numpy_and_no_server() -> None:
    code = (
        "from sidecar import start_run; import sys; print(sorted(set(sys.modules) & {'numpy', 'aiohttp', 'asyncio'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (ValueError("diverged"), "failed"),
        (KeyboardInterrupt(), "failed"),
        (SystemExit(1), "failed"),
        (SystemExit(0), "finished"),
        (SystemExit(), "finished"),
    ],
    ids=repr,
)
def test_an_exception_ends_the_run_and_goes_on(raised: BaseException, status: str) -> None:
    with lab() as here:
        with pytest.raises(type(raised)) as caught, here.start() as run:  # noqa: PT012 - how training fails
            run.metric("loss", float("inf"))
            raise raised
        assert caught.value is raised
        assert (here.run().status, here.steps()) == (status, [0])


def test_points_are_written_together() -> None:
    with lab() as here, here.start() as run:
        for _ in range(FLUSH_POINTS - 1):
            run.metric("loss", 0.5)
        assert here.server.asked == ["POST /v1/runs"]
        run.metric("loss", 0.5)
        assert len(here.server.asked) == 2
        run.metric("loss", 0.5)
        here.clock.passed_s += FLUSH_S
        run.metric("loss", 0.5)
        assert len(here.server.asked) == 3
        assert here.steps() == list(range(FLUSH_POINTS + 2))


def test_a_catalogue_that_is_silent_is_told_once_and_seldom_asked(caplog: pytest.LogCaptureFixture) -> None:
    with lab() as here:
        here.silent = True
        with here.start() as run:
            for _ in range(3 * FLUSH_POINTS):
                run.metric("loss", 0.5)
                run.log({"depth": 6})
            assert len(here.server.asked) == 1
            here.clock.passed_s += PAUSE_S - 1
            run.metric("loss", 0.5)
            assert len(here.server.asked) == 1
            here.clock.passed_s += 1
            run.metric("loss", 0.5)
            assert len(here.server.asked) == 2
            assert len(warnings(caplog)) == 1
            assert "503" in warnings(caplog)[0]
            here.silent = False
            here.clock.passed_s += PAUSE_S
            run.metric("loss", 0.5)
            assert here.steps() == list(range(3 * FLUSH_POINTS + 3))
        assert (run.dropped, here.run().status) == (0, "finished")


def test_a_second_silence_loses_nothing_and_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    with lab() as here, here.start() as run:
        for silences in (1, 2):
            here.silent = True
            here.clock.passed_s += PAUSE_S
            run.metric("loss", 0.5)
            assert len(warnings(caplog)) == silences
            here.silent = False
            here.clock.passed_s += PAUSE_S
            run.metric("loss", 0.25)
            assert here.steps() == list(range(2 * silences))


def test_a_run_that_the_catalogue_hears_of_late_began_when_it_did(tmp_path: Path) -> None:
    moments = iter((NOW_S, NOW_S + 60, NOW_S + 120))
    catalog = Sqlite(str(tmp_path), 0.0)
    catalog.open()
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("BEGIN IMMEDIATE")
        run = Training(catalog, GROUP, "", now_s=lambda: next(moments))
        assert run.id == ""
        run.metric("loss", 0.5)
    run.end()
    with closing(Sqlite(str(tmp_path))) as again:
        told = again.run(run.id)
    assert (told.started_s, told.points[0].time_s, told.ended_s) == (NOW_S, NOW_S + 60, NOW_S + 120)


def test_of_too_many_points_the_latest_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    with lab() as here:
        here.silent = True
        with here.start() as run:
            for _ in range(WAITING_POINTS + 1):
                run.metric("loss", 0.5)
            here.silent = False
        assert here.steps() == list(range(FLUSH_POINTS, WAITING_POINTS + 1))
        assert run.dropped == FLUSH_POINTS
        assert warnings(caplog)[-1] == f"run xgb-7 of fraud: {FLUSH_POINTS} points are not in the catalogue"


def test_a_catalogue_that_stays_silent_stops_nobody_who_does_not_ask(caplog: pytest.LogCaptureFixture) -> None:
    with lab() as here:
        here.silent = True
        with here.start() as run:
            run.metric("loss", 0.5)
            for ask in (run.flush, run.register):
                with pytest.raises(DeliveryError, match="503"):
                    ask()
        assert run.id == ""
        assert warnings(caplog)[-1] == "run xgb-7 of fraud: 1 points are not in the catalogue"


def test_what_is_refused_is_dropped_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with lab() as here, here.start() as run:
        here.server.catalog.end(run.id, "failed", now_s=NOW_S)
        for _ in range(2 * FLUSH_POINTS):
            run.metric("loss", 0.5)
        assert run.dropped == 2 * FLUSH_POINTS
        assert [text.partition(": ")[0] for text in warnings(caplog)] == ["run xgb-7 of fraud"]
        run.metric("loss", 0.5)
        with pytest.raises(ConflictError, match="has failed"):
            run.flush()


def test_after_the_end_nothing_is_logged_and_that_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with lab() as here:
        with here.start() as run:
            pass
        run.metric("loss", 0.5)
        run.log({"a": 1})
        run.end("failed")
        assert (here.run().status, len(warnings(caplog))) == ("finished", 1)
        for ask in (run.flush, run.register):
            with pytest.raises(ConflictError, match="has ended"):
                ask()


def test_what_nobody_could_take_is_told_where_it_is_said() -> None:
    with lab() as here, here.start() as run:
        with pytest.raises(ConfigError, match="expected names that are not empty"):
            run.metric("", 0.5)
        with pytest.raises(ConfigError, match="expected at most 6000 characters"):
            run.log({"a": "x" * 6001})
        with pytest.raises(ConfigError, match=r"artefacts\.a: expected text"):
            run.artefact("a", "\0")
        with pytest.raises(ValueError, match="could not convert"):
            run.metric("auc", "good")  # type: ignore[arg-type]  # a slip
        with pytest.raises(UnknownError, match="fraud has no version '7'"):
            run.register(derived_from="fraud/7")
        with pytest.raises(ConfigError, match="group: "):
            start_run("a/b", catalog=here.server.url)
        with pytest.raises(ConfigError, match="name: "):
            start_run("a", name="x\n", catalog=here.server.url)


def test_a_version_may_be_registered_over_http() -> None:
    with lab() as here, here.start() as run:
        run.metric("auc", 0.5)
        version = run.register(artefact="s3://models/7", parameters={"depth": 6}, metrics={"f1": 1})
        assert plain(version) == plain(here.server.catalog.version(GROUP, "1"))
        assert (dict(version.draft.metrics), version.draft.digest) == ({"f1": 1.0, "auc": 0.5}, "")


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError(os.getuid())

    monkeypatch.setattr("getpass.getuser", nameless)
    with lab() as here, here.start() as run:
        assert run.register().by == f"user {os.getuid()}"


def test_a_process_that_was_forked_logs_nothing(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as catalog:
        with Training(catalog, GROUP, "") as run:
            run.metric("loss", 0.5)
            if (child := os.fork()) == 0:
                with suppress(ConflictError):
                    run.metric("loss", 0.25)
                    run.end("failed")
                    run.flush()
                    os._exit(1)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            run.metric("loss", 0.125)
        identity = run.id
    with closing(Sqlite(str(tmp_path))) as again:
        told = again.run(identity)
    assert ([point.value for point in told.points], told.status) == ([0.5, 0.125], "finished")


FORGETFUL = """
import sys
from sidecar import start_run
run = start_run("fraud", catalog=sys.argv[1])
run.metric("loss", 0.5)
"""


def test_a_run_that_nobody_ended_has_failed_and_its_points_are_there(tmp_path: Path) -> None:
    path = str(tmp_path / "catalog.sqlite")
    subprocess.run([sys.executable, "-c", FORGETFUL, path], check=True)
    with closing(Sqlite(path=path)) as catalog:
        [run] = catalog.runs("fraud")
        assert (run.status, dict(run.metrics)) == ("failed", {"loss": 0.5})
