"""What `/v1/drift` answers: every column of the reference, and what the detectors say of it."""

import math

from sidecar.monitors.data import Following
from sidecar.monitors.drift import Drifting
from sidecar.monitors.followed import Column, Followed
from sidecar.records import JSON
from sidecar.texts import encodable


def drift(following: Following | None) -> JSON:
    """By variant; empty where nothing is watched."""
    # In a thread, while variants may come: the copy is made in one step.
    variants = dict(following.variants) if following else {}
    return {
        "variants": [of_variant(variant, followed) for variant, followed in variants.items()],
    }


def of_variant(variant: str, followed: Followed) -> JSON:
    """What is known of one variant."""
    return {
        "name": variant,
        "version": followed.version,
        "rows": followed.rows,
        "needed_nats": followed.needed_nats,
        "findings": [encodable(finding.sentence) for finding in followed.findings],
        "columns": [_column(column) for column in followed.columns()],
    }


def _column(column: Column) -> JSON:
    nats = column.nats
    return {
        "name": encodable(column.name),
        "subject": column.subject,
        "seen": column.seen,
        "evidence_nats": nats if nats is not None and math.isfinite(nats) else None,
        "drift": _drifting(column.drifting) if column.drifting else None,
        "statistics": {kind: said._asdict() for kind, said in column.statistics.items()},
        "bins": [encodable(label) for label in column.labels],
        "reference": column.reference[: len(column.labels)],
        "current": None if column.current is None else column.current[: len(column.labels)],
        "current_rows": column.rows,
        "current_whole": column.whole,
    }


def _drifting(drifting: Drifting) -> JSON:
    return {
        "text": encodable(drifting.sentence),
        "moved_ratio": drifting.moved,
        "information_nats": drifting.information,
        "evidence_nats": drifting.nats,
        "needed_nats": drifting.needed,
        "since_s": drifting.since_s,
        "rows": drifting.rows,
    }
