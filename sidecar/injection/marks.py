"""What pods say about their injection, and what is said about it: annotations, and the names of what is put in."""

PREFIX = "sidecar.internal"
"""Of annotations and labels. Nobody can own it: ICANN has reserved .internal for private use (29 July 2024)."""

INJECT = f"{PREFIX}/inject"
"""`"true"` asks for a sidecar, `"false"` forbids it; as an annotation, or as a label, which selectors can see."""

UPSTREAM_PORT = f"{PREFIX}/upstream-port"
"""Where the model server listens, a number or a port's name; needed where not exactly one port is declared."""

CONFIG = f"{PREFIX}/config"
"""Name of a ConfigMap with `sidecar.yaml`, which then says where the model server is."""

MODE = f"{PREFIX}/mode"
"""`transparent` or `plain`."""

ADMIN_SECRET = f"{PREFIX}/admin-secret"
"""Name of a Secret with `token`: opens the admin side to other pods."""

STATUS = f"{PREFIX}/status"
"""Written by us: what was put in."""

ASKING = (INJECT, UPSTREAM_PORT, CONFIG, MODE, ADMIN_SECRET)
"""What a pod may say."""

SIDECAR, REDIRECT = "sidecar", "sidecar-redirect"
"""Names of the containers."""

STATE_VOLUME, CONFIG_VOLUME, ADMIN_VOLUME = "sidecar-state", "sidecar-config", "sidecar-admin"

MIRROR = "kubernetes.io/config.mirror"
"""Kubernetes' own mark of what a kubelet read from a file: the API server has only a picture of it."""
