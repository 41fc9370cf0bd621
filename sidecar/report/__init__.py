"""What captures say, long after: the sidecar's own statistics, detectors and metrics over files of any size."""
