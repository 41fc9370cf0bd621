"""Pods to put something in, and what the API server would make of them."""

import copy

import jsonpatch
import kubernetes_validate

from sidecar.injection.containers import Settings
from sidecar.injection.injecting import Injection, inject
from sidecar.records import JSON

SETTINGS = Settings(image="sidecar:1")
ASKED = {"sidecar.internal/inject": "true"}
VERSION = "1.29"
"""The first Kubernetes in which native sidecars are on by default."""


def container(name: str = "model", *ports: int, **more: JSON) -> JSON:
    declared: JSON = {"ports": [{"containerPort": port} for port in ports]} if ports else {}
    return {"name": name, "image": f"{name}:1", **declared, **more}


def pod(*containers: JSON, annotations: JSON = None, labels: JSON = None, **spec: JSON) -> JSON:
    """A pod that asks for a sidecar, with a model server on port 8080, unless told otherwise."""
    metadata = {"name": "fraud", "annotations": ASKED | (annotations or {}), "labels": labels or {}}
    spec = {"containers": list(containers) or [container("model", 8080)], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def injected(document: JSON, settings: Settings = SETTINGS) -> JSON:
    """The pod with its patch, applied by another's hand to a copy, and found good by Kubernetes' own schema."""
    found = inject(document, settings)
    assert found.outcome == "injected", found
    return patched(document, found)


def patched(document: JSON, found: Injection) -> JSON:
    changed = jsonpatch.apply_patch(copy.deepcopy(document), [each.document for each in found.patch])
    kubernetes_validate.validate(changed, VERSION, strict=True)
    return changed


def sidecar_of(document: JSON) -> JSON:
    """The container that was put in."""
    return next(each for each in document["spec"]["initContainers"] if each["name"] == "sidecar")
