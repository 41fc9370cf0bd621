"""What `sidecar demo` runs: a real model server, the sidecar before it, a client, and a screen that tells of them."""
