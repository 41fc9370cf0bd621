"""Kubernetes' YAML: documents in, their pods injected, documents out; where anything changes, without comments."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

from sidecar.errors import ConfigError, Fault
from sidecar.injection.containers import Settings
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

# What kubectl's reader (YAML 1.1, with additions of 1.2) may take for something else than text, PyYAML's need not.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


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
        documents = [each for each in yaml.load_all(text, _Loader) if each is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(Fault("", f"expected YAML: {'; '.join(str(error).splitlines())}")) from error
    told: list[Told] = []
    changed = [apply(document, patch) for document in documents for patch in [_patch(document, settings, told)]]
    if not any(each.injection.patch for each in told):
        return text, told
    return yaml.dump_all(changed, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000), told


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


class _Loader(yaml.SafeLoader):
    """Reads as the API server does: a date is a text, and 0o644 a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?0o[0-7]+\Z"), list("-+0"))


class _Dumper(yaml.SafeDumper):
    """Writes so that every reader of YAML reads the same."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML calls it so
        """Whatever is written twice is the reader's, and need not be an alias."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    style = None if plain else "|" if "\n" in text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
