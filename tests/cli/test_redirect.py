from collections.abc import Sequence

import pytest

from sidecar.__main__ import main
from sidecar.cli import redirect
from sidecar.injection.redirection import Ended

OK = Ended(0, "", "")
MISSING = Ended(127, "", "no such program")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is run, in place of running it."""
    found: list[tuple[str, str]] = []
    answering(monkeypatch, found)
    return found


def answering(monkeypatch: pytest.MonkeyPatch, found: list[tuple[str, str]], **answers: Ended) -> None:
    def run(command: Sequence[str], text: str) -> Ended:
        found.append((command[0], text))
        return next((answer for start, answer in answers.items() if command[0].startswith(start)), OK)

    monkeypatch.setattr(redirect, "run", run)


def test_both_families_are_redirected(given: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redirect", "--port", "8080", "--port", "8081", "--port", "8080", "--uid", "7"]) == 0

    assert [command for command, _ in given] == [
        "iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore",
    ]  # fmt: skip
    assert given[1][1] == given[3][1]
    assert given[1][1].count("--dport 8080") == 2
    told = "8080, 8081 redirected to 15006, but for user 7"
    assert capsys.readouterr() == ("", f"ipv4: {told}\nipv6: {told}\n")


@pytest.mark.parametrize(("family", "programs"), [("ipv4", "iptables"), ("ipv6", "ip6tables")])
def test_one_family_is_enough(given: list[tuple[str, str]], family: str, programs: str) -> None:
    assert main(["redirect", "--port", "8080", "--family", family]) == 0

    assert [command for command, _ in given] == [f"{programs}-save", f"{programs}-restore"]


@pytest.mark.parametrize(
    ("arguments", "failing", "code", "lines"),
    [
        ([], "ip6tables", 0, ["ipv4: 80 redirected", "ipv6: left out: ip6tables-save: no such program"]),
        ([], "iptables", 1, ["ipv4: not redirected: iptables-save: no such program", "ipv6: 80 redirected"]),
        (["--family", "ipv6"], "ip6tables", 1, ["ipv6: not redirected: ip6tables-save: no such program"]),
    ],
)
def test_without_ipv6_it_goes_on_and_without_ipv4_it_has_failed(
    arguments: list[str],
    failing: str,
    code: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answering(monkeypatch, [], **{failing: MISSING})

    assert main(["redirect", "--port", "80", *arguments]) == code
    found = capsys.readouterr().err.splitlines()
    assert [line.startswith(start) for line, start in zip(found, lines, strict=True)] == [True] * len(lines)


def test_undone_where_nothing_is_it_looks_everywhere_and_writes_nothing(
    given: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["redirect", "--remove"]) == 0

    assert [command for command, _ in given] == [
        "iptables-save", "iptables-legacy-save", "ip6tables-save", "ip6tables-legacy-save",
    ]  # fmt: skip
    assert capsys.readouterr().err == "ipv4: no longer redirected\nipv6: no longer redirected\n"


def test_undone_only_as_far_as_it_sees_it_has_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, [], **{"ip6tables-legacy": Ended(1, "", "Permission denied")})

    assert main(["redirect", "--remove"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "ipv4: no longer redirected",
        "ipv6: something may be left: ip6tables-legacy-save: Permission denied",
    ]


def test_printed_it_runs_nothing(given: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redirect", "--port", "8080", "--print"]) == 0

    out = capsys.readouterr().out
    assert given == []
    assert out.startswith("iptables-restore --noflush --wait=5 <<'END'\n*nat\n:SIDECAR_INBOUND - [0:0]\n")
    assert out.count("-j REDIRECT --to-ports 15006") == 4


def test_printed_the_way_back_runs_nothing_either(
    given: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["redirect", "--port", "8080", "--remove", "--print", "--family", "ipv4"]) == 0

    assert given == []
    assert capsys.readouterr().out.splitlines() == [
        "iptables-restore --noflush --wait=5 <<'END'",
        "*nat",
        "-D PREROUTING -j SIDECAR_INBOUND",
        "-D OUTPUT -j SIDECAR_LOCAL",
        "-F SIDECAR_INBOUND",
        "-F SIDECAR_LOCAL",
        "-X SIDECAR_INBOUND",
        "-X SIDECAR_LOCAL",
        "COMMIT",
        "END",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "expected at least one --port"),
        (["--port", "15006"], "15006 is where the sidecar listens; expected the model server's."),
        (["--port", "0"], "0 is not in the range 1<=x<=65535."),
        (["--port", "http"], "'http' is not a valid integer range."),
        (["--port", "1", "--uid", "-1"], "-1 is not in the range"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redirect", *arguments]) == 64
    assert told in capsys.readouterr().err
