import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.cli.asking import login
from sidecar.config.schema import Config
from tests.cli.served import ROLLED, Served, served

Told = pytest.CaptureFixture[str]


@pytest.fixture
def sidecar() -> Iterator[Served]:
    with served() as made:
        yield made


@pytest.fixture
def rolling() -> Iterator[Served]:
    with served(ROLLED) as made:
        yield made


def ask(made: Served, *arguments: str) -> int:
    return main(["versions", *arguments, "--to", made.url])


def test_a_weight_is_given_and_told(sidecar: Served, capsys: Told) -> None:
    assert ask(sidecar, "weight", "challenger", "25", "--by", "ada", "--why", "a first look") == 0

    assert capsys.readouterr() == ("revision 2: champion 75 %, challenger 25 %\n", "")
    assert (sidecar.weights, sidecar.change[1:]) == (
        {"champion": 75.0, "challenger": 25.0},
        ("ada", "weight of challenger: 25 %", "a first look"),
    )


def test_a_variant_is_named_by_its_version_too(sidecar: Served) -> None:
    assert ask(sidecar, "promote", "4", "--why", "better") == 0

    assert (sidecar.weights, sidecar.change.why) == ({"champion": 0.0, "challenger": 100.0}, "better")


def test_who_asks_is_the_login_name_unless_said_otherwise(sidecar: Served) -> None:
    assert ask(sidecar, "promote", "challenger") == 0

    assert sidecar.change.who == login() != ""


def test_a_rollback_undoes_the_last_change(sidecar: Served, capsys: Told) -> None:
    ask(sidecar, "promote", "challenger")
    capsys.readouterr()

    assert ask(sidecar, "rollback", "--why", "complaints") == 0

    assert capsys.readouterr().out == "revision 3: champion 90 %, challenger 10 %\n"


def test_a_rollout_is_steered(rolling: Served, capsys: Told) -> None:
    assert [ask(rolling, order, "--by", "ada") for order in ("start", "hold", "resume", "promote", "rollback")] == [
        0
    ] * 5

    of = "rollout of challenger (version 4):"
    assert capsys.readouterr().out.splitlines()[1::2] == [
        f"{of} stepping, 5 %: started by ada",
        f"{of} held, 5 %: held by ada",
        f"{of} stepping, 5 %: resumed by ada",
        f"{of} promoted, 100 %: promoted by ada",
        f"{of} rolled back, 0 %: rolled back by ada",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["rollback"], 1, "nothing to roll back to: "),
        (["start"], 1, "cannot start anything: there is no rollout"),
        (["promote"], 1, "cannot promote anything: there is no rollout"),
        (["weight", "nobody", "5"], 1, "'nobody' is no variant or version of one; expected one of champion"),
        (["weight", "challenger", "5", "--if-revision", "7"], 1, "revision 1 is in force, expected 7"),
        (["promote", "4", "--if-revision", "7"], 1, "revision 1 is in force, expected 7"),
        (["weight", "challenger", "101"], 64, "expected a number from 0 to 100, got '101'."),
        (["weight", "challenger", "nan"], 64, "expected a number from 0 to 100, got 'nan'."),
        (["weight", "challenger", "-1"], 64, "'PERCENT': expected a number from 0 to 100, got '-1'."),
        (["weight", "challenger", "--by", "ada", "-.5"], 64, "expected a number from 0 to 100, got '-.5'."),
        (["weight", "-5", "challenger"], 64, "expected a number from 0 to 100, got 'challenger'."),
        (["weight", "challenger", "-1", "--yb", "ada"], 64, "expected a number from 0 to 100, got '-1'."),
        (["weight", "challenger", "-x"], 64, "No such option"),
        (["weight", "challenger", "5", "--yb", "ada"], 64, "No such option"),
        (["weight", "challenger", "ten"], 64, "expected a number from 0 to 100, got 'ten'."),
        (["weight", "challenger"], 64, "Missing argument 'PERCENT'"),
        (["weight", "challenger", "5", "--if-revision", "0"], 64, "0 is not in the range"),
        (["weight", "challenger", "5", "--why", "x" * 501], 64, "why: expected one line of at most 500 characters"),
        (["promote", "4", "--by", "two\nlines"], 64, "by: expected one line of at most 128 characters"),
        (["promote", "4", "--by", "\udcff"], 64, "expected what JSON can hold"),
        (["promote", "v" * 129], 64, "the body: Expected `str` of length <= 128"),
        (["routes", "--if-revision", "1"], 64, "--if-revision: expected --put with it."),
        (["changes", "--limit", "1001"], 64, "1001 is not in the range"),
    ],
)
def test_what_is_refused_is_told_in_one_line_and_changes_nothing(
    sidecar: Served, capsys: Told, arguments: list[str], code: int, expected: str
) -> None:
    assert ask(sidecar, *arguments) == code

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), expected in err) == ("", 1, True), err
    assert (sidecar.revision, sidecar.weights) == (1, {"champion": 90.0, "challenger": 10.0})


def test_the_rollouts_weights_are_its_own(rolling: Served, capsys: Told) -> None:
    assert ask(rolling, "weight", "challenger", "10") == 1

    assert "rollout" in capsys.readouterr().err


# The document


def test_routes_are_shown_as_a_table(rolling: Served, capsys: Told) -> None:
    rolling.sidecar.upstreams.known["challenger"] = ("ejected", 0.0)
    rolling.sidecar.upstreams.ejections["challenger"] = 3
    ask(rolling, "start", "--by", "ada", "--why", "it is time")
    capsys.readouterr()

    assert ask(rolling, "routes") == 0

    assert capsys.readouterr().out.splitlines() == [
        "variant\tversion\tpercent\tstate\tejections",
        "champion\t3\t95\ttaking\t0",
        "challenger\t4\t5\tejected\t3",
        "",
        "revision 2: champion 95 %, challenger 5 %",
        "rollout of challenger (version 4): stepping, 5 %: it is time",
        "changed 2023-11-14T22:13:30Z by ada, stepping: champion 95, challenger 5: it is time",
    ]


def test_a_single_upstream_is_shown(capsys: Told) -> None:
    with served(Config(upstream="http://a:1")) as made:
        assert ask(made, "routes") == 0

    assert "revision 1: champion 100 %" in capsys.readouterr().out


def test_what_was_shown_is_edited_and_put_back(sidecar: Served, tmp_path: Path, capsys: Told) -> None:
    assert ask(sidecar, "routes", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    document["routes"]["variants"]["challenger"]["weight"] = 30
    file = tmp_path / "routes.json"
    file.write_text(json.dumps(document))

    assert ask(sidecar, "routes", "--put", str(file), "--by", "ada & co", "--why", "a=b?") == 0
    assert capsys.readouterr().out == "revision 2: champion 75 %, challenger 25 %\n"
    assert (sidecar.weights["challenger"], sidecar.change[1:]) == (
        30.0,
        ("ada & co", "routes: variants.challenger.weight 10 → 30.0", "a=b?"),
    )

    assert ask(sidecar, "routes", "--put", str(file)) == 1  # somebody else was first
    assert capsys.readouterr() == ("", "revision 2 is in force, not the one of If-Match: look again\n")
    assert ask(sidecar, "routes", "--put", str(file), "--if-revision", "2") == 0


ROUTES = """
variants:
  champion: {url: "http://a:1", version: "3", weight: 60}
  challenger: {url: "http://b:1", version: "4", weight: 40}
"""


@pytest.mark.parametrize(("revision", "code"), [([], 0), (["--if-revision", "1"], 0), (["--if-revision", "2"], 1)])
def test_a_document_in_yaml_is_put(sidecar: Served, tmp_path: Path, revision: list[str], code: int) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(ROUTES)

    assert ask(sidecar, "routes", "--put", str(file), *revision) == code

    assert sidecar.weights["champion"] == (90.0 if code else 60.0)


def test_a_document_comes_from_standard_input(sidecar: Served, monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ROUTES.encode())))

    assert ask(sidecar, "routes", "--put", "-", "--json") == 0

    assert json.loads(capsys.readouterr().out)["shares"] == {"champion": 60.0, "challenger": 40.0}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"variants: {a: {url: nonsense}}\nsplit: {cookie: x}\n", ["split.cookie: ", "variants.a.url: "]),
        (b"{}", ["variants: missing"]),
        (b"", ["--put: "]),
        (b"[]", ["--put: "]),
        (b"a: [", ["{file}: line 2: not YAML"]),
        (b"a: 1\na: 2\n", ["a: line 2: given again"]),
        (b"\xff", ["--put: {file}: expected a text in UTF-8"]),
        (b"#" * (1 << 20) + b"#", ["--put: {file}: expected at most 1048576 bytes"]),
        (b"variants: {a: {url: 'http://a:1', weight: .nan}}\n", ["variants.a.weight: "]),
    ],
)
def test_a_document_that_is_none_is_told_by_path(
    sidecar: Served, tmp_path: Path, capsys: Told, content: bytes, expected: list[str]
) -> None:
    file = tmp_path / "routes.yaml"
    file.write_bytes(content)

    assert ask(sidecar, "routes", "--put", str(file)) == 64

    lines = sorted(capsys.readouterr().err.splitlines())
    begins = [start.format(file=file) for start in expected]
    assert [line[: len(start)] for line, start in zip(lines, begins, strict=True)] == begins
    assert sidecar.revision == 1


@pytest.mark.parametrize("name", ["gone.yaml", "."])
def test_a_file_that_cannot_be_read_is_told(sidecar: Served, tmp_path: Path, capsys: Told, name: str) -> None:
    assert ask(sidecar, "routes", "--put", str(tmp_path / name)) == 64

    assert capsys.readouterr().err.startswith(f"--put: {tmp_path}")


# The log


def test_changes_are_listed_the_latest_first(sidecar: Served, capsys: Told) -> None:
    for percent in ("20", "30"):
        ask(sidecar, "weight", "challenger", percent, "--by", "ada", "--why", f"{percent} of all")
    capsys.readouterr()

    assert ask(sidecar, "changes", "--limit", "1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "revision\ttime\twho\twhat\twhy",
        "3\t2023-11-14T22:13:30Z\tada\tweight of challenger: 30 %\t30 of all",
    ]
    assert ask(sidecar, "changes", "--json") == 0
    assert [each["revision"] for each in json.loads(capsys.readouterr().out)["changes"]] == [3, 2]


def test_every_command_has_an_example_in_its_help(capsys: Told) -> None:
    for name in ("promote", "rollback", "start", "hold", "resume", "weight", "routes", "changes"):
        assert main(["versions", name, "--help"]) == 0
        assert f"sidecar versions {name}" in capsys.readouterr().out.partition("Options:")[0].partition("\n")[2]
