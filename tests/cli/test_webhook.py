from pathlib import Path

import pytest

from sidecar.__main__ import main

IMAGE = ["--image", "sidecar:1"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing option '--cert'"),
        (["--cert", "a", "--key", "b", "--listen", "8443", *IMAGE], "expected host:port"),
        (["--cert", "a", "--key", "b", "--listen", "unix:/a", *IMAGE], "expected host:port or [v6]:port"),
        (["--cert", "a", "--key", "b"], "Missing option '--image'"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inject-webhook", *arguments]) == 64
    assert told in capsys.readouterr().err


def test_without_its_certificate_it_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.pem")

    assert main(["inject-webhook", "--cert", missing, "--key", missing, *IMAGE]) == 1
    assert capsys.readouterr().err == "cannot start: [Errno 2] No such file or directory\n"
