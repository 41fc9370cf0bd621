"""What `/v1/quality` answers: per version Model Monitor's statistics, what is estimated, and what the tests say."""

import math
from typing import get_args

from sidecar.admin.view import Settled
from sidecar.monitors.graded import Graded, Standing, Test, mean_of
from sidecar.monitors.grades import Grade, relation_of, segment_text
from sidecar.monitors.notes import notes
from sidecar.monitors.quality import Grading
from sidecar.monitors.scored import Estimated
from sidecar.monitors.statements import statistics
from sidecar.monitors.yardstick import Yardstick
from sidecar.quality.reading import Task
from sidecar.quality.relation import Change, Decomposition, Part
from sidecar.quality.segments import Segment
from sidecar.records import JSON, LabelCounts, LabelStatus
from sidecar.texts import encodable

BLIND = "blind to concept drift until labels show it: they are taken to be as likely, given the confidence, as before"


def quality(truth: Settled) -> JSON:
    """By variant and version; without a monitor of quality, labels and outcomes alone."""
    return {
        "labels": labels(truth.counts, truth.dropped),
        "outcomes": [
            {
                "variant": encodable(variant),
                "version": encodable(version),
                "metric": encodable(metric),
                "values": each.values,
                "mean": _finite(each.mean),
                "standard_deviation": _finite(each.deviation),
            }
            for (variant, version, metric), each in list(truth.outcomes.by.items())
        ],
        "variants": _versions(truth.grading) if truth.grading is not None else [],
    }


def labels(counts: LabelCounts, dropped: int) -> JSON:
    """What became of predictions and labels."""
    return {
        "predictions": counts.predictions,
        "awaiting": counts.awaiting,
        "missing": counts.missing,
        "repeated": counts.repeated,
        "dropped": dropped,
        "waiting": counts.waiting,
        "posted": {each: counts.labels.get(each, 0) for each in get_args(LabelStatus)} | {"waiting": counts.waiting},
    }


def _versions(grading: Grading) -> list[JSON]:
    grades = dict(grading.grades)
    return [_version(grading, graded, grades.get(key), key) for key, graded in grading.versions]


def _version(grading: Grading, graded: Graded, grade: Grade | None, key: tuple[str, str]) -> JSON:
    task, relation = graded.reading.task, relation_of(graded)
    return {
        "name": encodable(key[0]),
        "version": encodable(key[1]),
        "task": task,
        "labelled": graded.scored.labelled,
        "window": statistics(task, grade.window, grade.made_s) if grade else None,
        "lifetime": statistics(task, grade.lifetime, grade.made_s) if grade else None,
        "estimated": _estimated(grade.estimated) if grade and grade.estimated else None,
        "violations": [each._asdict() for each in grade.violations(grading.limits)] if grade else [],
        "reference": {
            "rows": graded.learned,
            "needed_rows": graded.testing.reference_rows,
            "learned": graded.yardstick is not None,
            "loss": _finite(graded.loss_before),
        },
        "tests": {test: _standing(graded, test) for test in get_args(Test)} | {"champion": _rival(grading, key)},
        "relation_moved": relation.moved,
        "reads": {
            "prediction": None if graded.reading.reads[0] is None else encodable(graded.reading.reads[0]),
            "probabilities": [encodable(name) for name in graded.reading.reads[1]],
        },
        "notes": [encodable(note) for note in notes(graded, grade)],
        "change": _change(graded, graded.decomposition) if graded.decomposition else None,
        "segments": [_segment(graded.yardstick, task, each) for each in graded.segments] if graded.yardstick else [],
    }


def _estimated(estimated: Estimated) -> JSON:
    few = estimated.accuracy
    return {
        "rows": estimated.rows,
        "calibrated_on": estimated.calibrated_on,
        "note": BLIND,
        "scores": {
            name: _estimate(each.value, each.deviation, each.interval()) for name, each in estimated.estimates.items()
        },
        "accuracy_with_labels": _estimate(few.value, few.deviation, (few.low, few.high)) if few else None,
    }


def _estimate(value: float, deviation: float, interval: tuple[float, float]) -> JSON:
    return {
        "value": _finite(value),
        "standard_deviation": _finite(deviation),
        "interval": [_finite(end) for end in interval],
    }


def _rival(grading: Grading, key: tuple[str, str]) -> JSON:
    """How it stands against the champion; `rows` are pairs, `mean` is that of differences."""
    verdict = grading.rivals.get(key)
    if verdict is None:
        return None
    return {
        "alarm": verdict.away,
        "evidence_nats": _finite(verdict.nats),
        "needed_nats": verdict.needed,
        "mean": _finite(verdict.mean),
        "limit": grading.tolerance,
        "rows": verdict.rows,
        "since_s": None,
    }


def _standing(graded: Graded, test: Test) -> JSON:
    standing: Standing | None = graded.standing(test)
    if standing is None:
        return None
    verdict = standing.verdict
    return {
        "alarm": verdict.away,
        "evidence_nats": _finite(verdict.nats),
        "needed_nats": verdict.needed,
        "mean": _finite(mean_of(standing, test)),
        "limit": standing.limit if test == "worse" else 2 * standing.limit - 1,
        "rows": verdict.rows,
        "since_s": standing.since_s,
    }


def _change(graded: Graded, found: Decomposition) -> JSON:
    return {
        "loss": _parts(graded, found.loss),
        "target": _parts(graded, found.target),
        "overlap": _finite(found.overlap),
        "reference_rows": _finite(found.reference_rows),
        "rows": _finite(found.current_rows),
    }


def _segment(yardstick: Yardstick, task: Task, segment: Segment) -> JSON:
    error = yardstick.scale.error if task == "regression" else None
    return {
        "text": encodable(segment_text(yardstick.bins, segment, error)),
        "rows": segment.rows,
        "reference_rows": segment.reference_rows,
        "loss": _finite(segment.loss),
        "reference_loss": _finite(segment.reference_loss),
        "p_value": _finite(segment.p_value),
    }


def _parts(graded: Graded, change: Change) -> JSON:
    names = graded.yardstick.bins.names if graded.yardstick else ()
    return {
        "before": _finite(change.before),
        "after": _finite(change.after),
        "inputs": _part(change.inputs),
        "relation": _part(change.relation),
        "columns": [{"name": encodable(names[each.column]), "share": _finite(each.share)} for each in change.carriers],
    }


def _part(part: Part) -> JSON:
    return {"change": _finite(part.change), "standard_error": _finite(part.error)}


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
