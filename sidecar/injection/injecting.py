"""Whether a sidecar is put into a pod, and how: a pod in, a patch or a reason out; nothing is raised.

A pod that is not understood in full, or in which anything stands in the way, is left as it is: it serves without being
watched, which is better than not to serve.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sidecar import __version__
from sidecar.errors import ConfigError, Fault
from sidecar.injection import marks
from sidecar.injection.containers import ADMIN_PORT, LISTEN_PORT, UID, Settings, init_containers, volumes
from sidecar.injection.meshes import mesh_of
from sidecar.injection.patching import Add
from sidecar.injection.pods import Pod, read
from sidecar.injection.protocols import Spoken, spoken
from sidecar.injection.wishes import Wishes, own_ports, unknown, wishes
from sidecar.records import JSON
from sidecar.texts import shown

SHOWN = 200
"""Characters of a reason: kubectl shows 256 of a warning."""


@dataclass(frozen=True, slots=True)
class Injection:
    """What becomes of a pod.

    Args:
        outcome: `untouched` as it is meant to be; `refused` although a sidecar was asked for.
        told: The reason, or what was put in.
        patch: What to put in; empty unless `injected`.
        warnings: What is not as one may think it is, beside a refusal.
    """

    outcome: Literal["injected", "untouched", "refused"]
    told: str
    patch: Sequence[Add] = ()
    warnings: Sequence[str] = ()


def inject(pod: JSON, settings: Settings, at: str = "") -> Injection:
    """What becomes of this pod.

    Args:
        at: Where it stands in what it is part of: `spec.template`.
    """
    try:
        found = read(pod, at)
    except ConfigError as error:
        return _refused(*map(str, error.faults))
    if _injected(found):
        return Injection("untouched", "injected already")
    decided = _decided(pod, found, settings)
    return replace(decided, warnings=[*decided.warnings, *unknown(found)])


def _decided(pod: JSON, found: Pod, settings: Settings) -> Injection:
    try:
        if reason := _not_meant(found, settings):
            return Injection("untouched", reason)
        asked = wishes(found, mode=settings.mode)
    except ConfigError as error:
        return _refused(*map(str, error.faults))
    if obstacles := [*_obstacles(found, asked)]:
        return _refused(*obstacles)
    told = f"{asked.mode}, port {asked.port}"
    if asked.mode == "plain":
        told += f"; the Service's targetPort has to be {LISTEN_PORT}"
    return Injection("injected", told, [*_patch(pod, found, asked, settings)], [*_cautions(found, asked)])


def _refused(*reasons: str) -> Injection:
    return Injection("refused", shown("; ".join(reasons), SHOWN))


def _not_meant(pod: Pod, settings: Settings) -> str:
    """Why this pod is to have no sidecar; empty where it is to have one.

    Raises:
        ConfigError: It cannot be told.
    """
    asked = pod.annotations.get(marks.INJECT, pod.labels.get(marks.INJECT))
    if asked is None:
        return _silent(pod, settings)
    if asked not in {"true", "false"}:
        raise ConfigError(Fault(marks.INJECT, f"expected true or false, got {shown(asked, 20)!r}"))
    return "" if asked == "true" else f"{marks.INJECT} is false"


def _silent(pod: Pod, settings: Settings) -> str:
    """As above, of a pod that does not say whether: whatever is no model server does not know of us."""
    if settings.unasked == "leave":
        return f"does not ask for it by {marks.INJECT}"
    if settings.unasked == "inject" or not pod.annotations.keys().isdisjoint(marks.ASKING):
        return ""
    ports = set().union(*own_ports(pod).values())
    speaks_http = any(spoken(pod, port, chosen=False).protocol in {"http", "http2"} for port in ports)
    return "" if speaks_http else f"does not ask for it by {marks.INJECT}, and has no port that speaks HTTP"


def _injected(pod: Pod) -> bool:
    return marks.STATUS in pod.annotations and marks.SIDECAR in {each.name for each in pod.spec.every_container}


def _obstacles(pod: Pod, asked: Wishes) -> Iterator[str]:
    """What stands in the way."""
    spec = pod.spec
    if marks.MIRROR in pod.annotations:
        yield "it is the mirror of a kubelet's own pod"
    if spec.host_network:
        yield "it has its node's network (hostNetwork), whose ports are not the pod's alone"
    if (spec.os and spec.os.name != "linux") or (spec.node_selector or {}).get("kubernetes.io/os", "linux") != "linux":
        yield "it is not for Linux"
    names = {each.name for each in spec.every_container}
    if taken := names & {marks.SIDECAR, marks.REDIRECT}:
        yield f"it has a container named {min(taken)} already"
    if taken := {each.name for each in spec.volumes or ()} & {
        marks.STATE_VOLUME,
        marks.CONFIG_VOLUME,
        marks.ADMIN_VOLUME,
    }:
        yield f"it has a volume named {min(taken)} already"
    yield from _meshed(pod, asked)
    ports = {port.container_port for each in spec.every_container for port in each.ports or () if port.tcp}
    if taken_ports := (ports | {asked.port}) & {LISTEN_PORT, ADMIN_PORT}:
        yield f"port {min(taken_ports)} is taken, which the sidecar needs"
    yield from _misunderstood(pod, asked)


def _meshed(pod: Pod, asked: Wishes) -> Iterator[str]:
    mesh = mesh_of(pod)
    if mesh and mesh.takes:
        yield f"{mesh.name} has {mesh.takes} in it, which the sidecar needs"
    elif mesh and asked.mode == "transparent":
        yield f"{mesh.name} redirects its ports already"


def _misunderstood(pod: Pod, asked: Wishes) -> Iterator[str]:
    if asked.mode == "plain" and asked.config:
        return  # the file says what there is to ask, and how
    protocol, by = _spoken(pod, asked)
    if protocol in {"tls", "other"}:
        yield f"port {asked.port} speaks {'TLS' if protocol == 'tls' else 'no HTTP'}: {by}"


def _spoken(pod: Pod, asked: Wishes) -> Spoken:
    return spoken(pod, asked.port, chosen=marks.UPSTREAM_PORT in pod.annotations)


def _cautions(pod: Pod, asked: Wishes) -> Iterator[str]:
    """What is not as one may think it is."""
    protocol, by = _spoken(pod, asked)
    if protocol == "http2":
        yield f"port {asked.port} speaks HTTP/2, which passes and is not observed: {by}"
    if asked.mode == "plain":
        return
    common = pod.spec.security_context
    for each in pod.spec.containers:
        own = each.security_context
        user = own.run_as_user if own and own.run_as_user is not None else common and common.run_as_user
        name = shown(each.name, 63)
        if user == UID:
            yield f"container {name} runs as {UID}: what it asks of its own pod passes no sidecar"
        if each.probed_by_connecting:
            yield f"container {name} has a tcpSocket probe: at port {asked.port} the sidecar takes the connection"


def _patch(pod: JSON, found: Pod, asked: Wishes, settings: Settings) -> Iterator[Add]:
    spec = pod["spec"]
    yield from _put_first("initContainers", spec, init_containers(found, asked, settings))
    yield from _put_last("volumes", spec, volumes(asked))
    status = json.dumps({"version": __version__, "mode": asked.mode, "port": asked.port})
    if found.annotations:
        yield Add(("metadata", "annotations", marks.STATUS), status)
    elif found.metadata is not None:
        yield Add(("metadata", "annotations"), {marks.STATUS: status})
    else:
        yield Add(("metadata",), {"annotations": {marks.STATUS: status}})


def _put_first(name: str, spec: JSON, values: Sequence[JSON]) -> Iterator[Add]:
    if spec.get(name):
        return (Add(("spec", name, str(place)), value) for place, value in enumerate(values))
    return iter([Add(("spec", name), list(values))])


def _put_last(name: str, spec: JSON, values: Sequence[JSON]) -> Iterator[Add]:
    if spec.get(name):
        return (Add(("spec", name, "-"), value) for value in values)
    return iter([Add(("spec", name), list(values))])
