import subprocess
import sys
from shutil import which

import pytest

from sidecar.__main__ import main
from sidecar.cli import COMMANDS

ASK = "from sidecar.__main__ import main; main()"


def completed(words: str, place: int) -> list[str]:
    """What the shell is answered when the word at this place is to be completed."""
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(place), "_SIDECAR_COMPLETE": "bash_complete"}
    answer = subprocess.run([sys.executable, "-c", ASK], env=variables, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in answer.stdout.splitlines()]


def test_commands_complete() -> None:
    assert completed("sidecar ru", 1) == [name for name in COMMANDS if name.startswith("ru")]


def test_keys_of_the_configuration_complete() -> None:
    assert completed("sidecar run --admin-", 2) == ["--admin-token", "--admin-token-file"]


def test_commands_below_commands_complete() -> None:
    assert completed("sidecar versions roll", 2) == ["rollback"]


def test_completing_a_command_imports_none() -> None:
    program = (
        f"import sys\ntry:\n    {ASK}\nfinally:\n    print(*(n for n in sys.modules if n.startswith('sidecar.cli.')))"
    )
    variables = {"COMP_WORDS": "sidecar ", "COMP_CWORD": "1", "_SIDECAR_COMPLETE": "bash_complete"}
    answer = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)

    assert answer.stdout.splitlines()[-1].split() == ["sidecar.cli.lazy"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    assert f"_SIDECAR_COMPLETE={shell}_complete" in script
    if which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_no_other_shell_has_one() -> None:
    assert main(["completion", "tcsh"]) == 64


def test_a_shell_that_is_not_named_is_asked_for_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion"]) == 64

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("Expected one of 'bash', 'zsh', 'fish'. See `sidecar completion --help`.")
