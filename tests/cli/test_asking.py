import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.catalog.opening import PLACE
from sidecar.catalog.sqlite import Sqlite
from sidecar.cli.asking import login, token
from sidecar.errors import ConfigError
from tests.catalog.contract import register
from tests.cli.served import Served, served

Told = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (PLACE, "SIDECAR_ADMIN_TOKEN", "SIDECAR_ADMIN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def unused() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@pytest.fixture
def guarded() -> Iterator[Served]:
    with served(token="s3cret") as made:
        register(made.sidecar.catalog)
        yield made


def test_a_token_is_of_the_environment_or_of_a_file(
    guarded: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    asked = ["versions", "list", "fraud", "--catalog", guarded.url]

    assert main([*asked, "--token-file", str(file)]) == 0
    monkeypatch.setenv("SIDECAR_ADMIN_TOKEN_FILE", str(file))
    assert main(asked) == 0
    monkeypatch.delenv("SIDECAR_ADMIN_TOKEN_FILE")
    monkeypatch.setenv("SIDECAR_ADMIN_TOKEN", "s3cret")
    assert main(asked) == 0


def test_without_the_token_nothing_is_told(guarded: Served, monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    monkeypatch.setenv("SIDECAR_ADMIN_TOKEN", "gu3ss")

    assert main(["versions", "list", "--catalog", guarded.url]) == 69
    assert main(["versions", "routes", "--to", guarded.url]) == 64

    out, err = capsys.readouterr()
    assert (out, err.count("expected Authorization: Bearer and the token"), "gu3ss" in err) == ("", 2, False)


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", b"\xff"])
def test_what_can_be_no_token_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"\A--token-file: expected a token of visible ASCII in one line\Z"):
        token(str(file))


def test_a_token_of_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert token(None) == ""
    monkeypatch.setenv("SIDECAR_ADMIN_TOKEN", "sécret")
    with pytest.raises(ConfigError, match=r"\ASIDECAR_ADMIN_TOKEN: expected a token of visible ASCII in one line\Z"):
        token(None)


def test_a_file_of_a_token_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--token-file: {tmp_path}/gone: No such file or directory"):
        token(str(tmp_path / "gone"))


def test_the_environment_says_which_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(Sqlite(path=str(path))) as catalog:
        register(catalog)
    monkeypatch.setenv(PLACE, str(path))

    assert main(["versions", "list", "--json"]) == 0

    assert capsys.readouterr().out == '{\n  "models": [\n    "fraud"\n  ]\n}\n'


@pytest.mark.parametrize(
    "place", ["gone.sqlite", "README.md", ".", "empty", "host:9901", "unix:/a", "README.md/x", "pipe", "x" * 300]
)
def test_what_is_no_catalogue_is_refused_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("precious")
    Path("empty").touch()
    os.mkfifo("pipe")

    assert main(["versions", "list", "--catalog", place]) == 64

    assert capsys.readouterr().err.startswith(f"--catalog: {place}")
    assert sorted(os.listdir()) == ["README.md", "empty", "pipe"]
    assert Path("README.md").read_text() == "precious"


@pytest.mark.parametrize("place", ["README.md", "host:9901", "unix:/a", "."])
def test_whoever_would_make_a_catalogue_makes_none_of_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("precious")

    assert main(["runs", "start", "fraud", "--catalog", place]) == 64

    assert os.listdir() == ["README.md"]


@pytest.mark.parametrize("place", ["", "s3://bucket/catalog", "http://", "mlflow+http://host?x=1"])
def test_an_address_that_can_be_none_is_refused(capsys: Told, place: str) -> None:
    assert main(["versions", "list", "--catalog", place]) == 64

    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_cannot_be_made_is_told_by_the_option_that_names_it(capsys: Told) -> None:
    assert main(["runs", "start", "fraud", "--catalog", "/proc/state/catalog.sqlite"]) == 64

    expected = "--catalog: /proc/state: No such file or directory, expected a folder to write in\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("scheme", ["http", "https", "mlflow+http", "sqlite"])
def test_a_password_in_an_address_is_refused_and_not_shown(capsys: Told, scheme: str) -> None:
    assert main(["versions", "list", "--catalog", f"{scheme}://me:s3cret@host"]) == 64

    assert capsys.readouterr() == ("", "--catalog: expected an address without user and password\n")


def test_nobody_at_the_address_is_unavailable(unused: int, capsys: Told) -> None:
    for arguments in (
        ["versions", "list", "--catalog", f"http://127.0.0.1:{unused}"],
        ["runs", "start", "fraud", "--catalog", f"http://127.0.0.1:{unused}"],
        ["versions", "rollback", "--to", f"http://127.0.0.1:{unused}"],
    ):
        assert main(arguments) == 69
        out, err = capsys.readouterr()
        assert (out, err.count("\n"), "Connection refused" in err) == ("", 1, True)


def test_a_sidecar_without_a_catalogue_says_so(capsys: Told) -> None:
    with served(catalogue=False) as made:
        assert main(["versions", "list", "--catalog", made.url]) == 1

    assert "there is no catalogue" in capsys.readouterr().err


def test_whoever_has_no_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    assert login() != ""
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert login() == f"user {os.getuid()}"


def test_commands_stand_in_their_order(capsys: Told) -> None:
    assert main(["runs", "--help"]) == 0

    listed = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed[1:6]] == ["start", "log", "end", "list", "show"]
