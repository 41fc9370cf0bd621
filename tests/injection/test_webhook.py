import asyncio
import io
import json
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme
import yaml
from aiohttp import ClientSession, TCPConnector
from aiohttp.test_utils import TestClient, TestServer

from sidecar.config.addresses import SocketAddress
from sidecar.injection import webhook
from sidecar.injection.webhook import MAX_REVIEW_BYTES, Certificate, application, serve
from sidecar.sockets import listening
from tests.injection.manifests import SETTINGS, pod
from tests.injection.test_reviews import review

LOG = "sidecar.injection.webhook"
K8S = Path(__file__).parents[2] / "k8s"


def issue(authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    """Files of a fresh certificate, in place of those that are there."""
    issued = authority.issue_cert("localhost")
    cert, key = folder / "tls.crt", folder / "tls.key"
    cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    return cert, key


async def talk(work: Callable[[TestClient], Awaitable[None]]) -> None:  # type: ignore[type-arg]  # generic of late
    async with TestClient(TestServer(application(SETTINGS))) as client:
        await work(client)


def test_a_review_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def work(client: TestClient) -> None:  # type: ignore[type-arg]
        reply = await client.post("/inject", json=review(pod()))
        assert (reply.status, reply.content_type) == (200, "application/json")
        assert (await reply.json())["response"]["patchType"] == "JSONPatch"
        await client.post("/inject", json=review(pod(hostNetwork=True)))

    with caplog.at_level(logging.INFO, LOG):
        asyncio.run(talk(work))

    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told[0] == ("INFO", "serving/fraud: injected: transparent, port 8080")
    assert told[1][0] == "WARNING"
    assert told[1][1].startswith("serving/fraud: refused: it has its node's network")
    assert told[1][1].count("hostNetwork") == 1


@pytest.mark.parametrize(("name", "patched"), [("namespaces", True), ("pods", False)])
def test_a_namespace_that_wants_it_gets_it_for_pods_that_say_nothing(name: str, patched: bool) -> None:
    (configuration,) = yaml.safe_load_all((K8S / "inject" / "webhook.yaml").read_text())
    hooks = {
        each["name"].partition(".")[0]: each["clientConfig"]["service"]["path"] for each in configuration["webhooks"]
    }
    says_nothing = pod()
    del says_nothing["metadata"]["annotations"]

    async def work(client: TestClient) -> None:  # type: ignore[type-arg]
        reply = await client.post(hooks[name], json=review(says_nothing))
        assert ("patch" in (await reply.json())["response"]) == patched

    asyncio.run(talk(work))


def test_what_is_no_review_is_refused_with_the_reason() -> None:
    async def work(client: TestClient) -> None:  # type: ignore[type-arg]
        bad = await client.post("/inject", data=b"{")
        large = await client.post("/inject", data=io.BytesIO(bytes(MAX_REVIEW_BYTES + 1)))
        told = [bad.status, large.status, (await client.get("/inject")).status, (await client.get("/healthz")).status]
        assert told == [400, 413, 405, 200]
        assert "no JSON" in await bad.text()

    asyncio.run(talk(work))


def test_who_sends_half_a_review_waits_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "READ_S", 0.02)

    async def work(client: TestClient) -> None:  # type: ignore[type-arg]
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()
        await writer.wait_closed()

    asyncio.run(talk(work))


def test_a_review_comes_over_tls_and_an_end_waits_for_nobody(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = Certificate(*issue(authority, tmp_path))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def work() -> int:
        stop = asyncio.Event()
        with listening(SocketAddress("127.0.0.1", 0)) as bound:
            serving = asyncio.create_task(serve(application(SETTINGS), bound, certificate, stop))
            url = f"https://localhost:{bound.getsockname()[1]}/inject"
            async with (
                ClientSession(connector=TCPConnector(ssl=trusting)) as http,
                http.post(url, data=json.dumps(review(pod()))) as reply,
            ):
                status = reply.status
            stop.set()
            await serving
        return status

    assert asyncio.run(work()) == 200
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_certificate_is_renewed_when_its_files_change_and_half_a_pair_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = trustme.CA()
    cert, key = issue(authority, tmp_path)
    certificate = Certificate(cert, key)
    old = cert.read_bytes()

    with caplog.at_level(logging.INFO, LOG):
        certificate.renew()
        assert caplog.messages == []
        issue(authority, tmp_path)
        fresh = cert.read_bytes()
        cert.write_bytes(old)
        certificate.renew()
        certificate.renew()
        refused = shown(certificate, authority)
        cert.write_bytes(fresh)
        certificate.renew()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert refused == ssl.PEM_cert_to_DER_cert(old.decode().partition("-----END")[0] + "-----END CERTIFICATE-----\n")
    assert shown(certificate, authority) != refused


def shown(certificate: Certificate, authority: trustme.CA) -> bytes | None:
    """The certificate that a client gets to see, in DER."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert(binary_form=True)


def test_both_families_are_served_where_every_address_is_asked_for() -> None:
    with listening(SocketAddress("::", 0)) as bound:
        port = bound.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5).close()
