"""Who serves whom, as a sidecar answers it and as people read it."""

from collections.abc import Iterator, Sequence

import click
from msgspec import Struct

from sidecar.cli.telling import Cell, moment, spelled, table, tell


class Changed(Struct):
    """A change, as a sidecar tells it.

    Args:
        time: Unix time.
        revision: That it made, in the list of changes.
    """

    time: float
    who: str
    what: str
    why: str = ""
    revision: int | None = None


class Guardrail(Struct):
    """What is known of a guardrail."""

    name: str
    word: str
    sentence: str = ""


class Rollout(Struct):
    """How far a rollout is."""

    challenger: str
    version: str
    phase: str
    percent: float
    reason: str = ""
    awaited: str = ""
    guardrails: list[Guardrail] = []


class Available(Struct):
    """Whether a variant takes requests."""

    state: str
    ejections: int = 0


class Standing(Struct):
    """Who serves whom, as a sidecar tells it: of its answer, what is told here."""

    revision: int
    shares: dict[str, float]
    change: Changed
    versions: dict[str, str] = {}
    availability: dict[str, Available] = {}
    rollout: Rollout | None = None
    unkept: str = ""


def told_in_lines(standing: Standing) -> None:
    """Tell who has how much, and how far the rollout is."""
    for line in _lines(standing):
        tell(line)
    if standing.unkept:
        click.echo(f"in force, but not kept yet: {spelled(standing.unkept)}", err=True)


def _lines(standing: Standing) -> Iterator[str]:
    shares = ", ".join(f"{spelled(name)} {share:g} %" for name, share in standing.shares.items())
    yield f"revision {standing.revision}: {shares}"
    if (rollout := standing.rollout) is not None:
        of = spelled(rollout.challenger) + (f" (version {spelled(rollout.version)})" if rollout.version else "")
        why = f": {spelled(rollout.reason)}" if rollout.reason else ""
        waits = f"; waits for {spelled(rollout.awaited)}" if rollout.awaited else ""
        yield f"rollout of {of}: {rollout.phase.replace('_', ' ')}, {rollout.percent:g} %{why}{waits}"


def told_in_full(standing: Standing) -> None:
    """Tell how the variants are, too, and what is known of the guardrails."""
    rows = list[Sequence[Cell]]()
    for name, share in standing.shares.items():
        known = standing.availability.get(name)
        state, ejections = (known.state, known.ejections) if known else ("", None)
        rows.append([name, standing.versions.get(name), share, state, ejections])
    table(["variant", "version", "percent", "state", "ejections"], rows)
    if standing.rollout and standing.rollout.guardrails:
        tell()
        table(
            ["guardrail", "word", "sentence"],
            [[each.name, each.word, each.sentence] for each in standing.rollout.guardrails],
        )
    tell()
    told_in_lines(standing)
    change = standing.change
    why = f": {spelled(change.why)}" if change.why else ""
    tell(f"changed {moment(change.time)} by {spelled(change.who)}, {spelled(change.what)}{why}")
