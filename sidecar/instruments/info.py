"""What runs."""

from sidecar.instruments.table import metric
from sidecar.records import Metric


def info_metrics(version: str) -> list[Metric]:
    """What runs."""
    return [metric("sidecar.info", [({"service.version": version}, 1)])]
