import pytest

from sidecar.sinks.otlp_resource import resource, resource_attributes

POD = {
    "POD_NAME": "model-7d9f",
    "POD_UID": "0a1b",
    "POD_NAMESPACE": "fraud",
    "NODE_NAME": "node-3",
    "CONTAINER_NAME": "sidecar",
}
OURS = {"service.name": "scorer", "service.version": "1.2.3"}


@pytest.mark.parametrize(
    ("environ", "attributes"),
    [
        ({}, OURS),
        ({"POD_NAME": "", "PATH": "/bin"}, OURS),
        ({"POD_NAME": "a", "NODE_NAME": "b"}, OURS | {"k8s.pod.name": "a", "k8s.node.name": "b"}),
        ({"POD_NAMESPACE": "n"}, OURS | {"k8s.namespace.name": "n", "service.namespace": "n"}),
        (
            POD,
            OURS
            | {
                "k8s.pod.name": "model-7d9f",
                "k8s.pod.uid": "0a1b",
                "k8s.namespace.name": "fraud",
                "k8s.node.name": "node-3",
                "k8s.container.name": "sidecar",
                "service.namespace": "fraud",
                "service.instance.id": "fraud.model-7d9f.sidecar",
            },
        ),
    ],
)
def test_the_downward_api_names_the_resource(environ: dict[str, str], attributes: dict[str, str]) -> None:
    assert resource_attributes(environ, service="scorer", version="1.2.3") == attributes


def test_all_that_a_process_exports_is_one_resource() -> None:
    assert resource(service="scorer", version="1.2.3") == resource(service="scorer", version="1.2.3")


def test_the_standard_variables_outweigh_the_downward_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fraud")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=mine,team=risk")
    for name, value in POD.items():
        monkeypatch.setenv(name, value)
    attributes = resource(service="scorer", version="1.2.3").attributes
    expected = {"service.name": "fraud", "service.version": "1.2.3", "k8s.pod.name": "mine", "team": "risk"}
    assert {name: attributes[name] for name in expected} == expected
    assert attributes["k8s.node.name"] == "node-3"
