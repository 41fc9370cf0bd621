"""What a port speaks, as far as a pod tells: by who probes it, by its name, by its number.

A sidecar put before something that is not HTTP would answer 400 to whatever comes; before TLS, too, since it has not
the certificate. (Istio's names, `<protocol>[-<suffix>]`, are of a Service's ports; people use them for a container's.
`appProtocol` is a Service's alone.)
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sidecar.injection.marks import UPSTREAM_PORT
from sidecar.injection.pods import Pod, Probe

Protocol = Literal["http", "http2", "tls", "other"]

TLS = {"https", "tls", "ssl", "mtls", "grpcs", "wss"}
"""Words of names: whatever they stand beside is encrypted."""

HTTP2 = {"grpc", "h2c", "http2"}

OTHER = {
    "amqp", "bolt", "cassandra", "cql", "dns", "ftp", "jdbc", "kafka", "ldap", "memcache", "memcached", "mongo",
    "mongodb", "mqtt", "mssql", "mysql", "nats", "pgsql", "postgres", "postgresql", "redis", "rtsp", "sftp", "smtp",
    "ssh", "tcp", "thrift", "zookeeper",
}  # fmt: skip
"""First words of names. Where the name says `tcp`, somebody has said that it is nothing more."""

NUMBERS: dict[int, Protocol] = {
    **dict.fromkeys((443, 465, 636, 993, 995, 5671, 6443, 8443, 8883), "tls"),
    **dict.fromkeys(
        (22, 25, 53, 389, 587, 1433, 1521, 1883, 2181, 3306, 4222, 5432, 5672, 6379, 7687, 9042, 9092, 11211, 27017),
        "other",
    ),
    50051: "http2",
}  # fmt: skip
"""What is usual. The numbers of which anybody makes use for HTTP as well are not here."""


class Spoken(NamedTuple):
    """What a port speaks.

    Args:
        protocol: HTTP/1 where nothing says otherwise.
        by: What tells; empty where nothing does.
    """

    protocol: Protocol
    by: str = ""


def spoken(pod: Pod, port: int, *, chosen: bool) -> Spoken:
    """What this port speaks.

    Args:
        chosen: Whether somebody has said that it is the model server's, who knows better than what its number tells.
    """
    told = [*_probed(pod, port)] or [*_named(pod, port)] or ([] if chosen else [*_numbered(port)])
    # Whatever is in the way counts more than what is not.
    return max(told, key=lambda each: ("http", "http2", "other", "tls").index(each.protocol), default=Spoken("http"))


def _probed(pod: Pod, port: int) -> Iterator[Spoken]:
    for container in pod.spec.every_container:
        names = {each.name: each.container_port for each in container.ports or ()}
        for probe in container.probes:
            yield from _asked(probe, port, names)


def _asked(probe: Probe, port: int, names: dict[str | None, int]) -> Iterator[Spoken]:
    http, grpc = probe.http_get, probe.grpc
    if http and port in {http.port, names.get(str(http.port))}:
        scheme = http.scheme or "HTTP"
        yield Spoken("tls" if scheme == "HTTPS" else "http", f"a probe asks it by {scheme}")
    if grpc and grpc.port == port:
        yield Spoken("http2", "a probe asks it by gRPC")


def _named(pod: Pod, port: int) -> Iterator[Spoken]:
    declared = [each for container in pod.spec.every_container for each in container.ports or ()]
    for name in (each.name for each in declared if each.tcp and each.container_port == port and each.name):
        words = name.split("-")
        by = f"it is named {name}"
        if not TLS.isdisjoint(words):
            yield Spoken("tls", by)
        elif words[0] in HTTP2:
            yield Spoken("http2", by)
        elif words[0] in OTHER:
            yield Spoken("other", by)


def _numbered(port: int) -> Iterator[Spoken]:
    if port in NUMBERS:
        yield Spoken(NUMBERS[port], f"by its number; {UPSTREAM_PORT} would say otherwise")
