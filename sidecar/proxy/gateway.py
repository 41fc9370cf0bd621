"""What a request meets on its way, as one immutable value: a reload swaps it whole, requests in flight keep theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.shadow import Shadow
from sidecar.proxy.tap import Tap
from sidecar.routing.table import POINTS, RoutingTable
from sidecar.routing.templates import Templates
from sidecar.stats.served import Served
from sidecar.stats.traced import Tracing
from sidecar.stats.traffic import Traffic
from sidecar.tasks import Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which exchanges are kept.

    Args:
        ratio: Of all, decided by the request id.
        all_errors: Also keep every exchange whose status is not 2xx.
        max_body_bytes: Of one body; a longer one is kept in part.
    """

    ratio: float = 0.1
    all_errors: bool = True
    max_body_bytes: int = 1024 * 1024

    def takes(self, point: int) -> bool:
        """Whether the request at this point (0 <= point < POINTS) is sampled."""
        return point < self.ratio * POINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The request path's parts.

    Args:
        pools: By variant name.
        signs: By variant name, the lines that tell clients who has answered; of some, or none.
        redeal: To be called when a variant has become available, or is not any more: another table follows.
        request_ids: Add `x-request-id` where it is absent, and return it.
        server_timing: Tell our own share of the time in `Server-Timing`.
        forwarded_for: Tell upstreams the client's address in `x-forwarded-for`.
        fresh_id: Makes a request id.
        shadow: Copies some requests, if any.
        served: Where requests go that an experiment weighs, if there is one.
        tracing: Where traces go, if there are any; requests then carry their context.
        now_s: A clock that does not go back.
        wall_s: The time of day, Unix seconds.
    """

    table: RoutingTable
    templates: Templates
    pools: Mapping[str, Pool]
    signs: Mapping[str, bytes]
    redeal: Callable[[], None]
    timeouts: Timeouts
    limits: Limits
    sampling: Sampling
    request_ids: bool
    server_timing: bool
    forwarded_for: bool
    traffic: Traffic
    tap: Tap
    tasks: Tasks
    shadow: Shadow | None
    served: Served | None
    tracing: Tracing | None
    fresh_id: Callable[[], bytes]
    now_s: Callable[[], float]
    wall_s: Callable[[], float]
