import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sidecar.__main__ import main
from sidecar.monitors.shadowed import Shadowed
from sidecar.records import Rows
from tests.admin.rig import SHADOWED, capture
from tests.cli.served import Served, served

Told = pytest.CaptureFixture[str]


@pytest.fixture
def sidecar() -> Iterator[Served]:
    with served(SHADOWED) as made:
        yield made


def ask(made: Served, *arguments: str) -> int:
    return main(["versions", "shadow", *arguments, "--to", made.url])


def answered(*cells: object) -> Rows:
    return Rows((), [], ("label", "score"), [list(cells)])


def compare(made: Served) -> None:
    """Two requests and their copies, and what else may become of some."""
    shadowed = Shadowed("shadow")
    for name, theirs in (("r1", ("no", 0.75)), ("r\x1b2", ("yes", 0.5))):
        original = capture(name)
        copy = original._replace(variant="shadow", version="5", shadow=True, duration_s=0.25, overhead_s=0.0)
        shadowed.offer([(original, answered("yes", 0.5)), (copy, answered(*theirs))])
    shadowed.settle()
    assert made.sidecar.trials is not None
    made.sidecar.trials.shadowed = shadowed
    counts = made.sidecar.upstreams.shadowed
    counts.sent, counts.in_flight = 7000, 1
    counts.shed["bytes"] += 2
    counts.failed["timeout"] += 1


def test_what_copies_say_and_what_became_of_them_is_told(sidecar: Served, capsys: Told) -> None:
    compare(sidecar)

    assert ask(sidecar) == 0

    out = capsys.readouterr().out.splitlines()
    assert out[:9] == [
        "shadow shadow",
        "copies    7,000 sent, 1 in flight",
        "shed      2 (bytes 2)",
        "failed    1 (timeout 1)",
        "answers   0 wait for their counterparts; alone 0; 0 of clients who left; 0 dropped",
        "",
        "shadow 5 beside champion 3",
        "pairs\tboth 2xx\tonly original\tonly shadow\tneither\trows\tequal",
        "2\t100 %\t0 %\t0 %\t0 %\t2\t50 %",
    ]
    assert "seconds of\tmean\tp50\tp90\tp99" in out
    assert any(line.startswith("shadow\t0.25\t") for line in out)
    at = out.index("prediction\trows\tmean distance\tgreatest")
    assert out[at:] == [
        "prediction\trows\tmean distance\tgreatest",
        "score\t2\t0.125\t0.25",
        "",
        "request\trow\ttexts\tdistance",
        "r1\t0\t1\t0.25",
    ]


def test_before_the_first_pair_that_is_told(sidecar: Served, capsys: Told) -> None:
    assert ask(sidecar) == 0

    assert capsys.readouterr().out.splitlines()[-2:] == ["", "no pair of answers yet"]


def test_what_cannot_be_compared_is_counted(sidecar: Served, capsys: Told) -> None:
    shadowed = Shadowed("shadow")
    original = capture("r1")
    copy = original._replace(variant="shadow", version="", shadow=True)
    shadowed.offer([(original, answered("yes", 0.5)), (copy, Rows((), [], ("label",), [["yes"]]))])
    shadowed.settle()
    assert sidecar.sidecar.trials is not None
    sidecar.sidecar.trials.shadowed = shadowed

    assert ask(sidecar) == 0

    out = capsys.readouterr().out.splitlines()
    assert "shadow beside champion 3" in out
    assert out[-1] == "1 rows cannot be compared, 0 pairs cannot be read"


def test_json_is_what_the_sidecar_said(sidecar: Served, capsys: Told) -> None:
    compare(sidecar)

    assert ask(sidecar, "--json") == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["sent"], told["comparisons"][0]["rolling"]["pairs"]) == (7000, 2)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_without_a_shadow_that_is_told_in_one_line(capsys: Told, arguments: list[str]) -> None:
    with served(msgspec.structs.replace(SHADOWED, shadow=None)) as made:
        assert ask(made, *arguments) == 1

    assert capsys.readouterr() == ("", "no shadow: expected one in the configuration, or put in /v1/routes\n")


def test_a_sidecar_behind_a_socket_in_the_file_system_is_asked(tmp_path: Path, capsys: Told) -> None:
    with served(SHADOWED, path=tmp_path / "admin.sock") as made:
        assert ask(made) == 0

    assert capsys.readouterr().out.startswith("shadow shadow\n")


def test_its_help_has_an_example(capsys: Told) -> None:
    assert main(["versions", "shadow", "--help"]) == 0
    assert "  sidecar versions shadow" in capsys.readouterr().out
