import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from sidecar.__main__ import main
from sidecar.injection.containers import Settings
from sidecar.injection.injecting import inject
from sidecar.injection.patching import apply
from sidecar.records import JSON
from sidecar.sinks.otlp_resource import KUBERNETES
from tests.injection.manifests import SETTINGS, container, injected, pod, sidecar_of

K8S = Path(__file__).parents[2] / "k8s"
BASE = K8S / "base" / "deployment.yaml"
TRANSPARENT = K8S / "components" / "transparent" / "redirect.yaml"
LIMITED = {"limits": {"cpu": "2", "memory": "4Gi"}}


def flags(document: JSON) -> dict[str, str]:
    arguments = sidecar_of(document)["args"]
    assert arguments[0] == "run"
    return dict(zip(arguments[1::2], arguments[2::2], strict=True))


def redirect_of(document: JSON) -> JSON:
    return document["spec"]["initContainers"][0]


def test_without_a_configuration_it_is_told_all_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    given = flags(injected(pod()))

    assert given == {
        "--upstream": "http://127.0.0.1:8080",
        "--state": "/var/lib/sidecar/state",
        "--listen": "[::]:15006",
        "--admin": "127.0.0.1:9901",
    }
    monkeypatch.delenv("SIDECAR_CONFIG", raising=False)
    del given["--state"]  # a folder of the image's
    assert main(["check", *(word for pair in given.items() for word in pair)]) == 0


def test_with_a_configuration_the_file_says_where_the_model_server_is() -> None:
    changed = injected(pod(annotations={"sidecar.internal/config": "fraud.v1"}))

    assert "--upstream" not in flags(changed)
    assert flags(changed)["--config"] == "/etc/sidecar/sidecar.yaml"
    assert {"name": "sidecar-config", "configMap": {"name": "fraud.v1"}} in changed["spec"]["volumes"]
    assert {"name": "sidecar-config", "mountPath": "/etc/sidecar", "readOnly": True} in sidecar_of(changed)[
        "volumeMounts"
    ]


def test_with_a_secret_the_admin_side_is_open_to_who_knows_it() -> None:
    changed = injected(pod(annotations={"sidecar.internal/admin-secret": "token"}))

    assert flags(changed)["--admin"] == "[::]:9901"
    assert flags(changed)["--admin-token-file"] == "/etc/sidecar-admin/token"
    assert {"name": "sidecar-admin", "containerPort": 9901, "protocol": "TCP"} in sidecar_of(changed)["ports"]
    assert changed["spec"]["volumes"][-1]["secret"]["secretName"] == "token"


def test_the_redirect_is_roots_with_two_capabilities_and_the_sidecar_nobodys_with_none() -> None:
    changed = injected(pod(securityContext={"runAsNonRoot": True}))

    assert redirect_of(changed)["args"] == ["redirect", "--port", "8080", "--to", "15006", "--uid", "1337"]
    assert redirect_of(changed)["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert redirect_of(changed)["securityContext"]["runAsNonRoot"] is False
    assert sidecar_of(changed)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert sidecar_of(changed)["securityContext"]["runAsUser"] == 1337


def test_it_is_told_who_it_is_and_what_the_settings_have() -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://$(HOST_IP):4318"}
    env = sidecar_of(injected(pod(), Settings(image="x", environment=variables)))["env"]
    told = [each["name"] for each in env]

    assert set(KUBERNETES) <= set(told)
    assert told.index("HOST_IP") < told.index("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert env[-1]["value"] == "http://$(HOST_IP):4318"


@pytest.mark.parametrize(
    ("document", "resources"),
    [
        (pod(), {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}),
        # A quota that demands limits, or guaranteed resources: ours are of the same kind.
        (
            pod(container("model", 8080, resources=LIMITED)),
            {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "250m", "memory": "512Mi"}},
        ),
        (
            pod(container("model", 8080, resources=LIMITED), container("logs")),
            {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        ),
    ],
)
def test_resources_are_of_the_kind_that_the_pods_own_are(document: JSON, resources: JSON) -> None:
    changed = injected(document)

    assert sidecar_of(changed)["resources"] == resources


@pytest.mark.parametrize(
    ("own", "resources"),
    [
        ({}, {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}),
        ({"resources": LIMITED}, {name: {"cpu": "250m", "memory": "128Mi"} for name in ("requests", "limits")}),
    ],
)
def test_what_redirects_asks_for_little(own: JSON, resources: JSON) -> None:
    assert redirect_of(injected(pod(container("model", 8080, **own))))["resources"] == resources


def test_the_resources_of_a_whole_pod_are_shared() -> None:
    document = pod(resources={"limits": {"memory": "1Gi"}})
    changed = apply(document, inject(document, SETTINGS).patch)  # the schema of 1.29 has no such field

    assert ["resources" in each for each in changed["spec"]["initContainers"]] == [False, False]


def waiting(**hook: JSON) -> JSON:
    return {"preStop": hook}


@pytest.mark.parametrize(
    ("document", "pause_s"),
    [
        (pod(), 0),
        (pod(container("model", 8080, lifecycle=waiting(sleep={"seconds": 25}))), 5),
        (pod(container("model", 8080, lifecycle=waiting(sleep={"seconds": 5}))), 2),
        (pod(container("model", 8080, lifecycle=waiting(exec={"command": ["/farewell"]}))), 5),
        (pod(container("model", 8080, lifecycle={"postStart": {"exec": {"command": ["/x"]}}})), 0),
        # Whoever does not listen there does not matter.
        (pod(container("model", 8080, lifecycle=waiting(sleep={"seconds": 25})), container("logs")), 5),
        (pod(container("model", 8080), container("logs", lifecycle=waiting(sleep={"seconds": 25}))), 0),
    ],
)
def test_it_says_farewell_with_the_model_server_and_before_one_that_waits(document: JSON, pause_s: int) -> None:
    found = apply(document, inject(document, SETTINGS).patch)  # the schema of 1.29 has no hook that sleeps
    command = sidecar_of(found)["lifecycle"]["preStop"]["exec"]["command"][-1]

    assert f"time.sleep({pause_s}); os.kill(1, 15); " in command


def test_among_processes_that_see_each_other_the_first_one_is_not_ours_to_stop() -> None:
    assert "lifecycle" not in sidecar_of(injected(pod(shareProcessNamespace=True)))


class Page(BaseHTTPRequestHandler):
    """Says what it is told to say."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def admin() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("probe", "well"), [("startupProbe", True), ("livenessProbe", True), ("readinessProbe", False)]
)
def test_probes_ask_what_they_are_for(admin: int, probe: str, well: bool) -> None:
    _, *arguments = sidecar_of(injected(pod()))[probe]["exec"]["command"]
    arguments[-1] = arguments[-1].replace("9901", str(admin))

    assert (subprocess.run([sys.executable, *arguments], check=False, capture_output=True).returncode == 0) == well


def test_a_probe_of_nobody_fails() -> None:
    command = sidecar_of(injected(pod()))["livenessProbe"]["exec"]["command"][-1].replace("9901", "1")

    assert subprocess.run([sys.executable, "-ISc", command], check=False, capture_output=True).returncode


def test_it_is_the_container_of_the_manifests() -> None:
    deployment = yaml.safe_load(BASE.read_text())
    ours = sidecar_of(injected(pod()))
    theirs = sidecar_of(deployment["spec"]["template"])

    for key in ("name", "restartPolicy", "securityContext", "resources"):
        assert ours[key] == theirs[key], key
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert theirs[probe]["httpGet"]["path"] == path
        assert path in ours[probe]["exec"]["command"][-1]
    assert {each["name"] for each in theirs["env"]} - {each["name"] for each in ours["env"]} <= {"OTEL_SERVICE_NAME"}


def test_the_redirect_is_the_one_of_the_manifests() -> None:
    ours = redirect_of(injected(pod()))
    theirs = yaml.safe_load(TRANSPARENT.read_text())[0]["value"]

    for key in ("name", "args", "env", "resources", "securityContext"):
        assert ours[key] == theirs[key], key


def test_a_patch_is_json() -> None:
    assert json.loads(json.dumps(injected(pod())))["kind"] == "Pod"
