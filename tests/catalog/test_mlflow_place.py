from pathlib import Path
from ssl import CERT_NONE, CERT_REQUIRED
from urllib.parse import urlsplit

import pytest
import trustme

from sidecar.catalog.mlflow_place import address_of, authorization, check_uri, tls
from sidecar.errors import DeliveryError


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://mlflow", "mlflow:80"),
        ("https://mlflow.example/team/a", "mlflow.example:443"),
        ("http://[::1]:5000/", "[::1]:5000"),
        ("HTTP://127.0.0.1:5000", "127.0.0.1:5000"),
    ],
)
def test_a_uri_of_a_server_is_taken(uri: str, expected: str) -> None:
    check_uri(uri)
    assert str(address_of(urlsplit(uri))) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mlflow.example:5000",
        "databricks",
        "sqlite:///mlflow.db",
        "file:///secret",
        "http://",
        "http://:5000",
        "http://ada:secret@mlflow",
        "http://secret@mlflow",
        "http://mlflow:0",
        "http://mlflow:secret",
        "http://mlflow:65536",
        "http://[::1",
        "http://[secret]",
        "http://mlflow?secret",
        "http://mlflow#secret",
        "http://mlflow/a b",
        "http://mlflow/\r\nsecret: 1",
        "http://mlflow/\u00fc",
        "http://\u00fc.example",
        f"http://{'x' * 64}.example",
        "http://a..b",
        "http://1.2.3",
    ],
)
def test_another_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        check_uri(uri)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"MLFLOW_TRACKING_TOKEN": " t0ken\n"}, ["authorization: Bearer t0ken"]),
        (
            {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "p:w", "MLFLOW_TRACKING_TOKEN": "t"},
            ["authorization: Basic YWRhOnA6dw=="],
        ),
        ({"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": ""}, []),
        ({"MLFLOW_TRACKING_USERNAME": "a", "MLFLOW_TRACKING_PASSWORD": "\udcff"}, ["authorization: Basic YTr/"]),
    ],
)
def test_we_are_whom_the_variables_of_mlflows_client_say(environ: dict[str, str], expected: list[str]) -> None:
    assert authorization(environ) == expected


@pytest.mark.parametrize("token", ["s3cret\r\nx: y", "s3cret\u00e9", "s3\0cret"])
def test_a_token_that_cannot_be_sent_is_told_of_and_not_told(token: str) -> None:
    with pytest.raises(DeliveryError, match="MLFLOW_TRACKING_TOKEN: expected visible ASCII") as refused:
        authorization({"MLFLOW_TRACKING_TOKEN": token})
    assert "cret" not in str(refused.value)


def test_nobody_is_trusted_blindly_unless_the_variable_says_so() -> None:
    assert [tls(each).verify_mode for each in ({}, {"MLFLOW_TRACKING_INSECURE_TLS": "false"})] == [CERT_REQUIRED] * 2
    assert tls({"MLFLOW_TRACKING_INSECURE_TLS": "True"}).verify_mode == CERT_NONE


def test_a_certificate_of_our_own_is_read(tmp_path: Path) -> None:
    own = trustme.CA().issue_cert("client")
    file = tmp_path / "own.pem"
    file.write_bytes(own.private_key_and_cert_chain_pem.bytes())
    assert tls({"MLFLOW_TRACKING_CLIENT_CERT_PATH": str(file)}).verify_mode == CERT_REQUIRED


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"])
def test_a_file_that_cannot_be_used_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for file in ("none", "empty"):
        with pytest.raises(DeliveryError, match=f"{name}: .*, expected a PEM file"):
            tls({name: str(tmp_path / file)})
