"""Values that have gone missing."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.detectors.verdict import beyond
from sidecar.records import Comparison
from sidecar.stats.tally import Tally, share


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingShare:
    """By how much the share of rows without a value has grown.

    Assumes nothing. Without drift it varies by sqrt(p (1 - p) (1/n + 1/m)), one standard deviation.

    Args:
        threshold: Above it there is drift.
    """

    threshold: Annotated[float, Meta(ge=0)] = 0.1

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The difference of each feature; below 0 where fewer are missing."""
        now, then = (share(tally.missing, tally.missing + tally.n) for tally in (current, reference))
        return beyond(np.asarray(now - then), self.threshold)
