"""Where pods share their routing, one place a file; here the kinds have their names."""

from collections.abc import Callable

from sidecar.fleet.configmap import ConfigMap
from sidecar.ports import Fleet

FLEETS: dict[str, Callable[..., Fleet]] = {"kubernetes": ConfigMap}
"""Every kind of place by the name that `fleet.kind` gives."""
