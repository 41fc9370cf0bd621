"""Service meshes: who leads a pod's connections through a proxy of their own, and what that one needs in the pod.

A port that two redirect is led to whoever comes first, and the other sees nothing: so none of ours is redirected there.
Where the mesh's proxy has a port of ours, one of the two cannot even start. Cilium is not here: its proxy is the
node's, and a pod does not see it.

References: istio.io/latest/docs/ops/deployment/application-requirements, and for Istio's ambient mode
istio.io/latest/docs/ambient/architecture/traffic-redirection (ztunnel listens within the pod);
linkerd.io/2/reference/proxy-configuration; Kuma's app/kuma-cp (redirectPortInbound, adminPort).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.injection.pods import Pod


@dataclass(frozen=True, slots=True)
class Mesh:
    """One of them.

    Args:
        name: Its own.
        containers: One of these in a pod tells that the pod is in it.
        asking: Labels and annotations by which a pod asks to be, each with what it says then.
        takes: What its proxy has in the pod and the sidecar needs; empty where the two have nothing in common.
    """

    name: str
    containers: frozenset[str]
    asking: Mapping[str, frozenset[str]] = field(default_factory=dict)
    takes: str = ""


_YES = frozenset({"true", "enabled"})

MESHES = (
    Mesh(
        "Istio",
        frozenset({"istio-proxy", "istio-init", "istio-validation"}),
        {
            "sidecar.istio.io/inject": _YES,
            "istio.io/dataplane-mode": frozenset({"ambient"}),
            "ambient.istio.io/redirection": _YES,
        },
        "port 15006 and user 1337",
    ),
    Mesh(
        "Kuma",
        frozenset({"kuma-sidecar", "kuma-init"}),
        {"kuma.io/sidecar-injection": _YES},
        "ports 15006 and 9901",
    ),
    # Its proxy is called envoy, as many another is.
    Mesh(
        "App Mesh",
        frozenset({"proxyinit"}),
        {"appmesh.k8s.aws/sidecarInjectorWebhook": _YES},
        "port 9901 and user 1337",
    ),
    Mesh(
        "Linkerd",
        frozenset({"linkerd-proxy", "linkerd-init", "linkerd-network-validator"}),
        {"linkerd.io/inject": frozenset({"enabled", "ingress"})},
    ),
    Mesh(
        "Consul",
        frozenset({"consul-dataplane", "envoy-sidecar", "consul-connect-inject-init"}),
        {"consul.hashicorp.com/connect-inject": _YES},
    ),
    Mesh("Open Service Mesh", frozenset({"osm-init"}), {"openservicemesh.io/sidecar-injection": _YES}),
)

CONTAINERS: frozenset[str] = frozenset().union(*(each.containers for each in MESHES))
"""All of theirs: what such a one listens at is no model server's."""


def mesh_of(pod: Pod) -> Mesh | None:
    """The one that this pod is in, or asks to be in: whose turn comes first is not the pod's to know."""
    return next((each for each in MESHES if _in(pod, each)), None)


def _in(pod: Pod, mesh: Mesh) -> bool:
    asked = any(
        said.get(key) in values for key, values in mesh.asking.items() for said in (pod.labels, pod.annotations)
    )
    return asked or not mesh.containers.isdisjoint(each.name for each in pod.spec.every_container)
