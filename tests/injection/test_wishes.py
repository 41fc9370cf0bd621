import pytest

from sidecar.errors import ConfigError
from sidecar.injection.pods import read
from sidecar.injection.wishes import Wishes, own_ports, unknown, wishes
from sidecar.records import JSON
from tests.injection.manifests import container, pod


def test_annotations_say_what_is_wished() -> None:
    said = {
        "sidecar.internal/upstream-port": "9000",
        "sidecar.internal/mode": "plain",
        "sidecar.internal/config": "fraud",
        "sidecar.internal/admin-secret": "token",
    }

    assert wishes(read(pod(annotations=said)), mode="transparent") == Wishes(9000, "plain", "fraud", "token")


def test_without_any_the_pod_and_the_settings_do() -> None:
    assert wishes(read(pod()), mode="plain") == Wishes(8080, "plain", "", "")


def test_every_fault_is_told() -> None:
    said = {f"sidecar.internal/{name}": "?" * 100 for name in ("upstream-port", "mode", "config", "admin-secret")}

    with pytest.raises(ConfigError) as refused:
        wishes(read(pod(container("model"), annotations=said)), mode="plain")
    assert len(refused.value.faults) == 4
    assert max(len(fault.message) for fault in refused.value.faults) < 160


@pytest.mark.parametrize(("said", "port"), [("http", 8080), ("metrics", 9090), ("7000", 7000)])
def test_a_port_may_be_told_by_its_name(said: str, port: int) -> None:
    ports = [{"containerPort": 8080, "name": "http"}, {"containerPort": 9090, "name": "metrics"}]
    found = read(pod(container("model", ports=ports), annotations={"sidecar.internal/upstream-port": said}))

    assert wishes(found, mode="plain").port == port


@pytest.mark.parametrize(
    "ports",
    [
        [{"containerPort": 8080, "name": "web"}],
        [{"containerPort": 8080, "name": "http", "protocol": "UDP"}],
        [{"containerPort": 8080, "name": "http"}, {"containerPort": 8081, "name": "http"}],
    ],
)
def test_a_name_that_no_port_has_or_two_have_is_refused_with_those_there_are(ports: list[JSON]) -> None:
    found = read(pod(container("model", ports=ports), annotations={"sidecar.internal/upstream-port": "http"}))

    with pytest.raises(ConfigError, match=r"the name of one TCP port \((web|there is none)\), got 'http'"):
        wishes(found, mode="plain")


def test_ports_of_a_meshs_proxy_are_not_the_pods_own() -> None:
    assert own_ports(read(pod(container("model", 8080), container("istio-proxy", 15090)))) == {None: {8080}}


def test_only_names_of_ours_that_nobody_reads_are_unknown() -> None:
    document = pod(
        annotations={"sidecar.internal/upstream-prt": "1", "sidecar.internal/mode": "plain", "other.dev/config": "x"},
        labels={"sidecar.internal/config": "fraud"},
    )

    assert [*unknown(read(document))] == [
        "annotation sidecar.internal/upstream-prt is not known; did you mean upstream-port?",
        "label sidecar.internal/config is not read; expected an annotation",
    ]
