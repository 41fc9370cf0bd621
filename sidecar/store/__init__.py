"""Where predictions await their labels, one place a file; here the kinds have their names."""

from collections.abc import Callable, Mapping

from sidecar.ports import Store

STORES: Mapping[str, Callable[..., Store]] = {}
"""Every kind of store by the name that `labels.kind` gives."""
