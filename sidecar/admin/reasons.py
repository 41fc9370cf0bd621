"""Why a variant may not be well: how it serves, how often it fails, what was found and is not over."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeGuard

from sidecar.admin.view import VariantView, Watched
from sidecar.alerts.document import LAST_S
from sidecar.records import Alert, Finding, Key, Subject
from sidecar.routing.availability import State as Availability
from sidecar.stats.history import GRAINS, History
from sidecar.stats.history import Key as Kept
from sidecar.texts import encodable, shown

State = Literal["bad", "warn", "good", "unknown"]
WORST: tuple[State, ...] = ("bad", "warn", "unknown", "good")

STEPS = 30
"""Of the history by which errors are judged: five minutes."""

LEAST_ERRORS = 5
"""Without which a share of errors says nothing."""

ERRORS: Final = 0.05
MANY_ERRORS: Final = 0.5
"""Shares of errors from which on a variant is to be looked at, and is bad."""

SURE = 4.0
"""Standard errors by which a variant must fail more often than the others, to be told so."""

CAUSES = {
    "inputs": "moved inputs",
    "relation": "concept drift",
    "both": "concept drift and moved inputs",
    "model": "changed model",
    "pipeline": "broken data pipeline",
}

BRIEF = 120
"""Characters of a reason in few words."""

NAMED, NAME = 2, 40
"""Columns that such a reason names, and characters of a name; further columns are counted."""

CLAUSES = ("; ", ", along ")
"""Where a sentence begins to tell more than what has happened."""

OUT: Mapping[Availability, str] = {
    "ejected": "it is ejected and gets no traffic: too many of its requests failed",
    "unhealthy": "it gets no traffic: its health checks fail",
}


class Reason(NamedTuple):
    """Why something is not well.

    Args:
        brief: In few words.
        text: The whole of it; empty where the few words are that.
        since_s: Unix time; None where nobody can tell.
    """

    state: State
    brief: str
    text: str = ""
    since_s: float | None = None


class Errors(NamedTuple):
    """Requests of late, and how many of them failed."""

    requests: float
    errors: float

    @property
    def ratio(self) -> float:
        """Share that failed; 0 of none."""
        return self.errors / self.requests if self.requests else 0.0


class Now(NamedTuple):
    """What is read on the event loop.

    Args:
        requests: So far, by variant.
        states: Of the upstreams, and the part of its traffic that each may take.
        not_ready: Why requests should not come.
        refusal: Why the latest configuration was refused; empty where it was not.
    """

    now_s: float
    variants: Sequence[VariantView]
    requests: Mapping[str, int]
    states: Mapping[str, tuple[Availability, float]]
    not_ready: Sequence[str]
    refusal: str


def of_serving(variant: str, now: Now) -> Iterator[Reason]:
    """Whether it gets its traffic."""
    state, part = now.states.get(variant, ("taking", 1.0))
    if state in OUT:
        yield Reason("bad", OUT[state])
    elif state == "coming_back":
        yield Reason("warn", f"it is coming back, and takes {100 * part:.0f} % of its traffic")


def errors_of(history: History, variant: str, now_s: float) -> Errors:
    """Of the last five minutes, as far as these were noted."""
    step_s = GRAINS["hour"].step_s
    rates, shares = (
        history.lately(Kept("traffic", variant, series), "", now_s=now_s, steps=STEPS)
        for series in ("requests_per_s", "errors_ratio")
    )
    known = [(rate * step_s, share) for rate, share in zip(rates, shares, strict=True) if not math.isnan(rate + share)]
    return Errors(sum(requests for requests, _ in known), sum(requests * share for requests, share in known))


def of_errors(variant: str, errors: Mapping[str, Errors]) -> Iterator[Reason]:
    """Whether it fails often, or more often than the others."""
    own = errors[variant]
    others = [each for name, each in errors.items() if name != variant and each.requests]
    rest = Errors(sum(each.requests for each in others), sum(each.errors for each in others))
    if own.errors < LEAST_ERRORS - 0.5:
        return
    told = f"{_percent(own.ratio)} of its requests of the last five minutes failed"
    if rest.requests and _surely_more(own, rest):
        yield Reason("bad" if own.ratio >= MANY_ERRORS else "warn", f"{told}, {_percent(rest.ratio)} of the others'")
    elif own.ratio >= ERRORS:
        yield Reason("bad" if own.ratio >= MANY_ERRORS else "warn", told)


def _surely_more(own: Errors, rest: Errors) -> bool:
    """Whether chance does not explain that more of the one's requests failed."""
    pooled = (own.errors + rest.errors) / (own.requests + rest.requests)
    deviation = math.sqrt(max(pooled * (1 - pooled), 0.0) * (1 / own.requests + 1 / rest.requests))
    return own.ratio - rest.ratio > SURE * deviation


def of_alerts(alerts: Sequence[Alert], now_s: float) -> Iterator[Reason]:
    """What is to be told of it, and is not over."""
    for alert in alerts:
        if alert.gone_s is not None:
            over = _reason("warn", alert.finding, now_s, f"over since {moment(alert.gone_s, now_s)}")
            yield over._replace(since_s=None)
        elif alert.state == "pending":
            yield _reason("warn", alert.finding, now_s, "seen only just now")
        elif alert.silenced_until_s > now_s:
            until = f" until {moment(alert.silenced_until_s, now_s)}" if alert.silenced_until_s < LAST_S else ""
            yield _reason("warn", alert.finding, now_s, f"silenced{until}")
        else:
            yield _reason("warn" if alert.severity == "info" else "bad", alert.finding, now_s)


def over_since(alerts: Sequence[Alert], variant: str) -> float | None:
    """When the latest drift of a variant was over; None where none is known of."""
    drifts = [alert for alert in alerts if alert.finding.key.variant == variant and _is_drift(alert.finding.key)]
    return max((alert.gone_s for alert in drifts if alert.gone_s is not None), default=None)


def of_findings(watching: Watched, variant: str, alerts: Sequence[Alert], now_s: float) -> Iterator[Reason]:
    """What was found of rows, no rule makes an alert of, and no alert says of the same columns."""
    told = {alert.finding.occurrence for alert in alerts}
    drifted: dict[Subject, set[str]] = {}
    for alert in alerts:
        if _is_drift(alert.finding.key):
            drifted.setdefault(alert.finding.key.subject, set()).update(each.name for each in alert.finding.carriers)
    followed = dict(watching.following.variants).get(variant) if watching.following is not None else None
    for finding in followed.findings if followed is not None else ():
        again = _is_drift(finding.key) and {each.name for each in finding.carriers} <= drifted.get(
            finding.key.subject, set()
        )
        if finding.occurrence not in told and not again:
            yield _reason("warn", finding, now_s, "", "no alert is made of that")


def _reason(state: State, finding: Finding, now_s: float, standing: str = "", note: str = "") -> Reason:
    """A finding, in few words and in its own.

    Args:
        standing: How its alert stands, where that is not plain.
        note: What only the whole of it tells.
    """
    since_s = finding.since_s if _is_time(finding.since_s) else None
    few, whole = brief(finding, standing), _found(finding, now_s, standing or note)
    return Reason(state, few, "" if _it(whole, finding.key.variant) == few else whole, since_s)


def brief(finding: Finding, standing: str = "") -> str:
    """What was found, in few words: `amount and hour have drifted`; its cause, where that says more.

    Of drift the columns say all; of other things, the beginning of the finding's own sentence.

    Args:
        standing: How its alert stands, where that is not plain.
    """
    key, names = finding.key, _names(finding)
    if _is_drift(key):
        has = "has" if len(finding.carriers) == 1 else "have"
        told = f"{names} {has} drifted" if key.subject == "features" else f"its answers have drifted: {names}"
    elif (key.monitor, key.check) == ("data", "dependence"):
        told = f"features depend on each other in another way: {names}"
    elif key.monitor == "data":
        told = f"{shown(key.check, NAME)} is broken: {names}"
    else:
        told = _clause(finding.sentence, key.variant)
    cause = "" if finding.cause == "inputs" else CAUSES.get(finding.cause, "")
    return _noted(told, cause, standing)


def _noted(told: str, *notes: str) -> str:
    """With what is to be known of it; empty notes are none."""
    noted = "; ".join(filter(None, notes))
    return f"{told} ({noted})" if noted else told


def clipped(text: str, length: int) -> str:
    """The text on one line, and no longer than that: it ends with a whole word.

    Example:
        >>> clipped("three little words", 15), clipped("one", 15)
        ('three little …', 'one')
    """
    told = shown(encodable(text), length)
    if not told.endswith("…") or " " not in told:
        return told
    return f"{told[:-1].rpartition(' ')[0].rstrip(' ,;:')} …"


def moment(time_s: float, now_s: float) -> str:
    """The time of day; with the day where that is not today's."""
    then, now = (datetime.fromtimestamp(min(each, LAST_S), UTC) for each in (time_s, now_s))
    return then.strftime("%H:%M UTC" if then.date() == now.date() else "%Y-%m-%d %H:%M UTC")


def _is_drift(key: Key) -> bool:
    """Whether it is about columns that are not what they were, whichever detector says so."""
    return key.monitor == "data" and key.check != "dependence" and not _is_check(key)


def _is_check(key: Key) -> bool:
    """Whether it is one of SageMaker's, but for that of drift."""
    return key.check.endswith("_check") and key.check != "baseline_drift_check"


def _names(finding: Finding) -> str:
    """Of the columns that carry it most.

    Example:
        >>> from sidecar.records import Carrier
        >>> those = tuple(Carrier(name, 0.2, 1.0, 0.5, "") for name in "abcde")
        >>> of = lambda few: Finding(Key("data", "psi", "champion", "features"), "", few, 0, 0, "")
        >>> [_names(of(those[:count])) for count in (1, 2, 3, 5)]
        ['a', 'a and b', 'a, b and c', 'a, b and 3 more']
    """
    carriers = finding.carriers
    kept = len(carriers) if len(carriers) <= NAMED + 1 else NAMED
    names = [shown(encodable(each.name), NAME) for each in carriers[:kept]]
    more = [f"{len(carriers) - kept} more"] if len(carriers) > kept else []
    *first, last = [*names, *more] or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last


def _clause(sentence: str, variant: str) -> str:
    """What a sentence says first."""
    told = _it(sentence, variant)
    for end in CLAUSES:
        told = told.partition(end)[0]
    return clipped(told, BRIEF)


def _it(sentence: str, variant: str) -> str:
    """The sentence of a variant that has been named before."""
    return f"it {sentence.removeprefix(f'{variant} ')}" if sentence.startswith(f"{variant} ") else sentence


def _found(finding: Finding, now_s: float, note: str) -> str:
    """A finding's own sentence, since when it is so, why, and what else is to be known."""
    since = f", since {moment(finding.since_s, now_s)}" if _is_time(finding.since_s) else ""
    cause = CAUSES.get(finding.cause, "")
    reason = finding.reason if finding.cause in CAUSES else ""
    # That inputs have moved, the reason says too.
    said = [reason] if finding.cause == "inputs" and reason else filter(None, (cause, reason))
    return _noted(f"{finding.sentence}{since}", ": ".join(said) if cause else "", note)


def _is_time(time_s: float | None) -> TypeGuard[float]:
    return time_s is not None and 0 <= time_s <= LAST_S


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
