"""A pod, as far as it matters to who puts something in: the fields that are read, and nothing else of it.

Names are Kubernetes' own. A field that is null is not there; one of another type than Kubernetes has makes the whole
pod unreadable, as the API server would refuse it.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, ValidationError

from sidecar.errors import ConfigError, Fault
from sidecar.injection.mismatches import fault
from sidecar.records import JSON


class Port(Struct, frozen=True, rename="camel"):
    """A port that a container says it has."""

    container_port: Annotated[int, Meta(ge=1, le=65535)]
    protocol: str | None = None
    name: str | None = None

    @property
    def tcp(self) -> bool:
        """As it is where nothing is said."""
        return (self.protocol or "TCP") == "TCP"


class Security(Struct, frozen=True, rename="camel"):
    """As whom."""

    run_as_user: int | None = None


class Sleep(Struct, frozen=True):
    """A pause."""

    seconds: int


class Hook(Struct, frozen=True):
    """What happens then; a pause, or something of which no one knows how long it takes."""

    sleep: Sleep | None = None


class Hooks(Struct, frozen=True, rename="camel"):
    """What happens around a container."""

    pre_stop: Hook | None = None


class Resources(Struct, frozen=True):
    """What a container may take."""

    limits: Mapping[str, object] | None = None


class HttpGet(Struct, frozen=True):
    """A request over HTTP.

    Args:
        port: Its number, or the name of one of the container's.
    """

    port: int | str
    scheme: str | None = None


class GrpcCall(Struct, frozen=True):
    """One over gRPC."""

    port: int


class Probe(Struct, frozen=True, rename="camel"):
    """How a kubelet finds out whether a container is well."""

    tcp_socket: Mapping[str, object] | None = None
    http_get: HttpGet | None = None
    grpc: GrpcCall | None = None


class Container(Struct, frozen=True, rename="camel"):
    """A container, of any kind."""

    name: str
    ports: tuple[Port, ...] | None = None
    security_context: Security | None = None
    lifecycle: Hooks | None = None
    resources: Resources | None = None
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Those that it has."""
        return tuple(each for each in (self.startup_probe, self.liveness_probe, self.readiness_probe) if each)

    @property
    def probed_by_connecting(self) -> bool:
        """Whether it is well as soon as somebody takes a connection."""
        return any(each.tcp_socket is not None for each in self.probes)

    def declares(self, port: int) -> bool:
        """Whether it says that it listens there."""
        return any(each.tcp and each.container_port == port for each in self.ports or ())

    @property
    def before_stop(self) -> Hook | None:
        """What lets it serve on for a while when its pod ends."""
        return self.lifecycle.pre_stop if self.lifecycle else None

    def limits(self, resource: str) -> bool:
        """Whether it says how much of this it takes at most."""
        return resource in ((self.resources and self.resources.limits) or {})


class Volume(Struct, frozen=True):
    """A volume."""

    name: str


class System(Struct, frozen=True):
    """An operating system."""

    name: str


class Spec(Struct, frozen=True, rename="camel"):
    """What a pod is."""

    containers: Annotated[tuple[Container, ...], Meta(min_length=1)]
    init_containers: tuple[Container, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    host_network: bool | None = None
    os: System | None = None
    node_selector: Mapping[str, str] | None = None
    security_context: Security | None = None
    share_process_namespace: bool | None = None
    resources: Mapping[str, object] | None = None

    @property
    def every_container(self) -> tuple[Container, ...]:
        """Those that prepare, those that accompany and those that serve."""
        return (*(self.init_containers or ()), *self.containers)


class Metadata(Struct, frozen=True, rename="camel"):
    """What a pod is called."""

    name: str | None = None
    generate_name: str | None = None
    annotations: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None


class Pod(Struct, frozen=True):
    """A pod, or the template of pods."""

    spec: Spec
    metadata: Metadata | None = None

    @property
    def annotations(self) -> Mapping[str, str]:
        """None is none."""
        return (self.metadata and self.metadata.annotations) or {}

    @property
    def labels(self) -> Mapping[str, str]:
        """Likewise."""
        return (self.metadata and self.metadata.labels) or {}


def read(document: JSON, at: str = "") -> Pod:
    """The pod that this is.

    Args:
        at: Where it stands in what it is part of: `spec.template`.

    Raises:
        ConfigError: It is none; the fault says where.

    Example:
        >>> read({"spec": {"containers": [{"name": "model"}], "dnsPolicy": "Default"}}).spec.containers[0].name
        'model'
        >>> read({"spec": {"containers": 7}})
        Traceback (most recent call last):
        sidecar.errors.ConfigError: spec.containers: expected a list, got a whole number
    """
    try:
        return msgspec.convert(document, Pod)
    except ValidationError as error:
        raise ConfigError(fault(error, at)) from error
    except RecursionError as error:
        raise ConfigError(Fault(at, "nested too deeply")) from error
