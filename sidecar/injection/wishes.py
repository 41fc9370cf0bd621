"""What a pod's annotations ask for, read and checked before anything is put in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from sidecar.config.reading import nearest
from sidecar.errors import ConfigError, Fault
from sidecar.injection.marks import ADMIN_SECRET, ASKING, CONFIG, INJECT, MODE, PREFIX, STATUS, UPSTREAM_PORT
from sidecar.injection.meshes import CONTAINERS
from sidecar.injection.pods import Pod
from sidecar.texts import shown

Mode = Literal["transparent", "plain"]

SHOWN = 60
"""Characters of an annotation's value in a refusal."""

_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PORT = re.compile("[1-9][0-9]{0,4}")

Ports = dict[str | None, set[int]]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be put in.

    Args:
        port: Where the model server listens.
        mode: `transparent` redirects its port to the sidecar; with `plain` somebody else leads clients there.
        config: Name of a ConfigMap; empty for none.
        admin_secret: Name of a Secret; likewise.
    """

    port: int
    mode: Mode
    config: str
    admin_secret: str


def wishes(pod: Pod, *, mode: Mode) -> Wishes:
    """What this pod asks for.

    Args:
        mode: Where it asks for none.

    Raises:
        ConfigError: What it asks for cannot be; with every fault.
    """
    given = pod.annotations
    faults = [*_faults(given)]
    try:
        port = _port(pod)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(*faults)
    asked = cast("Mode", given.get(MODE, mode))
    return Wishes(port, asked, given.get(CONFIG, ""), given.get(ADMIN_SECRET, ""))


def is_port(text: str) -> bool:
    """Whether it is a port's number.

    Example:
        >>> [is_port(each) for each in ("8080", "0", "65536", "http", "08")]
        [True, False, False, False, False]
    """
    return bool(_PORT.fullmatch(text)) and int(text) <= 65535


def _faults(given: Mapping[str, str]) -> Iterator[Fault]:
    for name in (CONFIG, ADMIN_SECRET):
        if name in given and not _SUBDOMAIN.fullmatch(given[name]):
            yield _fault(name, given, "the name of an object (RFC 1123)")
    if MODE in given and given[MODE] not in {"transparent", "plain"}:
        yield _fault(MODE, given, "transparent or plain")


def _fault(name: str, given: Mapping[str, str], expected: str) -> Fault:
    return Fault(name, f"expected {expected}, got {shown(given[name], SHOWN)!r}")


def own_ports(pod: Pod) -> Ports:
    """The TCP ports that the pod's containers declare, by name, None for none; without those of a mesh's proxy."""
    found: Ports = {}
    for container in pod.spec.containers:
        for port in container.ports or () if container.name not in CONTAINERS else ():
            if port.tcp:
                found.setdefault(port.name, set()).add(port.container_port)
    return found


def _port(pod: Pod) -> int:
    """The one that is named, or the only one that there is: which of several is the model's is not ours to guess."""
    named = own_ports(pod)
    ports = sorted(set().union(*named.values()))
    if UPSTREAM_PORT in pod.annotations:
        return _chosen(pod.annotations, named)
    if len(ports) != 1:
        declared = ", ".join(map(str, ports)) or "none"
        raise ConfigError(Fault(UPSTREAM_PORT, f"missing; needed where a pod declares not one TCP port but {declared}"))
    return ports[0]


def _chosen(given: Mapping[str, str], named: Ports) -> int:
    said = given[UPSTREAM_PORT]
    if is_port(said):
        return int(said)
    meant = named.get(said, set())
    if len(meant) != 1:
        names = ", ".join(sorted(name for name, ports in named.items() if name and len(ports) == 1)) or "there is none"
        expected = f"a number from 1 to 65535 or the name of one TCP port ({shown(names, SHOWN)})"
        raise ConfigError(_fault(UPSTREAM_PORT, given, expected))
    return min(meant)


def unknown(pod: Pod) -> Iterator[str]:
    """What a pod says under our name, and nobody hears."""
    known = [each.removeprefix(f"{PREFIX}/") for each in ASKING]
    expected = f"; expected one of {', '.join(known)}"
    for name in _ours(pod.annotations):
        if name not in {*ASKING, STATUS}:
            likely = nearest(name.removeprefix(f"{PREFIX}/"), known)
            yield f"annotation {shown(name, SHOWN)} is not known{likely or expected}"
    for name in _ours(pod.labels):
        if name != INJECT:
            yield f"label {shown(name, SHOWN)} is not read; expected an annotation"


def _ours(said: Mapping[str, str]) -> list[str]:
    return [name for name in said if name.startswith(f"{PREFIX}/")]
