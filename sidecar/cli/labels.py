"""`sidecar labels`: brings labels from files, folders or standard input to a sidecar.

Lines are sent as they are, some hundred at a time, and the sidecar says what is wrong with them. A label counts once,
so whatever is in doubt is sent again.
"""

import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import chain
from pathlib import Path
from typing import get_args

import click

from sidecar.catalog.opening import TOKEN
from sidecar.cli.progress import progress
from sidecar.cli.reaching import to_option
from sidecar.cli.unix import UnixConnection
from sidecar.config.addresses import UnixAddress, UpstreamAddress, parse_upstream
from sidecar.datasets.labels import Columns, Entry, files_of, from_files, from_pipe
from sidecar.errors import ConfigError, DeliveryError, Fault, PayloadError
from sidecar.payload.document import parse
from sidecar.records import JSON, LabelStatus
from sidecar.report.progress import Advance
from sidecar.texts import shown

EXIT_MALFORMED = 1
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h

MAX_BATCH_BYTES = 4 << 20
"""Of the lines that are sent at once, but for the last one: the sidecar takes 8 MiB."""

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Before each new try to send: a minute in all, in which a sidecar starts again."""

TIMEOUT_S = 30.0
SHOWN = 10
"""Malformed lines that are named."""

_PLACE = re.compile(r"line ([0-9]+)(?:, (.*))?", re.DOTALL)
_OF_FIRST = re.compile(r"body: (?:line [0-9]+: )?")


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=click.Path(exists=True, allow_dash=True))
@to_option
@click.option("--token-file", metavar="FILE", help=f"File that holds its token. [{TOKEN} is the token itself]")
@click.option("--follow", is_flag=True, help="Wait for new lines and files, for ever.")
@click.option(
    "--batch", type=click.IntRange(1, 50_000), default=500, show_default=True, help="Labels to send at once, at most."
)
@click.option("--column-id", default="id", show_default=True, metavar="NAME", help="CSV's column of ids.")
@click.option("--column-label", default="label", show_default=True, metavar="NAME", help="CSV's column of labels.")
def labels(  # noqa: PLR0913  # click hands over every option
    *,
    sources: tuple[str, ...],
    to: str,
    token_file: str | None,
    follow: bool,
    batch: int,
    column_id: str,
    column_label: str,
) -> int:
    """Send labels, or outcomes, to a sidecar, which joins them with the predictions that it has seen.

    SOURCE is a file of JSON Lines, of JSON or of CSV with a header, SageMaker's ground-truth files among them; a
    folder, of which all such files are read in the order of their names; or - for JSON Lines from standard input.

    \b
      sidecar labels labels.jsonl
      sidecar labels --follow /data/ground-truth/
      kcat -C -t labels | sidecar labels -

    The exit code is 0 if all labels were taken, 1 if some were malformed, and 69 if the sidecar could not be reached.
    """  # noqa: D301  # click's mark of what is not to be wrapped
    if "-" in sources and (follow or len(sources) > 1):
        raise click.UsageError("- is read alone and to its end; expected no other source and no --follow.")
    try:
        address = parse_upstream(to)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--to") from None
    sidecar = Sidecar(address, _token(token_file), pause=time.sleep)
    if sources == ("-",):
        return send(from_pipe(sys.stdin.fileno()), sidecar, batch)
    paths, columns = [Path(source) for source in sources], Columns(column_id, column_label)
    entries = from_files(paths, columns, follow=follow, pause=time.sleep)
    if not follow:
        size_bytes = sum(path.stat().st_size for path in files_of(paths))
        with progress().stage("labels", size_bytes, "bytes") as advance:
            return send(entries, sidecar, batch, advance)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return send(entries, sidecar, batch)
    except KeyboardInterrupt:
        return 0  # all that was sent is told
    finally:
        signal.signal(signal.SIGTERM, before)


def _token(file: str | None) -> str:
    token = Path(file).read_text(errors="replace").strip() if file else os.environ.get(TOKEN, "")
    if (file and not token) or not token.isprintable():
        raise ConfigError(Fault("--token-file" if file else TOKEN, "expected a token in one line"))
    return token


def send(entries: Iterator[Entry | None], sidecar: "Sidecar", batch: int, advance: Advance | None = None) -> int:
    """Send all entries, and tell what became of them; the exit code.

    Args:
        entries: None is a pause: what there is goes out.
        batch: Entries to send at once, at most.
    """
    told, waiting, size_bytes = Told(), list[Entry](), 0
    try:
        for entry in chain(entries, [None]):
            if entry is not None and entry.error:
                told.malformed(entry.place, entry.error)
            elif entry is not None and entry.data:
                waiting.append(entry)
                size_bytes += len(entry.data)
            if waiting and (entry is None or len(waiting) >= batch or size_bytes >= MAX_BATCH_BYTES):
                told.answered(sidecar.post([each.data for each in waiting]), waiting)
                waiting, size_bytes = [], 0
            if advance is not None and entry is not None:
                advance(entry.read_bytes)
    except DeliveryError as error:
        click.echo(f"{error}; {len(waiting)} labels, and those behind them, were not taken", err=True)
        return EXIT_UNAVAILABLE
    finally:
        told.end()
    return EXIT_MALFORMED if told.counts["malformed"] else 0


class Told:
    """What became of labels."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._named = 0

    def malformed(self, place: str, error: str) -> None:
        """Count a line that is no label, and name it if it is one of the first."""
        self.counts["malformed"] += 1
        self._name(place, error)

    def answered(self, answer: Mapping[str, JSON], entries: Sequence[Entry]) -> None:
        """Count what the sidecar says of these."""
        self.counts.update(answer["counts"])
        for each in answer["labels"]:
            if each["status"] == "malformed" and (found := _PLACE.fullmatch(each["place"])):
                field = f"{found[2]}: " if found[2] else ""
                self._name(entries[int(found[1]) - 1].place, f"{field}{each['error']}")

    def end(self) -> None:
        """Tell the counts."""
        if (unnamed := self.counts["malformed"] - self._named) > 0:
            click.echo(f"{unnamed} more malformed", err=True)
        known = [f"{count} {status}" for status in get_args(LabelStatus) if (count := self.counts[status])]
        click.echo(f"{self.counts.total()} labels" + (f": {', '.join(known)}" if known else ""))

    def _name(self, place: str, error: str) -> None:
        if self._named < SHOWN:
            self._named += 1
            click.echo(f"{place}: {shown(error, 300)}", err=True)


class Sidecar:
    """Where labels go.

    Args:
        token: Of its admin side; empty without one.
        pause: Waits for so many seconds.
    """

    def __init__(self, address: UpstreamAddress, token: str, *, pause: Callable[[float], None]) -> None:
        self._address = address
        self._headers: dict[str, str | bytes] = {"Content-Type": "application/jsonlines"}
        if token:
            self._headers["Authorization"] = b"Bearer " + token.encode()
        self._pause = pause

    def post(self, lines: Sequence[bytes]) -> Mapping[str, JSON]:
        """What it says of these; sent again and again while it cannot take them.

        Raises:
            DeliveryError: It could not for a minute.
            ConfigError: It will not.
        """
        for pause_s in PAUSES_S:
            try:
                return self._ask(lines)
            except DeliveryError as error:
                click.echo(f"{error}; again in {pause_s:g} s", err=True)
            self._pause(pause_s)
        return self._ask(lines)

    def _ask(self, lines: Sequence[bytes]) -> Mapping[str, JSON]:
        name = self._address.address
        try:
            # A connection each: one that has rested may be closed by the time it is used.
            with closing(self._connection()) as connection:
                connection.request("POST", "/v1/labels?brief=1", b"\n".join(lines), self._headers)
                reply = connection.getresponse()
                status, answer = reply.status, _answer(reply.read())
        except (OSError, HTTPException) as error:
            raise DeliveryError(f"{name}: {str(error) or type(error).__name__}") from None
        if status == 200 and "counts" in answer:
            return answer
        message = answer["error"]["message"] if "error" in answer else "not the answer of a sidecar"
        if status == 400 and "error" in answer:  # none of the lines can be read
            message = _OF_FIRST.sub("", message)
            places = [f"line {number + 1}" for number in range(len(lines))]
            every = [{"status": "malformed", "place": place, "error": message} for place in places]
            return {"counts": {"malformed": len(lines)}, "labels": every}
        if status >= 500 or status == 408:
            raise DeliveryError(f"{name}: {status} {message}")
        raise ConfigError(Fault("--token-file" if status == 401 else "--to", f"{name}: {status} {message}"))

    def _connection(self) -> HTTPConnection:
        address = self._address.address
        if isinstance(address, UnixAddress):
            return UnixConnection(address.path, TIMEOUT_S)
        kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
        return kind(address.host, address.port, timeout=TIMEOUT_S)


def _answer(data: bytes) -> Mapping[str, JSON]:
    """A reply's object, if it has a sidecar's fields in a sidecar's shapes; an empty one otherwise."""
    try:
        found = parse(data)
    except PayloadError:
        return {}
    if not isinstance(found, dict):
        return {}
    taken = isinstance(found.get("counts"), dict) and isinstance(found.get("labels"), list)
    failed = isinstance(found.get("error"), dict) and isinstance(found["error"].get("message"), str)
    return found if taken or failed else {}
