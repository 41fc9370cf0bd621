"""The Kubernetes API, as a pod's own service account may use it: one way there for all parts that need it."""
