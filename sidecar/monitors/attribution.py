"""The attribution monitor: do a model's answers rest on the features that they did?

Attributions come with the replies, or from calls of our own to the model. Of each version the mean |attribution| of
each feature makes a ranking; how much of the reference's the current window still has, SageMaker's NDCG says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.config.values import Pointer, Url
from sidecar.errors import ConfigError, Fault, PayloadError
from sidecar.monitors.attributed import CHECK, KIND, Attributed, Weighing
from sidecar.monitors.versions import Versions
from sidecar.payload import attributed
from sidecar.payload.pointers import parse_pointer
from sidecar.quality.attribution import LEAST
from sidecar.records import Capture, Finding, Rows, Table
from sidecar.reference.bias_files import parse_analysis
from sidecar.stats.keeping import below, sealed, unsealed
from sidecar.stats.moments import Floats

LABEL = "label0"
"""What Clarify calls a model's only output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Ranks features by what they add to answers, and compares the ranking with the reference's.

    Args:
        prefix: Of the columns of replies that hold attributions, one for each feature.
        pointer: Or where in replies they stand: by row a mapping of features to numbers, or a list in their order.
        calls_per_minute: Or calls of our own to the model, at most; 0 for none. See `url`.
        url: Whom to call instead of the variant itself: a shadow that answers as it does.
        output: The column of predictions that calls explain; by default a probability or score, or else the first.
        background_rows: Rows of the reference's sample whose values stand for features that are not known.
        timeout_s: For the answer to a call.
        reference: Clarify's analysis.json; without it the reference is learned.
        reference_rows: Attributed rows of a version to learn it from: its first.
        rows: Attributed rows of the window, the latest; both are rounded up to multiples of 50.
        least: The NDCG below which there is drift: with its whole interval (99 %), and beyond chance.
    """

    prefix: Annotated[str, Meta(min_length=1)] = "attribution_"
    pointer: Pointer | None = None
    calls_per_minute: Annotated[int, Meta(ge=0, le=600)] = 0
    url: Url | None = None
    output: str = ""
    background_rows: Annotated[int, Meta(ge=1, le=1000)] = 32
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 10.0
    reference: Annotated[str, Meta(min_length=1)] | None = None
    reference_rows: Annotated[int, Meta(ge=50, le=1_000_000)] = 1000
    rows: Annotated[int, Meta(ge=50, le=1_000_000)] = 1000
    least: Annotated[float, Meta(gt=0, le=1)] = LEAST

    def __post_init__(self) -> None:
        if self.pointer is not None and self.calls_per_minute:
            raise ConfigError(Fault("calls_per_minute", "given beside pointer; expected one of the two"))
        if self.url is not None and not self.calls_per_minute:
            raise ConfigError(Fault("url", "given without calls_per_minute; expected calls to make there"))

    @property
    def checks(self) -> list[str]:
        """What a finding may be called after."""
        return [CHECK]

    def attribute(self) -> "Attributing":
        """Begin to watch.

        Raises:
            ConfigError: The reference cannot be used.
        """
        label, stated = _stated(self.reference)
        return Attributing(self, label, stated)


class Attributing:
    """The attribution monitor at work.

    Attributes:
        options: What the user chose.
        label: The name of the model's output.
        versions: What is known of each, by variant and version.
        unread: Replies whose attributions could not be read, or that had none.
    """

    def __init__(self, options: Attribution, label: str, stated: Mapping[str, float]) -> None:
        self.options = options
        self.label = label
        self.unread = 0
        self._pointer = None if options.pointer is None else parse_pointer(options.pointer)
        self._weighing = Weighing(
            stated=stated, reference_rows=options.reference_rows, rows=options.rows, least=options.least
        )
        self._background: Table | None = None
        self.versions = self._none()

    @property
    def findings(self) -> Sequence[Finding]:
        """What holds now, of the latest version of each variant."""
        return [finding for key, each in self.versions.latest() for finding in each.findings(key)]

    def read(self, batch: Iterable[tuple[Capture, Rows]]) -> None:
        """Take the attributions that replies carry."""
        for capture, rows in batch:
            try:
                found = (
                    attributed.from_columns(rows, self.options.prefix)
                    if self._pointer is None
                    else attributed.from_document(capture, rows, self._pointer)
                )
            except PayloadError:
                found = None
            if found is None:
                self.unread += 1
            else:
                self.take(capture, found.names, found.values)

    def take(self, capture: Capture, names: tuple[str, ...], values: Floats) -> None:
        """Take attributions of rows of one exchange, shape (n, k)."""
        weight = 1 / capture.sample_ratio if capture.sample_ratio > 0 else 1.0
        version = self.versions.of(capture.variant, capture.version, capture.started_s)
        version.take(names, values, np.full(len(values), weight))

    def assess(self, now_s: float) -> None:
        """Compare anew where there is anything new.

        Args:
            now_s: Unix time.
        """
        for _, each in self.versions:
            each.assess(now_s)

    def rest_on(self, background: Table) -> None:
        """Explain against these rows from now on; what calls found against others is of no use."""
        before, self._background = self._background, background
        if self.options.calls_per_minute and before is not None and _digest(before) != _digest(background):
            self.versions = self._none()

    def state(self) -> bytes:
        """What is to be known after a restart."""
        return sealed(self.versions.arrays(Attributed.state), self._belongs_to)

    def restore(self, state: bytes) -> bool:
        """Go on from a saved state; False, and nothing done, where it is of other settings, or damaged."""
        parts = unsealed(state, self._belongs_to)
        return parts is not None and self.versions.restore(parts, lambda each, name: each.restore(below(name, parts)))

    @property
    def _belongs_to(self) -> bytes:
        weighing, options = self._weighing, self.options
        told = (KIND, weighing.reference_rows, weighing.rows, sorted(weighing.stated.items()))
        how: tuple[object, ...] = (options.prefix, options.pointer)
        if options.calls_per_minute:
            resting = b"" if self._background is None else _digest(self._background)
            how = (options.output, options.background_rows, resting)
        return sha256(repr((told, how)).encode("utf-8", "backslashreplace")).digest()

    def _none(self) -> Versions[Attributed]:
        return Versions(lambda: Attributed(self._weighing))


def _digest(table: Table) -> bytes:
    told = repr((table.names, sorted(table.texts.items()))).encode("utf-8", "backslashreplace")
    return sha256(told + table.values.tobytes()).digest()


def _stated(path: str | None) -> tuple[str, Mapping[str, float]]:
    """The name of the output, and the reference's attributions; nothing where it is to be learned."""
    if path is None:
        return LABEL, {}
    try:
        analysis = parse_analysis(Path(path).read_bytes(), path)
    except OSError as error:
        raise ConfigError(Fault("reference", f"expected a file that can be read, got {path}: {error}")) from error
    for label, each in analysis.attributions.items():
        known = {name: abs(value) for name, value in each.values.items() if isfinite(value)}
        if any(known.values()):
            return label, known
    raise ConfigError(Fault("reference", f"expected explanations.kernel_shap with global_shap_values in {path}"))
