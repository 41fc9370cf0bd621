"""What a pod's annotations ask for, read and checked before anything is put in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from sidecar.errors import ConfigError, Fault
from sidecar.injection.marks import ADMIN_SECRET, CONFIG, MODE, UPSTREAM_PORT
from sidecar.injection.meshes import CONTAINERS
from sidecar.injection.pods import Pod
from sidecar.texts import shown

Mode = Literal["transparent", "plain"]

SHOWN = 60
"""Characters of an annotation's value in a refusal."""

_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PORT = re.compile("[1-9][0-9]{0,4}")


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
    if faults := [*_faults(given)]:
        raise ConfigError(*faults)
    asked = cast("Mode", given.get(MODE, mode))
    return Wishes(_port(pod), asked, given.get(CONFIG, ""), given.get(ADMIN_SECRET, ""))


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
    if UPSTREAM_PORT in given and not is_port(given[UPSTREAM_PORT]):
        yield _fault(UPSTREAM_PORT, given, "a number from 1 to 65535")


def _fault(name: str, given: Mapping[str, str], expected: str) -> Fault:
    return Fault(name, f"expected {expected}, got {shown(given[name], SHOWN)!r}")


def _port(pod: Pod) -> int:
    """The one that is named, or the only one that there is: which of several is the model's is not ours to guess."""
    if UPSTREAM_PORT in pod.annotations:
        return int(pod.annotations[UPSTREAM_PORT])
    own = [each for each in pod.spec.containers if each.name not in CONTAINERS]
    ports = {port.container_port for each in own for port in each.ports or () if port.tcp}
    if len(ports) != 1:
        declared = ", ".join(map(str, sorted(ports))) or "none"
        raise ConfigError(Fault(UPSTREAM_PORT, f"missing; needed where a pod declares not one TCP port but {declared}"))
    return ports.pop()
