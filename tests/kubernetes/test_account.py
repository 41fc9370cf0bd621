import asyncio
from pathlib import Path

import pytest
import trustme

from sidecar.errors import DeliveryError, Fault
from sidecar.kubernetes.account import MAX_FILE_BYTES, Account, namespace_faults


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def account(folder: Path, authority: trustme.CA) -> Account:
    folder.joinpath("token").write_text(" secret\n")
    folder.joinpath("namespace").write_text("serving\n")
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    return Account(str(folder))


def test_files_are_read_each_time(tmp_path: Path, authority: trustme.CA) -> None:
    found = account(tmp_path, authority)
    assert asyncio.run(found.identify()).token == "secret"
    tmp_path.joinpath("token").write_text("another")
    assert asyncio.run(found.identify()).token == "another"
    assert asyncio.run(found.namespace()) == "serving"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("token", None, "token: No such file or directory, expected a file that can be read"),
        ("token", "", "token: expected up to 16384 bytes of ASCII, not blank"),
        ("token", "x" * (MAX_FILE_BYTES + 1), "token: expected up to 16384 bytes of ASCII, not blank"),
        ("token", "s\u00e9cret", "token: expected up to 16384 bytes of ASCII, not blank"),
        ("token", "a\nb: c", "token: expected one word of visible ASCII"),
        ("ca.crt", None, "ca.crt: No such file or directory, expected a PEM file of authorities"),
        ("ca.crt", "nonsense", "expected a PEM file of authorities"),
        ("namespace", None, "namespace: No such file or directory, expected a file that can be read"),
        ("namespace", "", "namespace: expected up to 16384 bytes of ASCII, not blank"),
        ("namespace", "../x", "namespace: expected a name of a-z, 0-9 and - (RFC 1123)"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_name(
    name: str, text: str | None, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    found = account(tmp_path, authority)
    file = tmp_path / name
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(DeliveryError) as raised:
        asyncio.run(found.namespace() if name == "namespace" else found.identify())
    assert problem in str(raised.value)
    assert "cret" not in str(raised.value)


def test_a_folder_of_no_possible_name_is_no_crash() -> None:
    with pytest.raises(DeliveryError):
        asyncio.run(Account("a\0b").namespace())


@pytest.mark.parametrize("namespace", ["", "a", "serving-2", "0", "a" * 63])
def test_a_namespace_may_be_left_to_the_account(namespace: str) -> None:
    assert namespace_faults(namespace) == []


@pytest.mark.parametrize("namespace", ["A", "a/b", "..", "-a", "a-", "a.b", "a\n", " ", "a" * 64, "é"])
def test_what_no_namespace_is_called_is_told(namespace: str) -> None:
    problem = f"{namespace!r}, expected a name of a-z, 0-9 and - (RFC 1123)"
    assert namespace_faults(namespace) == [Fault("namespace", problem)]
