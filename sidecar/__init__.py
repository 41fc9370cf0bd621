"""A transparent proxy beside any model server that watches the model."""

import importlib

TYPE_CHECKING = False  # as type checkers know it: typing itself would be most of what this import costs
__version__ = "0.1.0"
__all__ = ["__version__", "start_run"]

if TYPE_CHECKING:
    from sidecar.runs import start_run
else:

    def __getattr__(name: str) -> object:
        """What training code imports from here is loaded when it does: the sidecar itself needs none of it."""
        if name == "start_run":
            return importlib.import_module("sidecar.runs").start_run
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
