"""How long and how much the request path bears."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds.

    Args:
        connect_s: For the upstream's name, connection and TLS handshake together.
        header_s: For a client's request head, from the connection or its first byte.
        first_byte_s: From the whole request sent upstream to the reply's head.
        idle_s: Between two pieces of a body, and between two requests on a client's connection.
        total_s: For a whole request.
        pool_idle_s: That an idle upstream connection is kept. Below the upstream's own limit, so that we close
            first and no request meets a connection that is just being closed.
    """

    connect_s: float = 3.0
    header_s: float = 10.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = inf
    pool_idle_s: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes and counts.

    Args:
        connections: Clients' connections; further ones are answered 503.
        in_flight: Requests being served; further ones are answered 503.
        head_bytes: Of a request's head.
        fields: Field lines of a request's head.
        target_bytes: Of a request's target.
        early_bytes: Of a body that is held back until it is known who serves.
    """

    connections: int = 4096
    in_flight: int = 1024
    head_bytes: int = 65536
    fields: int = 200
    target_bytes: int = 16384
    early_bytes: int = 65536
