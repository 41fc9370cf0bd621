"""What somebody says of a version in a few words, as the draft that a catalogue takes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import SupportsFloat, TypedDict, cast

from sidecar.catalog.digests import digest_of
from sidecar.entries import Draft, Link, Relation


class _Fields(TypedDict, total=False):
    digest: str
    framework: str
    signature: object
    reference: str
    notes: str


class Said(_Fields, total=False):
    """What one may say: the fields of a Draft, and where it comes from in short.

    Args:
        parameters: Of any type, kept as texts.
        derived_from: A version, `fraud/3`.
        trained_on: Where data are; of a file or folder that is here the digest is taken.
        evaluated_on: Likewise.
    """

    artefact: str | os.PathLike[str]
    parameters: Mapping[str, object]
    metrics: Mapping[str, SupportsFloat]
    links: Sequence[Link]
    derived_from: str
    trained_on: str
    evaluated_on: str


_OWN = ("artefact", "parameters", "metrics", "links", "derived_from", "trained_on", "evaluated_on")


def draft_of(said: Said, *links: Link) -> Draft:
    """The draft; of an artefact, or data, that is a file or folder here with its digest.

    Args:
        links: Before those that are said.

    Raises:
        OSError: It is here, and cannot be read.
        TypeError: There is no such thing to be said.

    Example:
        >>> draft = draft_of({"parameters": {"depth": 6}, "derived_from": "fraud/3"})
        >>> dict(draft.parameters), draft.links
        ({'depth': '6'}, (Link(relation='derived_from', target='fraud/3', digest=''),))
    """
    draft = Draft(
        **cast("_Fields", {name: value for name, value in said.items() if name not in _OWN}),
        artefact=os.fspath(said.get("artefact", "")),
        parameters={name: str(value) for name, value in said.get("parameters", {}).items()},
        metrics={name: float(value) for name, value in said.get("metrics", {}).items()},
        links=(*links, *(Link(*link) for link in said.get("links", ())), *_short(said)),
    )
    return draft if draft.digest else replace(draft, digest=_digest(draft.artefact))


def _short(said: Said) -> list[Link]:
    places: list[tuple[Relation, str]] = [
        ("derived_from", said.get("derived_from", "")),
        ("trained_on", said.get("trained_on", "")),
        ("evaluated_on", said.get("evaluated_on", "")),
    ]
    return [
        Link(relation, place, "" if relation == "derived_from" else _digest(place))
        for relation, place in places
        if place
    ]


def _digest(place: str) -> str:
    return digest_of(place) if place and "://" not in place and Path(place).exists() else ""
