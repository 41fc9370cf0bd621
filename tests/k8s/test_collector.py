"""The collectors' configurations hang together."""

from pathlib import Path

import pytest
import yaml

from sidecar.records import JSON
from tests.k8s.rig import FOLDER, documents, one

FILES = sorted((FOLDER / "otel-collector").glob("*.yaml"))

# Of otel/opentelemetry-collector, the smaller of the two images.
IN_THE_IMAGE = {
    "extensions": {"health_check"},
    "receivers": {"otlp"},
    "processors": {"memory_limiter", "batch"},
    "exporters": {"otlp_grpc", "otlp_http", "debug"},
}


def configuration(path: Path) -> JSON:
    return yaml.safe_load(one(documents(path), "ConfigMap")["data"]["collector.yaml"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_component_is_defined_used_and_in_the_image(path: Path) -> None:
    found = configuration(path)
    service = found["service"]
    for kind, there in IN_THE_IMAGE.items():
        used = set(service["extensions"]) if kind == "extensions" else set()
        for pipeline in service["pipelines"].values():
            used |= set(pipeline.get(kind, []))
        assert used == set(found[kind])
        assert {name.partition("/")[0] for name in used} <= there


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_three_signals_pass(path: Path) -> None:
    pipelines = configuration(path)["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics", "logs"}
    for pipeline in pipelines.values():
        # It can only refuse what has not been taken yet.
        assert pipeline["processors"][0] == "memory_limiter"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ports_are_those_of_the_container(path: Path) -> None:
    workload = next(each for each in documents(path) if each["kind"] in {"DaemonSet", "Deployment"})
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    protocols = configuration(path)["receivers"]["otlp"]["protocols"]
    listened = {int(each["endpoint"].rpartition(":")[2]) for each in protocols.values()}
    health = int(configuration(path)["extensions"]["health_check"]["endpoint"].rpartition(":")[2])

    assert {each["containerPort"] for each in container["ports"]} == listened
    assert container["readinessProbe"]["httpGet"]["port"] == health


def test_agents_send_where_the_gateway_listens() -> None:
    agent, gateway = (configuration(FOLDER / "otel-collector" / f"{name}.yaml") for name in ("agent", "gateway"))
    service = one(documents(FOLDER / "otel-collector" / "gateway.yaml"), "Service")
    where = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"

    assert agent["exporters"]["otlp_grpc"]["endpoint"] == f"dns:///{where}:4317"
    assert gateway["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")
