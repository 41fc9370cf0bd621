"""What commands that ask a catalogue or a sidecar share: the options that say which one, and what becomes of a no."""

import getpass
import os
import time
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path

import click

from sidecar.catalog.mlflow import Mlflow
from sidecar.catalog.opening import PLACE, TOKEN, TOKEN_FILE, open_catalog
from sidecar.catalog.remote import Remote
from sidecar.catalog.sqlite import Sqlite
from sidecar.cli.reaching import ADMIN
from sidecar.errors import ConfigError, ConflictError, DeliveryError, Fault, UnknownError
from sidecar.texts import shown

EXIT_REFUSED = 1
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h

TOKEN_BYTES = 4096
SHOWN = 2000
"""Characters of a no."""

MAGIC = b"SQLite format 3\0"
"""How a file of SQLite begins (https://sqlite.org/fileformat2.html, 1.3)."""

EXITS = (
    "The exit code is 0 if it was done, 1 if it was refused or what was asked for is not there, 64 if the command line "
    "or what it names cannot be used, and 69 if nobody answers. What is refused has changed nothing."
)

Book = Sqlite | Remote | Mlflow
Work = Callable[..., object]

token_option = click.option(
    "--token-file",
    metavar="FILE",
    envvar=TOKEN_FILE,
    help=f"File that holds the sidecar's token. [{TOKEN_FILE}; {TOKEN} is the token itself]",
)
by_option = click.option(
    "--by",
    metavar="NAME",
    callback=lambda _ctx, _param, name: name or login(),
    help="Who does it. [default: your login name]",
)
why_option = click.option("--why", metavar="TEXT", default="", help="Why, for those who read it later.")
json_option = click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")


def told_refusals(work: Work) -> Work:
    """A no is told in one line, and is an exit code."""

    @wraps(work)
    def call(*given: object, **values: object) -> object:
        try:
            return work(*given, **values)
        except DeliveryError as error:
            click.echo(shown(str(error), SHOWN), err=True)
            return EXIT_UNAVAILABLE
        except (UnknownError, ConflictError) as error:
            click.echo(shown(str(error), SHOWN), err=True)
            return EXIT_REFUSED

    return call


class Asking(click.Group):
    """Commands in the order in which they were added; a no has an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click calls it so
        """The names."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        """Run one of them; the exit code."""
        return told_refusals(super().invoke)(ctx) or 0


def catalogued(*, make: bool = False) -> Callable[[Work], Work]:
    """The options that say which catalogue; the command gets it open, as its first argument.

    Args:
        make: Make the file where there is none: of a mistyped name, whoever only looks wants none.
    """

    def decorate(work: Work) -> Work:
        @click.option(
            "--catalog",
            "place",
            metavar="PLACE",
            envvar=PLACE,
            default=ADMIN,
            help=f"The catalogue's file, a sidecar's admin address, or mlflow+http://… [{PLACE}; default: {ADMIN}]",
        )
        @token_option
        @wraps(work)
        def call(place: str, token_file: str | None, **values: object) -> object:
            with closing(_opened(place, token_file, make=make)) as catalog:
                return work(catalog, **values)

        return call

    return decorate


def token(file: str | None) -> str:
    """The token of the admin side: of the file, or of the environment; empty where there is none.

    Raises:
        ConfigError: The file cannot be read, or what should be a token is none.
    """
    if file is None:
        name, text = TOKEN, os.environ.get(TOKEN, "").strip()
    else:
        name, text = "--token-file", _read(file)
    if (file is not None and not text) or not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigError(Fault(name, "expected a token of visible ASCII in one line"))
    return text


def login() -> str:
    """Who we are; a container's user often has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}"


def now_s() -> float:
    """Unix time."""
    return time.time_ns() / 1e9


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(Fault("--token-file", f"{file}: {error.strerror}")) from None


def _opened(place: str, token_file: str | None, *, make: bool) -> Book:
    _, scheme, rest = place.partition("://")
    if "@" in rest.partition("/")[0]:
        raise ConfigError(Fault("--catalog", "expected an address without user and password"))  # and not to show them
    if place.lower().startswith(("http://", "https://")):
        return open_catalog(place, {TOKEN: token(token_file)})
    if place and not scheme:
        _check_file(place, make=make)
    try:
        return open_catalog(place, {})
    except ConfigError as error:  # of the file of any part, as a configuration names it
        raise ConfigError(*(fault._replace(path="--catalog") for fault in error.faults)) from None


def _check_file(place: str, *, make: bool) -> None:
    """See that it can be meant: whatever opens a file of another kind takes it for a broken one of ours.

    Raises:
        ConfigError: It cannot.
    """
    path = Path(place)
    try:
        if not path.exists() and make and ":" not in path.parts[0]:
            return
        ours = path.is_file() and (_start(path) == MAGIC or (make and not path.stat().st_size))
    except OSError as error:
        raise ConfigError(Fault("--catalog", f"{place}: {error.strerror}")) from None
    if not ours:
        told = "is not there" if not path.exists() else "is none"
        expected = f"expected the file of a catalogue, or an address as in {ADMIN}"
        raise ConfigError(Fault("--catalog", f"{place} {told}; {expected}"))


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MAGIC))
