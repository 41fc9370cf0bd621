"""Texts that the reference never had."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from sidecar.detectors.verdict import beyond
from sidecar.records import Comparison
from sidecar.stats.tally import Tally, share


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCategories:
    """The share of rows with a text that the reference never had.

    Assumes nothing. Says nothing of numbers, nor where the reference had more texts than it lists: there a text may be
    unlisted and yet known. Without drift it is on average the share of the reference's rows whose text came only once
    (Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40, 1953):
    nothing for a closed list, but much for free text, of which no list is ever complete.

    Args:
        threshold: Above it there is drift.
    """

    threshold: Annotated[float, Meta(ge=0)] = 0.01

    def check(self, reference: Tally, current: Tally) -> Comparison:  # noqa: ARG002  # the bins know what is new
        """The share for each feature whose texts are all listed."""
        return beyond(share(current.new, current.n), self.threshold)
