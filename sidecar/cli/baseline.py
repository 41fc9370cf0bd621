"""`sidecar baseline`: learns the reference from a data set, and writes SageMaker's two files."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.errors import ConfigError, Fault

if TYPE_CHECKING:
    from sidecar.datasets.chunk import Chunk
    from sidecar.reference.learning import Learner
    from sidecar.reference.profile import Profiles

    Read = Callable[[Path], Iterator[Chunk]]


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where statistics.json and constraints.json go; made where it is missing.",
)
@click.option("--captures", is_flag=True, help="DATA is captured traffic: a file, or a folder of *.jsonl.")
@click.option("--target", default="", metavar="COLUMN", help="The label; left out, since requests do not carry it.")
@click.option("--feature", multiple=True, metavar="NAME", help="A feature's name, where captures have none; in order.")
@click.option("--prediction", multiple=True, metavar="NAME", help="A prediction's name, likewise.")
def baseline(
    *, data: Path, output: Path, captures: bool, target: str, feature: tuple[str, ...], prediction: tuple[str, ...]
) -> int:
    """Learn what the data are like when all is well: from training data, or from captured traffic.

    DATA is a CSV, JSON Lines or Parquet file, or a folder of them, of any size: it is read once, in flat memory. What
    is written are SageMaker Model Monitor's own files; constraints.json may be edited by hand.

    \b
      sidecar baseline train.csv --target label -o reference/
      sidecar baseline --captures captures/ -o reference/
    """  # noqa: D301  # click's mark of what is not to be wrapped
    read = _captures(feature, prediction) if captures else _dataset
    try:
        learner, skipped = _learned(_files(data, captures=captures), read, target)
        profiles = learner.profiles()
        _write(output, profiles)
    except OSError as error:
        raise ConfigError(Fault(str(error.filename or data), f"{error.strerror}")) from error
    kinds = Counter(profile.kind for profile in profiles.features)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    click.echo(f"{output}: {profiles.rows} rows of {len(profiles.features)} features ({told})")
    if learner.folded:
        click.echo(f"columns ignored: {learner.folded} times one was too many, repeated or too long a name", err=True)
    for reason, count in skipped.most_common():
        click.echo(f"captures passed over: {count} ({reason})", err=True)
    return 0


def _files(data: Path, *, captures: bool) -> list[Path]:
    """The files to read, in the order of their names."""
    from sidecar.datasets import FORMATS

    ends = {".jsonl"} if captures else set(FORMATS)
    found = sorted(data.rglob("*")) if data.is_dir() else [data]
    if files := [path for path in found if path.suffix in ends]:
        return files
    raise ConfigError(Fault(str(data), f"no data, expected files that end with {', '.join(sorted(ends))}"))


def _dataset(path: Path) -> "Iterator[Chunk]":
    from sidecar.datasets import FORMATS

    return FORMATS[path.suffix](path)


def _captures(feature: tuple[str, ...], prediction: tuple[str, ...]) -> "Read":
    from sidecar.datasets.captures import decoding_of, read_captures

    return partial(read_captures, decoding=decoding_of(feature, prediction))


def _learned(files: list[Path], read: "Read", target: str) -> "tuple[Learner, Counter[str]]":
    """What the files are like, and the lines that were passed over, by reason."""
    from sidecar.datasets.chunk import without
    from sidecar.reference.learning import Learner

    learner, skipped, names = Learner(), Counter[str](), set[str]()
    for chunk in _shown(files, read):
        skipped.update(chunk.skipped)
        names.update(chunk.table.names)
        kept = without(chunk, target) if target else chunk
        if kept.table.names:
            learner.update(kept.table, kept.fractional)
    if not learner.rows:
        raise ConfigError(Fault(str(files[0]), "no row that can be read, expected at least one"))
    if target and target not in names:
        raise ConfigError(Fault("--target", f"no column {target!r}, expected one of the data"))
    return learner, skipped


def _shown(files: list[Path], read: "Read") -> "Iterable[Chunk]":
    """The chunks of all files, with a progress bar on a terminal."""
    size_bytes = sum(path.stat().st_size for path in files)
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=size_bytes, label="reading", file=sys.stderr, hidden=hidden) as bar:
        for chunk in chain.from_iterable(read(path) for path in files):
            yield chunk
            bar.update(chunk.read_bytes)


def _write(folder: Path, profiles: "Profiles") -> None:
    from sidecar.reference.constraints import suggested
    from sidecar.reference.files import write_constraints, write_statistics

    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "statistics.json", write_statistics(profiles))
    _replace(folder / "constraints.json", write_constraints(suggested(profiles)))


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole: who reads it meets the old one or the new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
