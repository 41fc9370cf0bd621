"""The commands of `sidecar versions` that change who serves whom, on a running sidecar."""

import re
from functools import wraps
from typing import Literal, NamedTuple
from urllib.parse import urlencode

import click
from msgspec import Struct

from sidecar.cli.admin import Admin, asked
from sidecar.cli.asking import Work, by_option, json_option, why_option
from sidecar.cli.standing import Changed, Standing, told_in_full, told_in_lines
from sidecar.cli.telling import document, moment, table
from sidecar.cli.words import percent as to_percent
from sidecar.config.documents import parse_yaml
from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON

Order = Literal["start", "hold", "resume", "promote", "rollback"]

DOCUMENT_BYTES = 1 << 20
CHANGES = 20
MAX_CHANGES = 1000
"""What one answer holds."""

_NEGATIVE = re.compile(r"-[.0-9]")


class Asker(NamedTuple):
    """Who asks for a change, why, and of which routes.

    Args:
        revision: That the routes must have; None where that does not matter.
    """

    by: str
    why: str
    revision: int | None


class _Changes(Struct):
    changes: list[Changed]


class _Percented(click.Command):
    """A command with a number among its arguments: what looks like an option may be one below 0."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Understand the words."""
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as error:
            if not _NEGATIVE.match(error.option_name):
                raise
        ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)  # whatever reads the number says what is expected


def changing(work: Work) -> Work:
    """The options of every command that changes something: which sidecar, who asks, why, and of which revision."""

    @click.option(
        "--if-revision",
        type=click.IntRange(min=1),
        metavar="N",
        help="Only if the routes are still those of this revision.",
    )
    @why_option
    @by_option
    @json_option
    @asked
    @wraps(work)
    def call(admin: Admin, if_revision: int | None, why: str, by: str, **values: object) -> object:
        return work(admin, Asker(by, why, if_revision), **values)

    return call


@click.command()
@click.argument("variant", required=False, metavar="[VARIANT_OR_VERSION]")
@changing
def promote(admin: Admin, asker: Asker, *, variant: str | None, as_json: bool) -> None:
    """Give all of the traffic to a variant.

    It is named by its name or version; by default it is the rollout's challenger.

    \b
      sidecar versions promote --why "better for a week"
      sidecar versions promote 7 --if-revision 12
    """  # noqa: D301  # click's mark of what is not to be wrapped
    _order(admin, asker, "promote", variant, as_json=as_json)


@click.command()
@changing
def rollback(admin: Admin, asker: Asker, *, as_json: bool) -> None:
    """Give all of the traffic back.

    To the rollout's champion; where there is no rollout, the last change is undone. It takes effect with the next
    request.

    \b
      sidecar versions rollback --why "complaints"
    """  # noqa: D301
    _order(admin, asker, "rollback", as_json=as_json)


@click.command()
@changing
def start(admin: Admin, asker: Asker, *, as_json: bool) -> None:
    """Start the rollout: the challenger gets its first part of the traffic.

    \b
      sidecar versions start
    """  # noqa: D301
    _order(admin, asker, "start", as_json=as_json)


@click.command()
@changing
def hold(admin: Admin, asker: Asker, *, as_json: bool) -> None:
    """Hold the rollout where it is. A breach of a guardrail still rolls it back.

    \b
      sidecar versions hold --why "until Monday"
    """  # noqa: D301
    _order(admin, asker, "hold", as_json=as_json)


@click.command()
@changing
def resume(admin: Admin, asker: Asker, *, as_json: bool) -> None:
    """Let a rollout that is held go on.

    \b
      sidecar versions resume
    """  # noqa: D301
    _order(admin, asker, "resume", as_json=as_json)


@click.command(cls=_Percented)
@click.argument("variant")
@click.argument("percent", type=to_percent, metavar="PERCENT")
@changing
def weight(admin: Admin, asker: Asker, *, variant: str, percent: float, as_json: bool) -> None:
    """Give a variant this part of the traffic.

    It is named by its name or version; the others share the rest as they do now.

    \b
      sidecar versions weight challenger 10 --why "a first look"
    """  # noqa: D301
    body = {"variant": variant, "percent": percent, **_words(asker)}
    _told(admin, admin.ask("POST", "/v1/routes/weight", body), as_json=as_json)


@click.command()
@click.option("--put", metavar="FILE", help="Put this document in the place of the routes in force; - reads stdin.")
@changing
def routes(admin: Admin, asker: Asker, *, put: str | None, as_json: bool) -> None:
    """Show who serves whom, or change all of it.

    A document that is put holds variants, split and shadow, in YAML or JSON, as the configuration does. What --json
    shows may be edited and put back: it is taken if its revision is still in force.

    \b
      sidecar versions routes
      sidecar versions routes --json > routes.json
      sidecar versions routes --put routes.json --why "the new region"
    """  # noqa: D301
    if put is None:
        if asker.revision is not None:
            raise click.UsageError("--if-revision: expected --put with it.")
        data = admin.ask("GET", "/v1/routes")
        if as_json:
            _told(admin, data, as_json=True)
        else:
            told_in_full(admin.read(data, Standing))
        return
    put_document, revision = _read(put)
    wanted = asker.revision or revision
    headers = {} if wanted is None else {"If-Match": f'"{wanted}"'}
    query = urlencode({"by": asker.by, "why": asker.why}, errors="backslashreplace")
    _told(admin, admin.ask("PUT", f"/v1/routes?{query}", put_document, headers), as_json=as_json)


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_CHANGES),
    default=CHANGES,
    show_default=True,
    metavar="NUMBER",
    help="The latest so many.",
)
@json_option
@asked
def changes(admin: Admin, *, limit: int, as_json: bool) -> None:
    """Show who changed what, when, and why; the latest first.

    \b
      sidecar versions changes --limit 5
    """  # noqa: D301
    data = admin.ask("GET", f"/v1/routes/changes?limit={limit}")
    if as_json:
        document(admin.read(data, dict[str, JSON]))
        return
    rows = [
        [each.revision, moment(each.time), each.who, each.what, each.why] for each in admin.read(data, _Changes).changes
    ]
    table(["revision", "time", "who", "what", "why"], rows)


def _order(admin: Admin, asker: Asker, order: Order, variant: str | None = None, *, as_json: bool) -> None:
    body = {"order": order, **({} if variant is None else {"variant": variant}), **_words(asker)}
    _told(admin, admin.ask("POST", "/v1/rollout", body), as_json=as_json)


def _words(asker: Asker) -> dict[str, JSON]:
    told = {"by": asker.by, "why": asker.why}
    return told if asker.revision is None else {**told, "revision": asker.revision}


def _told(admin: Admin, data: bytes, *, as_json: bool) -> None:
    """Tell what is in force after a change."""
    if as_json:
        document(admin.read(data, dict[str, JSON]))
    else:
        told_in_lines(admin.read(data, Standing))


def _read(file: str) -> tuple[JSON, int | None]:
    """The document of a file, and the revision that it had when a sidecar showed it."""
    try:
        with click.open_file(file, "rb") as opened:
            data = opened.read(DOCUMENT_BYTES + 1)
        found = parse_yaml(data.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(Fault("--put", f"{file}: {error.strerror}")) from None
    except UnicodeDecodeError:
        raise ConfigError(Fault("--put", f"{file}: expected a text in UTF-8")) from None
    except ConfigError as error:
        raise ConfigError(*(Fault(fault.path or file, fault.message) for fault in error.faults)) from None
    if len(data) > DOCUMENT_BYTES:
        raise ConfigError(Fault("--put", f"{file}: expected at most {DOCUMENT_BYTES} bytes"))
    if not isinstance(found, dict):
        raise ConfigError(Fault("--put", f"{file}: expected a mapping of variants, split and shadow"))
    match found:
        case {"routes": {**shown}, "revision": int(revision)}:
            return shown, revision
    return found, None
