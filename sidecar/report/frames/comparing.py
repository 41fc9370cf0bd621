"""From Python: captured traffic as a table, and any frame against a reference.

    import sidecar

    frame = sidecar.read_captures("captures/").to_pandas()
    found = sidecar.compare("reference/", frame)
    if found:
        print(found)

What is found here is what the sidecar finds: bins, detectors and checks are its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.random import default_rng

from sidecar.config.reading import nearest
from sidecar.config.schema import Part
from sidecar.detectors import DETECTORS
from sidecar.errors import ConfigError, Fault
from sidecar.monitors.data import Data, Following, WindowSize
from sidecar.records import Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference, read_folder
from sidecar.reference.learning import MAX_CATEGORIES, MAX_FEATURES, Learner
from sidecar.report.frames.comparison import FrameColumn, FrameComparison, FrameFinding
from sidecar.report.frames.tabling import WHERE, Frame, Sheet, Tables
from sidecar.stats.summary import Summary
from sidecar.stats.window import Window

DETECTOR = ("psi",)
TOLERANCE = 0.005
"""As the sidecar has them."""

LEAST_PER = 1e6
"""Rows in which the sequential detector may give a false alarm, as the sidecar has it."""

FRAMES = 100.0
"""Or as many frames: of rows that are like the reference's, one of so many is held to have drifted at most."""

BATCH_ROWS = 1000
"""That the sequential detector weighs at once: it bets on each batch by what it has learned of those before."""

SEED = 0
"""Of the order of the rows: the same frame says the same."""


def compare(
    reference: str | Path | Frame,
    frame: Frame,
    *,
    detectors: Iterable[str | Mapping[str, object]] = DETECTOR,
    tolerance: float = TOLERANCE,
) -> FrameComparison:
    """Whether the rows of a frame are like a reference's.

    They are judged by the sequential detector, which gives a false alarm for one of a hundred such frames at most; by
    detectors of two windows; and by the constraints of the reference. Their order says nothing: they are shuffled,
    always in the same way. Only a reference that is a frame of thousands of rows is another one every time, by the
    0.15 % of the rows that its sketch of ranks may be off.

    Args:
        reference: Folder of statistics.json and constraints.json, as the command for it writes them; or a frame of what
            the rows ought to be like.
        frame: Of pandas, Polars or pyarrow, or a dict of numpy arrays. Its columns are features; of a frame of
            `read_captures` those are that say so.
        detectors: Names, or mappings of `kind` and options, as under `monitors[].detectors` of the configuration.
        tolerance: Relative change of shares that the sequential detector does not hold for drift yet.

    Raises:
        ConfigError: The reference cannot be read; the frame is none; or there is no such detector or option.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> before = {"age": rng.normal(40, 10, 5000), "city": rng.choice(["Wien", "Graz"], 5000)}
        >>> after = {"age": rng.normal(46, 10, 2000), "city": rng.choice(["Wien", "Graz"], 2000)}
        >>> bool(compare(before, before))
        False
        >>> sorted({each.column for each in compare(before, after).findings})
        ['age']
    """
    if not 0 <= tolerance <= 0.5:
        raise ConfigError(Fault("tolerance", f"{tolerance:g}, expected 0 to 0.5"))
    parts = tuple(map(_detector, detectors))
    known = _reference(reference)
    windows = {"features": _window(), "predictions": _window()}
    sheet = Sheet.of(frame)
    if not sheet.rows:
        raise ConfigError(Fault(WHERE, "no row, expected at least one"))
    options = Data(
        detectors=parts,
        tolerance=tolerance,
        dependence=False,
        window=WindowSize(rows=sheet.rows, panes=1),
        false_alarms_per=max(LEAST_PER, FRAMES * sheet.rows),
    )
    following = options.follow(known)
    for piece in sheet.pieces(BATCH_ROWS, default_rng(SEED).permutation(sheet.rows)):
        following.count(WHERE, "", piece.features, piece.predictions)
        following.judge(0.0)
        for window, table in zip(windows.values(), piece[:2], strict=True):
            window.update(table.names, table.values, table.texts, 0.0)
    summaries = {subject: window.snapshot().lifetime() for subject, window in windows.items()}
    findings = _findings(following, summaries)
    return FrameComparison(sheet.rows, known.profiles.rows, findings, _columns(known, following, summaries, findings))


def _detector(given: str | Mapping[str, object]) -> Part:
    told = {"kind": given} if isinstance(given, str) else dict(given)
    kind = str(told.pop("kind", ""))
    if kind not in DETECTORS:
        expected = f"expected one of {', '.join(DETECTORS)}{nearest(kind, DETECTORS)}"
        raise ConfigError(Fault("detectors", f"{kind or 'no kind'}, {expected}"))
    try:
        msgspec.convert(told, cast("type[Any]", DETECTORS[kind]), strict=True)
        DETECTORS[kind](**told)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(Fault(f"detectors ({kind})", str(error))) from None
    return Part(kind=kind, options=told)


def _reference(given: str | Path | Frame) -> Reference:
    if isinstance(given, str | Path):
        found = read_folder(Path(given), "reference")
        if found is None:
            told = f"expected a folder with statistics.json and constraints.json, got {given}: there is neither"
            raise ConfigError(Fault("reference", told))
        return found
    learner = Learner()
    for piece in Sheet.of(given).pieces():
        learner.update(_side_by_side(piece), piece.fractional)
    if not learner.rows:
        raise ConfigError(Fault("reference", "no row, expected at least one"))
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles))


def _side_by_side(piece: Tables) -> Table:
    """Features and predictions as one table; of those called alike, the feature."""
    features, predictions = piece.features, piece.predictions
    width = len(features.names)
    texts = {**features.texts, **{width + column: cells for column, cells in predictions.texts.items()}}
    return Table(features.names + predictions.names, np.hstack([features.values, predictions.values]), texts)


def _window() -> Window:
    return Window(rows=1, panes=1, seconds=inf, max_features=MAX_FEATURES, max_categories=MAX_CATEGORIES)


def _findings(following: Following, summaries: Mapping[str, Summary]) -> list[FrameFinding]:
    drifted = [
        FrameFinding(
            carrier.name,
            finding.key.check,
            carrier.sentence,
            _known(carrier.statistic),
            _known(carrier.threshold),
            carrier.p_value,
            carrier.share,
        )
        for finding in following.findings
        for carrier in finding.carriers
    ]
    asked, answered = (summary if summary.rows else None for summary in summaries.values())
    broken = following.violations(WHERE, asked, answered)
    told = [
        FrameFinding(
            each.feature, each.check, each.description, _known(each.value), _known(each.limit), None, 1 / len(broken)
        )
        for each in broken
    ]
    return [*sorted(drifted, key=lambda each: -each.share), *told]


def _columns(
    reference: Reference,
    following: Following,
    summaries: Mapping[str, Summary],
    findings: Sequence[FrameFinding],
) -> list[FrameColumn]:
    then = {profile.name: profile.numbers for profile in reference.profiles.features}
    said = {
        column.name: {
            kind: nan if each.statistic is None else each.statistic for kind, each in column.statistics.items()
        }
        for column in following.columns(WHERE)
    }
    found: dict[str, list[str]] = {}
    for finding in findings:
        found.setdefault(finding.column, []).append(finding.check)
    return [
        FrameColumn(
            column=name,
            subject=subject,
            rows=summary.rows,
            missing=int(summary.missing[place]),
            mean=float(summary.mean[place]),
            std=float(summary.std[place]),
            minimum=float(summary.minimum[place]),
            maximum=float(summary.maximum[place]),
            reference_mean=numbers.mean if (numbers := then.get(name)) else nan,
            reference_std=numbers.std if numbers else nan,
            distinct=summary.texts[place].distinct if place in summary.texts else 0,
            statistics=said.get(name, {}),
            found=tuple(dict.fromkeys(found.get(name, ()))),
        )
        for subject, summary in summaries.items()
        for place, name in enumerate(summary.names)
    ]


def _known(number: float) -> float | None:
    return float(number) if isfinite(number) else None
