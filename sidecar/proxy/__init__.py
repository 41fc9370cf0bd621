"""The request path: sockets and bytes, and nothing of the monitor."""
