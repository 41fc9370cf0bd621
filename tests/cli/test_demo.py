import pytest

from sidecar.__main__ import main


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--help"]) == 0

    out = capsys.readouterr().out
    assert "  sidecar demo --seconds 30\n" in out
    assert "  sidecar demo --drift --seconds 60\n" in out
    assert "  sidecar demo --fraud\n" in out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--rate", "0"], "'--rate': 0.0 is not in the range 0<x<=10000."),
        (["--rate", "many"], "'--rate': 'many' is not a valid float range."),
        (["--seconds", "-1"], "'--seconds': -1.0 is not in the range x>0."),
        (["--drift", "--seconds", "19"], "--seconds: expected at least 20 with --drift."),
        (
            ["--fraud", "--seconds", "55"],
            "--seconds: expected at least 56 with --fraud at 50 requests per second.",
        ),
        (["--fraud", "--rate", "20"], "--seconds: expected at least 95 with --fraud at 20 requests per second."),
        (["--captures", __file__], f"'--captures': Directory '{__file__}' is a file."),
    ],
)
def test_a_bad_option_starts_nothing(arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *arguments]) == 64

    assert capsys.readouterr().err == f"Invalid value for {fault} See `sidecar demo --help`.\n"


def test_two_plots_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--drift", "--fraud"]) == 64

    assert capsys.readouterr().err == "--drift and --fraud: expected one of them. See `sidecar demo --help`.\n"


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sidecar.demo.demo.EXTRA", ("json", "no_such_module"))

    assert main(["demo"]) == 1
    assert capsys.readouterr() == (
        "",
        "sidecar demo: no_such_module: not installed, expected pip install 'sidecar[demo]'\n",
    )
