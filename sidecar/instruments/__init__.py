"""What turns the sidecar's state into metrics: one module a subject, and the table of all that is exported."""

from sidecar.instruments.alerts import alert_metrics
from sidecar.instruments.attribution import attribution_metrics
from sidecar.instruments.bias import bias_metrics
from sidecar.instruments.captures import CaptureCounts, capture_metrics
from sidecar.instruments.cloudwatch import CLOUDWATCH, Monitors, cloudwatch_metrics
from sidecar.instruments.custom import custom_metrics
from sidecar.instruments.drift import watch_metrics
from sidecar.instruments.experiments import experiment_metrics
from sidecar.instruments.info import info_metrics
from sidecar.instruments.infrastructure import infrastructure_metrics
from sidecar.instruments.itself import Itself, itself_metrics
from sidecar.instruments.labels import label_metrics
from sidecar.instruments.outlets import ExportOutlet, Outlet, SinkOutlet, export_metrics, sink_metrics
from sidecar.instruments.quality import quality_metrics
from sidecar.instruments.routing import routing_metrics, shadow_metrics
from sidecar.instruments.scraped import scrape_metrics
from sidecar.instruments.table import INSTRUMENTS
from sidecar.instruments.tracing import trace_metrics
from sidecar.instruments.traffic import traffic_metrics
from sidecar.instruments.windows import value_metrics, window_metrics

__all__ = [
    "CLOUDWATCH",
    "INSTRUMENTS",
    "CaptureCounts",
    "ExportOutlet",
    "Itself",
    "Monitors",
    "Outlet",
    "SinkOutlet",
    "alert_metrics",
    "attribution_metrics",
    "bias_metrics",
    "capture_metrics",
    "cloudwatch_metrics",
    "custom_metrics",
    "experiment_metrics",
    "export_metrics",
    "info_metrics",
    "infrastructure_metrics",
    "itself_metrics",
    "label_metrics",
    "quality_metrics",
    "routing_metrics",
    "scrape_metrics",
    "shadow_metrics",
    "sink_metrics",
    "trace_metrics",
    "traffic_metrics",
    "value_metrics",
    "watch_metrics",
    "window_metrics",
]
