"""A version of ours in MLflow: its own fields, and tags that begin with `sidecar.` for what it has no field for.

People read these tags, and write them too. What the tag `sidecar.approval` says is the approval, whoever wrote it; any
other of ours that cannot be read counts as not there. Times in tags are texts (ISO 8601).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from posixpath import normpath
from typing import Any, TypeVar, get_args
from urllib.parse import unquote, urlsplit

import msgspec

from sidecar.catalog.documents import decode, encode
from sidecar.catalog.mlflow_replies import RunData, RunDocument, VersionDocument, texts, value_of
from sidecar.entries import Approval, Decision, Deployment, Draft, Link, Relation, Version

T = TypeVar("T")

APPROVAL = "sidecar.approval"
ARTEFACT = "sidecar.artefact"
DECISIONS = "sidecar.decisions"
DEPLOYMENT = "sidecar.deployment."
DEPLOYMENTS = "sidecar.deployments"
LINKS = "sidecar.links"
LIVE = "sidecar.live"
REGISTERED = "sidecar.registered"

NO_SOURCE = "sidecar:///tags/sidecar.artefact"
"""MLflow demands a source, and takes no path; where there is another one, a tag says it."""
MAX_BYTES = 5000
"""Of a tag that grows, beyond which the oldest entries go: MLflow took no longer ones until mlflow#16377, of 2025."""

_PLAIN = ("digest", "framework", "reference")
_CONTEXTS: Mapping[str, Relation] = {
    **dict.fromkeys(("eval", "evaluation", "test", "testing", "validation"), "evaluated_on")
}


class _Registered(msgspec.Struct):
    at: datetime
    by: str = ""

    def __post_init__(self) -> None:
        _check_time(self.at)


class _Decided(msgspec.Struct):
    approval: Approval
    at: datetime
    by: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        _check_time(self.at)


class _Deployed(msgspec.Struct):
    weight: float
    since: datetime
    by: str = ""
    why: str = ""
    replaced: str = ""

    def __post_init__(self) -> None:
        _check_time(self.since)


class _Ended(_Deployed, kw_only=True):
    variant: str
    until: datetime
    ended_by: str = ""
    ended_why: str = ""

    def __post_init__(self) -> None:
        _check_time(self.since)
        _check_time(self.until)


class _Live(msgspec.Struct):
    at: datetime
    metrics: dict[str, float]

    def __post_init__(self) -> None:
        _check_time(self.at)


def draft_tags(draft: Draft, *, by: str, now_s: float) -> dict[str, str]:
    """What a new version's tags say.

    Example:
        >>> draft_tags(Draft(artefact="/models/7", metrics={"auc": 0.9}), by="ci", now_s=0.0)  # doctest: +ELLIPSIS
        {'sidecar.registered': ..., 'sidecar.artefact': '/models/7', 'sidecar.metrics': '{"auc":0.9}'}
    """
    said = {REGISTERED: _json({"at": _time(now_s), "by": by})}
    if draft.artefact and source_of(draft) == NO_SOURCE:
        said[ARTEFACT] = draft.artefact
    said |= {f"sidecar.{name}": text for name in _PLAIN if (text := getattr(draft, name))}
    if draft.signature is not None:
        said["sidecar.signature"] = _json(draft.signature)
    lists = {"parameters": dict(draft.parameters), "metrics": dict(draft.metrics), "links": list(draft.links)}
    return said | {f"sidecar.{name}": _json(each) for name, each in lists.items() if each}


def source_of(draft: Draft) -> str:
    """The artefact where MLflow takes it for a source: a URL of an absolute path, none of the machine it is said on.

    Example:
        >>> source_of(Draft(artefact="s3://models/fraud/7")), source_of(Draft(artefact="/models/7"))
        ('s3://models/fraud/7', 'sidecar:///tags/sidecar.artefact')
    """
    try:
        split = urlsplit(draft.artefact)
    except ValueError:
        return NO_SOURCE
    # A letter is a drive of Windows.
    elsewhere = len(split.scheme) > 1 and split.scheme != "file"
    path = re.sub("/+", "/", split.path.rstrip("/"))
    absolute = path.startswith("/") and normpath(path) == path and ".." not in unquote(draft.artefact).split("/")
    return draft.artefact if elsewhere and absolute else NO_SOURCE


def read_version(
    document: VersionDocument, *, run: RunDocument | None, aliases: Sequence[str], children: Sequence[str]
) -> Version:
    """The version.

    Args:
        run: The one that it comes from: what it says stands where the version says nothing.
    """
    said = texts(document.tags)
    registered = _of(said, REGISTERED, _Registered)
    live = _of(said, LIVE, _Live)
    return Version(
        group=document.name,
        number=document.version,
        draft=_draft(document, said, run),
        registered_s=registered.at.timestamp() if registered else document.creation_timestamp / 1000,
        by=registered.by if registered else document.user_id,
        decisions=_decisions(document, said),
        deployments=deployments(document),
        live=live.metrics if live else {},
        live_s=live.at.timestamp() if live else None,
        aliases=aliases,
        children=children,
    )


def _draft(document: VersionDocument, said: Mapping[str, str], run: RunDocument | None) -> Draft:
    data = run.data if run else RunData()
    return Draft(
        artefact=said.get(ARTEFACT, "" if document.source == NO_SOURCE else document.source),
        **{name: said.get(f"sidecar.{name}", "") for name in _PLAIN},
        signature=_of(said, "sidecar.signature", Any),
        parameters=texts(data.params) | (_of(said, "sidecar.parameters", dict[str, str]) or {}),
        metrics={each.key: value_of(each) for each in data.metrics}
        | (_of(said, "sidecar.metrics", dict[str, float]) or {}),
        links=[*_said_links(said), *_known_links(document, said, run)],
        notes=document.description,
    )


def _said_links(said: Mapping[str, str]) -> list[Link]:
    return _of(said, LINKS, list[Link]) or []


def _known_links(document: VersionDocument, said: Mapping[str, str], run: RunDocument | None) -> list[Link]:
    """What MLflow knows beside what was said: the run, and the data that it has read."""
    known = [Link("produced_by", document.run_id)] if document.run_id else []
    for each in run.inputs.dataset_inputs if run else []:
        context = texts(each.tags).get("mlflow.data.context", "").lower()
        known.append(Link(_CONTEXTS.get(context, "trained_on"), each.dataset.name, each.dataset.digest))
    named = {(link.relation, link.target) for link in _said_links(said)}
    return [link for link in dict.fromkeys(known) if (link.relation, link.target) not in named]


def parents(document: VersionDocument) -> list[str]:
    """The versions that it says it derives from."""
    return [link.target for link in _said_links(texts(document.tags)) if link.relation == "derived_from"]


def _decisions(document: VersionDocument, said: Mapping[str, str]) -> list[Decision]:
    """Those that were written down, and what somebody has made of the tag since."""
    noted = _of(said, DECISIONS, list[_Decided]) or []
    known = [Decision(each.approval, each.at.timestamp(), each.by, each.why) for each in noted]
    word = said.get(APPROVAL, "").strip().lower()
    if word not in get_args(Approval) or word == (known[-1].approval if known else "pending"):
        return known
    # Nobody knows when; not before what was decided last.
    at_s = max([document.last_updated_timestamp / 1000, *[each.time_s for each in known]])
    return [*known, Decision(msgspec.convert(word, Approval), at_s, "", f"the tag {APPROVAL} says so")]


def decision_tags(document: VersionDocument, decision: Decision) -> dict[str, str]:
    """What changes with it, in the order in which it is to be written: with the last of it, it holds.

    To say again what was said last changes nothing: whoever does has got no answer.
    """
    known = _decisions(document, texts(document.tags))
    if known and known[-1]._replace(time_s=decision.time_s) == decision:
        return {}
    decisions = [*known, decision]
    noted = [
        {"approval": each.approval, "at": _time(each.time_s), "by": each.by, "why": each.why} for each in decisions
    ]
    return {DECISIONS: _fitting(noted), APPROVAL: decision.approval}


def deployments(document: VersionDocument) -> list[Deployment]:
    """Where it was, and behind that where it is."""
    said = texts(document.tags)
    over = [_over(each) for each in _of(said, DEPLOYMENTS, list[_Ended]) or []]
    # One that has ended may have its tag still: it could not be taken away.
    ended = {(each.variant, each.since_s) for each in over}
    running = [
        _deployment(key.removeprefix(DEPLOYMENT), found)
        for key in said
        if key.startswith(DEPLOYMENT) and (found := _of(said, key, _Deployed))
    ]
    still = [each for each in running if (each.variant, each.since_s) not in ended]
    return over + sorted(still, key=lambda each: each.since_s)


def _deployment(variant: str, said: _Deployed) -> Deployment:
    return Deployment(variant, said.since.timestamp(), None, said.by, said.why, said.replaced, said.weight)


def _over(said: _Ended) -> Deployment:
    ended = _deployment(said.variant, said)
    return ended._replace(until_s=said.until.timestamp(), ended_by=said.ended_by, ended_why=said.ended_why)


def deployment_tag(deployment: Deployment) -> str:
    """What is said of a deployment while it lasts."""
    return _json(_said(deployment))


def ended_tag(document: VersionDocument, ended: Iterable[Deployment], *, by: str, why: str, now_s: float) -> str:
    """What is said of a version's deployments that are over, these with them."""
    noted = _of(texts(document.tags), DEPLOYMENTS, list[dict[str, object]]) or []
    end = {"until": _time(now_s), "ended_by": by, "ended_why": why}
    return _fitting([*noted, *({"variant": each.variant} | _said(each) | end for each in ended)])


def _said(deployment: Deployment) -> dict[str, object]:
    return {
        "weight": deployment.weight,
        "since": _time(deployment.since_s),
        "by": deployment.by,
        "why": deployment.why,
        "replaced": deployment.replaced,
    }


def live_tag(document: VersionDocument, live: Mapping[str, float], now_s: float) -> str:
    """What is said of what was measured, this and what was before under other names, as much as there is room for."""
    before = _of(texts(document.tags), LIVE, _Live)
    kept = {name: value for name, value in before.metrics.items() if name not in live} if before else {}
    fitting = decode(_fitting([{name: value} for name, value in (kept | dict(live)).items()]), list[dict[str, float]])
    return _json({"at": _time(now_s), "metrics": {name: value for each in fitting for name, value in each.items()}})


def _time(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _check_time(at: datetime) -> None:
    """See that it has a Unix time, and that this can be written again; those at either end of the calendar may not.

    Raises:
        ValueError: It has none.
    """
    _time(at.timestamp())


def _json(document: object) -> str:
    return encode(document).decode()


def _fitting(entries: Sequence[Mapping[str, object]]) -> str:
    """As many of the latest as there is room for; the last in any case."""
    left, first = MAX_BYTES, len(entries)
    while first and (left := left - len(encode(entries[first - 1])) - 1) > 0:
        first -= 1
    return _json(entries[min(first, len(entries) - 1) :])


def _of(said: Mapping[str, str], key: str, kind: type[T]) -> T | None:
    try:
        return decode(said[key], kind)
    except (KeyError, ValueError, RecursionError):
        return None
