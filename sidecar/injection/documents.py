"""Kubernetes' YAML: documents in, their pods injected, documents out; where anything changes, without comments."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from yaml import YAMLError

from sidecar.errors import ConfigError, Fault
from sidecar.injection.containers import Settings
from sidecar.injection.go_yaml import dump_all, load_all
from sidecar.injection.injecting import Injection, inject
from sidecar.injection.patching import Add, apply
from sidecar.records import JSON
from sidecar.texts import shown

TEMPLATES: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), ("spec", "template")),
    "ReplicationController": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where the pod stands in each kind that has one."""

NESTED = 8
"""Lists within lists that are looked into."""


class Told(NamedTuple):
    """What became of one pod.

    Args:
        name: `Deployment/fraud`.
    """

    name: str
    injection: Injection


def inject_text(text: str, settings: Settings) -> tuple[str, list[Told]]:
    """The documents with their pods injected, and what became of each; the very text where nothing changes.

    Raises:
        ConfigError: It is not YAML.
    """
    try:
        documents = load_all(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(Fault("", f"expected YAML: {'; '.join(str(error).splitlines())}")) from error
    told: list[Told] = []
    changed = [apply(document, patch) for document in documents for patch in [_patch(document, settings, told)]]
    if not any(each.injection.patch for each in told):
        return text, told
    return dump_all(changed), told


def _patch(document: JSON, settings: Settings, told: list[Told]) -> list[Add]:
    """What to put into a document.

    Args:
        told: What became of each pod is added to it.
    """
    patch: list[Add] = []
    for kind, name, path, pod in _pods(document, (), NESTED):
        injection = inject(pod, settings)
        told.append(Told(shown(f"{kind}/{name}", 200), injection))
        patch += [each._replace(path=(*path, *each.path)) for each in injection.patch]
    return patch


def _pods(document: JSON, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, str, tuple[str, ...], JSON]]:
    """Kind and name of what holds a pod, where the pod stands, and the pod."""
    if not isinstance(document, dict) or not depth:
        return
    kind, items = document.get("kind"), document.get("items")
    if isinstance(kind, str) and kind in TEMPLATES:
        metadata = document.get("metadata")
        name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
        yield kind, str(name), (*path, *TEMPLATES[kind]), _at(document, TEMPLATES[kind])
    elif isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for place, item in enumerate(items):
            yield from _pods(_typed(item, kind), (*path, "items", str(place)), depth - 1)


def _typed(item: JSON, kind: str) -> JSON:
    """Items of a PodList need not say that they are Pods."""
    known = kind.removesuffix("List")
    return {"kind": known, **item} if isinstance(item, dict) and known in TEMPLATES else item


def _at(document: JSON, path: Sequence[str]) -> JSON:
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    return document
