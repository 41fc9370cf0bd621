"""Kubernetes' YAML: documents in, their pods injected, documents out, as they were but for what is put in."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from sidecar.errors import ConfigError, Fault
from sidecar.injection.containers import Settings
from sidecar.injection.go_yaml import parts
from sidecar.injection.injecting import Injection, inject
from sidecar.injection.patching import Add
from sidecar.injection.splicing import written
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

SHOWN = 300

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
        found = parts(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(_fault(error, text)) from error
    told: list[Told] = []
    patches = [_patch(each.document, settings, told) for each in found]
    return (written(found, patches) if any(patches) else text), told


def _fault(error: Exception, text: str) -> Fault:
    """What PyYAML says at length, in one line."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        why = ", ".join(each for each in (error.context, error.problem) if each)
    elif isinstance(error, ReaderError):
        where = f"line {text.count(chr(10), 0, error.position) + 1}: "
        why = f"it holds {chr(error.character)!a}" if isinstance(error.character, int) else "it holds no text"
    elif isinstance(error, RecursionError):
        where, why = "", "it is nested too deeply"
    else:
        where, why = "", "something is not what its tag says"
    return Fault("", shown(f"{where}expected YAML, but {why}", SHOWN))


def _patch(document: JSON, settings: Settings, told: list[Told]) -> list[Add]:
    """What to put into a document.

    Args:
        told: What became of each pod is added to it.
    """
    patch: list[Add] = []
    for kind, name, path, pod in _pods(document, (), NESTED):
        injection = inject(pod, settings, at=_place(path))
        told.append(Told(shown(f"{kind}/{name}", 200), injection))
        patch += [each._replace(path=(*path, *each.path)) for each in injection.patch]
    return patch


def _place(path: Sequence[str]) -> str:
    """As faults have it: `items[0].spec.template`."""
    return "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path).removeprefix(".")


def _pods(document: JSON, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, str, tuple[str, ...], JSON]]:
    """Kind and name of what holds a pod, where the pod stands, and the pod."""
    if not isinstance(document, dict) or not depth:
        return
    kind, items = document.get("kind"), document.get("items")
    if isinstance(kind, str) and kind in TEMPLATES:
        metadata = document.get("metadata")
        name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
        yield kind, str(name or "(no name)"), (*path, *TEMPLATES[kind]), _at(document, TEMPLATES[kind])
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
