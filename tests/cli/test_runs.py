import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.catalog.opening import PLACE
from sidecar.catalog.sqlite import Sqlite
from sidecar.entries import Point
from tests.catalog.contract import GROUP, LATER_S, NOW_S
from tests.cli.served import served

Told = pytest.CaptureFixture[str]


@pytest.fixture(params=["file", "sidecar"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sqlite]:
    """In a file, or of a running sidecar; the environment says where."""
    if request.param == "sidecar":
        with served() as made:
            monkeypatch.setenv(PLACE, made.url)
            yield made.sidecar.catalog
        return
    path = str(tmp_path / "state" / "catalog.sqlite")
    monkeypatch.setenv(PLACE, path)
    with closing(Sqlite(path=path)) as made_here:
        yield made_here


@pytest.fixture
def run(catalog: Sqlite) -> str:
    return catalog.begin(GROUP, "xgb-7", now_s=NOW_S).id


def points(catalog: Sqlite, run: str) -> list[tuple[str, int, float]]:
    return [point[:3] for point in catalog.run(run).points]


def test_a_run_is_begun_logged_and_ended(catalog: Sqlite, capsys: Told) -> None:
    assert main(["runs", "start", GROUP, "--name", "xgb-7"]) == 0
    run = capsys.readouterr().out.strip()
    said = ["--parameter", "depth=6", "--parameter", "objective=a=b", "--artefact", "model=s3://a=b"]
    assert main(["runs", "log", run, *said, "--metric", "auc=0.93@3", "--metric", "loss=nan"]) == 0
    assert main(["runs", "end", run]) == 0
    assert capsys.readouterr() == ("", "")

    told = catalog.run(run)
    assert (told.group, told.name, told.status) == (GROUP, "xgb-7", "finished")
    assert (dict(told.parameters), dict(told.artefacts)) == (
        {"depth": "6", "objective": "a=b"},
        {"model": "s3://a=b"},
    )
    assert [(point.name, point.step) for point in told.points] == [("auc", 3), ("loss", 0)]
    assert math.isnan(told.metrics["loss"])


def test_a_metric_without_a_step_gets_the_one_behind_its_last(catalog: Sqlite, run: str) -> None:
    assert main(["runs", "log", run, "--metric", "loss=3", "--metric", "loss=2", "--metric", "auc=0.5@10"]) == 0
    assert main(["runs", "log", run, "--metric", "loss=1", "--metric", "auc=0.6"]) == 0

    assert points(catalog, run) == [
        ("loss", 0, 3.0),
        ("loss", 1, 2.0),
        ("auc", 10, 0.5),
        ("loss", 2, 1.0),
        ("auc", 11, 0.6),
    ]


def test_a_run_may_have_failed(catalog: Sqlite, run: str) -> None:
    assert [main(["runs", "end", run, "--status", "failed"]) for _ in range(2)] == [0, 0]

    assert catalog.run(run).status == "failed"


def test_runs_are_listed_the_last_first(catalog: Sqlite, run: str, capsys: Told) -> None:
    catalog.log(run, parameters={}, points=[Point("auc", 0, 0.5, NOW_S), Point("auc", 1, 0.75, NOW_S)], artefacts={})
    catalog.end(run, "finished", now_s=LATER_S)
    later = catalog.begin(GROUP, "", now_s=LATER_S).id

    assert main(["runs", "list", GROUP]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "id\tname\tstatus\tstarted\tended\tmetrics",
        f"{later}\t\trunning\t2026-07-30T12:01:00Z\t\t",
        f"{run}\txgb-7\tfinished\t2026-07-30T12:00:00Z\t2026-07-30T12:01:00Z\tauc=0.75",
    ]
    assert main(["runs", "list", GROUP, "--json"]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["runs"]] == [later, run]


def test_a_run_is_shown(catalog: Sqlite, run: str, capsys: Told) -> None:
    values = [0.5, math.nan, 0.25]
    catalog.log(
        run,
        parameters={"depth": "6\x1b[2J"},
        points=[Point("loss", step, value, NOW_S) for step, value in enumerate(values)]
        + [Point("auc", 7, math.nan, NOW_S)],
        artefacts={"model": "s3://a"},
    )

    assert main(["runs", "show", run]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"run      {run}",
        "model    fraud",
        "name     xgb-7",
        "status   running",
        "started  2026-07-30T12:00:00Z",
        "",
        "parameter\tvalue",
        "depth\t6\\x1b[2J",
        "",
        "artefact\tplace",
        "model\ts3://a",
        "",
        "metric\tlast\tstep\tleast\tmost\tpoints",
        "auc\tnan\t7\t\t\t1",
        "loss\t0.25\t2\t0.25\t0.5\t3",
    ]
    assert main(["runs", "show", run, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], [value for _, _, value, _ in told["points"]]) == ("xgb-7", [0.5, "NaN", 0.25, "NaN"])


def test_a_run_without_anything_is_shown(catalog: Sqlite, run: str, capsys: Told) -> None:
    assert catalog.run(run).points == ()
    assert main(["runs", "show", run]) == 0

    assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["log", "{run}"], 64, "Nothing to log: expected --parameter, --metric or --artefact."),
        (["log", "{run}", "--metric", "auc"], 64, "'--metric': expected NAME=NUMBER, got 'auc'."),
        (["log", "{run}", "--metric", "auc=1@x", "--parameter", "a=1"], 64, "with a whole number of 64 bits"),
        (["log", "{run}", "--metric", "=1@0"], 64, "expected NAME=NUMBER"),
        (["log", "{run}", "--metric", "a=1@9223372036854775807", "--metric", "a=1"], 64, "expected one of 64 bits"),
        (["log", "{run}", "--parameter", "a=1", "--parameter", "a=2"], 64, "a is said twice"),
        (["log", "{run}", "--parameter", "a" * 251 + "=1"], 64, "expected at most 250 characters"),
        (["log", "{run}", "--artefact", "\udcff=1"], 64, "expected"),
        (["log", "gone", "--parameter", "a=1"], 1, "there is no run 'gone'"),
        (["log", "gone", "--metric", "a=1"], 1, "there is no run 'gone'"),
        (["log", "", "--metric", "a=1"], 1, "''"),
        (["end", "gone"], 1, "there is no run 'gone'"),
        (["end", "{run}", "--status", "running"], 64, "'running' is not one of 'finished', 'failed'."),
        (["show", "gone"], 1, "there is no run 'gone'"),
        (["list", "nobody"], 1, "there is no model 'nobody'"),
        (["start", "a/b"], 64, "group: expected letters, digits"),
        (["start", GROUP, "--name", "two\nlines"], 64, "name: expected one line of text"),
        (["start"], 64, "Missing argument 'GROUP'"),
    ],
)
def test_what_is_refused_is_told_in_one_line_and_logs_nothing(
    catalog: Sqlite, run: str, capsys: Told, arguments: list[str], code: int, expected: str
) -> None:
    before = catalog.run(run)

    assert main(["runs", *(each.format(run=run) for each in arguments)]) == code

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), expected in err) == ("", 1, True), err
    assert (catalog.run(run), len(catalog.runs(GROUP))) == (before, 1)


def test_a_run_that_has_ended_takes_nothing_more(catalog: Sqlite, run: str, capsys: Told) -> None:
    catalog.end(run, "finished", now_s=LATER_S)

    assert main(["runs", "log", run, "--parameter", "a=1"]) == 1
    assert main(["runs", "end", run, "--status", "failed"]) == 1

    assert capsys.readouterr().err.count(f"run {run} has finished\n") == 2


def test_every_command_has_an_example_in_its_help(capsys: Told) -> None:
    for name in ("start", "log", "end", "list", "show"):
        assert main(["runs", name, "--help"]) == 0
        assert f"sidecar runs {name}" in capsys.readouterr().out.partition("Options:")[0].partition("\n")[2]


def test_what_a_run_made_becomes_a_version(catalog: Sqlite, run: str) -> None:
    assert main(["runs", "log", run, "--metric", "auc=0.5", "--artefact", "model=s3://a"]) == 0
    assert main(["runs", "end", run]) == 0
    assert main(["versions", "register", GROUP, "--run", run]) == 0

    draft = catalog.version(GROUP, "1").draft
    assert (draft.artefact, draft.metrics) == ("s3://a", {"auc": 0.5})
