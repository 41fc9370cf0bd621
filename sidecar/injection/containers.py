"""What is put into a pod: the sidecar's container, the one that redirects, their volumes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sidecar.injection.marks import ADMIN_VOLUME, CONFIG_VOLUME, REDIRECT, SIDECAR, STATE_VOLUME
from sidecar.injection.pods import Pod
from sidecar.injection.wishes import Mode, Wishes
from sidecar.records import JSON

UID = 1337
"""As whom the sidecar runs: the image's user, and the one whose connections are not redirected."""

LISTEN_PORT, ADMIN_PORT = 15006, 9901

STATE_FOLDER, CONFIG_FOLDER, ADMIN_FOLDER = "/var/lib/sidecar", "/etc/sidecar", "/etc/sidecar-admin"

DRAIN_AFTER_S = 5
"""Kubernetes tells those who route to a pod that it ends while it tells the pod: they have heard it by then."""

DOWNWARD = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "POD_UID": "metadata.uid",
    "NODE_NAME": "spec.nodeName",
    "HOST_IP": "status.hostIP",
}
"""Variables by the field of the pod that they hold. The last is where a collector of the node's is reached."""


Unasked = Literal["leave", "try", "inject"]
"""What becomes of a pod that says nothing: with `try` it gets a sidecar where it has a port that speaks HTTP."""

MEMORY_LIMIT = "512Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is the same for all pods.

    Args:
        image: The sidecar's.
        mode: Of pods that ask for none.
        unasked: What becomes of pods that say nothing.
        cpu: Request of the sidecar; a limit too where all of the pod's containers have one.
        memory: Request of the sidecar.
        memory_limit: Its limit.
        environment: Further variables of the sidecar; `$(HOST_IP)` and the like stand for what DOWNWARD has.
    """

    image: str
    mode: Mode = "transparent"
    unasked: Unasked = "leave"
    cpu: str = "250m"
    memory: str = "256Mi"
    memory_limit: str = MEMORY_LIMIT
    environment: Mapping[str, str] = field(default_factory=dict)


def init_containers(pod: Pod, wishes: Wishes, settings: Settings) -> list[JSON]:
    """In their order: first clients are led to the sidecar, then it starts, then all that is the pod's own."""
    sidecar = _sidecar(pod, wishes, settings) | _resources(pod, settings.cpu, settings.memory, settings.memory_limit)
    if wishes.mode == "plain":
        return [sidecar]
    # It lives for a moment. A limit of its CPU is the sidecar's: the pod needs no more for it, and starts sooner.
    resources = _resources(pod, settings.cpu if _limited(pod) else "10m", "64Mi", "128Mi")
    return [_redirect(wishes, settings) | resources, sidecar]


def volumes(wishes: Wishes) -> list[JSON]:
    """What the sidecar mounts. The state has no size limit: a pod that exceeds one is evicted, its model with it."""
    found: list[JSON] = [{"name": STATE_VOLUME, "emptyDir": {}}]
    if wishes.config:
        found.append({"name": CONFIG_VOLUME, "configMap": {"name": wishes.config}})
    if wishes.admin_secret:
        items = [{"key": "token", "path": "token"}]
        found.append({"name": ADMIN_VOLUME, "secret": {"secretName": wishes.admin_secret, "items": items}})
    return found


def _redirect(wishes: Wishes, settings: Settings) -> dict[str, JSON]:
    return {
        "name": REDIRECT,
        "image": settings.image,
        "args": ["redirect", "--port", str(wishes.port), "--to", str(LISTEN_PORT), "--uid", str(UID)],
        # That one locks a file: all else is read-only, and this is one for all containers of the pod.
        "env": [{"name": "XTABLES_LOCKFILE", "value": "/dev/shm/xtables.lock"}],
        "securityContext": {
            # Rules need the capabilities, and they are root's: for the moment that this container lives. The second one
            # is what iptables-legacy needs, where the kernel has no nf_tables.
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _sidecar(pod: Pod, wishes: Wishes, settings: Settings) -> dict[str, JSON]:
    return {
        "name": SIDECAR,
        "image": settings.image,
        "args": ["run", *_arguments(wishes)],
        # Of an init container: it runs beside the others, from before they start until after they have ended.
        "restartPolicy": "Always",
        "env": _environment(settings),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _ports(wishes)],
        # What follows waits for this one: were it to ask for the model server, which is what follows, neither would be.
        "startupProbe": _probe("/healthz", period_s=1, failures=120),
        "livenessProbe": _probe("/healthz", period_s=10, failures=3),
        "readinessProbe": _probe("/readyz", period_s=5, failures=3),
        **_lifecycle(pod, wishes.port),
        "securityContext": {
            "runAsUser": UID,
            "runAsGroup": UID,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [*_mounts(wishes)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _arguments(wishes: Wishes) -> Iterator[str]:
    """Flags outweigh the file: ports and probes are as they are said here, whatever it says."""
    if wishes.config:
        yield from ("--config", f"{CONFIG_FOLDER}/sidecar.yaml")
    else:
        yield from ("--upstream", f"http://127.0.0.1:{wishes.port}", "--state", f"{STATE_FOLDER}/state")
    # Both families: what is redirected may come by either.
    yield from ("--listen", f"[::]:{LISTEN_PORT}")
    if wishes.admin_secret:
        yield from ("--admin", f"[::]:{ADMIN_PORT}", "--admin-token-file", f"{ADMIN_FOLDER}/token")
    else:
        yield from ("--admin", f"127.0.0.1:{ADMIN_PORT}")


def _ports(wishes: Wishes) -> Iterator[tuple[str, int]]:
    yield "sidecar", LISTEN_PORT
    if wishes.admin_secret:
        yield "sidecar-admin", ADMIN_PORT


def _environment(settings: Settings) -> list[JSON]:
    downward = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in DOWNWARD.items()]
    # All else is read-only.
    ours = {"CONTAINER_NAME": SIDECAR, "TMPDIR": STATE_FOLDER} | dict(settings.environment)
    return [*downward, *({"name": name, "value": value} for name, value in ours.items())]


def _mounts(wishes: Wishes) -> Iterator[JSON]:
    yield {"name": STATE_VOLUME, "mountPath": STATE_FOLDER}
    if wishes.config:
        yield {"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True}
    if wishes.admin_secret:
        yield {"name": ADMIN_VOLUME, "mountPath": ADMIN_FOLDER, "readOnly": True}


def _probe(path: str, *, period_s: int, failures: int) -> JSON:
    """By a command: the admin side is on loopback, where a kubelet does not come. One without imports, 15 ms each."""
    ask = (
        f"import socket; s = socket.create_connection(('127.0.0.1', {ADMIN_PORT}), 2); "
        rf"s.sendall(b'GET {path} HTTP/1.0\r\n\r\n'); raise SystemExit(b' 200 ' not in s.recv(64))"
    )
    command = {"command": ["python", "-ISc", ask]}
    return {"exec": command, "periodSeconds": period_s, "timeoutSeconds": 3, "failureThreshold": failures}


def _lifecycle(pod: Pod, port: int) -> dict[str, JSON]:
    """To begin to end when the pod does.

    Kubernetes stops a sidecar when all else has ended: clients on kept connections would go on asking for a model that
    has gone. Hooks run at once, in all containers: so the sidecar is told to finish before a model server with a hook
    of its own is stopped, and together with one that has none. The hook outlasts it, since a second signal would end it
    at once. Where containers see each other's processes, ours is not the first, and is stopped last.
    """
    if pod.spec.share_process_namespace:
        return {}
    tell = f"import os, time; time.sleep({_pause_s(pod, port)}); os.kill(1, 15); time.sleep(60)"
    return {"lifecycle": {"preStop": {"exec": {"command": ["python", "-ISc", tell]}}}}


def _pause_s(pod: Pod, port: int) -> int:
    """How long to serve on as if nothing were: half as long as the model server, where that is known."""
    containers = pod.spec.containers
    hooks = [each.before_stop for each in [each for each in containers if each.declares(port)] or containers]
    known = [2 * DRAIN_AFTER_S if hook.sleep is None else hook.sleep.seconds for hook in hooks if hook is not None]
    return min(DRAIN_AFTER_S, *(seconds // 2 for seconds in known)) if len(known) == len(hooks) else 0


def _resources(pod: Pod, cpu: str, memory: str, memory_limit: str) -> dict[str, JSON]:
    """As the pod's containers have them.

    Where all of them are limited, a quota may demand it, and the pod may be one of guaranteed resources: with a
    container of another kind it would be refused, or lose its CPUs. Resources of a pod as a whole are shared.
    """
    if pod.spec.resources:
        return {}
    if _limited(pod):
        limits = {"cpu": cpu, "memory": memory_limit}
        return {"resources": {"requests": dict(limits), "limits": limits}}
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}}


def _limited(pod: Pod) -> bool:
    return all(each.limits("cpu") and each.limits("memory") for each in pod.spec.every_container)
