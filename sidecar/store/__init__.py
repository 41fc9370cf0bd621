"""Where predictions await their labels, one place a file; here the kinds have their names."""

from collections.abc import Callable

from sidecar.ports import Store
from sidecar.store.redis import Redis
from sidecar.store.sqlite import Sqlite

STORES: dict[str, Callable[..., Store]] = {"sqlite": Sqlite, "redis": Redis}
"""Every kind of store by the name that `labels.kind` gives."""
