"""What `/v1/attribution` answers: per version Clarify's global values, then and now, how alike they are, violations."""

import math
from collections.abc import Mapping
from dataclasses import asdict

from sidecar.admin.view import Explaining
from sidecar.monitors.attributed import PANES, Attributed, pane_rows
from sidecar.monitors.attribution import Attributing
from sidecar.quality.ranking import Ranking
from sidecar.records import JSON
from sidecar.reference.bias_files import Analysis, Attribution, analysis_document
from sidecar.texts import encodable


def attribution(explaining: Explaining) -> JSON:
    """By variant and version."""
    monitor = explaining.monitor
    calls = explaining.calls
    return {
        "calls": {name: calls[name] for name in ("made", "failed", "skipped")},
        "unread": monitor.unread,
        "left_out": explaining.left_out,
        "variants": [_version(monitor, attributed, key) for key, attributed in monitor.versions],
    }


def _version(monitor: Attributing, attributed: Attributed, key: tuple[str, str]) -> JSON:
    needed = 0 if attributed.weighing.stated else PANES * pane_rows(attributed.weighing.reference_rows)
    return {
        "name": encodable(key[0]),
        "version": encodable(key[1]),
        "rows": attributed.rows,
        "reference": {
            "needed_rows": needed,
            "learned": attributed.learned,
            "analysis": _analysis(monitor.label, attributed.reference),
        },
        "window": {
            "rows": attributed.window_rows,
            "needed_rows": PANES * pane_rows(attributed.weighing.rows),
            "analysis": _analysis(monitor.label, attributed.current),
        },
        "ranking": _ranking(attributed.ranking, attributed) if attributed.ranking is not None else None,
        "violations": [asdict(each) for each in attributed.violations(encodable(monitor.label))],
    }


def _ranking(ranking: Ranking, attributed: Attributed) -> JSON:
    return {
        "ndcg": _finite(ranking.ndcg),
        "interval": [_finite(ranking.low), _finite(ranking.high)],
        "by_chance": ranking.by_chance,
        "least": attributed.weighing.least,
        "drifted": attributed.drifted,
        "moved": [
            {
                "name": encodable(each.name),
                "rank": each.ranks[1],
                "reference_rank": each.ranks[0],
                "attribution": each.attributions[1],
                "reference_attribution": each.attributions[0],
            }
            for each in ranking.moved()
        ],
    }


def _analysis(label: str, values: Mapping[str, float]) -> JSON:
    """Global values in the shape of Clarify's analysis.json."""
    named = {encodable(name): value for name, value in values.items()}
    return analysis_document(Analysis(attributions={encodable(label): Attribution(named)}))


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
