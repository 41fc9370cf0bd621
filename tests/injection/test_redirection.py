from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.injection.redirection import Ended, Redirection, install, installing, remove, removing, run

REDIRECTION = Redirection((8080, 8081), 15006, 1337)
JUMPS = "-A PREROUTING -j SIDECAR_INBOUND\n-A OUTPUT -j SIDECAR_LOCAL\n"
INSTALLED = f"*nat\n:PREROUTING ACCEPT [0:0]\n:SIDECAR_INBOUND - [0:0]\n:SIDECAR_LOCAL - [0:0]\n{JUMPS}COMMIT\n"
MISSING = Ended(127, "", "no such program")


class Kernel:
    """Answers as iptables' programs do, and keeps what it was given.

    Args:
        answers: By the command's first word.
    """

    def __init__(self, **answers: Ended) -> None:
        self.answers = answers
        self.given: list[tuple[str, str]] = []

    def run(self, command: Sequence[str], text: str) -> Ended:
        self.given.append((" ".join(command), text))
        return self.answers.get(command[0].replace("-", "_"), Ended(0, "", ""))


def test_the_rules_go_in_whole_with_chains_and_jumps() -> None:
    assert installing(REDIRECTION, "").splitlines() == [
        "*nat",
        ":SIDECAR_INBOUND - [0:0]",
        ":SIDECAR_LOCAL - [0:0]",
        *(f"-A SIDECAR_INBOUND ! -i lo -p tcp --dport {port} -j REDIRECT --to-ports 15006" for port in (8080, 8081)),
        *(
            f"-A SIDECAR_LOCAL -o lo -p tcp --dport {port} -m owner ! --uid-owner 1337 -j REDIRECT --to-ports 15006"
            for port in (8080, 8081)
        ),
        "-I PREROUTING 1 -j SIDECAR_INBOUND",
        "-I OUTPUT 1 -j SIDECAR_LOCAL",
        "COMMIT",
    ]


def test_jumps_that_are_there_come_first_again() -> None:
    lines = installing(REDIRECTION, INSTALLED).splitlines()

    assert lines[-5:] == [
        "-D PREROUTING -j SIDECAR_INBOUND",
        "-D OUTPUT -j SIDECAR_LOCAL",
        "-I PREROUTING 1 -j SIDECAR_INBOUND",
        "-I OUTPUT 1 -j SIDECAR_LOCAL",
        "COMMIT",
    ]


def test_all_of_ours_is_taken_out_and_nothing_where_there_is_nothing() -> None:
    assert removing(INSTALLED + JUMPS).splitlines() == [
        "*nat",
        *["-D PREROUTING -j SIDECAR_INBOUND"] * 2,
        *["-D OUTPUT -j SIDECAR_LOCAL"] * 2,
        "-F SIDECAR_INBOUND",
        "-F SIDECAR_LOCAL",
        "-X SIDECAR_INBOUND",
        "-X SIDECAR_LOCAL",
        "COMMIT",
    ]
    assert removing("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n") == ""


def test_a_change_reads_what_is_there_and_writes_once() -> None:
    kernel = Kernel(iptables_save=Ended(0, INSTALLED, ""))

    assert install(REDIRECTION, "ipv4", kernel.run) == ""
    assert kernel.given == [
        ("iptables-save -t nat", ""),
        ("iptables-restore --noflush --wait=5", installing(REDIRECTION, INSTALLED)),
    ]


def test_what_is_not_there_is_looked_for_with_every_program_and_not_taken_out() -> None:
    kernel = Kernel()

    assert remove("ipv6", kernel.run) == ""
    assert [command for command, _ in kernel.given] == ["ip6tables-save", "ip6tables-legacy-save"]


def test_what_the_older_program_has_put_in_is_taken_out_by_it() -> None:
    kernel = Kernel(iptables_legacy_save=Ended(0, INSTALLED, ""))

    assert remove("ipv4", kernel.run) == ""
    assert kernel.given[-1] == ("iptables-legacy-restore --noflush --wait=5", removing(INSTALLED))


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"iptables_legacy_save": MISSING}, ""),
        ({"iptables_save": MISSING}, ""),
        (
            dict.fromkeys(("iptables_save", "iptables_legacy_save"), MISSING),
            "iptables-save: no such program",
        ),
        ({"iptables_legacy_save": Ended(1, "", "Permission denied")}, "iptables-legacy-save: Permission denied"),
        (
            {"iptables_save": Ended(1, "", "a"), "iptables_legacy_save": Ended(1, "", "b")},
            "iptables-save: a; iptables-legacy-save: b",
        ),
        (
            {"iptables_save": Ended(0, INSTALLED, ""), "iptables_restore": Ended(4, "", "locked")},
            "iptables-restore: locked",
        ),
    ],
)
def test_rules_that_may_have_been_left_are_told_of(answers: dict[str, Ended], told: str) -> None:
    assert remove("ipv4", Kernel(**answers).run) == told


def test_where_the_systems_own_program_fails_the_older_one_is_tried() -> None:
    kernel = Kernel(iptables_restore=Ended(2, "", "unknown option"))

    assert install(REDIRECTION, "ipv4", kernel.run) == ""
    assert kernel.given[-1][0].startswith("iptables-legacy-restore")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"iptables_save": MISSING, "iptables_legacy_save": MISSING}, "iptables-save: no such program"),
        (
            {
                "iptables_save": MISSING,
                "iptables_legacy_save": Ended(3, "", "\ncan't initialize: Permission denied\nmore"),
            },
            "iptables-legacy-save: can't initialize: Permission denied",
        ),
        ({"iptables_restore": Ended(4, "", ""), "iptables_legacy_save": MISSING}, "iptables-restore: exit code 4"),
        (
            {"iptables_save": Ended(1, "", "not supported"), "iptables_legacy_save": Ended(1, "", "denied")},
            "iptables-save: not supported; iptables-legacy-save: denied",
        ),
        (
            {"iptables_restore": Ended(1, "", "bad\x1b[31m " + "x" * 500), "iptables_legacy_save": MISSING},
            "iptables-restore: bad\\x1b[31m " + "x" * 500,
        ),
    ],
)
def test_why_it_cannot_be_is_one_line_of_what_tells_most(answers: dict[str, Ended], told: str) -> None:
    found = install(REDIRECTION, "ipv4", Kernel(**answers).run)

    assert found == (told if len(told) <= 300 else told[:299] + "…")


@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ("cat; echo no >&2; exit 3", Ended(3, "given", "no\n")),
        (None, Ended(127, "", "no such program")),
    ],
)
def test_a_command_is_run_with_its_input(tmp_path: Path, script: str | None, ended: Ended) -> None:
    command = ["sh", "-c", script] if script else [str(tmp_path / "none")]

    assert run(command, "given") == ended


def test_what_may_not_be_run_is_told(tmp_path: Path) -> None:
    file = tmp_path / "plain"
    file.write_text("")

    assert run([str(file)], "")[:2] == (126, "")
