"""The webhook as a cluster meets it: a process asked over TLS, whose patches are applied by another's hand."""

import base64
import json
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonpatch
import pytest
import requests
import trustme

from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Process, environment, running, until
from tests.injection.manifests import container, pod, sidecar_of
from tests.injection.manifests import injected as expected
from tests.injection.test_reviews import review
from tests.injection.test_webhook import issue


class Webhook:
    """A running webhook, as the API server knows it."""

    def __init__(self, process: Process, folder: Path, authority: trustme.CA) -> None:
        self.process = process
        self.port = int(process.says(r"answering on \S+:(\d+)$")[1])
        self._ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self._ca))

    def post(self, body: bytes) -> requests.Response:
        return requests.post(
            f"https://localhost:{self.port}/inject", data=body, verify=str(self._ca), timeout=PATIENCE_S
        )

    def review(self, document: JSON) -> JSON:
        reply = self.post(json.dumps(review(document)).encode())
        assert reply.status_code == 200
        return reply.json()["response"]

    @property
    def certificate(self) -> str:
        """What it shows to whoever connects."""
        return ssl.get_server_certificate(("localhost", self.port), timeout=PATIENCE_S)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def webhook(tmp_path: Path, authority: trustme.CA) -> Iterator[Webhook]:
    cert, key = issue(authority, tmp_path)
    command: list[str | Path] = [
        sys.executable, "-m", "sidecar", "inject-webhook", "--listen", "127.0.0.1:0", "--cert", cert, "--key", key,
        "--image", "sidecar:1",
    ]  # fmt: skip
    with running(command, environment()) as process:
        yield Webhook(process, tmp_path, authority)
        process.send(signal.SIGTERM)
        assert process.ends() == 0, process.said
        assert "Traceback" not in process.said, process.said


def silent(document: JSON) -> JSON:
    """A pod that does not ask for a sidecar."""
    del document["metadata"]["annotations"]
    return document


GOLDEN = {
    "plain": (pod(), True, 0),
    "already injected": (expected(pod()), False, 0),
    "several containers": (pod(container("model", 8080), container("logs")), True, 0),
    "several ports": (pod(container("model", 8080), container("metrics", 9090)), False, 1),
    "host network": (pod(hostNetwork=True), False, 1),
    "init containers": (pod(initContainers=[container("fetch")]), True, 0),
    "opted out": (pod(annotations={"sidecar.internal/inject": "false"}), False, 0),
    "says nothing": (silent(pod()), False, 0),
    "with a configuration": (pod(annotations={"sidecar.internal/config": "fraud"}), True, 0),
    "not understood": ({"spec": {"containers": "none"}}, False, 1),
}


def test_golden_pods(webhook: Webhook) -> None:
    for name, (document, injected, warnings) in GOLDEN.items():
        response = webhook.review(document)

        found = ("patch" in response, len(response.get("warnings", [])))
        assert (response["allowed"], *found) == (True, injected, warnings), name
        if injected:
            patch = json.loads(base64.b64decode(response["patch"]))
            changed = jsonpatch.apply_patch(document, patch)
            assert changed == expected(document), name
            assert sidecar_of(changed)["restartPolicy"] == "Always"
            assert "patch" not in webhook.review(changed), name


def test_what_is_no_review_is_refused_and_the_next_one_is_answered(webhook: Webhook) -> None:
    older = review(pod()) | {"apiVersion": "admission.k8s.io/v1beta1"}
    bodies = [b"", b"{", b"\xff" * 1000, b"[" * 100_000, json.dumps(older).encode()]

    assert [webhook.post(body).status_code for body in bodies] == [400] * len(bodies)
    assert webhook.post(b" " * (9 << 20)).status_code == 413
    assert webhook.review(pod())["allowed"]


def test_reviews_at_once_are_answered_each_with_its_own(webhook: Webhook) -> None:
    def ask(number: int) -> bool:
        reply = webhook.post(json.dumps(review(pod(), uid=f"u{number}")).encode())
        return bool(reply.json()["response"]["uid"] == f"u{number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(100)))


def test_another_certificate_comes_into_force_without_a_restart(
    webhook: Webhook, authority: trustme.CA, tmp_path: Path
) -> None:
    first = webhook.certificate
    issue(authority, tmp_path)

    until(lambda: webhook.certificate != first)
    assert webhook.review(pod())["allowed"]


def test_what_is_older_than_tls_1_2_is_not_spoken(webhook: Webhook) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    with socket.create_connection(("localhost", webhook.port), PATIENCE_S) as connection, pytest.raises(ssl.SSLError):
        old.wrap_socket(connection)
