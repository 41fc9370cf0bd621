import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import trustme

from tests.e2e.rig import PATIENCE_S, Sidecar, sidecar, written
from tests.e2e.upstreams import Model, model


class Files:
    """An authority, and the files of what it certifies."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.issue(self.cert, self.key)

    def issue(self, cert: Path | None = None, key: Path | None = None) -> None:
        """Write a new certificate, and its key, to these files."""
        issued = self.authority.issue_cert("127.0.0.1", "localhost")
        if cert:
            cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        if key:
            issued.private_key_pem.write_to_path(str(key))

    @property
    def tls(self) -> dict[str, str]:
        """Keys of the configuration: what to present."""
        return {"cert": str(self.cert), "key": str(self.key)}


@pytest.fixture
def ours(tmp_path: Path) -> Files:
    return Files(tmp_path / "ours")


@pytest.fixture
def others(tmp_path: Path) -> Files:
    return Files(tmp_path / "others")


@pytest.fixture
def secured(first: Model, ours: Files) -> Iterator[Sidecar]:
    """Speaks TLS to its clients."""
    flags = [f"--tls-{name}={value}" for name, value in ours.tls.items()]
    with sidecar("--upstream", first.url, *flags) as found:
        yield found


def get(running: Sidecar, ours: Files, cert: tuple[str, str] | None = None) -> requests.Response:
    return requests.get(f"https://{running.address}/", verify=str(ours.ca), timeout=PATIENCE_S, cert=cert)


def presented(running: Sidecar) -> str:
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", running.port), timeout=PATIENCE_S)


def test_clients_speak_tls_and_others_are_dropped(secured: Sidecar, ours: Files, others: Files) -> None:
    assert get(secured, ours).json()["model"] == "first"
    with pytest.raises(requests.exceptions.SSLError, match=r"unable to get local issuer|self.signed"):
        get(secured, others)
    with secured.connect() as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
        while plain.recv(1024):
            pass
    assert get(secured, ours).status_code == 200
    assert "SSL" not in secured.process.said


def test_a_certificate_replaced_on_disk_is_shown_to_new_connections(secured: Sidecar, ours: Files) -> None:
    before = presented(secured)

    with requests.Session() as session:
        session.verify = str(ours.ca)
        session.get(f"https://{secured.address}/", timeout=PATIENCE_S)
        ours.issue(ours.cert, ours.key)
        secured.process.says("in force")
        kept = session.get(f"https://{secured.address}/", timeout=PATIENCE_S)

    assert presented(secured) == ours.cert.read_text() != before
    assert kept.status_code == get(secured, ours).status_code == 200


def test_a_certificate_without_its_key_is_refused_and_the_old_one_stays(secured: Sidecar, ours: Files) -> None:
    before = presented(secured)
    ours.issue(ours.cert)
    secured.reload(by="configuration refused")

    assert presented(secured) == before
    assert get(secured, ours).status_code == 200
    assert "KEY_VALUES_MISMATCH" in secured.told("config", "error")


def test_clients_without_a_certificate_are_refused_where_one_is_demanded(first: Model, ours: Files) -> None:
    flags = [f"--tls-{name}={value}" for name, value in {**ours.tls, "client-ca": ours.ca}.items()]

    with sidecar("--upstream", first.url, *flags) as running:
        with pytest.raises(requests.ConnectionError):
            get(running, ours)
        assert get(running, ours, cert=(str(ours.cert), str(ours.key))).status_code == 200


def test_upstreams_are_verified_and_verify_us(tmp_path: Path, ours: Files, others: Files, first: Model) -> None:
    demanding = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ours.ca))
    demanding.load_cert_chain(ours.cert, ours.key)
    demanding.verify_mode = ssl.CERT_REQUIRED
    # Within TLS 1.3, a client learns only after its handshake that it was refused.
    demanding.maximum_version = ssl.TLSVersion.TLSv1_2
    misnamed = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.authority.issue_cert("model.example").configure_cert(misnamed)
    file = tmp_path / "sidecar.yaml"

    with model("demanding", tls=demanding) as strict, model("misnamed", tls=misnamed) as other:
        plain = first.url.replace("http:", "https:")
        cases: list[tuple[str, dict[str, object], str]] = [
            (strict.url, {"ca": str(ours.ca), **ours.tls}, ""),
            (strict.url, {"ca": str(others.ca), **ours.tls, "verify": False}, ""),
            (strict.url, {"ca": str(others.ca), **ours.tls}, "tls_failed"),
            (strict.url, ours.tls | {"verify": True}, "tls_failed"),
            # This server resets the connection instead of saying why.
            (strict.url, {"ca": str(ours.ca), **others.tls}, "connect_failed"),
            (strict.url, {"ca": str(ours.ca)}, "connect_failed"),
            (other.url, {"ca": str(ours.ca)}, "tls_failed"),
            (other.url, {"ca": str(ours.ca), "verify": False}, ""),
            (plain, {"ca": str(ours.ca)}, "tls_failed"),
        ]
        written(file, {"upstream": first.url})
        with sidecar("--config", file) as running:
            for url, tls, error in cases:
                written(file, {"variants": {"a": {"url": url, "tls": tls}}})
                running.reload()
                reply = requests.get(running.url, timeout=PATIENCE_S)
                assert reply.json().get("error", {"type": ""})["type"] == error, (url, tls, reply.text)
                assert reply.status_code == (502 if error else 200)


def test_a_client_that_never_shakes_hands_is_dropped(first: Model, ours: Files) -> None:
    flags = [f"--tls-{name}={value}" for name, value in ours.tls.items()]

    with (
        sidecar("--upstream", first.url, *flags, "--timeouts-header-s", "0.1") as running,
        socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as silent,
    ):
        assert silent.recv(1) == b""
