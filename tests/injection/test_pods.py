import pytest

from sidecar.errors import ConfigError
from sidecar.injection.pods import read
from sidecar.records import JSON
from tests.injection.manifests import container, pod


def test_what_is_null_is_not_there() -> None:
    document = {"metadata": {"annotations": None}, "spec": {"containers": [container()], "initContainers": None}}
    found = read(document)

    assert (found.annotations, found.labels, len(found.spec.every_container)) == ({}, {}, 1)


def test_a_port_is_tcp_unless_it_says_otherwise() -> None:
    ports = [{"containerPort": 1}, {"containerPort": 2, "protocol": "TCP"}, {"containerPort": 3, "protocol": "UDP"}]
    found = read(pod(container("model", ports=ports)))

    assert [port.tcp for port in found.spec.containers[0].ports or ()] == [True, True, False]


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({}, "spec"),
        ({"spec": {}}, "containers"),
        (pod(container(ports=[{"containerPort": True}])), "ports[0].containerPort"),
        (pod(container(ports={})), "ports"),
        (pod(hostNetwork="yes"), "hostNetwork"),
        (pod(annotations={"sidecar.internal/upstream-port": 8080}), "annotations"),
        (pod(initContainers=[{}]), "initContainers[0]"),
    ],
)
def test_what_is_no_pod_is_refused_with_its_place(document: JSON, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(document)
    assert where in str(refused.value)
