"""What turns the sidecar's state into metrics: one module a subject, and the table of all that is exported."""

from sidecar.instruments.alerts import alert_metrics
from sidecar.instruments.attribution import attribution_metrics
from sidecar.instruments.bias import bias_metrics
from sidecar.instruments.captures import CaptureCounts, capture_metrics
from sidecar.instruments.drift import watch_metrics
from sidecar.instruments.experiments import experiment_metrics
from sidecar.instruments.info import info_metrics
from sidecar.instruments.labels import label_metrics
from sidecar.instruments.outlets import Outlet, SinkOutlet, export_metrics, sink_metrics
from sidecar.instruments.quality import quality_metrics
from sidecar.instruments.routing import routing_metrics, shadow_metrics
from sidecar.instruments.table import INSTRUMENTS
from sidecar.instruments.traffic import traffic_metrics
from sidecar.instruments.windows import window_metrics

__all__ = [
    "INSTRUMENTS",
    "CaptureCounts",
    "Outlet",
    "SinkOutlet",
    "alert_metrics",
    "attribution_metrics",
    "bias_metrics",
    "capture_metrics",
    "experiment_metrics",
    "export_metrics",
    "info_metrics",
    "label_metrics",
    "quality_metrics",
    "routing_metrics",
    "shadow_metrics",
    "sink_metrics",
    "traffic_metrics",
    "watch_metrics",
    "window_metrics",
]
