"""What the data monitor makes of the rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from sidecar.instruments.bins import bin_metrics
from sidecar.instruments.table import SUBJECTS, Points, bounded, metric
from sidecar.monitors.data import Following
from sidecar.records import Metric
from sidecar.reference.checks import Check, Violation
from sidecar.texts import encodable


def watch_metrics(
    following: Following | None,
    broken: Mapping[str, Sequence[Violation]],
    *,
    max_series: int,
    variants: Collection[str] = (),
) -> list[Metric]:
    """What the data monitor makes of the rows. May be called from any thread.

    Args:
        following: The monitor; None where nothing is watched.
        broken: Violations by variant; a check that nothing breaks is told as well, or who waits for 0 would wait on.
        max_series: Points of each metric that is told by column.
        variants: That have rows counted by bin before their first.
    """
    rows: Points = []
    drifted: Points = []
    evidence: Points = []
    statistics: Points = []
    for variant, followed in list(following.variants.items()) if following else ():
        columns = followed.columns()
        rows.append(({"feature_flag.result.variant": variant}, followed.rows_here))
        for subject in SUBJECTS:
            count = sum(column.drifting is not None for column in columns if column.subject == subject)
            drifted.append(({"feature_flag.result.variant": variant, "sidecar.subject": subject}, count))
        for column in columns:
            at = {"feature_flag.result.variant": variant, "sidecar.column": encodable(column.name)}
            if column.nats is not None:
                evidence.append((at, column.nats))
            for kind, said in column.statistics.items():
                if said.statistic is not None:
                    statistics.append(({**at, "sidecar.detector": kind}, said.statistic))
    named = {"sidecar.drift.evidence": evidence, "sidecar.drift.statistic": statistics}
    told, omitted = bounded(named, max_series)
    bins, without = bin_metrics(following, variants, max_series=max_series)
    return [
        replace(metric("sidecar.drift.rows", rows), since_s=following.since_s if following else None),
        metric("sidecar.drift.columns", drifted),
        *told,
        *bins,
        metric("sidecar.drift.omitted", [({}, omitted + without)] if following else []),
        metric("sidecar.violations", _violations(broken)),
    ]


def _violations(broken: Mapping[str, Sequence[Violation]]) -> Points:
    return [
        ({"feature_flag.result.variant": variant, "sidecar.check": check}, sum(each.check == check for each in those))
        for variant, those in broken.items()
        for check in get_args(Check)
    ]
