"""The data monitor: what comes in, and what the model says to it, against the reference."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Annotated, get_args

import msgspec
import numpy as np
from msgspec import Meta, Struct

from sidecar.config.schema import Part
from sidecar.detectors import DETECTORS
from sidecar.errors import ConfigError, Fault
from sidecar.monitors.association import Association
from sidecar.monitors.drift import Drift
from sidecar.monitors.followed import Column, Followed
from sidecar.monitors.placing import Rows, placement
from sidecar.monitors.windows import Windows
from sidecar.ports import Detector
from sidecar.records import Finding, Table
from sidecar.reference.binning import Bins, bins_of
from sidecar.reference.checks import Check, Violation, Window, violations
from sidecar.reference.folder import Reference
from sidecar.stats.keeping import Array, below, sealed, unsealed

PAIRS_SHARE = 0.1
"""Of the budget of false alarms that goes to pairs of features: 2.3 nats more for them, 0.1 for the features."""


class WindowSize(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The windows that detectors of two windows compare with the reference."""

    # A tenth of a share is known to 0.7 % of the rows (one standard deviation).
    rows: Annotated[int, Meta(ge=10, le=10_000_000, description="Rows of a window.")] = 2000
    # A window is judged ten times while it is filled once.
    panes: Annotated[int, Meta(ge=1, le=1000, description="Panes of which a window is the sum.")] = 10


WINDOW = WindowSize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Watches features and predictions for drift, and for what breaks the constraints.

    Args:
        false_alarms_per: Rows in which one false alarm may be given, over all features and their pairs together.
        tolerance: Relative change of the bins' shares that is no drift yet.
        window: Of the detectors that compare windows.
        detectors: Those; a window that drifts is a finding, which alarms only where a rule says so.
        dependence: Whether features are watched together, where the reference has a sample of whole rows.
        violations: Folder for a constraint_violations.json of every hour and variant; none are written without it.
    """

    false_alarms_per: Annotated[float, Meta(ge=1000, le=1e15)] = 1e6
    tolerance: Annotated[float, Meta(ge=0, le=0.5)] = 0.005
    window: WindowSize = WINDOW
    detectors: tuple[Part, ...] = (Part(kind="psi"),)
    dependence: bool = True
    violations: Annotated[str, Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        if self.window.panes > self.window.rows:
            raise ConfigError(Fault("window.panes", f"expected at most window.rows, {self.window.rows}"))
        kinds = [part.kind for part in self.detectors]
        for place, kind in enumerate(kinds):
            if kind in kinds[:place]:
                raise ConfigError(Fault(f"detectors[{place}].kind", f"{kind} a second time, expected each once"))

    @property
    def checks(self) -> list[str]:
        """What a finding may be called after: the detectors, and SageMaker's checks."""
        return ["sequential", "dependence", *(part.kind for part in self.detectors), *get_args(Check)]

    def follow(self, reference: Reference, since_s: float | None = None) -> "Following":
        """Begin to watch.

        Args:
            since_s: Unix time; None where nobody asks.
        """
        return Following(self, reference, since_s)


class Following:
    """The data monitor at work.

    Args:
        options: What the user chose.
        reference: What all is compared with.
        since_s: Unix time at which it was taken up; None where nobody asks.

    Attributes:
        since_s: Likewise.
        variants: What is known of each.
    """

    def __init__(self, options: Data, reference: Reference, since_s: float | None = None) -> None:
        self.since_s = since_s
        self._options = options
        self._bins = bins_of(reference.profiles)
        self._constraints = reference.constraints
        self._detectors = {part.kind: DETECTORS[part.kind](**part.options) for part in options.detectors}
        self._sample = _sample(self._bins.names, reference.sample) if options.dependence else None
        rows = options.false_alarms_per / (1 - PAIRS_SHARE if self._sample else 1.0)
        # Worked out here, in a thread: for 1,000 features it takes 0.2 s.
        self._drift = Drift(self._bins, false_alarms_per=rows, tolerance=options.tolerance)
        self.variants: dict[str, Followed] = {}

    def count(self, variant: str, version: str, features: Table, predictions: Table) -> None:
        """Count some rows of a variant."""
        self.followed(variant).count(version, features, predictions)

    def followed(self, variant: str) -> Followed:
        """What is known of a variant, from now on if it is new."""
        if variant not in self.variants:
            self.variants[variant] = self._new(variant)
        return self.variants[variant]

    def judge(self, now_s: float) -> None:
        """Weigh what was counted since the last time.

        Args:
            now_s: Unix time.
        """
        for followed in self.variants.values():
            followed.judge(now_s)

    def retain(self, variants: Collection[str]) -> None:
        """Forget all other variants: they are no more. Not while it is judged."""
        self.variants = {name: followed for name, followed in self.variants.items() if name in variants}

    @property
    def findings(self) -> list[Finding]:
        """What holds now, of all variants; violations aside."""
        return [finding for followed in self.variants.values() for finding in followed.findings]

    def violations(self, variant: str, features: Window | None, predictions: Window | None) -> list[Violation]:
        """What the current windows of a variant break of the constraints."""
        found = violations(self._constraints, features, predictions)
        followed = self.variants.get(variant)
        return [*found, *followed.broken] if followed else found

    @property
    def bins(self) -> Bins:
        """Where rows are counted."""
        return self._bins

    @property
    def detectors(self) -> Mapping[str, Detector]:
        """Those of two windows, by kind."""
        return self._detectors

    def columns(self, variant: str) -> list[Column]:
        """What is known of each column of the reference, in its order; nothing before the variant's first row."""
        return self.variants[variant].columns() if variant in self.variants else []

    def state(self) -> bytes:
        """What is to be known after a restart; not while it is judged."""
        parts: dict[str, Array] = {}
        for variant, followed in list(self.variants.items()):  # rows are counted meanwhile, maybe of another variant
            parts |= {f"{variant}/{name}": part for name, part in followed.state().items()}
        return sealed(parts, self._fingerprint)

    def restore(self, saved: bytes) -> bool:
        """Go on from a saved state; False, and nothing done, where it is of another reference, or damaged."""
        parts = unsealed(saved, self._fingerprint)
        if parts is None:
            return False
        try:
            found = {variant: self._new(variant) for variant in dict.fromkeys(each.partition("/")[0] for each in parts)}
            for variant, followed in found.items():
                followed.restore(below(f"{variant}/", parts))
        except (ValueError, KeyError, msgspec.DecodeError):  # as another version of ours saves it
            return False
        self.variants.update(found)
        return True

    @cached_property
    def _fingerprint(self) -> bytes:
        """Of all that a state belongs to: the reference's bins, and the settings that it depends on."""
        bins, options = self._bins, self._options
        settings = (options.false_alarms_per, options.tolerance, options.window, options.dependence)
        told = repr((bins.names, sorted(bins.categories.items()), settings)).encode("utf-8", "backslashreplace")
        arrays = (bins.edges, bins.trusted, bins.used)
        return sha256(told + b"".join(array.tobytes() for array in arrays)).digest()

    def _new(self, variant: str) -> Followed:
        options = self._options
        return Followed(
            variant,
            bins=self._bins,
            constraints=self._constraints,
            drift=self._drift.anew(),
            windows=Windows(self._bins, self._detectors, rows=options.window.rows, panes=options.window.panes),
            association=self._association(),
        )

    def _association(self) -> Association | None:
        if self._sample is None:
            return None
        rows = self._options.false_alarms_per / PAIRS_SHARE
        return Association(self._bins.names, self._sample, false_alarms_per=rows)


def _sample(names: tuple[str, ...], sample: Table | None) -> Rows | None:
    """The sample by the columns of these names; None where there is none."""
    if sample is None:
        return None
    nothing = Table((), np.empty((len(sample.values), 0)))
    return placement(names, sample.names, ()).rows(sample, nothing)
