"""An alert as a plain JSON document: what the API answers, what channels send, and how people read it.

The names of columns, and with them the sentences, come out of payloads: they may hold anything, and be of any length.
What leaves here is bounded, has no control characters, and is text that UTF-8 can hold; its numbers are finite.
"""

import math
from datetime import UTC, datetime

from sidecar.records import JSON, Alert, Carrier, Finding, Key
from sidecar.texts import counted, shown

FEATURES = 32
"""Features that a document lists. With this and the limits below none has more than 60 KiB, an event with it no more
than the 64 that must be carried on (CloudEvents 1.0.2, section Size Limits)."""
NAMED = 5
NAME_LENGTH = 80
SENTENCE_LENGTH = 200
"""Of what is said of one feature."""
REASON_LENGTH = 500
TEXT_LENGTH = 1000
"""Of what is said of all."""

LAST_S = 253402300799.0
"""The last second that ISO 8601 can write with a year of four digits; a silence without end lasts until then."""

_DRIFT = {"features": "Data drift", "predictions": "Prediction drift"}
_CHECKS = {
    ("quality", "performance"): "Worse quality",
    ("quality", "champion"): "Worse than the champion",
    ("quality", "LessThanThreshold"): "Quality metric below its limit",
    ("quality", "GreaterThanThreshold"): "Quality metric above its limit",
    ("bias", "bias_drift_check"): "Bias drift",
    ("attribution", "feature_attribution_drift_check"): "Attribution drift",
    ("rollout", "rollback"): "Rolled back",
    ("experiment", "mismatch"): "Sample ratio mismatch",
    ("catalogue", "rejected"): "Rejected version still serving",
    ("catalogue", "alias"): "Alias not in the catalogue",
}
_CAUSES = {
    "inputs": "moved inputs",
    "relation": "concept drift",
    "both": "concept drift and moved inputs",
    "model": "changed model",
    "pipeline": "broken data pipeline",
}
_HEADLINES = {
    ("data", "inputs"): "{what}",
    ("data", "relation"): "{what} and concept drift",
    ("data", "both"): "{what} and concept drift",
    ("data", "pipeline"): "Broken data pipeline",
    ("quality performance", "relation"): "Concept drift",
    ("quality performance", "both"): "Concept drift and moved inputs",
    # Labels that are other than expected are found where answers are as good as ever, too.
    ("quality performance", "pipeline"): "Changed quality (broken data pipeline)",
}
"""Where a cause says more than what was found, or the same; elsewhere it stands beside that."""


def document(alert: Alert, *, link: str) -> JSON:
    """The alert, its moments in ISO 8601; null is what does not exist, has not come, or is no finite number."""
    finding = alert.finding
    key = finding.key
    return {
        "id": alert.id,
        "state": alert.state,
        "severity": alert.severity,
        "monitor": shown(key.monitor, NAME_LENGTH),
        "check": shown(key.check, NAME_LENGTH),
        "variant": shown(key.variant, NAME_LENGTH),
        "version": shown(finding.version, NAME_LENGTH),
        "subject": key.subject,
        "title": title(alert),
        "text": _text(alert),
        "cause": finding.cause if finding.cause in _CAUSES else "",
        "reason": shown(finding.reason, REASON_LENGTH),
        "since": _moment(finding.since_s),
        "pending": _moment(alert.pending_s),
        "fired": _moment(alert.fired_s),
        "gone": _moment(alert.gone_s),
        "resolved": _moment(alert.resolved_s),
        "silenced_until": timestamp(alert.silenced_until_s) if alert.silenced_until_s > 0 else None,
        "rows": finding.rows,
        "reference_rows": finding.reference_rows,
        "features": [_feature(carrier) for carrier in finding.carriers[:FEATURES]],
        "features_omitted": max(len(finding.carriers) - FEATURES, 0),
        "link": link,
    }


def title(alert: Alert) -> str:
    """What, where, and in which columns, in a line: `Data drift in variant champion: amount, country`."""
    finding = alert.finding
    where = f"{_headline(finding)} in variant {shown(finding.key.variant, NAME_LENGTH)}"
    names = ", ".join(shown(each.name, NAME_LENGTH) for each in finding.carriers[:NAMED])
    whole = f"{where}: {names}{_more(finding)}" if names else where
    return f"Resolved: {whole}" if alert.state == "resolved" else whole


def _text(alert: Alert) -> str:
    """What was found, where, how much against what threshold, since when, and in how many rows."""
    finding = alert.finding
    said = [
        _sentence(shown(finding.sentence, TEXT_LENGTH)),
        _sentence(_because(finding)),
        _sentence(f"{_where(finding)}{_measured(finding)}"),
        _sentence(f"{_when(alert)}: {_rows(finding)}"),
    ]
    if alert.state == "resolved":
        said.insert(0, _sentence(f"Resolved at {_moment(alert.resolved_s)}"))
    return " ".join(each for each in said if each)


def timestamp(time_s: float) -> str:
    """Unix time as ISO 8601 and RFC 3339 have it, in UTC with milliseconds; what is beyond the year 9999 is its end.

    Example:
        >>> timestamp(1_700_000_000.25)
        '2023-11-14T22:13:20.250Z'
    """
    moment = datetime.fromtimestamp(min(time_s, LAST_S), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(time_s: float | None) -> str | None:
    """None where there is none, or none that has a name."""
    return timestamp(time_s) if time_s is not None and 0 <= time_s <= LAST_S else None


def _feature(carrier: Carrier) -> JSON:
    return {
        "name": shown(carrier.name, NAME_LENGTH),
        "share": _finite(carrier.share),
        "statistic": _finite(carrier.statistic),
        "threshold": _finite(carrier.threshold),
        "evidence_nats": _finite(carrier.nats),
        "needed_nats": _finite(carrier.needed_nats),
        "p_value": _finite(carrier.p_value),
        "since": _moment(carrier.since_s),
        "rows": carrier.rows,
        "text": shown(carrier.sentence, SENTENCE_LENGTH),
    }


def _finite(number: float | None) -> float | None:
    """A plain number: what numpy calls a float is none to every writer of JSON."""
    return float(number) if number is not None and math.isfinite(number) else None


def _what(key: Key) -> str:
    """The check in words. Drift is drift, whichever detector sees it; SageMaker's other checks end in `_check`."""
    if known := _CHECKS.get((key.monitor, key.check)):
        return known
    if key.monitor == "experiment":
        return f"Worse {shown(key.check, NAME_LENGTH)} than the champion"
    check = key.check.removesuffix("_check")
    if key.monitor == "data" and check in {key.check, "baseline_drift"}:
        return _DRIFT[key.subject]
    words = f"{check} check" if key.monitor == "data" else f"{key.monitor} {check}"
    words = shown(words.replace("_", " "), NAME_LENGTH)
    return f"{words[:1].upper()}{words[1:]}" + (" of predictions" if key.subject == "predictions" else "")


def _headline(finding: Finding) -> str:
    """What was found, and why."""
    key, cause, what = finding.key, finding.cause, _what(finding.key)
    if cause not in _CAUSES:
        return what
    about = key.monitor if key.monitor == "data" else f"{key.monitor} {key.check}"
    return _HEADLINES.get((about, cause), "{what} ({cause})").format(what=what, cause=_CAUSES[cause])


def _because(finding: Finding) -> str:
    """The cause, and how it is known."""
    if finding.cause not in _CAUSES:
        return ""
    reason = shown(finding.reason, REASON_LENGTH)
    return f"Cause: {_CAUSES[finding.cause]}. {reason[:1].upper()}{reason[1:]}".rstrip()


def _more(finding: Finding) -> str:
    more = len(finding.carriers) - NAMED
    return f" and {more} more" if more > 0 else ""


def _where(finding: Finding) -> str:
    version = f", version {shown(finding.version, NAME_LENGTH)}" if finding.version else ""
    return f"Variant {shown(finding.key.variant, NAME_LENGTH)}{version}, by {shown(finding.key.check, NAME_LENGTH)}"


def _measured(finding: Finding) -> str:
    measures = "; ".join(_measure(each, finding.key.check) for each in finding.carriers[:NAMED])
    return f": {measures}{_more(finding)}" if measures else ""


def _measure(carrier: Carrier, check: str) -> str:
    statistic = _against(carrier.statistic, carrier.threshold)
    if check == "sequential" and statistic:
        statistic = f"{100 * carrier.statistic:.3g} % of the rows have moved"
    said = [shown(carrier.name, NAME_LENGTH), statistic]
    if evidence := _against(carrier.nats, carrier.needed_nats):
        said.append(f"(evidence {evidence} nats)")
    if p_value := _against(carrier.p_value, None):
        said.append(f"(p = {p_value})")
    return " ".join(each for each in said if each)


def _against(number: float | None, limit: float | None) -> str:
    """The number, and its limit where it has one; empty where nobody knows the number."""
    if _finite(number) is None:
        return ""
    return f"{number:.4g}" if _finite(limit) is None else f"{number:.4g} against {limit:.4g}"


def _when(alert: Alert) -> str:
    """Since the change began; where nobody can tell, since it was seen."""
    since = _moment(alert.finding.since_s) or _moment(alert.pending_s)
    return f"From {since} to {_moment(alert.gone_s)}" if alert.state == "resolved" else f"Since {since}"


def _rows(finding: Finding) -> str:
    beside = finding.key.monitor in {"rollout", "experiment"} or finding.key[:2] == ("quality", "champion")
    other = "champion" if beside else "reference"
    reference = f", compared with {finding.reference_rows:,} of the {other}" if finding.reference_rows else ""
    return f"{counted(finding.rows, 'row')}{reference}"


def _sentence(text: str) -> str:
    """The text with an end to it."""
    ended = text.rstrip()
    return ended + "." if ended and ended[-1] not in ".!?…" else ended
