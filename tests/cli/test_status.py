import json

import click
import pytest

from sidecar.__main__ import main
from sidecar.cli.status import seconds, verdict
from tests.cli.served import served

Told = pytest.CaptureFixture[str]


def test_it_tells_the_verdict_and_each_variants_traffic(capsys: Told) -> None:
    with served() as found:
        assert main(["status", "--to", found.url]) == 0

    lines = capsys.readouterr().out.splitlines()
    variants = [each.name for each in found.sidecar.view().variants()]
    assert lines[0][0] in "●▲■○"
    assert [line.split("\t")[0] for line in lines[lines.index("") + 2 :]] == variants


def test_programs_get_json(capsys: Told) -> None:
    with served() as found:
        assert main(["status", "--json", "--to", found.url]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"overview", "status", "firing"}
    assert told["firing"] == []


def test_a_sidecar_that_should_get_no_requests_is_3(capsys: Told) -> None:
    with served() as found:
        found.sidecar.reasons = ["no upstream answers"]
        assert main(["status", "--to", found.url]) == 3

    assert "no upstream answers" in capsys.readouterr().out


def test_nobody_there_is_69_and_a_line(capsys: Told) -> None:
    with served() as found:
        url = found.url
    assert main(["status", "--to", url]) == 69

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_nobody_there_is_told_with_what_to_do(capsys: Told) -> None:
    with served() as found:
        url = found.url
    main(["status", "--to", url])

    address = url.removeprefix("http://")
    assert capsys.readouterr().err == (
        f"{address}: Connection refused; expected the admin side of a running sidecar, or --to with its address\n"
    )


def test_no_verdict_is_told_twice(capsys: Told) -> None:
    with served() as found:
        main(["status", "--to", found.url])

    sentences = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()[:1] in set("●▲■○")]
    assert len(sentences) == len(set(sentences)) > 0


def test_a_token_is_asked_for_by_name(capsys: Told) -> None:
    with served(token="s3cret") as found:
        assert main(["status", "--to", found.url]) == 64

    assert capsys.readouterr().err.startswith("--token-file: ")


def test_no_sentence_moves_the_terminal() -> None:
    assert click.unstyle(verdict("good", "fine\x1b[2J")) == "● fine\\x1b[2J"


def test_durations_are_told_in_the_unit_that_people_say() -> None:
    assert [seconds(each) for each in (None, 5e-6, 0.0021, 3.0)] == ["", "5 µs", "2.1 ms", "3 s"]
