"""Captures of any kind as one table of rows, on disk: decoded in flat memory, and only once.

The table is a folder of Parquet files, as `sinks.rows` tells its columns. A line that cannot be read is passed over,
told and counted: a report over a year does not end at one line.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from sidecar import __version__
from sidecar.datasets.captures import decoding_of
from sidecar.errors import ConfigError, Fault
from sidecar.report.decoding.inputs import Input
from sidecar.report.decoding.lines import MAX_TOLD, Progress, Tally, items_of
from sidecar.report.decoding.linking import checked, linked, table_of
from sidecar.report.decoding.pieces import TABLE, Done, Piece, Pieces
from sidecar.sinks.row_files import RowFiles, make_folder

BUFFER_BYTES = 32 << 20
"""Of rows in memory, in each process; a file has a hundred thousand of thirty features."""


class Decoded(NamedTuple):
    """The rows of captures.

    Args:
        path: The table's folder; there is none where there are no rows.
        files: Of captures.
        captures: Those that were decoded.
        rows: Theirs.
        skipped: Lines that were not, by reason: a word of `payload.decoding.REASONS`; `line` (no capture), `large`,
            `time` (it tells none). `file` counts files that could not be read to their end.
        faults: Captures without predictions, by reason: a word of `payload.decoding.REASONS`.
        told: The first lines that were passed over for another reason than their bodies, by file and line.
    """

    path: Path
    files: int
    captures: int
    rows: int
    skipped: Counter[str]
    faults: Counter[str]
    told: tuple[str, ...]


class How(NamedTuple):
    """How captures are decoded.

    Args:
        features: Names for columns that have none in the payload.
        predictions: Likewise.
        format: Of all requests; `auto` where each tells its own.
    """

    features: tuple[str, ...]
    predictions: tuple[str, ...]
    format: str


def decode(  # noqa: PLR0913  # all that decides what comes of captures
    inputs: Sequence[Input],
    work: Path,
    *,
    features: Sequence[str] = (),
    predictions: Sequence[str] = (),
    format: str = "auto",
    progress: Progress = lambda _: None,
    processes: int = 1,
) -> Decoded:
    """The rows of these files as a table; what an earlier call has decoded in the same folder is not decoded again.

    A folder that the Parquet sink has written is the table itself, if there is nothing beside it.

    Args:
        inputs: As `find` finds them.
        work: A folder that is nobody else's meanwhile (`alone`); made where it is missing. What it has of other
            files is deleted.
        features: Names for columns that have none in the payload.
        predictions: Likewise.
        format: Of all requests, as `payload.format` has it.
        progress: Takes the bytes of the inputs that were read since it was called last.
        processes: That share the work; more than one only where the main module may be imported again.

    Raises:
        ConfigError: The folder cannot be used, a file of rows has not their columns, or a store gives no object.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError(Fault("", "reading captures needs pyarrow: pip install 'sidecar[report]'"))
    how = How(tuple(features), tuple(predictions), format)
    if (table := table_of(inputs)) is not None:
        tallies = [checked(each, Path(each.name)) for each in inputs]
        if all(tally.whole for tally in tallies):
            progress(sum(each.size_bytes for each in inputs))
            return _decoded(table, len(inputs), [_as_done(Piece("", ()), [], tally) for tally in tallies])
    make_folder(work)
    pieces = Pieces(work, [__version__, how.format, *how.features, "", *how.predictions])
    kept, left = pieces.left(inputs)
    progress(sum(size_bytes for done in kept for _, size_bytes, _ in done.inputs))
    dones = list(kept)
    for done in _done(left, work, how, progress, processes):
        pieces.add(done)
        dones.append(done)
    dones.sort(key=lambda done: done.inputs)
    return _decoded(work / TABLE, len(inputs), dones)


def _decoded(path: Path, files: int, dones: Sequence[Done]) -> Decoded:
    skipped, faults = Counter[str](), Counter[str]()
    for done in dones:
        skipped.update(done.skipped)
        faults.update(done.faults)
    told = [line for done in dones for line in done.told]
    captures, rows = sum(done.captures for done in dones), sum(done.rows for done in dones)
    return Decoded(path, files, captures, rows, skipped, faults, tuple(told[:MAX_TOLD]))


def _done(left: Sequence[Piece], work: Path, how: How, progress: Progress, processes: int) -> Iterator[Done]:
    """What came of each piece, once its rows are there."""
    if min(processes, len(left)) < 2:
        yield from (_piece(piece, work, how, progress) for piece in left)
        return
    # Forked, a process would have this one's threads' locks.
    context = get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(left)), mp_context=context, initializer=_follow) as pool:
        try:
            waiting = [pool.submit(_piece, piece, work, how, _unseen) for piece in left]
            for future in as_completed(waiting):
                done = future.result()
                progress(sum(size_bytes for _, size_bytes, _ in done.inputs))
                yield done
        except BrokenExecutor as error:
            raise OSError("a process that decodes was ended, as for want of memory") from error
        except ConfigError as error:  # its faults are lost between processes
            raise ConfigError(Fault("", str(error))) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _follow() -> None:
    """In a process that decodes: what is interrupted is the one that started it, and with that one it ends.

    Nobody else would end it, were that one killed; and it would write rows beside those of the next report.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _unseen(_: int) -> None:
    """Progress in another process, which tells when it is done."""


def _piece(piece: Piece, work: Path, how: How, progress: Progress) -> Done:
    """Bring the rows of a piece into the table."""
    table = work / TABLE
    if piece.inputs[0].name.endswith(".parquet"):
        tally, files = linked(piece.inputs[0], work, table, piece.id)
        progress(piece.inputs[0].size_bytes)
        return _as_done(piece, files, tally)
    tally, files = Tally(), []

    def announce(path: Path, _: int) -> None:
        files.append(str(path.relative_to(table)))

    rows = RowFiles(
        table,
        work / f".{TABLE}",
        max_bytes=BUFFER_BYTES,
        name=lambda _: f"{piece.id}-{len(files):04}",
        announce=announce,
    )
    decoding = decoding_of(how.features, how.predictions, how.format)
    for source in piece.inputs:
        for items in items_of(source, work, decoding, tally, progress):
            rows.add(items, 0.0)
    rows.write(0.0)
    return _as_done(piece, files, tally)


def _as_done(piece: Piece, files: list[str], tally: Tally) -> Done:
    return Done(
        piece=piece.id,
        inputs=[(each.name, each.size_bytes, each.mark) for each in piece.inputs],
        files=files,
        captures=tally.captures,
        rows=tally.rows,
        skipped=dict(tally.skipped),
        faults=dict(tally.faults),
        told=tally.told,
        whole=tally.whole,
    )
