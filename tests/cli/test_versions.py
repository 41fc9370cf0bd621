import json
import math
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.catalog.opening import PLACE
from sidecar.catalog.sqlite import Sqlite
from sidecar.entries import Draft, Link
from tests.catalog.contract import DIGEST, LATER_S, NOW_S, decide, deploy, derived, register
from tests.cli.served import served

Told = pytest.CaptureFixture[str]
NOON = "2026-07-30T12:00:00Z"


@dataclass
class Shelf:
    """A catalogue, and where commands find it."""

    catalog: Sqlite
    place: str


@pytest.fixture(params=["file", "sidecar"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """In a file, or of a running sidecar; the environment says where."""
    if request.param == "sidecar":
        with served() as made:
            monkeypatch.setenv(PLACE, made.url)
            yield Shelf(made.sidecar.catalog, made.url)
        return
    path = str(tmp_path / "catalog.sqlite")
    with closing(Sqlite(path=path)) as catalog:
        catalog.open()
        monkeypatch.setenv(PLACE, path)
        yield Shelf(catalog, path)


def fill(catalog: Sqlite) -> None:
    """Three versions, one of them approved and serving, and one of another model that the second derives from."""
    register(catalog, Draft(), group="base", by="eve")
    register(catalog)
    register(
        catalog,
        Draft(
            artefact="s3://models/fraud/8",
            links=[Link("derived_from", "fraud/1"), Link("derived_from", "base/1"), Link("produced_by", "run-8")],
            parameters={"depth": "8", "eta": "0.1"},
            metrics={"auc": 0.95, "loss": math.nan},
        ),
    )
    register(catalog, derived("fraud/2"), by="bob")
    decide(catalog, "1", "approved", "good")
    deploy(catalog, 90, ("champion", "1", 90.0), ("challenger", "2", 10.0))
    catalog.report("fraud", "1", {"auc": 0.9, "p99_s": 0.25}, now_s=LATER_S)


def test_versions_are_listed_the_latest_first(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "list", "fraud"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "version\tapproval\tserves\tregistered\tby\tframework\tmetrics\taliases\tartefact",
        f"3\tpending\t\t{NOON}\tbob\t\t\t\t",
        f"2\tpending\tchallenger 10 %\t{NOON}\tada\t\tauc=0.95 loss=nan\t\ts3://models/fraud/8",
        f"1\tapproved\tchampion 90 %\t{NOON}\tada\txgboost 2.1\tauc=0.93 loss=0.3333\t\ts3://models/fraud/7",
    ]


def test_models_are_listed_by_name(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)
    shelf.catalog.begin("zebra", "", now_s=NOW_S)

    assert main(["versions", "list"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "model\tversions\tlatest\tlatest approved\tserve",
        "base\t1\t1\t\t",
        "fraud\t3\t3\t1\t2: challenger 10 %, 1: champion 90 %",
        "zebra\t0\t\t\t",
    ]


def test_lists_are_told_as_json(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "list", "--json"]) == main(["versions", "list", "fraud", "--json"]) == 0

    models, versions = capsys.readouterr().out.replace("}\n{", "}\0{").split("\0")
    assert json.loads(models) == {"models": ["base", "fraud"]}
    assert [(each["number"], each["approval"]) for each in json.loads(versions)["versions"]] == [
        (3, "pending"),
        (2, "pending"),
        (1, "approved"),
    ]


def test_a_version_is_shown_with_all_that_is_known(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "show", "fraud", "1"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "version     fraud/1",
        "approval    approved",
        "serves      champion 90 %",
        f"registered  {NOON} by ada",
        "artefact    s3://models/fraud/7",
        f"digest      {DIGEST}",
        "framework   xgboost 2.1",
        'signature   {"inputs":[{"name":"amount","type":"double"}]}',
        "reference   /var/lib/fraud/reference",
        "notes       the first",
        "notes       with the new features",
        "",
        "Led to",
        "└─ fraud/2",
        "   └─ fraud/3",
        "",
        "Rests on",
        "relation\twhat\tdigest\tversion",
        f"trained_on\ts3://data/2026-07\t{DIGEST}\tfraud/1",
        "evaluated_on\ts3://data/2026-08\t\tfraud/1",
        "",
        "Decisions",
        "time\tapproval\tby\twhy",
        "2026-07-30T12:01:00Z\tapproved\tbob\tgood",
        "",
        "Deployments",
        "variant\tpercent\tsince\tby\twhy\treplaced\tuntil\tended by\twhy",
        "champion\t90\t2026-07-30T12:01:30Z\tsidecar\trollout\t\t\t\t",
        "",
        "Parameters",
        "name\tvalue",
        "Länge\té\\n😀",
        "depth\t6",
        "",
        "Metrics, live of 2026-07-30T12:01:00Z",
        "name\ttraining\tlive\tdifference",
        "auc\t0.93\t0.9\t-0.03",
        "loss\t0.333333\t\t",
        "p99_s\t\t0.25\t",
    ]


@pytest.mark.parametrize(
    ("training", "live", "expected"),
    [
        ({"auc": 0.93}, {"quality.auc": 0.9}, ["auc\t0.93\t0.9\t-0.03"]),
        ({"quality.auc": 0.93}, {"quality.auc": 0.9}, ["quality.auc\t0.93\t0.9\t-0.03"]),
        (
            {"auc": 0.94, "quality.auc": 0.93},
            {"quality.auc": 0.9},
            ["auc\t0.94\t\t", "quality.auc\t0.93\t0.9\t-0.03"],
        ),
        ({"auc": 0.93}, {"auc": 0.8, "quality.auc": 0.9}, ["auc\t0.93\t0.8\t-0.13", "quality.auc\t\t0.9\t"]),
        ({"val_auc": 0.93}, {"quality.auc": 0.9}, ["quality.auc\t\t0.9\t", "val_auc\t0.93\t\t"]),
        ({"requests": 5.0}, {"requests": 7.0, "quality.f1": 0.5}, ["quality.f1\t\t0.5\t", "requests\t5\t7\t2"]),
    ],
)
def test_a_training_metric_stands_beside_the_live_one_of_its_name(
    shelf: Shelf, capsys: Told, training: dict[str, float], live: dict[str, float], expected: list[str]
) -> None:
    register(shelf.catalog, Draft(metrics=training))
    shelf.catalog.report("fraud", "1", live, now_s=LATER_S)

    assert main(["versions", "show", "fraud", "1"]) == 0

    assert capsys.readouterr().out.partition("difference\n")[2].splitlines() == expected


def test_where_a_version_comes_from_is_drawn_through_other_models(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "show", "fraud", "3"]) == 0

    out = capsys.readouterr().out
    assert "Comes from\n└─ fraud/2\n   ├─ fraud/1\n   └─ base/1\n" in out
    assert "produced_by\trun-8\t\tfraud/2\n" in out
    assert "Led to" not in out


def test_a_version_is_told_as_json_with_its_lineage(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "show", "fraud", "2", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["number"], told["approval"], told["draft"]["metrics"]["loss"]) == (2, "pending", "NaN")
    assert told["lineage"]["ancestors"] == ["fraud/1", "base/1"]
    assert told["lineage"]["descendants"] == ["fraud/3"]


def test_two_versions_are_compared(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "compare", "fraud", "1", "2"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "what\tfraud/1\tfraud/2\tdifference",
        "approval\tapproved\tpending\tdiffers",
        "serves\tchampion 90 %\tchallenger 10 %\tdiffers",
        "artefact\ts3://models/fraud/7\ts3://models/fraud/8\tdiffers",
        f"digest\t{DIGEST}\t\tdiffers",
        "framework\txgboost 2.1\t\tdiffers",
        "reference\t/var/lib/fraud/reference\t\tdiffers",
        "parameter Länge\té\\n😀\t\tdiffers",
        "parameter depth\t6\t8\tdiffers",
        "parameter eta\t\t0.1\tdiffers",
        "metric auc\t0.93\t0.95\t0.02",
        "metric loss\t0.333333\tnan\t",
        "live auc\t0.9\t\t",
        "live p99_s\t0.25\t\t",
    ]


def test_a_version_is_like_itself(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "compare", "fraud", "2", "2"]) == 0

    assert {line.rpartition("\t")[2] for line in capsys.readouterr().out.splitlines()[1:]} == {"", "0"}
    assert main(["versions", "compare", "fraud", "1", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["a"]["number"], told["b"]["draft"]["parameters"]) == (1, {"depth": "8", "eta": "0.1"})


def test_decisions_are_written_down(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "approve", "fraud", "2", "--by", "ada", "--why", "better"]) == 0
    assert main(["versions", "reject", "fraud", "3", "--why", "leaks"]) == 0

    assert capsys.readouterr().out == "fraud/2 is approved; serves as challenger 10 %\nfraud/3 is rejected\n"
    [approved], [rejected] = (shelf.catalog.version("fraud", name).decisions for name in "23")
    assert (approved.approval, approved.by, approved.why) == ("approved", "ada", "better")
    assert (rejected.approval, rejected.why, rejected.by != "") == ("rejected", "leaks", True)


def test_a_decision_is_told_as_json(shelf: Shelf, capsys: Told) -> None:
    fill(shelf.catalog)

    assert main(["versions", "reject", "fraud", "2", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["approval"] == "rejected"


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["list", "nobody"], 1, "there is no model 'nobody'"),
        (["show", "fraud", "9"], 1, "fraud has no version '9'"),
        (["show", "fraud", "@champion"], 1, "fraud has no version '@champion'"),
        (["show", "fraud", "../1"], 1, "'../1'"),
        (["show", "", "1"], 1, ""),
        (["show", "fraud", "\udcff"], 1, ""),
        (["approve", "fraud", "01"], 1, "fraud has no version '01'"),
        (["compare", "fraud", "1", "9"], 1, "fraud has no version '9'"),
        (["reject", "fraud", "1", "--by", "two\nlines"], 64, "by: expected one line of text"),
        (["reject", "fraud", "1", "--why", "x" * 6001], 64, "why: expected at most 6000 characters, got 6001"),
        (["show", "fraud"], 64, "Missing argument 'NAME'"),
        (["shwo", "fraud"], 64, "No such command 'shwo'"),
    ],
)
def test_what_is_refused_is_told_in_one_line_and_changes_nothing(
    shelf: Shelf, capsys: Told, arguments: list[str], code: int, expected: str
) -> None:
    fill(shelf.catalog)
    before = shelf.catalog.mark("fraud")

    assert main(["versions", *arguments]) == code

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), expected in err) == ("", 1, True), err
    assert shelf.catalog.mark("fraud") == before


def test_what_others_wrote_does_nothing_to_a_terminal(shelf: Shelf, capsys: Told) -> None:
    evil = "\x1b[2J\u202e"
    register(shelf.catalog, Draft(notes=evil, parameters={"a": evil}, signature=evil))

    for arguments in (["list", "fraud"], ["show", "fraud", "1"], ["compare", "fraud", "1", "1"]):
        assert main(["versions", *arguments]) == 0
    assert not set(capsys.readouterr().out) & set(evil[0] + evil[-1])


def test_every_command_has_an_example_in_its_help(capsys: Told) -> None:
    for name in ("list", "show", "register", "approve", "reject", "compare"):
        assert main(["versions", name, "--help"]) == 0
        assert f"sidecar versions {name}" in capsys.readouterr().out.partition("Options:")[0].partition("\n")[2]
    assert main(["versions", "--help"]) == 0
    assert "69 if nobody answers" in " ".join(capsys.readouterr().out.split())


def test_a_process_tells_what_it_did_and_what_was_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("weights")
    environ = {**os.environ, PLACE: str(tmp_path / "catalog.sqlite")}
    ask = [sys.executable, "-m", "sidecar", "versions"]
    commands = ["register", "fraud", "--artefact", str(tmp_path / "model")], ["show", "fraud", "2"]
    made, gone = (subprocess.run([*ask, *each], env=environ, capture_output=True, check=False) for each in commands)

    assert (made.returncode, made.stdout, made.stderr) == (0, b"fraud/1\n", b"")
    assert (gone.returncode, gone.stdout, gone.stderr) == (1, b"", b"fraud has no version '2'\n")


def test_people_get_a_table(tmp_path: Path) -> None:
    path = str(tmp_path / "catalog.sqlite")
    with closing(Sqlite(path=path)) as catalog:
        fill(catalog)
    ours, theirs = pty.openpty()
    environ = {**os.environ, PLACE: path, "COLUMNS": "200", "TERM": "dumb"}
    subprocess.run([sys.executable, "-m", "sidecar", "versions", "list"], stdout=theirs, env=environ, check=True)
    os.close(theirs)

    lines = os.read(ours, 65536).decode().splitlines()
    os.close(ours)
    assert [line.split() for line in lines][:2] == [
        ["model", "versions", "latest", "latest", "approved", "serve"],
        ["base", "1", "1"],
    ]


def test_a_reader_who_leaves_is_no_fault(tmp_path: Path) -> None:
    path = str(tmp_path / "catalog.sqlite")
    with closing(Sqlite(path=path)) as catalog:
        fill(catalog)
    command = f"{sys.executable} -m sidecar versions show fraud 1 --json --catalog {path} | true"

    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)

    assert b"Traceback" not in done.stderr


def test_serving_waits_for_none_of_this() -> None:
    code = "import sys, sidecar.__main__, sidecar.cli.run; print([name for name in sys.modules if 'catalog' in name])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_asking_needs_no_numpy_and_no_server() -> None:
    heavy = "{'numpy', 'aiohttp', 'asyncio', 'opentelemetry', 'rich', 'mlflow'}"
    code = f"import sys, sidecar.cli.versions, sidecar.cli.runs; print(sorted({heavy} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
