"""Metrics that model servers offer to Prometheus, read and forwarded."""
