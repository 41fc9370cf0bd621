"""What is watched, one kind a file; here the kinds have their names."""

from collections.abc import Callable

from sidecar.monitors.data import Data

MONITORS: dict[str, Callable[..., Data]] = {"data": Data}
"""Every kind of monitor by the name that `monitors[].kind` gives."""
