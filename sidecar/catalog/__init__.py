"""Where versions, their runs and deployments are written down, one place a file; here the kinds have their names."""

from collections.abc import Callable

from sidecar.catalog.mlflow import Mlflow
from sidecar.catalog.sqlite import Sqlite
from sidecar.ports import Catalog

CATALOGS: dict[str, Callable[..., Catalog]] = {"sqlite": Sqlite, "mlflow": Mlflow}
"""Every kind of catalogue by the name that `catalog.kind` gives."""
