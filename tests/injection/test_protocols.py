import pytest

from sidecar.injection.pods import read
from sidecar.injection.protocols import NUMBERS, Protocol, spoken
from sidecar.records import JSON
from tests.injection.manifests import container, pod


def named(name: str | None, number: int = 7000, **more: JSON) -> JSON:
    return container("model", ports=[{"containerPort": number, "name": name}], **more)


def protocol(document: JSON, port: int = 7000, *, chosen: bool = False) -> Protocol:
    return spoken(read(document), port, chosen=chosen).protocol


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "http"), ("http", "http"), ("http1", "http"), ("web", "http"), ("rest-api", "http"), ("metrics", "http"),
        ("http-tcp", "http"), ("redisearch", "http"), ("user-port", "http"),
        ("https", "tls"), ("tls", "tls"), ("tls-grpc", "tls"), ("grpc-tls", "tls"), ("https-web", "tls"),
        ("wss", "tls"),
        ("grpc", "http2"), ("grpc-web", "http2"), ("h2c", "http2"), ("http2-predict", "http2"),
        ("tcp", "other"), ("tcp-predict", "other"), ("postgres", "other"), ("redis", "other"),
        ("kafka-broker", "other"),
        ("mysql", "other"), ("mongo", "other"),
    ],
)  # fmt: skip
def test_a_ports_name_tells_what_it_speaks(name: str | None, expected: Protocol) -> None:
    assert protocol(pod(named(name))) == expected
    assert protocol(pod(named(name)), chosen=True) == expected


@pytest.mark.parametrize(("number", "expected"), [*NUMBERS.items(), (80, "http"), (8080, "http"), (8501, "http")])
def test_an_unnamed_port_is_what_is_usual_unless_it_was_chosen(number: int, expected: Protocol) -> None:
    document = pod(container("model", number))

    assert protocol(document, number) == expected
    assert protocol(document, number, chosen=True) == "http"


@pytest.mark.parametrize("kind", ["startupProbe", "livenessProbe", "readinessProbe"])
@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"httpGet": {"port": 7000, "scheme": "HTTPS"}}, "tls"),
        ({"httpGet": {"port": "predict", "scheme": "HTTPS"}}, "tls"),
        ({"httpGet": {"port": 7000}}, "http"),
        ({"httpGet": {"port": 7000, "scheme": None}}, "http"),
        ({"grpc": {"port": 7000}}, "http2"),
        ({"httpGet": {"port": 7001, "scheme": "HTTPS"}}, "http"),
        ({"httpGet": {"port": "other", "scheme": "HTTPS"}}, "http"),
        ({"grpc": {"port": 7001}}, "http"),
        ({"tcpSocket": {"port": 7000}}, "http"),
    ],
)
def test_who_probes_a_port_knows_what_it_speaks(kind: str, probe: JSON, expected: Protocol) -> None:
    assert protocol(pod(named("predict", **{kind: probe}))) == expected


def test_a_probe_by_http_outweighs_name_and_number() -> None:
    probe = {"httpGet": {"port": 6379}}

    assert protocol(pod(named("tcp-predict", 6379, readinessProbe=probe)), 6379) == "http"


def test_a_named_port_of_a_probe_is_of_its_own_container() -> None:
    other = container("other", ports=[{"containerPort": 7001, "name": "predict"}])
    probe = {"httpGet": {"port": "predict", "scheme": "HTTPS"}}

    assert protocol(pod(named("predict"), other | {"livenessProbe": probe})) == "http"


def test_what_is_in_the_way_counts_most_wherever_it_is_said() -> None:
    ports = [{"containerPort": 7000, "name": each} for each in ("http", "grpc", "postgres")]
    by_name = pod(container("model", ports=ports))
    by_probe = pod(named(None, livenessProbe={"httpGet": {"port": 7000}}, readinessProbe={"grpc": {"port": 7000}}))

    assert (protocol(by_name), protocol(by_probe)) == ("other", "http2")


def test_a_port_of_udp_says_nothing_of_the_one_of_tcp() -> None:
    ports = [{"containerPort": 7000, "name": "dns", "protocol": "UDP"}, {"containerPort": 7000, "name": "http"}]

    assert protocol(pod(container("model", ports=ports))) == "http"
