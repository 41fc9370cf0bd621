"""Rules: which findings become alerts, and when the channels are told. Values in, values out; time is a parameter.

    alert       its finding                        becomes     told
    none        is there, of `min_rows` or more    pending     no
    pending     has lasted `hold_s`                firing      yes
    pending     is gone                            nothing     no
    firing      is there                           firing      again every `repeat_s`
    firing      is gone                            firing      no
    firing      has been gone for `resolve_s`      resolved    yes
    resolved    whatever it is                     resolved    no

Rule 1: a key has one alert at most that is not resolved; what comes after a resolved one is another, with another id.
What happens at a moment has one each time: a second rollback is told though the first is not resolved yet.
Rule 2: a silence holds back that something fires, not what becomes of an alert, nor that it is over. What still fires
at its end is told then.
Rule 3: nobody is told that something is over who was not told that it had begun.
Rule 4: an alert that no rule is about any more is treated as if its finding were gone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from itertools import count
from typing import NamedTuple

from sidecar.records import Alert, Finding, Key, Severity

Occurrence = tuple[Key, float | None]
"""By which a finding is known again, see `Finding.occurrence`."""

KEPT = 1000
"""Resolved alerts that are kept, the newest. Those that are not need no bound: there is one a key, and keys are
monitors times checks times variants, all of them configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which findings it is about, and what it makes of them. Of many, the first that matches counts.

    Args:
        monitor: What the finding's monitor may be, as a shell would match it: `*`, `data`, `[!q]*`; case counts.
        check: Likewise.
        variant: Likewise.
        subject: Likewise.
        severity: Of its alerts; the word of an alert that is not resolved changes with it.
        min_rows: A finding of fewer raises no alert; one that has been raised stays when they become fewer.
        hold_s: A finding that has gone before raises no notice; and what changes together comes in one.
        resolve_s: A finding that is back before has not gone: what comes and goes is told once.
        repeat_s: How often the channels are told while it fires; above 0.
        channels: Who is told, as `Notice` has it.
    """

    monitor: str = "*"
    check: str = "*"
    variant: str = "*"
    subject: str = "*"
    severity: Severity = "warning"
    min_rows: int = 0
    hold_s: float = 10.0
    resolve_s: float = 60.0
    repeat_s: float = 14400.0
    channels: tuple[str, ...] = ("*",)

    def matches(self, key: Key) -> bool:
        """Whether it is about the findings of this key."""
        globs = (self.monitor, self.check, self.variant, self.subject)
        return all(fnmatchcase(name, glob) for name, glob in zip(key, globs, strict=True))


class Step(NamedTuple):
    """What becomes of the alerts at one moment.

    Args:
        alerts: All that are to be kept.
        told: Those of them that the channels are to be told of, as they are to be told.
    """

    alerts: tuple[Alert, ...]
    told: tuple[Alert, ...]


def rule_for(key: Key, rules: Iterable[Rule]) -> Rule | None:
    """The rule that counts for the findings of this key; None where none does, and they raise no alert."""
    return next((rule for rule in rules if rule.matches(key)), None)


def step(alerts: Sequence[Alert], findings: Iterable[Finding], rules: Sequence[Rule], now_s: float) -> Step:
    """Bring the alerts to what is found now.

    Args:
        alerts: Of the step before, or as they were stored.
        findings: All that hold now; one of each.
        now_s: Unix time. It may be earlier than that of the step before.

    Example:
        >>> found = Finding(Key("data", "psi", "champion", "features"), "3", (), 2000, 10000, "drift")
        >>> alerts, told = step((), [found], [Rule(hold_s=10)], now_s=100)
        >>> [alert.state for alert in alerts], len(told)
        (['pending'], 0)
        >>> alerts, told = step(alerts, [found], [Rule(hold_s=10)], now_s=110)
        >>> [alert.state for alert in alerts], len(told)
        (['firing'], 1)
    """
    present = {finding.occurrence: finding for finding in findings}
    kept: list[Alert] = []
    told: list[Alert] = []
    for alert in (*alerts, *_raised(alerts, present, rules, now_s)):
        if alert.state == "resolved":
            kept.append(alert)
            continue
        rule = rule_for(alert.finding.key, rules)
        # Taken, not looked up: should a store hold two alerts of one finding, only one goes on.
        finding = present.pop(alert.finding.occurrence, None) if rule else None
        after = _after(_none_ahead(alert, now_s), finding, rule or Rule(severity=alert.severity), now_s)
        if after:
            kept.append(after)
        if after and after.told > alert.told:
            told.append(after)
    return Step(_newest(kept, now_s), tuple(told))


def silence(alert: Alert, until_s: float) -> Alert:
    """The alert, of which nothing is told until `until_s`; 0 ends its silence."""
    return replace(alert, silenced_until_s=until_s)


def _raised(
    alerts: Sequence[Alert], present: Mapping[Occurrence, Finding], rules: Sequence[Rule], now_s: float
) -> Iterator[Alert]:
    """The alerts of findings that have none yet, all pending."""
    known = {alert.finding.occurrence for alert in alerts if alert.state != "resolved"}
    ids = {alert.id for alert in alerts}
    for occurrence, finding in present.items():
        rule = None if occurrence in known else rule_for(finding.key, rules)
        if rule and finding.rows >= rule.min_rows:
            chosen = next(each for number in count() if (each := _id(finding.key, now_s, number)) not in ids)
            yield Alert(id=chosen, state="pending", severity=rule.severity, finding=finding, pending_s=now_s)


def _id(key: Key, pending_s: float, number: int) -> str:
    """The id of an alert; of a second one, 1 and so on, where the clock stands or goes back and the first is taken."""
    parts = (*key, repr(float(pending_s)), *([str(number)] if number else []))
    return sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _after(alert: Alert, finding: Finding | None, rule: Rule, now_s: float) -> Alert | None:
    """What becomes of one that is not resolved; None of one that was pending for nothing."""
    if finding:
        told = _with_cause(finding, alert.finding)
        after = replace(_fired(alert, rule, now_s), finding=told, gone_s=None, severity=rule.severity)
    elif alert.state == "firing":
        after = replace(_resolved(alert, rule, now_s), severity=rule.severity)
    else:
        return None
    return replace(after, told=after.told + 1, told_s=now_s) if _is_due(after, rule, now_s) else after


def _with_cause(finding: Finding, before: Finding) -> Finding:
    """The finding, with the cause that it had where less is known of it now: what names a cause may end before it."""
    lost = before.cause and (not finding.cause or (before.cause == "both" and finding.cause in {"inputs", "relation"}))
    return replace(finding, cause=before.cause, reason=before.reason) if lost else finding


def _fired(alert: Alert, rule: Rule, now_s: float) -> Alert:
    held = alert.state == "pending" and now_s - alert.pending_s >= rule.hold_s
    return replace(alert, state="firing", fired_s=now_s) if held else alert


def _resolved(alert: Alert, rule: Rule, now_s: float) -> Alert:
    gone_s = now_s if alert.gone_s is None else alert.gone_s
    if now_s - gone_s < rule.resolve_s:
        return replace(alert, gone_s=gone_s)
    return replace(alert, state="resolved", gone_s=gone_s, resolved_s=now_s)


def _is_due(alert: Alert, rule: Rule, now_s: float) -> bool:
    """Whether the channels are to be told; of a resolved one, at the step that resolves it."""
    if alert.state == "resolved":
        return alert.told > 0
    if now_s < alert.silenced_until_s or alert.state == "pending":
        return False
    if alert.gone_s is not None:
        return False
    if alert.told_s is None or alert.told_s < alert.silenced_until_s:
        return True
    return now_s - alert.told_s >= rule.repeat_s


def _none_ahead(alert: Alert, now_s: float) -> Alert:
    """The alert with every moment that the clock has taken back brought to now: none is waited for a second time."""
    return replace(
        alert,
        pending_s=min(alert.pending_s, now_s),
        fired_s=_not_ahead(alert.fired_s, now_s),
        gone_s=_not_ahead(alert.gone_s, now_s),
        told_s=_not_ahead(alert.told_s, now_s),
    )


def _not_ahead(moment_s: float | None, now_s: float) -> float | None:
    return None if moment_s is None else min(moment_s, now_s)


def _newest(alerts: Sequence[Alert], now_s: float) -> tuple[Alert, ...]:
    """All but the resolved ones beyond KEPT; of those of one moment the first go first."""
    resolved = [alert for alert in alerts if alert.state == "resolved"]
    if len(resolved) <= KEPT:
        return tuple(alerts)
    resolved.sort(key=lambda alert: min(alert.resolved_s or 0.0, now_s))
    forgotten = {alert.id for alert in resolved[: len(resolved) - KEPT]}
    return tuple(alert for alert in alerts if alert.id not in forgotten)
