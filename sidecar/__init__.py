"""A transparent proxy beside any model server that watches the model."""

import importlib

TYPE_CHECKING = False  # as type checkers know it: typing itself would be most of what this import costs
__version__ = "0.1.0"
__all__ = ["__version__", "compare", "read_captures", "scan_captures", "start_run"]

if TYPE_CHECKING:
    from sidecar.report.frames.captured import read_captures, scan_captures
    from sidecar.report.frames.comparing import compare
    from sidecar.runs import start_run
else:
    _MODULES = {
        "compare": "sidecar.report.frames.comparing",
        "read_captures": "sidecar.report.frames.captured",
        "scan_captures": "sidecar.report.frames.captured",
        "start_run": "sidecar.runs",
    }

    def __getattr__(name: str) -> object:
        """What notebooks and training code import from here is loaded when they do: the sidecar itself needs none."""
        if name in _MODULES:
            return getattr(importlib.import_module(_MODULES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
