"""What is watched, one kind a file; here the kinds have their names."""

from collections.abc import Callable

from sidecar.monitors.attribution import Attribution
from sidecar.monitors.bias import Bias
from sidecar.monitors.data import Data
from sidecar.monitors.quality import Quality

MONITORS: dict[str, Callable[..., Data | Quality | Bias | Attribution]] = {
    "data": Data,
    "quality": Quality,
    "bias": Bias,
    "attribution": Attribution,
}
"""Every kind of monitor by the name that `monitors[].kind` gives."""
