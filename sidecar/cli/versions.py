"""`sidecar versions`: the catalogue of a model's versions, and which of them serves whom."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

import click

from sidecar.catalog.documents import encode
from sidecar.cli import copies, judging, registering, steering
from sidecar.cli.asking import EXITS, Asking, Book, by_option, catalogued, json_option, now_s, why_option
from sidecar.cli.telling import Cell, document, fields_of, moment, spelled, table, tell
from sidecar.cli.tree import drawn, gathered
from sidecar.entries import Deployment, Version
from sidecar.errors import UnknownError

QUALITY = "quality."
"""How live measures begin that rest on labels."""

HEADER = ("version", "approval", "serves", "registered", "by", "framework", "metrics", "aliases", "artefact")


@click.group(
    cls=Asking,
    epilog=EXITS,
    context_settings={"max_content_width": 120},
    help="""Keep the versions of a model: what they are, who may serve, and who serves whom.

    list, show, register, approve, reject and compare ask a catalogue, its file or a sidecar that has one; the others
    ask a running sidecar.

    \b
      sidecar versions register fraud --artefact s3://models/fraud/7 --catalog catalog.sqlite
      sidecar versions list fraud
      sidecar versions weight challenger 10 --why "a first look"
      sidecar versions rollback
      sidecar versions experiment
    """,
)
def versions() -> None:
    """Only a group."""


@versions.command("list")
@click.argument("group", required=False)
@json_option
@catalogued()
def list_(catalog: Book, *, group: str | None, as_json: bool) -> None:
    """List the versions of GROUP, a model, the latest first; or all models.

    \b
      sidecar versions list
      sidecar versions list fraud --catalog /var/lib/sidecar/catalog.sqlite
    """  # noqa: D301  # click's mark of what is not to be wrapped
    if group is None:
        _list_models(catalog, as_json=as_json)
        return
    found = catalog.versions(group)
    if as_json:
        document({"versions": [fields_of(each) for each in found]})
    else:
        table(HEADER, [_row(each) for each in found])


@versions.command()
@click.argument("group")
@click.argument("name")
@json_option
@catalogued()
def show(catalog: Book, *, group: str, name: str, as_json: bool) -> None:
    """Show all that is known of a version.

    NAME is its number, or an alias with @ before it where the catalogue knows such.

    \b
      sidecar versions show fraud 7
      sidecar versions show fraud @champion --json
    """  # noqa: D301
    version = catalog.version(group, name)
    graph = gathered(catalog, version)
    ancestors, descendants = graph.ancestors(version.key), graph.descendants(version.key)
    if as_json:
        lineage = {"ancestors": ancestors, "descendants": descendants, "rests_on": graph.rests_on(version.key)}
        document({**fields_of(version), "lineage": lineage})
        return
    for what, text in _facts(version):
        tell(f"{what:<11} {text}")
    _headed("Comes from", drawn(version.key, graph.parents))
    _headed("Led to", drawn(version.key, graph.children))
    rests = [
        [each.link.relation, each.link.target, each.link.digest, each.version] for each in graph.rests_on(version.key)
    ]
    _tabled("Rests on", ["relation", "what", "digest", "version"], rests)
    _history(version)
    _tabled("Parameters", ["name", "value"], sorted(version.draft.parameters.items()))
    measured = f"Metrics, live of {moment(version.live_s)}" if version.live_s is not None else "Metrics"
    beside = list(_beside(version.draft.metrics, version.live))
    _tabled(measured, ["name", "training", "live", "difference"], beside)


versions.add_command(registering.register)


@versions.command()
@click.argument("group")
@click.argument("name")
@why_option
@by_option
@json_option
@catalogued()
def approve(catalog: Book, *, group: str, name: str, why: str, by: str, as_json: bool) -> None:
    """Say that a version may serve.

    \b
      sidecar versions approve fraud 7 --why "AUC 0.93, bias within limits"
    """  # noqa: D301
    _decided(catalog.decide(group, name, "approved", by=by, why=why, now_s=now_s()), as_json=as_json)


@versions.command()
@click.argument("group")
@click.argument("name")
@why_option
@by_option
@json_option
@catalogued()
def reject(catalog: Book, *, group: str, name: str, why: str, by: str, as_json: bool) -> None:
    """Say that a version must not serve.

    A sidecar where it does gives its traffic to the latest approved one.

    \b
      sidecar versions reject fraud 7 --why "leaks the label"
    """  # noqa: D301
    _decided(catalog.decide(group, name, "rejected", by=by, why=why, now_s=now_s()), as_json=as_json)


@versions.command()
@click.argument("group")
@click.argument("a")
@click.argument("b")
@json_option
@catalogued()
def compare(catalog: Book, *, group: str, a: str, b: str, as_json: bool) -> None:
    """Show two versions side by side.

    Parameters, metrics of the training, what is measured live, and how B differs from A.

    \b
      sidecar versions compare fraud 6 7
    """  # noqa: D301
    one, other = catalog.version(group, a), catalog.version(group, b)
    if as_json:
        document({"group": group, "a": fields_of(one), "b": fields_of(other)})
        return
    rows = [[what, mine, theirs, _unlike(mine, theirs)] for what, mine, theirs in _sides(one, other)]
    table(["what", one.key, other.key, "difference"], rows)


for command in (
    steering.promote,
    steering.rollback,
    steering.start,
    steering.hold,
    steering.resume,
    steering.weight,
    steering.routes,
    steering.changes,
    judging.experiment,
    copies.shadow,
):
    versions.add_command(command)


def _list_models(catalog: Book, *, as_json: bool) -> None:
    groups = catalog.groups()
    if as_json:
        document({"models": groups})
        return
    table(["model", "versions", "latest", "latest approved", "serve"], [_model(catalog, group) for group in groups])


def _model(catalog: Book, group: str) -> Sequence[Cell]:
    try:
        found = catalog.versions(group)
    except UnknownError:  # it was there a moment ago
        found = []
    approved = [str(each.number) for each in found if each.approval == "approved"]
    serve = [f"{each.number}: {_serves(each)}" for each in found if each.deployed]
    return [group, len(found), str(found[0].number) if found else "", next(iter(approved), ""), ", ".join(serve)]


def _row(version: Version) -> Sequence[Cell]:
    metrics = " ".join(f"{name}={value:.4g}" for name, value in version.draft.metrics.items())
    return [
        str(version.number),
        version.approval,
        _serves(version),
        moment(version.registered_s),
        version.by,
        version.draft.framework,
        metrics,
        " ".join(version.aliases),
        version.draft.artefact,
    ]


def _serves(version: Version) -> str:
    return ", ".join(f"{each.variant} {each.weight:g} %" for each in version.deployed)


def _facts(version: Version) -> Iterator[tuple[str, str]]:
    """What is one line each; what is not known is left out."""
    draft = version.draft
    signature = "" if draft.signature is None else encode(draft.signature).decode()
    facts = [
        ("version", version.key),
        ("aliases", " ".join(version.aliases)),
        ("approval", version.approval),
        ("serves", _serves(version)),
        ("registered", f"{moment(version.registered_s)} by {version.by}"),
        ("artefact", draft.artefact),
        ("digest", draft.digest),
        ("framework", draft.framework),
        ("signature", signature),
        ("reference", draft.reference),
        *(("notes", line) for line in draft.notes.splitlines()),
    ]
    return ((what, spelled(text)) for what, text in facts if text)


def _history(version: Version) -> None:
    decisions = [[moment(each.time_s), each.approval, each.by, each.why] for each in version.decisions]
    _tabled("Decisions", ["time", "approval", "by", "why"], decisions)
    header = ["variant", "percent", "since", "by", "why", "replaced", "until", "ended by", "why"]
    _tabled("Deployments", header, [_deployment(each) for each in version.deployments])


def _deployment(each: Deployment) -> Sequence[Cell]:
    begun: list[Cell] = [each.variant, each.weight, moment(each.since_s), each.by, each.why, each.replaced]
    return [*begun, moment(each.until_s), each.ended_by, each.ended_why]


def _beside(training: Mapping[str, float], live: Mapping[str, float]) -> Iterator[tuple[Cell, ...]]:
    """Metrics of one name in one line: what training calls `auc` is `quality.auc` live, if neither has the other's."""
    same = {name: QUALITY + name for name in training.keys() - live.keys() if QUALITY + name in live.keys() - training}
    for name in sorted(training.keys() | (live.keys() - same.values())):
        mine, theirs = training.get(name), live.get(same.get(name, name))
        yield name, mine, theirs, _unlike(mine, theirs)


def _sides(one: Version, other: Version) -> Iterator[tuple[str, Cell, Cell]]:
    """All that there is to compare, side by side."""
    yield "approval", one.approval, other.approval
    for (what, mine), (_, theirs) in zip(_plain(one), _plain(other), strict=True):
        yield what, mine, theirs
    sides: list[tuple[str, Mapping[str, Cell], Mapping[str, Cell]]] = [
        ("parameter", one.draft.parameters, other.draft.parameters),
        ("metric", one.draft.metrics, other.draft.metrics),
        ("live", one.live, other.live),
    ]
    for kind, mine_by_name, theirs_by_name in sides:
        for name in sorted(mine_by_name.keys() | theirs_by_name.keys()):
            yield f"{kind} {name}", mine_by_name.get(name), theirs_by_name.get(name)


def _plain(version: Version) -> list[tuple[str, str]]:
    draft = version.draft
    facts = ("artefact", draft.artefact), ("digest", draft.digest), ("framework", draft.framework)
    return [("serves", _serves(version)), *facts, ("reference", draft.reference)]


def _unlike(one: Cell, other: Cell) -> Cell:
    """By how much the second is more, where that can be said; of texts, whether they differ."""
    if isinstance(one, str) or isinstance(other, str):
        return None if one == other else "differs"
    return other - one if one is not None and other is not None and isfinite(other - one) else None


def _decided(version: Version, *, as_json: bool) -> None:
    if as_json:
        document(fields_of(version))
        return
    serves = f"; serves as {_serves(version)}" if version.deployed else ""
    tell(spelled(f"{version.key} is {version.approval}{serves}"))


def _headed(title: str, lines: Sequence[str]) -> None:
    if lines:
        tell()
        tell(title)
        for line in lines:
            tell(spelled(line))


def _tabled(title: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    if rows:
        tell()
        tell(title)
        table(header, rows)
