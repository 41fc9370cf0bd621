"""Who we are to OpenTelemetry: one resource for all that this process exports."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

KUBERNETES = {
    "POD_NAME": "k8s.pod.name",
    "POD_UID": "k8s.pod.uid",
    "POD_NAMESPACE": "k8s.namespace.name",
    "NODE_NAME": "k8s.node.name",
    "CONTAINER_NAME": "k8s.container.name",
}
"""Resource attributes by the environment variables that a pod's specification fills from the downward API."""


def resource_attributes(environ: Mapping[str, str], *, service: str, version: str) -> dict[str, str]:
    """Who we are, where the OTEL_* variables do not say otherwise.

    In a pod the namespace is `service.namespace` too, and `service.instance.id` is `namespace.pod.container`, as
    semconv's k8s-attributes.md derives them.
    """
    attributes = {name: environ[variable] for variable, name in KUBERNETES.items() if environ.get(variable)}
    attributes |= {"service.name": service, "service.version": version}
    if namespace := attributes.get("k8s.namespace.name"):
        attributes["service.namespace"] = namespace
    parts = [attributes.get(f"k8s.{part}.name", "") for part in ("namespace", "pod", "container")]
    if all(parts):
        attributes["service.instance.id"] = ".".join(parts)
    return attributes


def resource(*, service: str, version: str) -> "Resource":
    """The process's resource: what the OTEL_* variables say, then what we are.

    Args:
        service: Our name, where OTEL_SERVICE_NAME does not say another.
        version: Ours.
    """
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    # What is given to `create` wins over the variables, and has to yield to them.
    said = OTELResourceDetector().detect().attributes
    ours = resource_attributes(os.environ, service=service, version=version)
    return Resource.create({name: value for name, value in ours.items() if name not in said})
