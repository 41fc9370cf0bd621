"""`sidecar versions register`: puts a version into the catalogue, with where it comes from."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import click
import msgspec

from sidecar.catalog.bounds import SIGNATURE_BYTES
from sidecar.catalog.digests import digest_of
from sidecar.cli.asking import Book, by_option, catalogued, json_option, now_s
from sidecar.cli.telling import document, fields_of, tell
from sidecar.cli.words import Data, Measured, data, digest, metric, once, pair
from sidecar.entries import Draft, Link, Relation
from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON
from sidecar.texts import shown

MODEL = "model"
"""The artefact of a run that is a version's where nothing else is said."""

SHOWN = 300
"""Characters of a place that is refused."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""RFC 3986, 3.1; one letter alone is a drive."""


class Said(TypedDict):
    """What the options say of a version."""

    artefact: str
    digest: str | None
    framework: str
    signature: str | None
    parameters: Sequence[tuple[str, str]]
    metrics: Sequence[Measured]
    reference: str
    derived_from: Sequence[str]
    trained_on: Sequence[Data]
    evaluated_on: Sequence[Data]
    run: str
    notes: str


@click.command()
@click.argument("group")
@click.option(
    "--artefact",
    metavar="PLACE",
    default="",
    help="Path here, or URL, of the model; a path elsewhere needs its digest. [default: the run's artefact `model`]",
)
@click.option(
    "--digest",
    type=digest,
    metavar="auto|sha256:…",
    help="SHA-256 of the artefact; auto takes it, and fails where the artefact is not here. [default: taken if it is]",
)
@click.option("--framework", metavar="TEXT", default="", help="As in: scikit-learn 1.7.")
@click.option("--signature", metavar="FILE", help="Names and types of columns, as JSON.")
@click.option(
    "--parameter", "parameters", type=pair, multiple=True, metavar="NAME=VALUE", help="A parameter of the training."
)
@click.option(
    "--metric", "metrics", type=metric, multiple=True, metavar="NAME=NUMBER", help="A metric of the training."
)
@click.option("--reference", metavar="FOLDER", default="", help="Of statistics.json and constraints.json.")
@click.option("--derived-from", metavar="GROUP/N", multiple=True, help="A version that it was made from.")
@click.option("--trained-on", type=data, multiple=True, metavar="PLACE[@sha256:…]", help="Data that it was trained on.")
@click.option(
    "--evaluated-on", type=data, multiple=True, metavar="PLACE[@sha256:…]", help="Data that its metrics are of."
)
@click.option("--run", metavar="ID", default="", help="The run that produced it; fills in what is not said here.")
@click.option("--notes", metavar="TEXT", default="", help="For people.")
@by_option
@json_option
@catalogued(make=True)
def register(catalog: Book, *, group: str, by: str, as_json: bool, **said: Unpack[Said]) -> None:
    """Register a version.

    It gets the next number of its GROUP, a model, and waits for approval. Of an artefact, or data, that is a file or
    folder here the digest is taken. Prints GROUP/N.

    \b
      sidecar versions register fraud --artefact s3://models/fraud/7 --framework "xgboost 2.1" \\
        --derived-from fraud/6 --trained-on s3://data/2026-07 --metric auc=0.93
      sidecar versions register fraud --artefact model.pkl --run 6f1c... --catalog catalog.sqlite
    """  # noqa: D301  # click's mark of what is not to be wrapped
    version = catalog.register(group, _draft(catalog, said), by=by, now_s=now_s())
    if as_json:
        document(fields_of(version))
    else:
        tell(version.key)


def _draft(catalog: Book, said: Said) -> Draft:
    artefact = said["artefact"] or _made_by(catalog, said["run"])
    digest = _digest(said["digest"], artefact)
    if said["artefact"] and not digest and _local(artefact):
        told = "its URL, as in file:///models/7, or its --digest"
        place = shown(artefact, SHOWN)
        raise ConfigError(Fault("--artefact", f"{place} is not here; expected a file or folder, or {told}"))
    return Draft(
        artefact=artefact,
        digest=digest,
        framework=said["framework"],
        signature=_signature(said["signature"]),
        parameters=once(said["parameters"], "--parameter"),
        metrics=once([(each.name, each.value) for each in said["metrics"]], "--metric"),
        reference=said["reference"],
        links=[
            *([Link("produced_by", said["run"])] if said["run"] else []),
            *(Link("derived_from", each) for each in said["derived_from"]),
            *(_data("trained_on", each) for each in said["trained_on"]),
            *(_data("evaluated_on", each) for each in said["evaluated_on"]),
        ],
        notes=said["notes"],
    )


def _made_by(catalog: Book, run: str) -> str:
    """The artefact of a run that is a version's."""
    if run and (place := catalog.run(run).artefacts.get(MODEL)):
        return place
    told = f"run {run} has logged no artefact called {MODEL}; " if run else ""
    raise click.BadParameter(f"{told}expected where the model is.", param_hint="--artefact")


def _digest(said: str | None, artefact: str) -> str:
    if said not in (None, "auto"):
        return said
    taken = _taken("--artefact", artefact)
    if said == "auto" and not taken:
        raise ConfigError(Fault("--digest", f"{artefact} is not here; expected sha256:… and what it is"))
    return taken


def _data(relation: Relation, found: Data) -> Link:
    option = "--" + relation.replace("_", "-")
    return Link(relation, found.place, found.digest or _taken(option, found.place))


def _local(place: str) -> bool:
    """Whether only a path looks like this: no scheme, which MLflow's `models:/fraud/7` has too."""
    return not _SCHEME.match(place)


def _taken(option: str, place: str) -> str:
    """The digest of a file or folder; empty where it is not here."""
    try:
        return digest_of(place) if "://" not in place and Path(place).exists() else ""
    except OSError as error:
        raise ConfigError(Fault(option, f"{error.filename or place}: {error.strerror}")) from None


def _signature(file: str | None) -> JSON:
    if file is None:
        return None
    try:
        with Path(file).open("rb") as opened:
            read = opened.read(SIGNATURE_BYTES + 1)
    except OSError as error:
        raise ConfigError(Fault("--signature", f"{file}: {error.strerror}")) from None
    if len(read) > SIGNATURE_BYTES:
        raise ConfigError(Fault("--signature", f"{file}: expected at most {SIGNATURE_BYTES} bytes"))
    try:
        return msgspec.json.decode(read)
    except (ValueError, RecursionError) as error:
        raise ConfigError(Fault("--signature", f"{file}: {error}; expected JSON")) from None
