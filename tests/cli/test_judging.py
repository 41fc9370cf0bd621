import json
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.experiments.standing import Standing
from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Compared, Decision, Guarded, Verdict
from tests.cli.served import Served, served

Told = pytest.CaptureFixture[str]

WORSE = Verdict(
    measure="errors",
    challenger="challenger",
    word="worse",
    compared=Compared(0.007, 0.003, 0.011, 0.012, 0.019, 1810, 1790),
    margin=0.002,
    relative=False,
    decided=Decision("worse", 1_785_416_400.0),
    rows_to_go=0.0,
    omitted=0,
    sentence="challenger errs in 1.9 % of requests against 1.2 %: worse, +0.3 to +1.1 points",
)
UNDECIDED = WORSE._replace(
    measure="latency.p99",
    word="undecided",
    compared=Compared(0.05, -0.1, inf, 0.1, 0.105, 1790, 1750),
    relative=True,
    decided=None,
    rows_to_go=5432.0,
    sentence="challenger takes 105 ms at p99 against 100 ms: undecided, -10 % or more",
)
FEW = WORSE._replace(
    measure="metric./\x1b[2J",
    word="too_few",
    compared=Compared(nan, -inf, inf, nan, nan, 0, 0),
    decided=None,
    rows_to_go=nan,
    sentence="metric./\x1b[2J of challenger: no verdict from 0 rows",
)
TRIAL = Standing(
    name="fraud-4: champion 3, challenger 4",
    variants=("champion", "challenger"),
    since_s=1_785_412_800.0,
    epoch_s=1_785_412_800.0,
    rows={"champion": 1810, "challenger": 1790},
    late=0,
    verdicts=(WORSE, UNDECIDED, FEW),
    guards=(),
    mismatch=Mismatch(0.8, -1.2, alarm=False, counts=(600, 400), shares=(0.5, 0.5)),
    sides=Sides(1000, 0.001, 0.02),
    cautions=("metric./fee was found in 0 of 1,234 replies of champion",),
    wrong=0.05,
    min_rows=200,
)
ROLLOUT = TRIAL._replace(
    name="challenger 4 instead of champion 3, since 1785412800.25",
    epoch_s=1_785_416_400.0,
    late=1234,
    verdicts=(WORSE,),
    guards=(Guarded("errors", "challenger", "breach", "challenger errs in 1.9 % of requests: breach"),),
    cautions=(),
)
NOTHING = TRIAL._replace(
    rows={"champion": 0, "challenger": 0},
    since_s=inf,
    epoch_s=inf,
    verdicts=(),
    mismatch=Mismatch(1.0, 0.0, alarm=False, counts=(0, 0), shares=(nan, nan)),
    sides=Sides(0, nan, nan),
    cautions=(),
)


@pytest.fixture
def sidecar() -> Iterator[Served]:
    with served() as made:
        stand(made, {"experiment": TRIAL, "rollout": ROLLOUT})
        yield made


def stand(made: Served, standings: dict[str, Standing]) -> None:
    assert made.sidecar.trials is not None
    made.sidecar.trials.standings.update(standings)


def ask(made: Served, *arguments: str) -> int:
    return main(["versions", "experiment", *arguments, "--to", made.url])


def test_an_experiment_is_told_with_its_verdicts_checks_and_cautions(sidecar: Served, capsys: Told) -> None:
    assert ask(sidecar, "fraud-4") == 0

    assert capsys.readouterr().out.splitlines() == [
        "experiment fraud-4: champion 3, challenger 4",
        "began     2026-07-30T12:00:00Z",
        "budget    a wrong verdict, ever, in 5 % of such experiments at most",
        "requests  champion 1,810, challenger 1,790; no verdict below 200 rows",
        "users     shares kept: champion 60 % (50 % due), challenger 40 % (50 % due); p = 0.8",
        "sides     1,000 users in the sample: 0.1 % seen on several sides, 2 % moved by changed weights",
        "",
        "measure\tchallenger\tverdict\tdifference\tfrom\tto\trows\tto go\tfirst decided",
        "errors\tchallenger\tworse\t+0.007\t+0.003\t+0.011\t1810 + 1790\t0\tworse 2026-07-30T13:00:00Z",
        "latency.p99\tchallenger\tundecided\t+5 %\t-10 %\t\t1790 + 1750\t5432\t",
        "metric./\\x1b[2J\tchallenger\ttoo few\t\t\t\t0 + 0\t\t",
        "",
        "challenger errs in 1.9 % of requests against 1.2 %: worse, +0.3 to +1.1 points",
        "challenger takes 105 ms at p99 against 100 ms: undecided, -10 % or more",
        "metric./\\x1b[2J of challenger: no verdict from 0 rows",
        "",
        "caution: metric./fee was found in 0 of 1,234 replies of champion",
    ]


def test_a_rollout_is_told_with_its_guardrails(sidecar: Served, capsys: Told) -> None:
    assert ask(sidecar, "rollout") == 0

    out = capsys.readouterr().out.splitlines()
    assert out[:4] == [
        "rollout challenger 4 instead of champion 3, since 2026-07-30T12:00:00Z",
        "began     2026-07-30T12:00:00Z, weights changed 2026-07-30T13:00:00Z",
        "budget    a wrong rollback, ever, in 5 % of such rollouts at most",
        "requests  champion 1,810, challenger 1,790; 1,234 left out, as nobody knows by which weights they were dealt; "
        "no verdict below 200 rows",
    ]
    assert out[-2:] == ["", "challenger errs in 1.9 % of requests: breach"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("challenger 4 instead of champion 3, since 0.0", "challenger 4 instead of champion 3"),
        ("b 4, since 5 instead of a, since 1785412800.0", "b 4, since 5 instead of a, since 2026-07-30T12:00:00Z"),
        ("b instead of a, since " + "9" * 400, "b instead of a, since inf"),
        ("b instead of a, since inf", "b instead of a, since inf"),
        ("b instead of a, since 1.2.3", "b instead of a, since 1.2.3"),
        ("b instead of a", "b instead of a"),
    ],
)
def test_a_rollouts_name_ends_with_a_time_that_people_read(capsys: Told, name: str, title: str) -> None:
    with served() as made:
        stand(made, {"rollout": ROLLOUT._replace(name=name)})
        assert ask(made) == 0

    assert capsys.readouterr().out.partition("\n")[0] == f"rollout {title}"


def test_the_name_of_an_experiment_is_told_as_it_is(capsys: Told) -> None:
    with served() as made:
        stand(made, {"experiment": TRIAL._replace(name="a: b, since 1785412800.0")})
        assert ask(made) == 0

    assert capsys.readouterr().out.startswith("experiment a: b, since 1785412800.0\n")


def test_all_are_told_with_a_line_between(sidecar: Served, capsys: Told) -> None:
    assert ask(sidecar) == 0

    out = capsys.readouterr().out
    assert out.startswith("experiment fraud-4")
    assert "\n\nrollout challenger 4 instead of champion 3" in out


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ([], ["experiment", "rollout"]),
        (["experiment"], ["experiment"]),
        (["fraud-4"], ["experiment"]),
        (["fraud-4: champion 3, challenger 4"], ["experiment"]),
        (["rollout"], ["rollout"]),
        (["challenger 4 instead of champion 3, since 1785412800.25"], ["rollout"]),
        (["challenger 4 instead of champion 3, since 2026-07-30T12:00:00Z"], ["rollout"]),
    ],
)
def test_json_is_what_the_sidecar_said(sidecar: Served, capsys: Told, name: list[str], kinds: list[str]) -> None:
    assert ask(sidecar, *name, "--json") == 0

    told = json.loads(capsys.readouterr().out)["experiments"]
    assert [each["kind"] for each in told] == kinds
    assert all({"margin", "omitted", "values"} <= each["verdicts"][0].keys() for each in told)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_an_experiment_that_is_not_there_is_told_in_one_line(sidecar: Served, capsys: Told, as_json: list[str]) -> None:
    assert ask(sidecar, "fraud\x1b[2J", *as_json) == 1

    expected = "no experiment is called 'fraud\\x1b[2J'; expected one of fraud-4: champion 3, challenger 4, rollout\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("arguments", [[], ["--json"], ["fraud-4"]])
def test_without_an_experiment_that_is_told_in_one_line(capsys: Told, arguments: list[str]) -> None:
    with served() as made:
        assert ask(made, *arguments) == 1

    assert capsys.readouterr() == ("", "no experiment: expected one, or a rollout, in the configuration\n")


def test_one_that_has_not_begun_is_told(capsys: Told) -> None:
    with served() as made:
        stand(made, {"experiment": NOTHING})
        assert ask(made) == 0

    assert capsys.readouterr().out.splitlines()[1:] == [
        "began     not yet",
        "budget    a wrong verdict, ever, in 5 % of such experiments at most",
        "requests  champion 0, challenger 0; no verdict below 200 rows",
        "users     nobody was seen",
        "sides     nobody was seen",
    ]


def test_a_split_that_loses_users_is_told(capsys: Told) -> None:
    with served() as made:
        lost = Mismatch(1e-5, 11.5, alarm=True, counts=(600, 400), shares=(0.5, 0.5))
        stand(made, {"experiment": TRIAL._replace(mismatch=lost)})
        assert ask(made) == 0

    told = "users     shares not kept: champion 60 % (50 % due), challenger 40 % (50 % due); p = 1e-05\n"
    assert told in capsys.readouterr().out


def test_a_sidecar_behind_a_socket_in_the_file_system_is_asked(tmp_path: Path, capsys: Told) -> None:
    with served(path=tmp_path / "admin.sock") as made:
        stand(made, {"experiment": TRIAL})
        assert ask(made) == 0

    assert "fraud-4" in capsys.readouterr().out


def test_a_sidecar_that_is_not_there_is_another_exit_code(tmp_path: Path, capsys: Told) -> None:
    assert main(["versions", "experiment", "--to", f"unix:{tmp_path}/nobody"]) == 69
    assert capsys.readouterr().err.count("\n") == 1


def test_its_help_has_an_example(capsys: Told) -> None:
    assert main(["versions", "experiment", "--help"]) == 0
    assert "  sidecar versions experiment fraud-4 --json" in capsys.readouterr().out
