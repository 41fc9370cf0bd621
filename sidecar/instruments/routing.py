"""How the split deals the traffic, how much each variant can take, and what became of copies."""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from sidecar.config.schema import Variant
from sidecar.instruments.table import known, metric, whose
from sidecar.records import Metric
from sidecar.stats.traffic import Traffic
from sidecar.texts import encodable


class Copies(Protocol):
    """What became of copies."""

    @property
    def sent(self) -> int:
        """Those that went out."""
        ...

    @property
    def in_flight(self) -> int:
        """Of these the ones not yet answered."""
        ...

    @property
    def shed(self) -> Counter[str]:
        """Requests that were to be copied and were not, by reason."""
        ...

    @property
    def failed(self) -> Counter[str]:
        """Copies without a whole reply, by error type."""
        ...


def routing_metrics(
    arms: Mapping[str, Variant], available: Mapping[str, float], ejections: Mapping[str, int], traffic: Traffic
) -> list[Metric]:
    """How the traffic is dealt.

    Args:
        arms: By name of the variant, as the other two.
        available: Part of its traffic that each may take, 0 to 1.
    """
    total = sum(arm.weight for arm in arms.values()) or 1.0
    at = {name: whose(name, arm.version) for name, arm in arms.items()}
    diverted = [
        ({**known({"feature_flag.result.variant": encodable(after)}), "sidecar.instead_of": encodable(before)}, count)
        for (before, after), count in traffic.diverted.items()
    ]
    return [
        metric("sidecar.variant.percent", [(at[name], 100 * arm.weight / total) for name, arm in arms.items()]),
        metric("sidecar.variant.available", [(at[name], 100 * available.get(name, 1.0)) for name in arms]),
        metric("sidecar.variant.ejections", [(at[name], ejections.get(name, 0)) for name in arms]),
        metric("sidecar.requests.diverted", diverted),
        metric("sidecar.requests.unkeyed", [({}, traffic.unkeyed)]),
    ]


def shadow_metrics(copies: Copies) -> list[Metric]:
    """What became of copies."""
    return [
        metric("sidecar.shadow.sent", [({}, copies.sent)]),
        metric("sidecar.shadow.shed", [({"sidecar.reason": reason}, n) for reason, n in copies.shed.items()]),
        metric("sidecar.shadow.failed", [({"error.type": error}, n) for error, n in copies.failed.items()]),
        metric("sidecar.shadow.active_requests", [({}, copies.in_flight)]),
    ]
