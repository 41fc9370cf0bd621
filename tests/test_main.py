import subprocess
import sys

import click
import pytest

from sidecar import __version__
from sidecar.__main__ import main
from sidecar.cli import COMMANDS


def fail(error: BaseException) -> object:
    raise error


def test_without_arguments_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    out = capsys.readouterr().out
    assert "sidecar run --upstream http://127.0.0.1:8081\n" in out
    assert [name for name, (_, about) in COMMANDS.items() if f"  {name}" not in out or about not in out] == []


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"sidecar {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "No such command 'rnu'."),
        (["check", "--upstreams", "x"], "No such option '--upstreams'. Did you mean '--upstream'?"),
        (["check", "--upstream"], "Option '--upstream' requires an argument."),
        (["check", "x"], "Got unexpected extra argument (x)."),
    ],
)
def test_a_wrong_call_is_one_line_and_64(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 64

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert line.rstrip(".") in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(98, "Address already in use", "0.0.0.0:80"), 1, "Address already in use"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_ends_a_command_is_told_by_its_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "check", (f"{__name__}:check", "Fails."))
    monkeypatch.setitem(globals(), "check", click.Command("check", callback=lambda: fail(error)))

    assert main(["check"]) == code
    assert line in capsys.readouterr().err


def test_the_module_runs_as_a_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sidecar", "check", "--upstream", "model"], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (64, "")
    assert ended.stderr.startswith("upstream: expected http://host:port")
