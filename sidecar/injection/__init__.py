"""The sidecar put into pods: by hand, or by the admission webhook of a cluster."""
